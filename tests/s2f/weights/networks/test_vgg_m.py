"""VGG-M's face net, VGGVox and SVHF-Net: files of PyTorch and MatConvNet compute what those would."""

import numpy as np
import pytest
import torch

from s2f.checkpoints.encoders import load_face_encoder, load_voice_encoder
from s2f.errors import CheckpointError
from s2f.matching.model import MatchingModel
from s2f.weights.convert import import_weights
from s2f.weights.networks.conversion import read_means
from tests.s2f.weights.file_writers import write_dagnn, write_simplenn
from tests.s2f.weights.numpy_layers import (
    conv_first,
    conv_last,
    norm_last,
    pool_first,
    pool_last,
    relative,
    relu,
    softmax,
)

EPS = 1e-5
RGB = np.array([131.4538, 103.9875, 91.4623])


@pytest.fixture(scope="module")
def picture():
    y, x = np.mgrid[0:224, 0:224] / 224
    noise = np.random.default_rng(1).uniform(0, 0.2, (3, 224, 224))
    return (np.stack([0.6 * x, 0.3 + 0.3 * y, 0.7 - 0.5 * x * y]) + noise).astype(np.float32)


@pytest.fixture(scope="module")
def spectrogram():
    """(512, 300) as a front end normalises it."""
    return np.random.default_rng(3).normal(0, 1, (512, 300)).astype(np.float32)


def dag_state():
    random, before = np.random.default_rng(2), 3
    state = {}
    sizes = {
        "conv1": (4, 7),
        "conv2": (5, 5),
        "conv3": (4, 3),
        "conv4": (6, 3),
        "conv5": (5, 3),
        "fc6": (9, 6),
        "fc7": (8, 1),
    }
    for number, (name, (width, side)) in enumerate(sizes.items(), start=49):
        state[f"{name}.weight"] = random.normal(0, 1.2 / np.sqrt(before * side**2), (width, before, side, side))
        state[f"{name}.bias"] = random.normal(0, 0.2, width)
        state[f"bn{number}.weight"], state[f"bn{number}.bias"] = (
            random.uniform(0.5, 1.5, width),
            random.normal(0, 0.3, width),
        )
        state[f"bn{number}.running_mean"] = random.normal(0, 0.3, width)
        state[f"bn{number}.running_var"] = random.uniform(0.5, 2, width)
        before = width
    state["fc8.weight"], state["fc8.bias"] = random.normal(0, 1, (7, before)), random.normal(0, 1, 7)
    return {name: array.astype(np.float32) for name, array in state.items()}


def dag_forward(state, x):
    """fc7 after its batch norm, before its ReLU, and fc8; the pool after conv2 counts windows that begin inside."""
    geometry = {
        "conv1": (2, 0),
        "conv2": (2, 1),
        "conv3": (1, 1),
        "conv4": (1, 1),
        "conv5": (1, 1),
        "fc6": (1, 0),
        "fc7": (1, 0),
    }
    pools = {"conv1": 0, "conv2": 1, "conv5": 0}
    for number, (name, (stride, pad)) in enumerate(geometry.items(), start=49):
        x = conv_first(x, state[f"{name}.weight"], state[f"{name}.bias"], (stride, stride), (pad,) * 4)
        values = [
            state[f"bn{number}.{key}"].astype(float)[:, None, None]
            for key in ("running_mean", "running_var", "weight", "bias")
        ]
        x = (x - values[0]) / np.sqrt(values[1] + EPS) * values[2] + values[3]
        if name == "fc7":
            return x.ravel(), state["fc8.weight"].astype(float) @ relu(x.ravel()) + state["fc8.bias"]
        x = relu(x)
        if name in pools:
            x = pool_first(x, (3, 3), (2, 2), (0, pools[name], 0, pools[name]))
    raise AssertionError


def test_face_net_of_pytorch(picture, tmp_path):
    state = dag_state()
    torch.save({name: torch.from_numpy(array) for name, array in state.items()}, tmp_path / "vgg_m_face_bn_dag.pth")
    import_weights("vgg_m_face_bn_dag", tmp_path / "vgg_m_face_bn_dag.pth", tmp_path / "out")
    encoder = load_face_encoder(tmp_path / "out")
    fc7, fc8 = dag_forward(state, picture.astype(float) * 255 - RGB[:, None, None])
    with torch.inference_mode():
        feature = encoder.features(torch.from_numpy(picture)[None])
        logits = encoder.logits(feature)
    assert (fc7 < 0).any()
    assert relative(feature[0], relu(fc7)) <= 1e-5
    assert relative(logits[0], fc8) <= 1e-5
    backwards, _ = dag_forward(state, (picture.astype(float) * 255 - RGB[:, None, None])[::-1])
    assert relative(relu(backwards), relu(fc7)) > 0.01, "order must matter"


VOICE = [  # name, kernel, width, stride, pad, pool window and stride
    ("conv1", (7, 7), 4, 2, 1, ((3, 3), (2, 2))),
    ("conv2", (5, 5), 5, 2, 1, ((3, 3), (2, 2))),
    ("conv3", (3, 3), 6, 1, 1, None),
    ("conv4", (3, 3), 5, 1, 1, None),
    ("conv5", (3, 3), 4, 1, 1, ((5, 3), (3, 2))),
    ("fc6", (9, 1), 9, 1, 0, "average"),
    ("fc7", (1, 1), 8, 1, 0, None),
]
FACE = [
    ("conv1", (7, 7), 4, 2, 3, ((2, 2), (2, 2))),
    ("conv2", (5, 5), 5, 2, 2, ((2, 2), (2, 2))),
    ("conv3", (3, 3), 4, 1, 1, None),
    ("conv4", (3, 3), 5, 1, 1, None),
    ("conv5", (3, 3), 4, 1, 1, ((2, 2), (2, 2))),
    ("fc6", (7, 7), 9, 1, 0, None),
    ("fc7", (1, 1), 8, 1, 0, None),
]


def stream_params(stream, seed, before, normed=True):
    """Filters, biases, and of batch norms multipliers, biases and moments (mean, deviation), by MatConvNet's names."""
    random, params = np.random.default_rng(seed), {}
    for name, sides, width, *_ in stream:
        params[f"{name}f"] = random.normal(0, 1.3 / np.sqrt(before * sides[0] * sides[1]), (*sides, before, width))
        params[f"{name}b"] = random.normal(0, 0.2, (width, 1))
        if normed:
            number = name[-1]
            params[f"bn{number}m"], params[f"bn{number}b"] = (
                random.uniform(0.5, 1.5, (width, 1)),
                random.normal(0, 0.3, (width, 1)),
            )
            params[f"bn{number}x"] = np.stack([random.normal(0, 0.3, width), random.uniform(0.6, 1.6, width)], axis=1)
        before = width
    return {name: array.astype(np.float32) for name, array in params.items()}


def stream_forward(stream, params, x):
    """fc7 after its ReLU, of (H, W, C)."""
    for name, _, _, stride, pad, pool in stream:
        x = conv_last(x, params[f"{name}f"], params[f"{name}b"].ravel(), (stride, stride), (pad,) * 4)
        number = name[-1]
        if f"bn{number}x" in params:
            moments = params[f"bn{number}x"].astype(float)
            x = norm_last(
                x, params[f"bn{number}m"].ravel(), params[f"bn{number}b"].ravel(), moments[:, 0], moments[:, 1]
            )
        x = relu(x)
        if pool == "average":
            x = x.mean(axis=1, keepdims=True)
        elif pool:
            x = pool_last(x, *pool)
    return x.ravel()


def graph_layers(stream, start, suffix="", prefix="", normed=True):
    """DagNN layers of a stream; parameters carry `prefix`, layers and variables `suffix`."""
    layers, variable = [], start

    def add(name, kind, params, block):
        nonlocal variable
        out = f"{name}{suffix}_out"
        layers.append((f"{name}{suffix}", kind, [variable], [out], [prefix + param for param in params], block))
        variable = out

    for name, sides, width, stride, pad, pool in stream:
        number = name[-1]
        block = {
            "size": np.array([*sides, 1, width], float),
            "stride": float(stride) * np.ones((1, 2)),
            "pad": np.full((1, 4), float(pad)),
        }
        add(name, "dagnn.Conv", [f"{name}f", f"{name}b"], block)
        if normed:
            add(f"bn{number}", "dagnn.BatchNorm", [f"bn{number}m", f"bn{number}b", f"bn{number}x"], {"epsilon": 1e-5})
        add(f"relu{number}", "dagnn.ReLU", [], {"leak": 0.0})
        if pool == "average":
            add(
                f"pool{number}",
                "dagnn.Pooling",
                [],
                {"method": "avg", "poolSize": np.array([1.0, 8]), "stride": 1.0, "pad": 0.0},
            )
        elif pool:
            window, step = (np.array(value, float) for value in pool)
            add(f"pool{number}", "dagnn.Pooling", [], {"method": "max", "poolSize": window, "stride": step, "pad": 0.0})
        if name == "fc6":
            add("drop6", "dagnn.DropOut", [], {"rate": 0.5})
    return layers, variable


def voice_feature(folder, spectrogram):
    with torch.inference_mode():
        return load_voice_encoder(folder).features(torch.from_numpy(spectrogram)[None, None])[0]


def test_vggvox_for_verification(spectrogram, tmp_path):
    """A DagNN of twin streams with batch norms; fc8 and the loss come after the feature."""
    params = stream_params(VOICE, 4, 1)
    first, end = graph_layers(VOICE, "input_b1", "_s1")
    second, other = graph_layers(VOICE, "input_b2", "_s2")
    last = [
        ("fc8_s1", "dagnn.Conv", [end], ["x1_s1"], ["fc8f", "fc8b"], {"stride": 1.0, "pad": 0.0}),
        ("fc8_s2", "dagnn.Conv", [other], ["x1_s2"], ["fc8f", "fc8b"], {"stride": 1.0, "pad": 0.0}),
        ("loss", "dagnn.ContrastiveLoss", ["x1_s1", "x1_s2", "label"], ["objective"], [], {}),
    ]
    extra = {"fc8f": np.ones((1, 1, 8, 3)), "fc8b": np.ones((3, 1))}
    write_dagnn(tmp_path / "vggvox_ver_net.mat", [*first, *second, *last], params | extra, {"audio": 1.0}, "netStruct")
    source = import_weights("vggvox", tmp_path / "vggvox_ver_net.mat", tmp_path / "out")
    expected = stream_forward(VOICE, params, spectrogram[:, :, None])
    assert relative(voice_feature(tmp_path / "out", spectrogram), expected) <= 1e-5
    assert dict(source.left_out) == {"fc8_s1": "after fc7, where the feature is taken"}
    assert not any("merged" in change for change in source.changes)


def simple_layers(params):
    """SimpleNN with the batch norms merged into the convolutions, 19 layers and a loss."""
    layers = []
    for name, _, _, stride, pad, pool in VOICE:
        number = name[-1]
        weights = [params[f"{name}f"], params[f"{name}b"].ravel()]
        layers.append(
            {"name": name, "type": "conv", "weights": weights, "stride": [float(stride)] * 2, "pad": [float(pad)] * 4}
        )
        layers.append({"name": f"relu{number}", "type": "relu"})
        if pool == "average":
            layers.append(
                {"name": "pool6", "type": "pool", "method": "avg", "pool": [1.0, 8.0], "stride": 1.0, "pad": 0.0}
            )
        elif pool:
            window, step = ([float(side) for side in value] for value in pool)
            layers.append(
                {
                    "name": f"pool{number}",
                    "type": "pool",
                    "method": "max",
                    "pool": window,
                    "stride": step,
                    "pad": [0.0] * 4,
                }
            )
    fc8 = [np.ones((1, 1, 8, 3), np.float32), np.ones(3, np.float32)]
    layers.append({"name": "fc8", "type": "conv", "weights": fc8, "stride": 1.0, "pad": 0.0})
    return layers


def test_vggvox_for_identification(spectrogram, tmp_path):
    params = stream_params(VOICE, 5, 1, normed=False)
    layers = simple_layers(params)
    assert len(layers) == 19
    assert layers[15]["name"] == "pool6"
    path = tmp_path / "vggvox_ident_net.mat"
    write_simplenn(path, [*layers, {"name": "prob", "type": "softmax"}], {"a": 1.0}, "net")
    source = import_weights("vggvox", path, tmp_path / "out")
    expected = stream_forward(VOICE, params, spectrogram[:, :, None])
    assert relative(voice_feature(tmp_path / "out", spectrogram), expected) <= 1e-5
    assert any("merged" in change for change in source.changes)
    assert source.channel_order is None
    assert "pictures of its network" not in (tmp_path / "out" / "README.md").read_text()
    assert list(load_voice_encoder(tmp_path / "out").config.channels) == [4, 5, 6, 5, 4]


def test_another_geometry_is_refused(tmp_path):
    params = stream_params(VOICE, 5, 1, normed=False)
    layers = simple_layers(params)
    layers[3] = {**layers[3], "pad": [2.0] * 4}
    write_simplenn(tmp_path / "a.mat", layers, {}, "net")
    with pytest.raises(
        CheckpointError, match=r"padding \(1, 1, 1, 1\) as step 3 .*, got conv2, .*padding \(2, 2, 2, 2\)"
    ):
        import_weights("vggvox", tmp_path / "a.mat", tmp_path / "out")
    write_simplenn(
        tmp_path / "b.mat", [layer for layer in simple_layers(params) if layer["name"] != "relu4"], {}, "net"
    )
    with pytest.raises(CheckpointError, match="a ReLU after conv4"):
        import_weights("vggvox", tmp_path / "b.mat", tmp_path / "out")
    for picture in (np.zeros((0, 3)), np.zeros((4, 4)), np.full((1, 1, 3), np.nan)):
        with pytest.raises(CheckpointError, match="an averageImage"):
            read_means(tmp_path / "a.mat", {"normalization": {"averageImage": picture}}, (0.0, 0.0, 0.0))
    svhf_file(tmp_path / "d.mat", order=("face1", "face1", "voice"))
    with pytest.raises(CheckpointError, match=r"one layer of .* that joins the three streams"):
        import_weights("svhf", tmp_path / "d.mat", tmp_path / "out")
    svhf_file(tmp_path / "e.mat", normed=3)
    with pytest.raises(CheckpointError, match="hidden layers and two logits"):
        import_weights("svhf", tmp_path / "e.mat", tmp_path / "out")
    write_simplenn(tmp_path / "c.mat", simple_layers(params)[:6], {}, "net")
    with pytest.raises(CheckpointError, match="got 4; give the file"):
        import_weights("vggvox", tmp_path / "c.mat", tmp_path / "out")


JOINED = [("fc_a", 10), ("fc_b", 6), ("fc_c", 2)]


def svhf_file(path, order=("face1", "face2", "voice"), shared=True, face=FACE, normed=2):
    """SVHF-Net as a DagNN; `order` is that of the join's inputs, `normed` counts layers after it that have batch norms.

    Returns all parameters by stream.
    """
    faces, voices = stream_params(face, 11, 3), stream_params(VOICE, 12, 1)
    random, params = np.random.default_rng(13), {}
    before, joint = 3 * 8, {}
    for name, width in JOINED:
        joint[f"{name}f"] = random.normal(0, 2 / np.sqrt(before), (1, 1, before, width)).astype(np.float32)
        joint[f"{name}b"] = random.normal(0, 0.2, (width, 1)).astype(np.float32)
        joint[f"{name}m"], joint[f"{name}a"] = random.uniform(0.5, 1.5, (width, 1)), random.normal(0, 0.3, (width, 1))
        joint[f"{name}x"] = np.stack([random.normal(0, 0.3, width), random.uniform(0.6, 1.6, width)], axis=1)
        before = width
    params |= {f"face_{n}": a for n, a in faces.items()} | {f"voice_{n}": a for n, a in voices.items()} | joint
    one, end1 = graph_layers(face, "input_face1", "_face1", "face_")
    two, end2 = graph_layers(face, "input_face2", "_face2", "face_" if shared else "other_")
    params |= {} if shared else {f"other_{name}": array for name, array in faces.items()}
    voice, end3 = graph_layers(VOICE, "input_voice", "_voice", "voice_")
    ends = {"face1": end1, "face2": end2, "voice": end3}
    layers = [
        *one,
        *two,
        *voice,
        ("concat", "dagnn.Concat", [ends[name] for name in order], ["joined"], [], {"dim": 3.0}),
    ]
    variable = "joined"
    for place, (name, _) in enumerate(JOINED):
        layers.append(
            (name, "dagnn.Conv", [variable], [f"{name}_out"], [f"{name}f", f"{name}b"], {"stride": 1.0, "pad": 0.0})
        )
        variable = f"{name}_out"
        if place < normed:
            arrays = [f"{name}m", f"{name}a", f"{name}x"]
            layers.append((f"bn_{name}", "dagnn.BatchNorm", [variable], [f"{name}_n"], arrays, {}))
            variable = f"{name}_n"
        if place < 2:
            layers.append((f"relu_{name}", "dagnn.ReLU", [variable], [f"{name}_r"], [], {}))
            variable = f"{name}_r"
    layers.append(("softmax", "dagnn.SoftMax", [variable], ["softmax"], [], {}))
    meta = {
        "face": {"normalization": {"averageImage": np.tile(RGB, (224, 224, 1)), "imageSize": np.array([224.0, 224])}}
    }
    write_dagnn(path, layers, params, meta)
    return faces, voices, joint


def joined_forward(joint, features):
    x = np.concatenate(features)
    for place, (name, _) in enumerate(JOINED):
        x = x @ joint[f"{name}f"][0, 0].astype(float) + joint[f"{name}b"].ravel()
        if place < 2:
            moments = joint[f"{name}x"].astype(np.float32).astype(float)
            scale, shift = (joint[f"{name}{key}"].astype(np.float32).ravel() for key in "ma")
            x = relu(norm_last(x, scale, shift, moments[:, 0], moments[:, 1]))
    return softmax(x)


@pytest.mark.parametrize("order", [("face1", "face2", "voice"), ("voice", "face2", "face1")])
def test_svhf(picture, tmp_path, order):
    faces, voices, joint = svhf_file(tmp_path / "static-RGB+VGGFace.mat", order)
    import_weights("svhf", tmp_path / "static-RGB+VGGFace.mat", tmp_path / "out")
    model = MatchingModel.from_pretrained(tmp_path / "out")
    clip = np.random.default_rng(7).normal(0, 0.1, 48000).astype(np.float32)
    pictures = np.stack([picture, picture[:, ::-1, ::-1] * 0.5])
    with torch.inference_mode():
        seen = model.voice_encoder.front_end(torch.from_numpy(clip)[None])[0, 0].numpy()
        scores = model.score(torch.from_numpy(clip)[None], torch.from_numpy(pictures.copy())[None], 16000)[0]
    images = [np.moveaxis(image.astype(float) * 255 - RGB[:, None, None], 0, 2) for image in pictures]
    streams = {f"face{place}": stream_forward(FACE, faces, image) for place, image in enumerate(images, start=1)}
    streams["voice"] = stream_forward(VOICE, voices, seen[:, :, None])
    expected = joined_forward(joint, [streams[name] for name in order])
    assert relative(np.exp(scores.numpy()), expected) <= 1e-5
    assert abs(expected[0] - expected[1]) > 0.05


def test_svhf_refusals(tmp_path):
    svhf_file(tmp_path / "a.mat", shared=False)
    with pytest.raises(CheckpointError, match="with the same weights, got different ones"):
        import_weights("svhf", tmp_path / "a.mat", tmp_path / "out")
    other = [("conv1", (7, 7), 4, 2, 2, ((2, 2), (2, 2))), *FACE[1:]]
    svhf_file(tmp_path / "b.mat", face=other)
    with pytest.raises(CheckpointError, match=r"layout figure or published .*not figure: conv1_face1.*not published"):
        import_weights("svhf", tmp_path / "b.mat", tmp_path / "out")
    write_simplenn(tmp_path / "c.mat", simple_layers(stream_params(VOICE, 5, 1, normed=False)), {}, "net")
    with pytest.raises(CheckpointError):
        import_weights("svhf", tmp_path / "c.mat", tmp_path / "out")
