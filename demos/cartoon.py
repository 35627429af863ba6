"""A face as a cartoon: flat colours and dark lines.

Speech2Face (CVPR 2019, section 5.3, "Speech2cartoon") hands its faces to a phone's keyboard app, which is not public;
here the rendering follows H. Winnemöller, S. C. Olsen, B. Gooch, "Real-Time Video Abstraction" (SIGGRAPH 2006). Its
formulas were taken from memory, so no equation numbers are given; the settings were chosen by eye on starter faces.
"""

from __future__ import annotations

import kornia
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from s2f.faces.images import to_pil, to_tensor

PASSES = 3  # of the bilateral filter
SPATIAL_SIGMA_PX, RANGE_SIGMA = 3.0, 0.06  # the second for colours in [0, 1]
EDGE_SIGMA_PX, WIDER = 0.9, 1.6  # of the narrow blur, and how much wider the other is
TAU, EDGE_SLOPE = 0.985, 1.5  # tau and phi_e, for luminance in 0..100
BINS, QUANTIZATION_SLOPE = 10, 1.5  # of luminance; phi_q
SATURATION = 1.35  # not in the paper: the decoder's colours are pale


def cartoon(image: Image.Image) -> Image.Image:
    """Redraw a picture as a cartoon.

    Args:
        image: RGB.

    Returns:
        The cartoon, of the same size.

    Paper: Winnemöller et al. 2006: bilateral filter, then quantised luminance times dark lines. Deviation: a filter
    over both axes at once, and stronger colours.
    """
    smooth = to_tensor(image)[None]
    for _ in range(PASSES):
        smooth = kornia.filters.bilateral_blur(smooth, 9, RANGE_SIGMA, (SPATIAL_SIGMA_PX, SPATIAL_SIGMA_PX))
    lab = kornia.color.rgb_to_lab(smooth)
    dark = lines(lab[:, :1])
    flat = torch.cat([quantized(lab[:, :1]), lab[:, 1:] * SATURATION], dim=1)
    return to_pil((kornia.color.lab_to_rgb(flat) * dark)[0])


def lines(luminance: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B 1 H W"]:
    """Dark lines where luminance falls off: a difference of Gaussians through a soft threshold.

    Args:
        luminance: (B, 1, H, W) L of CIELab, 0..100.

    Returns:
        (B, 1, H, W) in [0, 1]: 1 where there is no line.

    Paper: Winnemöller et al. 2006, edges: D = 1 where S_e - tau S_r > 0, else 1 + tanh(phi_e (S_e - tau S_r)), S_e and
    S_r the luminance under the narrow and the wide blur.
    """
    narrow, wide = (_blurred(luminance, sigma) for sigma in (EDGE_SIGMA_PX, WIDER * EDGE_SIGMA_PX))
    difference = narrow - TAU * wide
    return torch.where(difference > 0, 1.0, 1.0 + torch.tanh(EDGE_SLOPE * difference))


def quantized(luminance: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B 1 H W"]:
    """Luminance in soft steps.

    Args:
        luminance: (B, 1, H, W) L of CIELab, 0..100.

    Returns:
        (B, 1, H, W) of the same range; halfway between two bins it is continuous.

    Paper: Winnemöller et al. 2006, quantisation: Q = q_nearest + (dq / 2) tanh(phi_q (f - q_nearest)), dq the width of
    a bin. Deviation: phi_q is the same everywhere, and the tanh is scaled so that steps meet.
    """
    width = 100.0 / BINS
    nearest = torch.round(luminance / width) * width
    reach = torch.tanh(torch.tensor(QUANTIZATION_SLOPE * width / 2))
    return nearest + width / 2 * torch.tanh(QUANTIZATION_SLOPE * (luminance - nearest)) / reach


def _blurred(image: Tensor, sigma_px: float) -> Tensor:
    size = 2 * round(3 * sigma_px) + 1
    return kornia.filters.gaussian_blur2d(image, (size, size), (sigma_px, sigma_px))
