"""IR-50 and IR-SE-50: published counts and names, every operation by plain arithmetic."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from encoders.face.ir_resnet import IRFace

TINY = {
    "units": (2, 1, 1, 1),
    "widths": (4, 4, 6, 8),
    "reduction": 2,
    "feature_size": 7,
    "num_identities": 3,
    "image_size_px": 32,
}


def tiny(**changes):
    torch.manual_seed(0)
    network = IRFace(**(TINY | changes)).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):  # batch norms that do something
            module.running_mean.uniform_(-0.3, 0.3)
            module.running_var.uniform_(0.2, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.3, 0.3)
        elif isinstance(module, nn.PReLU):
            nn.init.uniform_(module.weight, 0.1, 0.4)
    return network


def count_by_hand(excitation):
    """Convolutions without bias; two numbers a channel for a batch norm, one for a PReLU."""
    total = 27 * 64 + 3 * 64
    width_in = 64
    for width, units in zip((64, 128, 256, 512), (3, 4, 14, 3), strict=True):
        for _ in range(units):
            total += 2 * width_in + 9 * width_in * width + width + 9 * width * width + 2 * width
            total += 2 * width * width // 16 if excitation else 0
            total += width_in * width + 2 * width if width_in != width else 0
            width_in = width
    return total + 2 * 512 + (512 * 49 + 1) * 512 + 2 * 512


@pytest.mark.parametrize(("excitation", "count"), [(False, 43_574_976), (True, 43_797_696)])
def test_published_counts_sizes_and_names(excitation, count):
    with torch.device("meta"):
        network = IRFace(squeeze_excitation=excitation)
        seen = []
        for unit in network.body:
            unit.register_forward_hook(
                lambda _m, inputs, output: seen.append((inputs[0].shape[-1], *output.shape[1:3]))
            )
        assert network.features(torch.empty(2, 3, 112, 112)).shape == (2, 512)
    assert sum(p.numel() for p in network.parameters()) == count_by_hand(excitation) == count
    assert [(channels, after) for before, channels, after in seen if before == 2 * after] == [
        *((64, 56), (128, 28), (256, 14), (512, 7)),
    ]
    assert [seen[k][0] for k in (0, 3, 7, 21)] == [112, 56, 28, 14]
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert len(network.body) == 24
    assert {name.split(".")[1] for name in shapes if name.startswith("input_layer")} == {"0", "1", "2"}
    assert {name.split(".")[1] for name in shapes if name.startswith("output_layer")} == {"0", "3", "4"}
    assert shapes["output_layer.3.weight"] == (512, 25088)
    projected = {name.split(".")[1] for name in shapes if "shortcut_layer" in name}
    assert projected == {"3", "7", "21"}
    assert shapes["body.7.shortcut_layer.0.weight"] == (256, 128, 1, 1)
    assert shapes["body.7.res_layer.1.weight"] == (256, 128, 3, 3)
    assert shapes["body.7.res_layer.2.weight"] == (256,)
    squeezes = [name for name in shapes if "res_layer.5" in name]
    assert len(squeezes) == 48 * excitation
    if excitation:
        assert shapes["body.23.res_layer.5.fc1.weight"] == (32, 512, 1, 1)
        assert shapes["body.23.res_layer.5.fc2.weight"] == (512, 32, 1, 1)


@pytest.mark.parametrize("excitation", [False, True])
def test_against_plain_arithmetic(excitation):
    network = tiny(squeeze_excitation=excitation)
    weights = network.state_dict()

    def norm(x, name):
        shape = (1, -1) + (1,) * (x.ndim - 2)
        mean, var, gain, bias = (
            weights[f"{name}.{part}"].view(shape) for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (var + 1e-5).sqrt() * gain + bias

    def prelu(x, name):
        return torch.where(x > 0, x, weights[f"{name}.weight"][:, None, None] * x)

    image = torch.rand(3, 3, 32, 32)
    x = F.conv2d((image * 255 - 127.5) / 127.5, weights["input_layer.0.weight"], padding=1)
    x = prelu(norm(x, "input_layer.1"), "input_layer.2")
    projected = []
    for number, stride in enumerate((2, 1, 2, 2, 2)):
        layer = f"body.{number}.res_layer"
        y = F.conv2d(norm(x, f"{layer}.0"), weights[f"{layer}.1.weight"], padding=1)
        y = F.conv2d(prelu(y, f"{layer}.2"), weights[f"{layer}.3.weight"], stride=stride, padding=1)
        y = norm(y, f"{layer}.4")
        if excitation:
            means = y.flatten(2).sum(-1) / (y.shape[-1] ** 2)
            gate = (means @ weights[f"{layer}.5.fc1.weight"][:, :, 0, 0].T).clamp(min=0)
            gate = 1 / (1 + (-gate @ weights[f"{layer}.5.fc2.weight"][:, :, 0, 0].T).exp())
            y = y * gate[:, :, None, None]
        shortcut, short = x[:, :, ::stride, ::stride], f"body.{number}.shortcut_layer"
        if f"{short}.0.weight" in weights:
            projected.append(number)
            shortcut = norm(
                torch.einsum("oi,bihw->bohw", weights[f"{short}.0.weight"][:, :, 0, 0], shortcut), f"{short}.1"
            )
        x = y + shortcut
    assert projected == [3, 4]
    x = norm(x, "output_layer.0").flatten(1) @ weights["output_layer.3.weight"].T + weights["output_layer.3.bias"]
    x = norm(x, "output_layer.4")
    feature, logits = network(image)
    torch.testing.assert_close(feature, x, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(logits, feature @ weights["classifier.weight"].T + weights["classifier.bias"])
    assert feature.min() < 0 < feature.max()
    unit = IRFace(**TINY, squeeze_excitation=excitation, unit_norm=True).eval()
    unit.load_state_dict(weights)
    torch.testing.assert_close(unit.features(image), x / x.norm(dim=1, keepdim=True), rtol=1e-4, atol=1e-5)


def test_batch_independence_and_dropout_in_training_only():
    network = tiny(squeeze_excitation=True)
    images = torch.rand(3, 3, 32, 32)
    together = network.features(images)
    torch.testing.assert_close(network.features(images[1:2]), together[1:2], rtol=1e-4, atol=1e-5)
    assert (together[0] - together[1]).abs().max() > 1e-3
    network.output_layer[1].train()
    assert not torch.equal(network.features(images), network.features(images))


@pytest.mark.parametrize("unit_norm", [False, True])
def test_every_parameter_learns(unit_norm):
    network = tiny(squeeze_excitation=True, unit_norm=unit_norm).train()
    F.cross_entropy(network(torch.rand(6, 3, 32, 32)).logits, torch.tensor([0, 1, 2, 0, 1, 2])).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_refusals():
    network = tiny(num_identities=0)
    with pytest.raises(ValueError, match="num_identities 0"):
        network.logits(torch.zeros(1, 7))
    with pytest.raises(ValueError, match="call `prepare` first"):
        network.features(torch.rand(1, 3, 112, 112))
    with pytest.raises(ValueError, match="multiple of 16 for 4 stages, got 40"):
        tiny(image_size_px=40)
    with pytest.raises(ValueError, match="reduction 5, got 4"):
        tiny(squeeze_excitation=True, reduction=5)
