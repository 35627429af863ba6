"""VGG-M: Fig. 8's and the published file's sizes, the order of its operations, and the maximum over a track."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from encoders.face.vgg_m import VGGMFace

PUBLISHED = {
    "layout": "published",
    "channels": (96, 256, 512, 512, 512),
    "fc_sizes": (4096, 4096),
    "num_identities": 2622,
}
TINY = {"channels": (3, 4, 5, 6, 4), "fc_sizes": (8, 7), "num_identities": 3, "image_size_px": 64}
LAYOUTS = pytest.mark.parametrize("layout", ["figure", "published"])


def tiny(layout="figure", **changes):
    torch.manual_seed(0)
    network = VGGMFace(layout, **(TINY | changes)).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):  # batch norms that do something
            module.running_mean.uniform_(-0.3, 0.3)
            module.running_var.uniform_(0.2, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.3, 0.3)
    return network


def sizes(network):
    """Side and channels of every convolution and of pool5, at 224 px."""
    seen = []
    for name in ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7"):
        network.get_submodule(name).register_forward_hook(lambda _m, inputs, output: seen.extend([*inputs, output]))
    image = torch.empty(2, 3, 224, 224)
    assert network.features(image).shape == (2, network.embedding_dim)
    return [(x.shape[-1], x.shape[1]) for x in seen]


def test_figure_8_sizes_and_parameters():
    with torch.device("meta"):
        network = VGGMFace()
        assert sizes(network) == [
            *((224, 3), (112, 96), (56, 96), (28, 256), (14, 256), (14, 256), (14, 256), (14, 256), (14, 256)),
            *((14, 256), (7, 256), (1, 4096), (1, 4096), (1, 1024)),
        ]
    convolutions = (49 * 3 + 1) * 96 + (25 * 96 + 1) * 256 + 3 * (9 * 256 + 1) * 256
    full = (49 * 256 + 1) * 4096 + (4096 + 1) * 1024
    norms = 2 * (96 + 4 * 256 + 4096 + 1024)
    assert sum(p.numel() for p in network.parameters()) == convolutions + full + norms == 57_991_232
    assert "fc8.weight" not in network.state_dict()


def test_published_sizes_parameters_and_names():
    with torch.device("meta"):
        network = VGGMFace(**PUBLISHED)
        assert sizes(network) == [
            *((224, 3), (109, 96), (54, 96), (26, 256), (13, 256), (13, 512), (13, 512), (13, 512), (13, 512)),
            *((13, 512), (6, 512), (1, 4096), (1, 4096), (1, 4096)),
        ]
    convolutions = (49 * 3 + 1) * 96 + (25 * 96 + 1) * 256 + (9 * 256 + 1) * 512 + 2 * (9 * 512 + 1) * 512
    full = (36 * 512 + 1) * 4096 + (4096 + 1) * 4096 + (4096 + 1) * 2622
    norms = 2 * (96 + 256 + 3 * 512 + 2 * 4096)
    assert convolutions + full == 109_553_854  # the 109.55 M that are quoted
    assert sum(p.numel() for p in network.parameters()) == convolutions + full + norms == 109_574_014
    weights = network.state_dict()
    order = "conv1 bn49 conv2 bn50 conv3 bn51 conv4 bn52 conv5 bn53 fc6 bn54 fc7 bn55 fc8"
    assert " ".join(dict.fromkeys(name.split(".")[0] for name in weights)) == order
    assert weights["fc6.weight"].shape == (4096, 512, 6, 6)
    assert weights["fc7.weight"].shape == (4096, 4096, 1, 1)
    assert weights["fc8.weight"].shape == (2622, 4096)


@LAYOUTS
def test_against_plain_arithmetic(layout):
    """Rebuilt from the state dict: means on 0..255, then convolution, batch norm, ReLU, pool."""
    network = tiny(layout)
    weights = network.state_dict()
    image = torch.rand(2, 3, 64, 64)
    paddings = {"figure": (3, 2), "published": (0, 1)}[layout]
    means = torch.tensor([131.4538, 103.9875, 91.4623])

    def unit(x, name, norm, stride, padding):
        x = F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], stride, padding)
        mean, var, gain, bias = (
            weights[f"bn{norm}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return ((x - mean) / (var + 1e-5).sqrt() * gain + bias).clamp(min=0)

    def pool(x, rounds_up=False):
        if layout == "figure":
            return F.max_pool2d(x, 2)
        if rounds_up:  # the same as a border that never wins
            x = F.pad(x, (0, 1, 0, 1))
        return F.max_pool2d(x, 3, 2)

    x = torch.stack([image[:, c] * 255 - means[c] for c in range(3)], dim=1)
    x = pool(unit(x, "conv1", 49, 2, paddings[0]))
    x = pool(unit(x, "conv2", 50, 2, paddings[1]), rounds_up=True)
    x = unit(unit(unit(x, "conv3", 51, 1, 1), "conv4", 52, 1, 1), "conv5", 53, 1, 1)
    x = unit(unit(pool(x), "fc6", 54, 1, 0), "fc7", 55, 1, 0)[:, :, 0, 0]
    output = network(image)
    torch.testing.assert_close(output.feature, x)
    torch.testing.assert_close(output.logits, x @ weights["fc8.weight"].T + weights["fc8.bias"])
    assert (x > 0).any()
    assert output.feature.min() >= 0


@LAYOUTS
def test_split_and_batch_independence(layout):
    network = tiny(layout)
    images = torch.rand(3, 3, 64, 64)
    together = network.features(images)
    torch.testing.assert_close(network.features(images[1:2]), together[1:2])
    torch.testing.assert_close(network.late(network.early(images)), together)
    assert (together[0] - together[1]).abs().max() > 1e-3


def test_temporal_pool_is_the_maximum_of_pool5():
    network = tiny()
    images = torch.rand(2, 3, 3, 64, 64)
    pooled = network.pooled_features(images)
    expected = []
    for track in images:
        largest = network.early(track[:1])[0].clone()
        for image in track[1:]:
            maps = network.early(image[None])[0]
            for index in range(largest.numel()):
                largest.view(-1)[index] = max(largest.view(-1)[index].item(), maps.view(-1)[index].item())
        expected.append(network.late(largest[None])[0])
    torch.testing.assert_close(pooled, torch.stack(expected))
    torch.testing.assert_close(network.pooled_features(images[:, [2, 0, 1]]), pooled)
    torch.testing.assert_close(network.pooled_features(images[:, [0, 1, 1, 2, 0]]), pooled)
    torch.testing.assert_close(network.pooled_features(images[:, :1]), network.features(images[:, 0]))
    assert not torch.allclose(pooled, network.pooled_features(images[:, :1]), atol=1e-3)


def test_gradient_reaches_the_image_that_has_the_maximum():
    """Each unit's gradient goes to the one image that wins it; an image that wins nothing gets none."""
    network = tiny()
    images = torch.rand(1, 2, 3, 64, 64, requires_grad=True)
    maps = {}
    network.bn53.register_forward_hook(lambda _m, _i, output: (output.retain_grad(), maps.update(x=output))[0])
    network.pooled_features(images).sum().backward()
    gradient = maps["x"].grad
    pooled = [F.max_pool2d(torch.relu(x), 2) for x in maps["x"].detach()]
    for image in (0, 1):
        won = F.interpolate((pooled[image] > pooled[1 - image]).float()[None], scale_factor=2.0)[0]
        assert (gradient[image] != 0).any()
        assert not gradient[image][won == 0].any()


@LAYOUTS
def test_every_parameter_learns(layout):
    network = tiny(layout).train()
    network.pooled_features(torch.rand(4, 2, 3, 64, 64)).square().sum().backward()
    F.cross_entropy(network(torch.rand(4, 3, 64, 64)).logits, torch.tensor([0, 1, 2, 0])).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_refusals():
    network = tiny(num_identities=0)
    with pytest.raises(ValueError, match="num_identities 0"):
        network.logits(torch.zeros(1, 7))
    with pytest.raises(ValueError, match="call `prepare` first"):
        network.features(torch.rand(1, 3, 65, 65))
    with pytest.raises(ValueError, match="call `prepare` first"):
        network.pooled_features(torch.rand(1, 2, 3, 32, 32))
    for shape in ((2, 3, 64, 64), (2, 0, 3, 64, 64)):
        with pytest.raises(ValueError, match="with T >= 1"):
            network.pooled_features(torch.zeros(shape))
    with pytest.raises(ValueError, match=r"\('B', 4, 2, 2\), got \(1, 4, 3, 3\)"):
        network.late(torch.zeros(1, 4, 3, 3))
    with pytest.raises(ValueError, match="figure, published, got 'figur'"):
        tiny("figur")


@pytest.mark.parametrize(("layout", "smallest"), [("figure", 27), ("published", 59)])
def test_smallest_image(layout, smallest):
    network = tiny(layout, image_size_px=smallest)
    assert network.features(torch.rand(1, 3, smallest, smallest)).shape == (1, 7)
    with pytest.raises(ValueError, match=f"got {smallest - 1} in layout {layout}"):
        tiny(layout, image_size_px=smallest - 1)
