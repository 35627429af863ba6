"""Six files of VGG-Face: each computes what its own framework would, from a picture."""

import numpy as np
import pytest
import torch

from s2f.checkpoints.encoders import load_face_encoder
from s2f.errors import CheckpointError, UsageError
from s2f.weights.convert import import_weights
from tests.s2f.weights.file_writers import write_caffemodel, write_dagnn, write_keras, write_simplenn, write_torch7
from tests.s2f.weights.numpy_layers import conv_first, conv_last, pool_first, pool_last, relative, relu

BLOCKS = (2, 2, 3, 3, 3)
WIDTHS = (3, 4, 3, 4, 5)  # of 64, 128, 256, 512, 512
FC, IDENTITIES = 11, 7  # of 4096, 2622
CONVOLUTIONS = [f"conv{block}_{layer}" for block, count in enumerate(BLOCKS, 1) for layer in range(1, count + 1)]
RGB = np.array([129.1863, 104.7624, 93.5940])
PAD = (1, 1, 1, 1)


@pytest.fixture(scope="module")
def net():
    """Kernels (O, I, H, W) for pictures in RGB, and (O, I) for maps flattened channel by channel."""
    random = np.random.default_rng(4)
    layers, before = {}, 3
    for name in CONVOLUTIONS:
        width = WIDTHS[int(name[4]) - 1]
        kernel = random.normal(0.05, 1.3 / np.sqrt(before * 9), (width, before, 3, 3))
        layers[name] = [kernel.astype(np.float32), random.normal(0, 1, width).astype(np.float32)]
        before = width
    for name, size in (("fc6", FC), ("fc7", FC), ("fc8", IDENTITIES)):
        inputs = before * 49 if name == "fc6" else before
        matrix = random.normal(0, 1.4 / np.sqrt(inputs), (size, inputs))
        layers[name] = [matrix.astype(np.float32), random.normal(0, 1, size).astype(np.float32)]
        before = size
    return layers


@pytest.fixture(scope="module")
def picture():
    """(3, 224, 224) RGB in [0, 1] whose channels and sides are unlike."""
    y, x = np.mgrid[0:224, 0:224] / 224
    noise = np.random.default_rng(1).uniform(0, 0.2, (3, 224, 224))
    return (np.stack([0.6 * x, 0.3 + 0.3 * y, 0.7 - 0.5 * x * y]) + noise).astype(np.float32)


def forward(net, pixels, conv, pool):
    """fc7 before its ReLU, and fc8, of pixels with means taken off, by layers of either order of dimensions."""
    x = pixels
    for name in CONVOLUTIONS:
        x = relu(conv(x, *net[name], pad=PAD))
        if name in ("conv1_2", "conv2_2", "conv3_3", "conv4_3", "conv5_3"):
            x = pool(x, (2, 2), (2, 2))
    return dense(net, x.ravel())


def forward_first(net, pixels):
    """In the manner of Torch and Caffe: pixels (3, 224, 224), kernels (O, I, H, W)."""
    return forward(net, pixels, conv_first, pool_first)


def forward_last(net, pixels):
    """In the manner of Keras and MatConvNet: pixels (224, 224, 3), kernels (H, W, I, O)."""
    return forward(net, pixels, conv_last, pool_last)


def dense(net, x):
    fc6 = relu(net["fc6"][0].astype(float) @ x + net["fc6"][1])
    fc7 = net["fc7"][0].astype(float) @ fc6 + net["fc7"][1]
    return fc7, net["fc8"][0].astype(float) @ relu(fc7) + net["fc8"][1]


def require_equal(folder, picture, expected, fc8):
    """Features are fc7 after its ReLU, to 1e-5; the net must have told the two apart."""
    encoder = load_face_encoder(folder)
    with torch.inference_mode():
        feature = encoder.features(torch.from_numpy(picture)[None])
        logits = encoder.logits(feature)
    assert (expected < 0).any()
    assert (expected > 0).any()
    assert relative(feature[0], relu(expected)) <= 1e-5
    assert relative(logits[0], fc8) <= 1e-5
    return encoder


def first(picture, means, order):
    """(3, H, W) of 0 to 255 minus means, both in the given order of the picture's RGB."""
    return picture[order].astype(float) * 255 - means[order][:, None, None]


def last(picture, means, order):
    return np.moveaxis(first(picture, means, order), 0, 2)


FORWARD, BACKWARD = [0, 1, 2], [2, 1, 0]


def hwio(kernel):
    return kernel.transpose(2, 3, 1, 0)


def test_pytorch(net, picture, tmp_path):
    state = {
        f"{n}.{k}": torch.from_numpy(a)
        for n, pair in net.items()
        for k, a in zip(("weight", "bias"), pair, strict=True)
    }
    torch.save(state, tmp_path / "vgg_face_dag.pth")
    import_weights("vgg_face_dag", tmp_path / "vgg_face_dag.pth", tmp_path / "out")
    encoder = require_equal(tmp_path / "out", picture, *forward_first(net, first(picture, RGB, FORWARD)))
    assert list(encoder.config.channels) == list(WIDTHS)
    swapped, _ = forward_first(net, first(picture, RGB, BACKWARD))
    assert relative(relu(swapped), relu(forward_first(net, first(picture, RGB, FORWARD))[0])) > 0.01, (
        "order must matter"
    )


def test_older_pytorch_format_and_a_data_parallel_prefix(net, picture, tmp_path):
    state = {
        f"module.{n}.{k}": torch.from_numpy(a)
        for n, pair in net.items()
        for k, a in zip(("weight", "bias"), pair, strict=True)
    }
    torch.save({"state_dict": state}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    import_weights("vgg_face_dag", tmp_path / "old.pth", tmp_path / "out")
    require_equal(tmp_path / "out", picture, *forward_first(net, first(picture, RGB, FORWARD)))


@pytest.mark.parametrize("options", [{}, {"newer": True}, {"double": True}], ids=str)
def test_caffe(net, picture, tmp_path, options):
    write_caffemodel(tmp_path / "VGG_FACE.caffemodel", net, **options)
    import_weights("vgg_face_caffe", tmp_path / "VGG_FACE.caffemodel", tmp_path / "out")
    encoder = require_equal(tmp_path / "out", picture, *forward_first(net, first(picture, RGB, BACKWARD)))
    assert list(encoder.config.image_mean) == list(RGB)


@pytest.mark.parametrize("flat", [False, True])
def test_torch7(net, picture, tmp_path, flat):
    modules = []
    for name in CONVOLUTIONS:
        kernel, bias = net[name]
        fields = {"weight": kernel.reshape(len(kernel), -1) if flat else kernel, "bias": bias, "kW": 3, "padW": 1}
        kind = "nn.SpatialConvolutionMM" if flat else "nn.SpatialConvolution"
        modules += [(kind, fields), ("nn.ReLU", {"inplace": True, "threshold": 0})]
        if name in ("conv1_2", "conv2_2", "conv3_3", "conv4_3", "conv5_3"):
            modules.append(("nn.SpatialMaxPooling", {"kW": 2, "dW": 2}))
    modules.append(("nn.View", {"numElements": 245, "size": None}))
    for name in ("fc6", "fc7", "fc8"):
        modules.append(("nn.Linear", {"weight": net[name][0], "bias": net[name][1]}))
        modules += [] if name == "fc8" else [("nn.ReLU", {}), ("nn.Dropout", {"p": 0.5})]
    write_torch7(tmp_path / "VGG_FACE.t7", [*modules, ("nn.SoftMax", {})])
    import_weights("vgg_face_torch7", tmp_path / "VGG_FACE.t7", tmp_path / "out")
    require_equal(tmp_path / "out", picture, *forward_first(net, first(picture, RGB, BACKWARD)))


def matconvnet_arrays(net):
    """Filters (H, W, I, O); fully connected layers are convolutions."""
    arrays = {name: [hwio(net[name][0]), net[name][1][:, None]] for name in CONVOLUTIONS}
    sides = {"fc6": 7, "fc7": 1, "fc8": 1}
    return arrays | {
        name: [hwio(net[name][0].reshape(len(net[name][0]), -1, side, side)), net[name][1][:, None]]
        for name, side in sides.items()
    }


def matconvnet_forward(arrays, pixels):
    """fc7 before its ReLU, and fc8, as vl_simplenn computes them."""
    x = pixels
    for name in CONVOLUTIONS:
        x = relu(conv_last(x, arrays[name][0], arrays[name][1].ravel(), pad=PAD))
        if name in ("conv1_2", "conv2_2", "conv3_3", "conv4_3", "conv5_3"):
            x = pool_last(x, (2, 2), (2, 2))
    fc6 = relu(conv_last(x, arrays["fc6"][0], arrays["fc6"][1].ravel()))
    fc7 = conv_last(fc6, arrays["fc7"][0], arrays["fc7"][1].ravel())
    return fc7.ravel(), conv_last(relu(fc7), arrays["fc8"][0], arrays["fc8"][1].ravel()).ravel()


@pytest.mark.parametrize("form", ["simple", "graph"])
def test_matconvnet(net, picture, tmp_path, form):
    arrays = matconvnet_arrays(net)
    means = np.array([120.5, 100.25, 90.75])  # the file's own means travel
    meta = {"normalization": {"averageImage": means.reshape(1, 1, 3), "imageSize": np.array([224.0, 224, 3])}}
    path = tmp_path / "vgg_face.mat"
    if form == "simple":
        layers = []
        for name, weights in arrays.items():
            layers += [
                {"name": name, "type": "conv", "weights": weights, "stride": 1.0, "pad": 1.0},
                {"name": f"r{name}", "type": "relu"},
            ]
        write_simplenn(path, layers, meta, do_compression=True)
    else:
        params = {f"{n}{k}": a for n, pair in arrays.items() for k, a in zip("fb", pair, strict=True)}
        layers = [
            (n, "dagnn.Conv", [f"x{i}"], [f"x{i + 1}"], [f"{n}f", f"{n}b"], {"size": 1.0}) for i, n in enumerate(arrays)
        ]
        write_dagnn(path, layers, params, meta)
    import_weights("vgg_face_matconvnet", path, tmp_path / "out")
    encoder = require_equal(tmp_path / "out", picture, *matconvnet_forward(arrays, last(picture, means, FORWARD)))
    assert list(encoder.config.image_mean) == list(means)


@pytest.fixture(scope="module")
def keras_net():
    """Kernels (H, W, I, O), dense layers (I, O) on maps flattened pixel by pixel."""
    random = np.random.default_rng(6)
    layers, before = {}, 3
    for name in CONVOLUTIONS:
        width = WIDTHS[int(name[4]) - 1]
        kernel = random.normal(0.05, 1.3 / np.sqrt(before * 9), (3, 3, before, width))
        layers[name] = {"kernel": kernel.astype(np.float32), "bias": random.normal(0, 1, width).astype(np.float32)}
        before = width
    before *= 49
    for name, size in (("fc6", FC), ("fc7", FC), ("fc8", IDENTITIES)):
        matrix = random.normal(0, 1.4 / np.sqrt(before), (before, size))
        layers[name] = {"kernel": matrix.astype(np.float32), "bias": random.normal(0, 1, size).astype(np.float32)}
        before = size
    return layers


def keras_forward(net, pixels):
    by_layer = {n: [a["kernel"] if n in CONVOLUTIONS else a["kernel"].T, a["bias"]] for n, a in net.items()}
    return forward_last(by_layer, pixels)


@pytest.mark.parametrize("inside", [None, "model_weights"])
def test_keras(keras_net, picture, tmp_path, inside):
    others = {"input_1": {}, "pool5": {}, "flatten": {}, "fc6/relu": {}, "fc7/relu": {}, "fc8/softmax": {}}
    write_keras(tmp_path / "rcmalli_vggface_tf_vgg16.h5", keras_net | others, inside)
    import_weights("vgg_face_keras", tmp_path / "rcmalli_vggface_tf_vgg16.h5", tmp_path / "out")
    require_equal(tmp_path / "out", picture, *keras_forward(keras_net, last(picture, RGB, BACKWARD)))


def test_names_of_an_older_keras(keras_net, picture, tmp_path):
    """Keras 1 called a layer's arrays W and b, after the layer."""
    old = {name: {f"{name}_W": a["kernel"], f"{name}_b": a["bias"]} for name, a in keras_net.items()}
    write_keras(tmp_path / "old.h5", old)
    import_weights("vgg_face_keras", tmp_path / "old.h5", tmp_path / "out")
    require_equal(tmp_path / "out", picture, *keras_forward(keras_net, last(picture, RGB, BACKWARD)))
    write_keras(tmp_path / "odd.h5", keras_net | {"fc7": {"kernel": keras_net["fc7"]["kernel"]}})
    with pytest.raises(CheckpointError, match=r"kernel, bias of fc7 in .*, got kernel;"):
        import_weights("vgg_face_keras", tmp_path / "odd.h5", tmp_path / "no")


def deepface_layers(keras_net):
    """Unnamed layers; the dense ones are convolutions over the maps (7, 7, C)."""
    layers = {}
    for number, (name, arrays) in enumerate(keras_net.items()):
        kernel = arrays["kernel"]
        if name not in CONVOLUTIONS:
            side = 7 if name == "fc6" else 1
            kernel = kernel.reshape(side, side, -1, kernel.shape[1])
        layers[f"zero_padding2d_{number}"] = {}
        layers["conv2d" + (f"_{number}" if number else "")] = {"kernel": kernel, "bias": arrays["bias"]}
    return layers | {"flatten": {}, "activation": {}}


@pytest.mark.parametrize(("order", "channels"), [("rgb", FORWARD), ("bgr", BACKWARD)])
def test_deepface(keras_net, picture, tmp_path, order, channels):
    write_keras(tmp_path / "vgg_face_weights.h5", deepface_layers(keras_net))
    import_weights("vgg_face_deepface", tmp_path / "vgg_face_weights.h5", tmp_path / "out", channel_order=order)
    require_equal(tmp_path / "out", picture, *keras_forward(keras_net, last(picture, RGB, channels)))


@pytest.mark.parametrize(("order", "channels"), [("rgb", FORWARD), ("bgr", BACKWARD)])
def test_another_file_settles_the_channel_order(keras_net, picture, tmp_path, order, channels):
    reference, path = keras_net, tmp_path / "vgg_face_weights.h5"
    kernel = keras_net["conv1_1"]["kernel"]
    stored = keras_net | {
        "conv1_1": {**keras_net["conv1_1"], "kernel": kernel if order == "bgr" else kernel[:, :, ::-1]}
    }
    write_keras(tmp_path / "rcmalli.h5", reference)
    import_weights("vgg_face_keras", tmp_path / "rcmalli.h5", tmp_path / "reference")
    write_keras(path, deepface_layers(stored))
    source = import_weights("vgg_face_deepface", path, tmp_path / "out", reference=tmp_path / "reference")
    assert source.channel_order == order
    assert source.reference_sha256
    require_equal(tmp_path / "out", picture, *keras_forward(stored, last(picture, RGB, channels)))
    wrong = "rgb" if order == "bgr" else "bgr"
    with pytest.raises(CheckpointError, match=r"conv1_1\.weight, whose input channels are reversed"):
        import_weights(
            "vgg_face_deepface", path, tmp_path / "no", channel_order=wrong, reference=tmp_path / "reference"
        )
    assert not (tmp_path / "no").exists()


def test_a_reference_tells_another_flatten_order(keras_net, tmp_path):
    write_keras(tmp_path / "rcmalli.h5", keras_net)
    import_weights("vgg_face_keras", tmp_path / "rcmalli.h5", tmp_path / "reference")
    matrix = keras_net["fc6"]["kernel"]
    turned = matrix.reshape(7, 7, -1, FC).transpose(2, 0, 1, 3).reshape(matrix.shape)
    write_keras(tmp_path / "turned.h5", keras_net | {"fc6": {**keras_net["fc6"], "kernel": turned}})
    with pytest.raises(CheckpointError, match=r"another fc6\.weight;"):
        import_weights("vgg_face_keras", tmp_path / "turned.h5", tmp_path / "out", reference=tmp_path / "reference")


def test_the_channel_order_must_be_said_where_sources_disagree(keras_net, tmp_path):
    write_keras(tmp_path / "vgg_face_weights.h5", deepface_layers(keras_net))
    with pytest.raises(UsageError, match="--channel_order rgb or bgr"):
        import_weights("vgg_face_deepface", tmp_path / "vgg_face_weights.h5", tmp_path / "out")
    write_keras(tmp_path / "rcmalli.h5", keras_net)
    with pytest.raises(UsageError, match="channel order bgr, which is known"):
        import_weights("vgg_face_keras", tmp_path / "rcmalli.h5", tmp_path / "out", channel_order="rgb")


def test_files_of_other_layers_are_refused_by_name(net, keras_net, tmp_path):
    without_top = {name: arrays for name, arrays in keras_net.items() if name in CONVOLUTIONS}
    write_keras(tmp_path / "notop.h5", without_top)
    with pytest.raises(CheckpointError, match="missing fc6, fc7, fc8"):
        import_weights("vgg_face_keras", tmp_path / "notop.h5", tmp_path / "out")
    write_keras(tmp_path / "short.h5", without_top)
    with pytest.raises(CheckpointError, match=r"16 layers with weights .*, got 13"):
        import_weights("vgg_face_deepface", tmp_path / "short.h5", tmp_path / "out", channel_order="rgb")
    write_caffemodel(tmp_path / "extra.caffemodel", net | {"fc9": net["fc8"]})
    with pytest.raises(CheckpointError, match="extra fc9"):
        import_weights("vgg_face_caffe", tmp_path / "extra.caffemodel", tmp_path / "out")
    write_caffemodel(tmp_path / "odd.caffemodel", net | {"fc7": [net["fc7"][0][:, :4], net["fc7"][1]]})
    with pytest.raises(CheckpointError, match=r"misshapen fc7\.weight \(11, 4\) instead of \(11, 11\)"):
        import_weights("vgg_face_caffe", tmp_path / "odd.caffemodel", tmp_path / "out")
    broken = net["conv3_2"][1].copy()
    broken[1] = np.nan
    write_caffemodel(tmp_path / "nan.caffemodel", net | {"conv3_2": [net["conv3_2"][0], broken]})
    with pytest.raises(CheckpointError, match=r"NaN or infinite values in conv3_2\.bias"):
        import_weights("vgg_face_caffe", tmp_path / "nan.caffemodel", tmp_path / "out")
    assert not (tmp_path / "out").exists()
