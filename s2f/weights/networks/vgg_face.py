"""VGG-Face from the six files in which it was published or ported.

Parkhi, Vedaldi, Zisserman, "Deep Face Recognition" (BMVC 2015). All hold the same sixteen layers; they differ in names,
layouts, channel order and in how fc6 flattens the maps. Ours are those of `vgg_face_dag.pth`: kernels (O, I, H, W), RGB
pictures, and maps flattened channel by channel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from encoders.face.vgg_face import CONVOLUTIONS_PER_BLOCK, VGGFace
from s2f.errors import CheckpointError
from s2f.weights.formats.caffe import read_blobs
from s2f.weights.formats.keras import ordered, read_layers
from s2f.weights.formats.matconvnet import read_net
from s2f.weights.formats.torch7 import TorchObject, read_object
from s2f.weights.formats.torch_file import read_state_dict
from s2f.weights.networks.conversion import (
    OTHER_FILE,
    ChannelOrder,
    Conversion,
    Part,
    from_hwio,
    read_means,
    require_names,
    tensor,
)

BLOCKS = enumerate(CONVOLUTIONS_PER_BLOCK, start=1)
CONVOLUTIONS = tuple(f"conv{block}_{layer}" for block, count in BLOCKS for layer in range(1, count + 1))
DENSE = ("fc6", "fc7", "fc8")
LAYERS = (*CONVOLUTIONS, *DENSE)
MEANS_RGB = (129.1863, 104.7624, 93.5940)
MAP_PX = 7  # side of the maps that fc6 reads, at 224 px
REVERSED = "input channels of conv1_1 reversed from BGR to RGB"
KERNELS = "kernels (H, W, I, O) turned into (O, I, H, W)"
FLATTENED = "inputs of fc6 reordered from pixel by pixel to channel by channel"
MEANS = "channel means of the original, in RGB, for images of 0 to 255"

Layer = tuple[Tensor, Tensor]


def from_dag(path: Path, order: ChannelOrder) -> Conversion:
    """pytorch-mcn's `vgg_face_dag.pth`: our own names and layouts.

    Raises:
        CheckpointError: not that file.
    """
    state = read_state_dict(path)
    require_names(path, [f"{layer}.{kind}" for layer in LAYERS for kind in ("weight", "bias")], state)
    layers = {layer: (tensor(state[f"{layer}.weight"]), tensor(state[f"{layer}.bias"])) for layer in LAYERS}
    return _conversion(layers, order, [])


def from_caffe(path: Path, order: ChannelOrder) -> Conversion:
    """Caffe's `VGG_FACE.caffemodel`.

    Raises:
        AssetMissing: protobuf is not installed.
        CheckpointError: not that file.
    """
    blobs = read_blobs(path)
    require_names(path, LAYERS, blobs)
    layers = {name: _pair(path, name, blobs[name], lambda kernel: tensor(kernel)) for name in CONVOLUTIONS}
    dense = {
        name: _pair(path, name, blobs[name], lambda matrix: tensor(matrix.reshape(matrix.shape[-2:]))) for name in DENSE
    }
    return _conversion(layers | dense, order, [])


def from_torch7(path: Path, order: ChannelOrder) -> Conversion:
    """Torch7's `VGG_FACE.t7`: unnamed modules, told apart by their order.

    Raises:
        CheckpointError: not that file.
    """
    modules = [module for module in _modules(read_object(path)) if isinstance(module.fields.get("weight"), np.ndarray)]
    if len(modules) != len(LAYERS):
        raise CheckpointError(f"{len(LAYERS)} modules with weights in {path}", str(len(modules)), OTHER_FILE)
    layers = {}
    for name, module in zip(LAYERS, modules, strict=True):
        kind = "nn.Linear" if name in DENSE else "SpatialConvolution"
        if kind not in module.name:
            raise CheckpointError(f"a module {kind} as {name} of {path}", module.name, OTHER_FILE)
        pair = [module.fields["weight"], module.fields.get("bias")]
        layers[name] = _pair(path, name, pair, tensor if name in DENSE else _square_kernel)
    return _conversion(layers, order, [])


def from_matconvnet(path: Path, order: ChannelOrder) -> Conversion:
    """MatConvNet's `vgg_face.mat`, SimpleNN or DagNN.

    Raises:
        CheckpointError: not that file.
    """
    net = read_net(path)
    arrays = {layer.name: layer.values for layer in net.layers if layer.values}
    require_names(path, LAYERS, arrays)
    layers = {name: _pair(path, name, arrays[name], from_hwio) for name in CONVOLUTIONS}
    dense = {name: _pair(path, name, arrays[name], lambda kernel: from_hwio(kernel).flatten(1)) for name in DENSE}
    means = read_means(path, net.meta, MEANS_RGB)
    return _conversion(layers | dense, order, [KERNELS], means)


def from_keras(path: Path, order: ChannelOrder) -> Conversion:
    """keras-vggface's `rcmalli_vggface_tf_vgg16.h5`, the file with the top layers.

    Raises:
        AssetMissing: h5py is not installed.
        CheckpointError: not that file.
    """
    arrays = read_layers(path)
    require_names(path, LAYERS, arrays)
    kernels = {"fc6": _flattened_by_pixel, "fc7": _transposed, "fc8": _transposed}
    layers = {name: _keras_pair(path, name, arrays[name], kernels.get(name, from_hwio)) for name in LAYERS}
    return _conversion(layers, order, [KERNELS, FLATTENED])


def from_deepface(path: Path, order: ChannelOrder) -> Conversion:
    """Deepface's `vgg_face_weights.h5`: unnamed layers, told apart by their order; the last three are convolutions.

    Raises:
        AssetMissing: h5py is not installed.
        CheckpointError: not that file.
    """
    arrays = list(read_layers(path).values())
    if len(arrays) != len(LAYERS):
        raise CheckpointError(f"{len(LAYERS)} layers with weights in {path}", str(len(arrays)), OTHER_FILE)
    layers = {
        name: _keras_pair(
            path, name, array, (lambda kernel: from_hwio(kernel).flatten(1)) if name in DENSE else from_hwio
        )
        for name, array in zip(LAYERS, arrays, strict=True)
    }
    return _conversion(layers, order, [KERNELS, FLATTENED])


def _conversion(
    layers: Mapping[str, Layer], order: ChannelOrder, changes: Sequence[str], means: Sequence[float] = MEANS_RGB
) -> Conversion:
    state = {
        f"{name}.{kind}": value for name in LAYERS for kind, value in zip(("weight", "bias"), layers[name], strict=True)
    }
    if order == "bgr":
        state["conv1_1.weight"] = state["conv1_1.weight"].flip(1)
    config = {
        "channels": [len(layers[f"conv{block}_1"][0]) for block in range(1, 6)],
        "fc_size": len(layers["fc6"][0]),
        "num_identities": len(layers["fc8"][0]),
        "image_mean": list(means),
    }
    swapped = [REVERSED] if order == "bgr" else []
    return Conversion({"": Part(VGGFace, config, state)}, (*changes, *swapped, MEANS), first="conv1_1.weight")


def _pair(path: Path, name: str, arrays: Sequence[Any], kernel: Callable[[Any], Tensor]) -> Layer:
    if len(arrays) != 2 or any(not isinstance(array, np.ndarray) for array in arrays):
        raise CheckpointError(f"weight and bias of {name} in {path}", f"{len(arrays)} arrays", OTHER_FILE)
    return kernel(arrays[0]), tensor(arrays[1].ravel())


def _keras_pair(path: Path, name: str, arrays: Mapping[str, np.ndarray], kernel: Callable[[Any], Tensor]) -> Layer:
    return _pair(path, name, ordered(path, name, arrays, ("kernel", "bias")), kernel)


def _transposed(matrix: np.ndarray) -> Tensor:
    return tensor(matrix.T)


def _flattened_by_pixel(matrix: np.ndarray) -> Tensor:
    """Keras's fc6 (H * W * C, O) as (O, C * H * W)."""
    if matrix.ndim != 2 or len(matrix) % MAP_PX**2:
        got = f"one of shape {matrix.shape}"
        raise CheckpointError(f"a matrix of fc6 of {MAP_PX} x {MAP_PX} pixels", got, OTHER_FILE)
    return from_hwio(matrix.reshape(MAP_PX, MAP_PX, -1, matrix.shape[1])).flatten(1)


def _square_kernel(kernel: np.ndarray) -> Tensor:
    """Torch7's kernel (O, I, 3, 3), which some modules keep as (O, I * 9)."""
    return tensor(kernel.reshape(len(kernel), -1, 3, 3))


def _modules(value: Any) -> list[TorchObject]:
    """A module, or those inside a container, in order."""
    if not isinstance(value, TorchObject):
        return []
    inside = value.fields.get("modules")
    if not isinstance(inside, dict):
        return [value]
    return [module for number in sorted(inside) for module in _modules(inside[number])]
