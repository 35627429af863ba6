"""Differentiable warp of an image by sparse control points.

Paper: Cole et al., "Synthesizing Normalized Faces from Facial Identity Features" (CVPR 2017), the differentiable
image warping of the decoder: displacements at landmarks, and zero displacement at extra boundary points, are
interpolated to a dense flow by a polyharmonic spline, then the image is sampled bilinearly. Choices of ours: second
order (thin-plate, r^2 log r), eight boundary points, a small ridge, and a flow that is solved on a coarse grid and
upsampled.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from kornia.geometry.transform import remap
from torch import Tensor
from torch.nn import functional as F

RIDGE = 1e-4  # on the kernel's diagonal, in (image side)^2: keeps nearly coincident points (closed lips) solvable


def boundary_points(size_px: int) -> Float[Tensor, "8 2"]:
    """Corners and edge midpoints of a square image, (x, y) in pixels from 0 to `size_px - 1`."""
    low, middle, high = 0.0, (size_px - 1) / 2, size_px - 1.0
    return torch.tensor(
        [[x, y] for y in (low, middle, high) for x in (low, middle, high) if (x, y) != (middle, middle)]
    )


def _kernel(a: Float[Tensor, "B N 2"], b: Float[Tensor, "B M 2"]) -> Float[Tensor, "B N M"]:
    squared = (a[:, :, None] - b[:, None]).square().sum(-1)
    safe = torch.where(squared > 0, squared, torch.ones_like(squared))
    return 0.5 * squared * safe.log()


def spline(
    points: Float[Tensor, "B N 2"],
    values: Float[Tensor, "B N C"],
    queries: Float[Tensor, "B M 2"],
    ridge: float = RIDGE,
) -> Float[Tensor, "B M C"]:
    """Thin-plate spline through `values` at `points`, evaluated at `queries`.

    f(x) = sum_i w_i U(|x - x_i|) + a + b x, U(r) = r^2 log r, with sum w_i = 0 and sum w_i x_i = 0.

    Args:
        points: (B, N, 2) control points in any unit near 1 (the system is solved in float64).
        values: (B, N, C) values at the points.
        queries: (B, M, 2) where to evaluate.
        ridge: added to the kernel's diagonal; 0 interpolates exactly.

    Returns:
        (B, M, C) in the dtype of `values`.
    """
    dtype = values.dtype
    points, queries = points.double(), queries.double()
    batch, count, _ = points.shape
    affine = torch.cat([torch.ones_like(points[..., :1]), points], dim=-1)
    kernel = _kernel(points, points) + ridge * torch.eye(count, dtype=points.dtype, device=points.device)
    system = torch.cat(
        [
            torch.cat([kernel, affine], dim=2),
            torch.cat([affine.mT, affine.new_zeros(batch, 3, 3)], dim=2),
        ],
        dim=1,
    )
    right = torch.cat([values.double(), values.new_zeros(batch, 3, values.shape[-1]).double()], dim=1)
    # unchecked: with a ridge, finite points give no singular system; the check cannot be exported and is not free
    weights = torch.linalg.solve_ex(system, right).result
    basis = torch.cat([_kernel(queries, points), torch.ones_like(queries[..., :1]), queries], dim=2)
    return (basis @ weights).to(dtype)


def warp_flow(
    source: Float[Tensor, "B N 2"], target: Float[Tensor, "B N 2"], size_px: int, grid: int
) -> Float[Tensor, "B P P 2"]:
    """Where each output pixel is sampled so that `source` points land on `target` points.

    Args:
        source: (B, N, 2) points in the input image, (x, y) in pixels, origin at the centre of the top-left pixel.
        target: (B, N, 2) where they must appear in the output.
        size_px: side P of both images.
        grid: side of the coarse grid on which the spline is evaluated.

    Returns:
        (B, P, P, 2) sampling positions (x, y) in pixels.
    """
    border = boundary_points(size_px).to(target).expand(len(target), -1, -1)
    controls = torch.cat([target, border], dim=1)
    displacement = torch.cat([source - target, torch.zeros_like(border)], dim=1)
    scale = size_px - 1
    ticks = torch.linspace(0, 1, grid, device=target.device, dtype=target.dtype)
    y, x = torch.meshgrid(ticks, ticks, indexing="ij")
    queries = torch.stack([x, y], dim=-1).reshape(1, -1, 2).expand(len(target), -1, -1)
    coarse = spline(controls / scale, displacement, queries).reshape(-1, grid, grid, 2).permute(0, 3, 1, 2)
    fine = F.interpolate(coarse, (size_px, size_px), mode="bilinear", align_corners=True)
    pixels = torch.arange(size_px, device=target.device, dtype=target.dtype)
    y, x = torch.meshgrid(pixels, pixels, indexing="ij")
    return torch.stack([fine[:, 0] + x, fine[:, 1] + y], dim=-1)


def warp_image(
    image: Float[Tensor, "B C P P"], source: Float[Tensor, "B N 2"], target: Float[Tensor, "B N 2"], grid: int = 56
) -> Float[Tensor, "B C P P"]:
    """Warp images so that `source` points move to `target` points (bilinear sampling, edges repeated).

    Args:
        image: (B, C, P, P) square images.
        source: (B, N, 2) landmarks of `image` in pixels, x then y.
        target: (B, N, 2) wanted landmarks.
        grid: see `warp_flow`.

    Returns:
        (B, C, P, P) warped images; differentiable in all three tensors.
    """
    flow = warp_flow(source, target, image.shape[-1], grid)
    return remap(image, flow[..., 0], flow[..., 1], padding_mode="border", align_corners=True)
