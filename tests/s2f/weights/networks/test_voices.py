"""SoundNet, Thin ResNet-34 and Fast ResNetSE34L: files compute what their own frameworks would."""

import io
import pickle
import struct

import numpy as np
import pytest
import torch

from encoders.voice.front_ends.magnitude import mel_filters
from s2f.checkpoints.encoders import load_voice_encoder
from s2f.errors import CheckpointError
from s2f.weights.convert import import_weights
from tests.s2f.weights.file_writers import write_keras
from tests.s2f.weights.numpy_layers import conv_first, conv_last, norm_last, pool_last, relative, relu, sigmoid, softmax

SOUNDNET = [(64, 32, 8), (32, 16, 8), (16, 8, 1), (8, 4, 1), (4, 2, 4), (4, 2, 1)]  # kernel, padding, pooling
WIDTHS = (3, 4, 5, 6, 7, 8)


@pytest.fixture(scope="module")
def soundnet():
    """Arrays by layer as the TensorFlow port names them, conv7 and both outputs included."""
    random = np.random.default_rng(2)
    layers, before = {}, 1
    sizes = [*zip(WIDTHS, [kernel for kernel, _, _ in SOUNDNET], strict=True), (9, 4)]
    for number, (width, kernel) in enumerate(sizes, start=1):
        layers[f"conv{number}"] = {
            "weights": random.normal(0, 1 / np.sqrt(kernel * before), (kernel, 1, before, width)),
            "biases": random.normal(0, 0.3, width),
            "gamma": random.uniform(0.5, 1.5, width),
            "beta": random.normal(0, 0.3, width),
            "mean": random.normal(0, 0.3, width),
            "var": random.uniform(0.5, 2.0, width),
        }
        before = width
    for name in ("conv8", "conv8_2"):
        layers[name] = {"weights": random.normal(0, 1, (8, 1, 9, 5)), "biases": random.normal(0, 1, 5)}
    return {name: {key: array.astype(np.float32) for key, array in layer.items()} for name, layer in layers.items()}


@pytest.fixture(scope="module")
def clip():
    t = np.arange(22050) / 22050
    return (0.3 * np.sin(2 * np.pi * 220 * t) + np.random.default_rng(3).normal(0, 0.1, t.size)).astype(np.float32)


def soundnet_forward(layers, samples):
    """The TensorFlow port: a picture one wide, padded by hand, of samples within [-256, 256]; conv6 over time."""
    x = samples[:, None, None].astype(float) * 256
    for number, (_, pad, pool) in enumerate(SOUNDNET, start=1):
        layer = layers[f"conv{number}"]
        x = conv_last(x, layer["weights"], layer["biases"], (2, 1), (pad, pad, 0, 0))
        x = relu(norm_last(x, layer["gamma"], layer["beta"], layer["mean"], np.sqrt(layer["var"].astype(float) + 1e-5)))
        x = pool_last(x, (pool, 1), (pool, 1)) if pool > 1 else x
    return x[:, 0].mean(axis=0)


def require_soundnet(folder, clip, expected):
    encoder = load_voice_encoder(folder)
    with torch.inference_mode():
        found = encoder.encode(torch.from_numpy(clip)[None])[0]
    assert relative(found, expected) <= 1e-5


@pytest.mark.parametrize("protocol", [2, 4])
def test_soundnet_arrays(soundnet, clip, tmp_path, protocol):
    path = tmp_path / "sound8.npy"
    if protocol == 4:
        np.save(path, np.array(soundnet, dtype=object), allow_pickle=True)
    else:
        write_python2_npy(path, soundnet)
    source = import_weights("soundnet_npy", path, tmp_path / "out")
    require_soundnet(tmp_path / "out", clip, soundnet_forward(soundnet, clip))
    assert set(source.left_out) == {"conv7", "conv8", "conv8_2"}


class Python2(pickle._Pickler):
    """Writes bytes and short texts as Python 2 wrote its strings."""

    dispatch = pickle._Pickler.dispatch.copy()

    def save_string(self, value):
        raw = value if isinstance(value, bytes) else value.encode("ascii")
        self.write(b"T" + struct.pack("<i", len(raw)) + raw)
        self.memoize(value)

    dispatch[bytes] = dispatch[str] = save_string


def write_python2_npy(path, layers):
    """What numpy wrote under Python 2: protocol 2, names of numpy.core, raw data as strings."""
    content = io.BytesIO()
    Python2(content, 2).dump(np.array(layers, dtype=object))
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
        file.write(content.getvalue().replace(b"numpy._core", b"numpy.core"))


def torch_soundnet(layers, convolution, norm, last):
    state = {}
    for number in range(1, 8):
        layer = layers[f"conv{number}"]
        state[convolution.format(number) + ".weight"] = layer["weights"].transpose(3, 2, 0, 1)
        state[convolution.format(number) + ".bias"] = layer["biases"]
        for ours, theirs in (("weight", "gamma"), ("bias", "beta"), ("running_mean", "mean"), ("running_var", "var")):
            state[f"{norm.format(number)}.{ours}"] = layer[theirs]
    state = {name: torch.tensor(array) for name, array in state.items()}
    state |= {f"{norm.format(number)}.num_batches_tracked": torch.tensor(100.0) for number in range(1, 8)}
    return state | {f"{name}.{key}": torch.ones(3) for name in last for key in ("weight", "bias")}


@pytest.mark.parametrize(
    ("convolution", "norm", "last"),
    [("conv{}.0", "conv{}.1", ("conv8.0", "conv8_2.0")), ("conv{}", "batchnorm{}", ("conv8_objs", "conv8_scns"))],
)
def test_soundnet_ports(soundnet, clip, tmp_path, convolution, norm, last):
    torch.save(torch_soundnet(soundnet, convolution, norm, last), tmp_path / "sound8.pth")
    source = import_weights("soundnet_pth", tmp_path / "sound8.pth", tmp_path / "out")
    require_soundnet(tmp_path / "out", clip, soundnet_forward(soundnet, clip))
    assert f"{last[0]}.weight" in source.left_out


def test_the_port_without_trained_batch_norms_is_refused(soundnet, tmp_path):
    untrained = {}
    for name, layer in soundnet.items():
        width = len(layer["biases"])
        blank = {"gamma": np.ones(width), "beta": np.zeros(width), "mean": np.zeros(width), "var": np.ones(width)}
        untrained[name] = layer | {key: array.astype(np.float32) for key, array in blank.items()}
    state = torch_soundnet(untrained, "conv{}", "batchnorm{}", ("conv8_objs", "conv8_scns"))
    torch.save(state, tmp_path / "soundnet8_final.pth")
    with pytest.raises(CheckpointError, match=r"converter copied convolutions alone.*take sound8\.npy"):
        import_weights("soundnet_pth", tmp_path / "soundnet8_final.pth", tmp_path / "out")


STAGES = [((3, 3, 4), 2), ((4, 4, 5), 3), ((5, 4, 6), 3), ((6, 5, 7), 3)]
KERAS_EPS = 1e-3


@pytest.fixture(scope="module", params=["gvlad", "vlad"])
def thin(request):
    """Layers as Keras saves them; 3 clusters and 2 ghosts, or none."""
    random = np.random.default_rng(8)
    layers: dict[str, dict[str, np.ndarray]] = {"input": {}}

    def conv(name, before, width, sides, bias=False):
        layers[name] = {
            "kernel": random.normal(0, 1.2 / np.sqrt(before * sides[0] * sides[1]), (*sides, before, width))
        }
        layers[name] |= {"bias": random.normal(0, 0.2, width)} if bias else {}

    def normed(name, before, width, sides):
        conv(name, before, width, sides)
        layers[f"{name}/bn"] = {
            "gamma": random.uniform(0.5, 1.5, width),
            "beta": random.normal(0, 0.2, width),
            "moving_mean": random.normal(0, 0.2, width),
            "moving_variance": random.uniform(0.5, 2, width),
        }

    normed("conv1_1/3x3_s1", 1, 4, (7, 7))
    before = 4
    for stage, (widths, count) in enumerate(STAGES, start=2):
        for block in "abc"[:count]:
            normed(f"conv{stage}_{block}_1x1_reduce", before, widths[0], (1, 1))
            normed(f"conv{stage}_{block}_3x3", widths[0], widths[1], (3, 3))
            normed(f"conv{stage}_{block}_1x1_increase", widths[1], widths[2], (1, 1))
            if block == "a":
                normed(f"conv{stage}_{block}_1x1_proj", before, widths[2], (1, 1))
            before = widths[2]
    kind, ghosts = request.param, 2 if request.param == "gvlad" else 0
    conv("x_fc", before, 9, (7, 1), bias=True)
    conv(f"{kind}_center_assignment", before, 3 + ghosts, (7, 1), bias=True)
    layers[f"{kind}_pool"] = {"centers": random.normal(0, 1, (3 + ghosts, 9))}
    layers["fc6"] = {"kernel": random.normal(0, 0.3, (27, 9)), "bias": random.normal(0, 0.2, 9)}
    layers["prediction"] = {"kernel": random.normal(0, 1, (9, 5))}
    return {name: {key: array.astype(np.float32) for key, array in layer.items()} for name, layer in layers.items()}


def thin_forward(layers, spectrogram):
    """The Keras code on (257, T): channels last; the feature before it is divided by its length."""

    def normed(name, x, stride=(1, 1), pad=0):
        bn = layers[f"{name}/bn"]
        x = conv_last(x, layers[name]["kernel"], None, stride, (pad,) * 4)
        deviation = np.sqrt(bn["moving_variance"].astype(float) + KERAS_EPS)
        return norm_last(x, bn["gamma"], bn["beta"], bn["moving_mean"], deviation)

    x = pool_last(relu(normed("conv1_1/3x3_s1", spectrogram[:, :, None], pad=3)), (2, 2), (2, 2))
    for stage, (_, count) in enumerate(STAGES, start=2):
        for block in "abc"[:count]:
            name, stride = f"conv{stage}_{block}", (2, 2) if block == "a" and stage > 2 else (1, 1)
            y = relu(normed(f"{name}_1x1_reduce", x, stride))
            y = normed(f"{name}_1x1_increase", relu(normed(f"{name}_3x3", y, pad=1)))
            x = relu(y + (normed(f"{name}_1x1_proj", x, stride) if block == "a" else x))
    x = pool_last(x, (3, 1), (2, 1))
    kind = "gvlad" if "gvlad_pool" in layers else "vlad"
    local = relu(conv_last(x, layers["x_fc"]["kernel"], layers["x_fc"]["bias"]))[0]
    assignment = layers[f"{kind}_center_assignment"]
    weights = softmax(conv_last(x, assignment["kernel"], assignment["bias"])[0], axis=1)
    residuals = local[:, None, :] - layers[f"{kind}_pool"]["centers"].astype(float)
    sums = (weights[:, :, None] * residuals).sum(axis=0)[:3]
    pooled = (sums / np.linalg.norm(sums, axis=1, keepdims=True)).ravel()
    return relu(pooled @ layers["fc6"]["kernel"].astype(float) + layers["fc6"]["bias"])


def test_thin_resnet(thin, tmp_path):
    spectrogram = np.random.default_rng(5).normal(0, 1, (257, 61)).astype(np.float32)
    write_keras(tmp_path / "weights.h5", thin)
    source = import_weights("thin_resnet", tmp_path / "weights.h5", tmp_path / "out")
    encoder = load_voice_encoder(tmp_path / "out")
    ghosts = 2 if "gvlad_pool" in thin else 0
    assert (encoder.config.clusters, encoder.config.ghost_clusters) == (3, ghosts)
    assert ("gvlad_pool, last 2 rows" in source.left_out) == bool(ghosts)
    assert "prediction" in source.left_out
    with torch.inference_mode():
        found = encoder.features(torch.from_numpy(spectrogram)[None, None])[0]
    assert relative(found, thin_forward(thin, spectrogram)) <= 1e-5


def test_thin_resnet_refusals(thin, tmp_path):
    without = {name: layer for name, layer in thin.items() if name != "conv4_b_3x3/bn"}
    write_keras(tmp_path / "a.h5", without)
    with pytest.raises(CheckpointError, match="missing conv4_b_3x3/bn"):
        import_weights("thin_resnet", tmp_path / "a.h5", tmp_path / "out")
    odd = thin["fc6"]["kernel"][:-1]
    write_keras(tmp_path / "b.h5", thin | {"fc6": {**thin["fc6"], "kernel": odd}})
    with pytest.raises(CheckpointError, match="26 inputs of fc6"):
        import_weights("thin_resnet", tmp_path / "b.h5", tmp_path / "out")


FILTERS, BLOCKS = (8, 8, 9, 10), (3, 4, 6, 3)


@pytest.fixture(scope="module")
def fast():
    """Tensors by the trainer's names."""
    random = np.random.default_rng(7)
    state = {}

    def norm(name, width):
        state[f"{name}.weight"], state[f"{name}.bias"] = random.uniform(0.5, 1.5, width), random.normal(0, 0.2, width)
        state[f"{name}.running_mean"], state[f"{name}.running_var"] = (
            random.normal(0, 0.2, width),
            random.uniform(0.5, 2, width),
        )

    def dense(name, size, before):
        state[f"{name}.weight"], state[f"{name}.bias"] = (
            random.normal(0, 0.5, (size, before)),
            random.normal(0, 0.2, size),
        )

    state["conv1.weight"] = random.normal(0, 0.2, (8, 1, 7, 7))
    norm("bn1", 8)
    before = 8
    for stage, (width, count) in enumerate(zip(FILTERS, BLOCKS, strict=True), start=1):
        for block in range(count):
            name = f"layer{stage}.{block}"
            state[f"{name}.conv1.weight"] = random.normal(0, 0.8 / np.sqrt(before * 9), (width, before, 3, 3))
            state[f"{name}.conv2.weight"] = random.normal(0, 0.8 / np.sqrt(width * 9), (width, width, 3, 3))
            norm(f"{name}.bn1", width)
            norm(f"{name}.bn2", width)
            dense(f"{name}.se.fc.0", width // 8, width)
            dense(f"{name}.se.fc.2", width, width // 8)
            if block == 0 and stage > 1:
                state[f"{name}.downsample.0.weight"] = random.normal(0, 0.5, (width, before, 1, 1))
                norm(f"{name}.downsample.1", width)
            before = width
    dense("sap_linear", 10, 10)
    state["attention"] = random.normal(0, 1, (10, 1))
    dense("fc", 6, 10)
    return {name: array.astype(np.float32) for name, array in state.items()}


def fast_forward(state, bands):
    """The trainer's code on (40, T), after its instance norm."""

    def norm(name, x):
        values = [state[f"{name}.{key}"].astype(float) for key in ("weight", "bias", "running_mean", "running_var")]
        scale, shift, mean, variance = (value[:, None, None] for value in values)
        return (x - mean) / np.sqrt(variance + 1e-5) * scale + shift

    def dense(name, x):
        return state[f"{name}.weight"].astype(float) @ x + state[f"{name}.bias"]

    x = relu(norm("bn1", conv_first(bands[None], state["conv1.weight"], None, (2, 1), (3, 3, 3, 3))))
    for stage, count in enumerate(BLOCKS, start=1):
        for block in range(count):
            name, stride = f"layer{stage}.{block}", (2, 2) if block == 0 and stage in (2, 3) else (1, 1)
            y = norm(f"{name}.bn1", relu(conv_first(x, state[f"{name}.conv1.weight"], None, stride, (1, 1, 1, 1))))
            y = norm(f"{name}.bn2", conv_first(y, state[f"{name}.conv2.weight"], None, (1, 1), (1, 1, 1, 1)))
            gate = sigmoid(dense(f"{name}.se.fc.2", relu(dense(f"{name}.se.fc.0", y.mean(axis=(1, 2))))))
            shortcut = x
            if f"{name}.downsample.0.weight" in state:
                shortcut = norm(
                    f"{name}.downsample.1", conv_first(x, state[f"{name}.downsample.0.weight"], None, stride)
                )
            x = relu(y * gate[:, None, None] + shortcut)
    frames = x.mean(axis=1).T
    hidden = np.tanh(frames @ state["sap_linear.weight"].astype(float).T + state["sap_linear.bias"])
    weights = softmax(hidden @ state["attention"].astype(float))
    return dense("fc", (frames * weights).sum(axis=0))


def stored_front_end():
    """The window and mel filters that the trainer's file holds, computed its way (HTK mel, frequencies by bands)."""
    mel = np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 42)
    corners, bins = 700 * (10 ** (mel / 2595) - 1), np.linspace(0, 8000, 257)
    slopes = corners[None] - bins[:, None]
    fb = np.maximum(0, np.minimum(-slopes[:, :-2] / np.diff(corners)[:-1], slopes[:, 2:] / np.diff(corners)[1:]))
    window = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(400) / 400)
    return {"torchfb.spectrogram.window": window, "torchfb.mel_scale.fb": fb}


@pytest.mark.parametrize("prefix", ["", "__S__."])
def test_fast_resnet(fast, tmp_path, prefix):
    bands = np.random.default_rng(5).normal(0, 1, (40, 53)).astype(np.float32)
    extra = {f"{prefix}{name}": torch.tensor(array).float() for name, array in stored_front_end().items()}
    extra |= {"__L__.w": torch.tensor(10.0), "__L__.b": torch.tensor(-5.0)} if prefix else {}
    torch.save(
        {f"{prefix}{name}": torch.from_numpy(array) for name, array in fast.items()} | extra, tmp_path / "ap.model"
    )
    source = import_weights("fast_resnet", tmp_path / "ap.model", tmp_path / "out")
    assert ("__L__.w" in source.left_out) == bool(prefix)
    encoder = load_voice_encoder(tmp_path / "out")
    with torch.inference_mode():
        found = encoder.features(torch.from_numpy(bands)[None, None])[0]
    assert relative(found, fast_forward(fast, bands)) <= 1e-5


def test_fast_resnet_with_another_front_end_is_refused(fast, tmp_path):
    state = {name: torch.from_numpy(array) for name, array in fast.items()}
    other = {"torchfb.mel_scale.fb": mel_filters(40, 512, 16000).T * 1.01}
    torch.save(state | other, tmp_path / "a.model")
    with pytest.raises(CheckpointError, match=r"got another mel_scale\.fb"):
        import_weights("fast_resnet", tmp_path / "a.model", tmp_path / "out")
    torch.save(state | {"layer9.weight": torch.zeros(2)}, tmp_path / "b.model")
    with pytest.raises(CheckpointError, match=r"extra layer9\.weight"):
        import_weights("fast_resnet", tmp_path / "b.model", tmp_path / "out")
