"""IR-SE-50 and IR-50: their state dicts compute what their own code would."""

import numpy as np
import pytest
import torch

from s2f.checkpoints.encoders import load_face_encoder
from s2f.errors import CheckpointError, UsageError
from s2f.weights.convert import import_weights
from tests.s2f.weights.numpy_layers import conv_first, prelu_first, relative, relu, sigmoid

UNITS = (3, 4, 14, 3)
EPS = 1e-5


def state_of(widths, squeeze, feature=6):
    """Tensors by published name, none of them trivial."""
    random = np.random.default_rng(9)
    state = {}

    def norm(name, width):
        state[f"{name}.weight"], state[f"{name}.bias"] = random.uniform(0.5, 1.5, width), random.normal(0, 0.3, width)
        state[f"{name}.running_mean"], state[f"{name}.running_var"] = (
            random.normal(0, 0.3, width),
            random.uniform(0.5, 2, width),
        )

    def conv(name, before, width, side):
        state[f"{name}.weight"] = random.normal(0, 1 / np.sqrt(before * side**2), (width, before, side, side))

    conv("input_layer.0", 3, widths[0], 3)
    norm("input_layer.1", widths[0])
    state["input_layer.2.weight"] = random.uniform(0.1, 0.4, widths[0])
    before, number = widths[0], 0
    for count, width in zip(UNITS, widths, strict=True):
        for _ in range(count):
            unit = f"body.{number}"
            if before != width:
                conv(f"{unit}.shortcut_layer.0", before, width, 1)
                norm(f"{unit}.shortcut_layer.1", width)
            norm(f"{unit}.res_layer.0", before)
            conv(f"{unit}.res_layer.1", before, width, 3)
            state[f"{unit}.res_layer.2.weight"] = random.uniform(0.1, 0.4, width)
            conv(f"{unit}.res_layer.3", width, width, 3)
            norm(f"{unit}.res_layer.4", width)
            if squeeze:
                state[f"{unit}.res_layer.5.fc1.weight"] = random.normal(0, 1, (width // 16, width, 1, 1))
                state[f"{unit}.res_layer.5.fc2.weight"] = random.normal(0, 1, (width, width // 16, 1, 1))
            before, number = width, number + 1
    norm("output_layer.0", before)
    state["output_layer.3.weight"] = random.normal(0, 0.1, (feature, before * 49))
    state["output_layer.3.bias"] = random.normal(0, 1, feature)
    norm("output_layer.4", feature)
    return {name: array.astype(np.float32) for name, array in state.items()}


def forward(state, x, squeeze):
    """The feature of (3, 112, 112), by the published code's order of layers."""

    def norm(name, x):
        values = [state[f"{name}.{key}"].astype(float) for key in ("weight", "bias", "running_mean", "running_var")]
        scale, shift, mean, variance = (v if x.ndim == 1 else v[:, None, None] for v in values)
        return (x - mean) / np.sqrt(variance + EPS) * scale + shift

    x = norm("input_layer.1", conv_first(x, state["input_layer.0.weight"], pad=(1, 1, 1, 1)))
    x, number = prelu_first(x, state["input_layer.2.weight"]), 0
    for count in UNITS:
        for place in range(count):
            unit, stride = f"body.{number}", (1, 1) if place else (2, 2)
            y = conv_first(norm(f"{unit}.res_layer.0", x), state[f"{unit}.res_layer.1.weight"], pad=(1, 1, 1, 1))
            y = prelu_first(y, state[f"{unit}.res_layer.2.weight"])
            y = norm(
                f"{unit}.res_layer.4", conv_first(y, state[f"{unit}.res_layer.3.weight"], None, stride, (1, 1, 1, 1))
            )
            if squeeze:
                gate = relu(state[f"{unit}.res_layer.5.fc1.weight"][:, :, 0, 0] @ y.mean(axis=(1, 2)))
                y = y * sigmoid(state[f"{unit}.res_layer.5.fc2.weight"][:, :, 0, 0] @ gate)[:, None, None]
            shortcut = x[:, :: stride[0], :: stride[1]]
            if f"{unit}.shortcut_layer.0.weight" in state:
                kernel = state[f"{unit}.shortcut_layer.0.weight"]
                shortcut = norm(f"{unit}.shortcut_layer.1", conv_first(x, kernel, None, stride))
            x, number = y + shortcut, number + 1
    flat = norm("output_layer.0", x).ravel()
    feature = state["output_layer.3.weight"].astype(float) @ flat + state["output_layer.3.bias"]
    return norm("output_layer.4", feature)


def saved(state, path):
    torch.save({name: torch.from_numpy(array) for name, array in state.items()}, path)
    return path


@pytest.fixture(scope="module")
def picture():
    y, x = np.mgrid[0:112, 0:112] / 112
    noise = np.random.default_rng(1).uniform(0, 0.2, (3, 112, 112))
    return (np.stack([0.6 * x, 0.3 + 0.3 * y, 0.7 - 0.5 * x * y]) + noise).astype(np.float32)


def feature_of(folder, picture):
    with torch.inference_mode():
        return load_face_encoder(folder).features(torch.from_numpy(picture)[None])[0]


def test_ir_se50_has_features_of_length_one(picture, tmp_path):
    state = state_of((16, 16, 32, 32), squeeze=True)
    import_weights("ir_se50", saved(state, tmp_path / "model_ir_se50.pth"), tmp_path / "out")
    expected = forward(state, (picture.astype(float) - 0.5) / 0.5, squeeze=True)
    assert relative(feature_of(tmp_path / "out", picture), expected / np.linalg.norm(expected)) <= 1e-5


@pytest.mark.parametrize(("order", "channels"), [("rgb", [0, 1, 2]), ("bgr", [2, 1, 0])])
def test_ir50(picture, tmp_path, order, channels):
    state = state_of((4, 4, 6, 8), squeeze=False)
    path = saved(state, tmp_path / "backbone_ir50_ms1m_epoch120.pth")
    import_weights("ir50", path, tmp_path / "out", channel_order=order)
    expected = forward(state, (picture[channels].astype(float) * 255 - 127.5) / 127.5, squeeze=False)
    assert relative(feature_of(tmp_path / "out", picture), expected) <= 1e-5


def test_refusals(tmp_path):
    plain, squeezed = state_of((4, 4, 6, 8), squeeze=False), state_of((16,) * 4, squeeze=True)
    path = saved(plain, tmp_path / "a.pth")
    with pytest.raises(UsageError, match=r"evoLVe trained it on RGB, Wen et al"):
        import_weights("ir50", path, tmp_path / "out")
    with pytest.raises(CheckpointError, match=r"missing body\.0\.res_layer\.5"):
        import_weights("ir_se50", path, tmp_path / "out")
    with pytest.raises(CheckpointError, match=r"extra body\.0\.res_layer\.5\.fc1\.weight"):
        import_weights("ir50", saved(squeezed, tmp_path / "b.pth"), tmp_path / "out", channel_order="rgb")
    del plain["body.9.res_layer.4.running_var"]
    with pytest.raises(CheckpointError, match=r"missing body\.9\.res_layer\.4\.running_var"):
        import_weights("ir50", saved(plain, tmp_path / "c.pth"), tmp_path / "out", channel_order="rgb")
