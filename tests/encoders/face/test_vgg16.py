"""VGG-16 with a global average of conv5_3, against torchvision's."""

from itertools import pairwise

import pytest
import torch
from torch import nn
from torchvision.models import vgg

from encoders.face.vgg16 import PooledVGG16

TINY = {"channels": (2, 3, 4, 5, 6), "num_identities": 3, "image_size_px": 32}


def test_paper_size_and_block_sizes():
    with torch.device("meta"):
        network = PooledVGG16()
        oracle = vgg.vgg16().features
        seen = {}
        for name, module in network.named_children():
            module.register_forward_hook(lambda _m, _i, output, name=name: seen.update({name: tuple(output.shape[1:])}))
        assert network.features(torch.empty(2, 3, 224, 224)).shape == (2, 512)
    last = {
        "conv1_2": (64, 224),
        "conv2_2": (128, 112),
        "conv3_3": (256, 56),
        "conv4_3": (512, 28),
        "conv5_3": (512, 14),
    }
    assert {name: (seen[name][0], seen[name][1]) for name in last} == last
    assert len(seen) == 13
    widths = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    by_hand = sum((9 * a + 1) * b for a, b in pairwise(widths))
    counted = sum(parameter.numel() for parameter in network.parameters())
    assert counted == by_hand == sum(p.numel() for p in oracle.parameters()) == 14_714_688
    with torch.device("meta"):
        assert sum(p.numel() for p in PooledVGG16(batch_norm=True).parameters()) == by_hand + 2 * sum(widths[1:])


@pytest.mark.parametrize("batch_norm", [False, True])
def test_equals_torchvision_up_to_the_relu_of_conv5_3(batch_norm):
    """Weights are copied in order into torchvision's layers of the same widths; its last pool is left out."""
    torch.manual_seed(0)
    network = PooledVGG16(**TINY, batch_norm=batch_norm).eval()
    widths = (2, 2, "M", 3, 3, "M", 4, 4, 4, "M", 5, 5, 5, "M", 6, 6, 6)
    oracle = vgg.make_layers(list(widths), batch_norm=batch_norm).eval()
    assert isinstance(oracle[-1], nn.ReLU)
    theirs = [module for module in oracle if isinstance(module, nn.Conv2d | nn.BatchNorm2d)]
    ours = [module for name, module in network.named_children() if name.startswith(("conv", "bn"))]
    assert len(ours) == len(theirs) == 13 * (1 + batch_norm)
    for mine, other in zip(ours, theirs, strict=True):
        if isinstance(mine, nn.BatchNorm2d):
            mine.running_mean.uniform_(-0.3, 0.3)
            mine.running_var.uniform_(0.2, 2)
        else:
            nn.init.kaiming_normal_(mine.weight)
        other.load_state_dict(mine.state_dict())
    image = torch.rand(2, 3, 32, 32)
    means = torch.tensor([123.68, 116.779, 103.939])
    maps = oracle(torch.stack([image[:, c] * 255 - means[c] for c in range(3)], dim=1))
    assert maps.shape == (2, 6, 2, 2)
    expected = (maps[..., 0, 0] + maps[..., 0, 1] + maps[..., 1, 0] + maps[..., 1, 1]) / 4
    feature, logits = network(image)
    torch.testing.assert_close(feature, expected)
    assert feature.max() > 0
    torch.testing.assert_close(logits, expected @ network.classifier.weight.T + network.classifier.bias)
    torch.testing.assert_close(network.features(image[1:]), feature[1:])


def test_names_and_the_classifier_that_is_not_there():
    names = list(PooledVGG16(**(TINY | {"num_identities": 0})).state_dict())
    assert names[:2] == ["conv1_1.weight", "conv1_1.bias"]
    assert names[-1] == "conv5_3.bias"
    assert len(names) == 26
    assert list(PooledVGG16(**TINY).state_dict())[26:] == ["classifier.weight", "classifier.bias"]


@pytest.mark.parametrize("batch_norm", [False, True])
def test_every_parameter_learns(batch_norm):
    torch.manual_seed(1)
    network = PooledVGG16(**(TINY | {"channels": (8,) * 5}), batch_norm=batch_norm).train()
    logits = network(torch.rand(4, 3, 32, 32)).logits
    nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2, 0])).backward()
    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    assert len(gradients) == 28 + 26 * batch_norm
    for name, gradient in gradients.items():
        assert gradient.isfinite().all(), name
        assert gradient.any(), name


def test_refusals():
    network = PooledVGG16(**(TINY | {"num_identities": 0}))
    with pytest.raises(ValueError, match="num_identities 0"):
        network.logits(torch.zeros(1, 6))
    with pytest.raises(ValueError, match="call `prepare` first"):
        network.features(torch.rand(1, 3, 48, 48))
    with pytest.raises(ValueError, match="multiple of 16, got 40"):
        PooledVGG16(image_size_px=40)
