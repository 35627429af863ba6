"""The landmark regressor: coordinates, sizes, shapes and refusals."""

import pytest
import torch

from encoders.face.landmarks import LandmarkRegressor, soft_argmax


def blob_logits(x, y, side=28):
    """A heat map whose softmax is a Gaussian around (x, y)."""
    step = torch.arange(side, dtype=torch.float32)
    return -((step[None, :] - x) ** 2 + (step[:, None] - y) ** 2)[None, None] / 2


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return LandmarkRegressor(channels=(4, 8, 8, 8), head_channels=8, image_size_px=64).eval()


def test_size_of_the_default_network():
    network = LandmarkRegressor()
    assert sum(parameter.numel() for parameter in network.parameters()) <= 600_000
    half = sum(value.numel() * min(value.element_size(), 2) for value in network.state_dict().values())
    assert half <= 1.5e6


def test_soft_argmax_finds_a_blob_and_follows_it_by_three_cells():
    first, moved = (soft_argmax(blob_logits(x, 9.7)) for x in (11.25, 14.25))
    torch.testing.assert_close(first[0, 0], torch.tensor([11.25, 9.7]), atol=1e-3, rtol=0)
    torch.testing.assert_close(moved - first, torch.tensor([[[3.0, 0.0]]]), atol=1e-3, rtol=0)


def test_soft_argmax_of_one_certain_cell_is_its_centre_plus_its_offset():
    logits = torch.full((1, 1, 4, 4), -1e4)
    logits[0, 0, 2, 3] = 0
    offsets = torch.zeros(1, 1, 2, 4, 4)
    offsets[0, 0, :, 2, 3] = torch.tensor([0.25, -0.5])
    assert soft_argmax(logits)[0, 0].tolist() == [3, 2]
    assert soft_argmax(logits, offsets)[0, 0].tolist() == [3.25, 1.5]


def test_coordinates_are_those_of_the_input_grid(network):
    """A point is a share of the side, whose origin is the picture's corner, half a pixel before the first centre."""
    image = torch.rand(1, 3, 64, 64)
    points = network(image)
    assert points.shape == (1, 68, 2)
    blocks = image.repeat_interleave(2, 2).repeat_interleave(2, 3)  # resizing averages the four copies again
    small = network.prepare(blocks)
    torch.testing.assert_close((network(blocks) + 0.5) / 2, network(small) + 0.5, atol=1e-4, rtol=0)
    cells, logits = network.locate(image)
    assert logits.shape == (1, 68, 16, 16)
    torch.testing.assert_close((cells + 0.5) * 4 - 0.5, points)


def test_sizes_give_the_same_points_for_a_smooth_picture(network):
    """112 or 224 px of the same scene: the same points as shares of the side."""
    shares = []
    for side in (112, 224):
        centre = (torch.arange(side) + 0.5) / side
        picture = torch.stack([torch.sin(5 * centre)[None].expand(side, side), torch.cos(4 * centre)[:, None] + centre])
        picture = torch.cat([picture, picture[:1] * picture[1:]])[None] * 0.25 + 0.5
        shares.append((network(picture) + 0.5) / side)
    torch.testing.assert_close(shares[0], shares[1], atol=2e-4, rtol=0)


def test_blob_in_the_picture_moves_the_points():
    """With its stem's step of four pixels as shift, a convolutional network moves its heat maps by one cell."""
    torch.manual_seed(1)
    network = LandmarkRegressor(channels=(4, 8, 8, 8), head_channels=8, image_size_px=256).eval()
    maps = []
    for shift in (0, 16):  # 16 px: the coarsest level's step, within which nothing is exactly equivariant
        image = torch.zeros(1, 3, 256, 256)
        image[:, :, 120:130, 118 + shift : 130 + shift] = 1
        maps.append(network.locate(image)[1][..., 28:36, 28:36])
        if shift:
            maps[-1] = network.locate(image)[1][..., 28:36, 32:40]
    torch.testing.assert_close(maps[0], maps[1], atol=1e-4, rtol=0)


def test_a_window_is_a_cut_whose_points_are_moved_back(network):
    size = {"channels": (4, 8, 8, 8), "head_channels": 8, "image_size_px": 64}
    windowed = LandmarkRegressor(**size, window=(0.25, 0.375, 0.5)).eval()
    windowed.load_state_dict(network.state_dict())
    image = torch.rand(2, 3, 160, 160)
    whole = network(image[:, :, 60:140, 40:120])
    torch.testing.assert_close(windowed(image), whole + torch.tensor([40.0, 60.0]))
    with pytest.raises(ValueError, match="a window inside"):
        LandmarkRegressor(**size, window=(0.6, 0.0, 0.5))


def test_a_picture_gives_the_same_points_alone_and_in_a_batch(network):
    images = torch.rand(3, 3, 80, 80)
    torch.testing.assert_close(network(images)[1:2], network(images[1:2]), atol=1e-4, rtol=0)


def test_gradients_reach_the_picture(network):
    image = torch.rand(1, 3, 100, 100, requires_grad=True)
    network(image).sum().backward()
    assert image.grad.abs().sum() > 0


def test_what_is_refused(network):
    with pytest.raises(ValueError, match="square RGB images"):
        network(torch.rand(1, 3, 64, 60))
    with pytest.raises(ValueError, match="multiple of 16"):
        LandmarkRegressor(image_size_px=100)
    with pytest.raises(ValueError, match="four channels"):
        LandmarkRegressor(channels=(8, 8))
