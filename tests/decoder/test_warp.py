"""The spline warp against scipy and hand-worked motions."""

import numpy as np
import pytest
import torch
from scipy.interpolate import RBFInterpolator

from decoder.warp import boundary_points, spline, warp_flow, warp_image


def random_points(count=20, size=32.0, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).uniform(4, size - 5, (1, count, 2)).astype(np.float32))


def test_spline_equals_scipys_thin_plate():
    points, queries = torch.rand(1, 30, 2), torch.rand(1, 200, 2)
    values = torch.randn(1, 30, 2)
    for ridge in (0.0, 1e-3):
        oracle = RBFInterpolator(
            points[0].double().numpy(), values[0].double().numpy(), kernel="thin_plate_spline", smoothing=ridge
        )(queries[0].double().numpy())
        # scipy's smoothing enters with the kernel's sign as printed here: K + ridge I
        np.testing.assert_allclose(spline(points, values, queries, ridge)[0].numpy(), oracle, atol=1e-4)


def test_spline_reproduces_affine_maps():
    points, queries = torch.rand(2, 12, 2), torch.rand(2, 50, 2)
    matrix, offset = torch.tensor([[2.0, -1.0], [0.5, 3.0]]), torch.tensor([4.0, -2.0])
    result = spline(points, points @ matrix + offset, queries)
    torch.testing.assert_close(result, queries @ matrix + offset, atol=1e-4, rtol=1e-4)


def test_no_motion_is_the_identity():
    image, points = torch.rand(1, 3, 32, 32), random_points()
    torch.testing.assert_close(warp_image(image, points, points, grid=16), image, atol=1e-5, rtol=0)


def test_flow_takes_target_points_back_to_their_sources():
    source = random_points(10, 64.0)
    target = source + torch.from_numpy(np.random.default_rng(1).uniform(-2, 2, (1, 10, 2)).astype(np.float32))
    flow = warp_flow(source, target, 64, grid=64)[0]
    for index in range(10):
        x, y = target[0, index].round().long().tolist()
        near = target[0, index] - torch.tensor([x, y])
        found = flow[y, x] + near
        assert (found - source[0, index]).norm() < 0.75


def test_a_dot_moves_to_its_landmark():
    """A bright dot at (20, 40), x before y, must appear at (26, 34)."""
    image = torch.zeros(1, 1, 64, 64)
    image[0, 0, 39:42, 19:22] = 1.0
    source, target = torch.tensor([[[20.0, 40.0]]]), torch.tensor([[[26.0, 34.0]]])
    moved = warp_image(image, source, target, grid=64)[0, 0]
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    total = moved.sum()
    assert (moved * columns).sum() / total == pytest.approx(26, abs=0.7)
    assert (moved * rows).sum() / total == pytest.approx(34, abs=0.7)


def test_border_stays():
    flow = warp_flow(random_points(5, 32.0), random_points(5, 32.0, seed=3), 32, grid=32)[0]
    for x, y in boundary_points(32).tolist():
        if x == int(x) and y == int(y):
            torch.testing.assert_close(flow[int(y), int(x)], torch.tensor([x, y]), atol=0.2, rtol=0)


def test_gradients_reach_image_and_both_landmark_sets():
    image = torch.rand(1, 1, 16, 16, requires_grad=True)
    source = random_points(6, 16.0).requires_grad_()
    target = random_points(6, 16.0, seed=2).requires_grad_()
    warp_image(image, source, target, grid=8).square().sum().backward()
    for tensor in (image, source, target):
        assert torch.isfinite(tensor.grad).all()
        assert tensor.grad.abs().sum() > 0


def test_landmark_gradient_agrees_with_finite_differences():
    rows, columns = torch.meshgrid(torch.arange(24.0), torch.arange(24.0), indexing="ij")
    image = (torch.sin(columns / 5) + torch.cos(rows / 4))[None, None].double()
    source, target = random_points(5, 24.0).double(), (random_points(5, 24.0) + 0.5).double()

    def total(points):
        return warp_image(image, source, points, grid=24).square().sum()

    target.requires_grad_()
    (gradient,) = torch.autograd.grad(total(target), target)
    step = torch.zeros_like(target)
    step[0, 2, 1] = 1e-4
    with torch.no_grad():
        numeric = (total(target + step) - total(target - step)) / 2e-4
    assert gradient[0, 2, 1].item() == pytest.approx(numeric.item(), rel=1e-3)


def test_nearly_coincident_points_stay_solvable():
    points = random_points(8, 64.0)
    points[0, 1] = points[0, 0] + 0.01
    target = points.clone()
    target[0, 1, 1] += 1.5
    flow = warp_flow(points, target, 64, grid=32)
    assert torch.isfinite(flow).all()
    assert (flow - warp_flow(points, points, 64, grid=32)).abs().max() < 4
