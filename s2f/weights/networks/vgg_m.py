"""VGG-M nets: the face net `vgg_m_face_bn_dag.pth`, the voice net VGGVox, and SVHF-Net, which joins one of each.

Files of MatConvNet are read along their graph, layer by layer, and the geometry of every layer (kernel, stride,
padding) is compared with ours: a net that computes something else is refused, whatever its layers are called.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from encoders.face.vgg_m import FIRST_NORM, LAYOUTS, POOLED_BLOCKS, Geometry, VGGMFace
from encoders.voice.vgg_m import STAGES, VGGMVoice
from s2f.errors import CheckpointError
from s2f.matching.heads import StaticScorer
from s2f.weights.formats.matconvnet import Layer, Net, read_net
from s2f.weights.formats.torch_file import read_state_dict
from s2f.weights.networks.conversion import (
    COUNTER,
    NORM_EPS,
    OTHER_FILE,
    ChannelOrder,
    Conversion,
    Part,
    batch_norm,
    from_hwio,
    read_means,
    require_names,
    struct_field,
    tensor,
)

FACE_LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7")
NORM_KEYS = ("weight", "bias", "running_mean", "running_var")
MEANS_RGB = (131.4538, 103.9875, 91.4623)
KERNELS = "kernels (H, W, I, O) turned into (O, I, H, W)"
MOMENTS = "deviations of batch norms turned into variances"
MERGED = "batch norms that do nothing added where the file has them merged into the convolutions"
FACES, VOICE = ("input_face1", "input_face2"), "input_voice"
SKIPPED = ("dropout",)


class Unit(NamedTuple):
    """A convolution and the batch norm after it, as tensors under a network's names."""

    kernel: Tensor
    bias: Tensor
    norm: tuple[Tensor, Tensor, Tensor, Tensor] | None


class Step(NamedTuple):
    """What a layer of a chain must be.

    Attributes:
        kind: conv, with its batch norm, if any, and its ReLU, or pool.
        window: kernel or pooling window (height, width); None is any.
        stride: (vertical, horizontal).
        pad: top, bottom, left, right.
        method: of a pooling.
    """

    kind: str
    window: tuple[int, int] | None
    stride: tuple[int, int] = (1, 1)
    pad: tuple[int, int, int, int] = (0, 0, 0, 0)
    method: str = ""


def from_dag(path: Path, order: ChannelOrder) -> Conversion:
    """pytorch-mcn's `vgg_m_face_bn_dag.pth`: our own names and layouts.

    Raises:
        CheckpointError: not that file.
    """
    stored = read_state_dict(path)
    names = [f"{layer}.{key}" for layer in (*FACE_LAYERS, "fc8") for key in ("weight", "bias")]
    names += [f"bn{FIRST_NORM + place}.{key}" for place in range(len(FACE_LAYERS)) for key in NORM_KEYS]
    require_names(path, names, [name for name in stored if not name.endswith(COUNTER)])
    state = {name: tensor(stored[name]) for name in names}
    config = _face_config([state[f"{layer}.weight"] for layer in FACE_LAYERS], "published", MEANS_RGB)
    config["num_identities"] = len(state["fc8.weight"])
    changes = ("means of the published net, in RGB, for images of 0 to 255",)
    return Conversion({"": Part(VGGMFace, config, state)}, changes, first="conv1.weight")


def from_vggvox(path: Path, order: ChannelOrder) -> Conversion:
    """VGGVox's `vggvox_ident_net.mat` or `vggvox_ver_net.mat`, up to fc7; of twin streams the first.

    Raises:
        CheckpointError: not such a file.
    """
    net = read_net(path)
    chain = net.chain(net.inputs()[0])
    units, rest = _match(path, chain, _voice_steps())
    left = {layer.name: "after fc7, where the feature is taken" for layer in rest if layer.values}
    return Conversion({"": _voice_part(units)}, (KERNELS, *_norm_changes(units)), left)


def from_svhf(path: Path, order: ChannelOrder) -> Conversion:
    """SVHF-Net's `static-RGB+VGGFace.mat`: face stream, voice stream and the layers that join them, for voice queries.

    Raises:
        CheckpointError: not such a file, or the two face streams do not share their weights.
    """
    net = read_net(path)
    chains = {name: net.chain(name) for name in (*FACES, VOICE)}
    if [layer.params for layer in chains[FACES[0]]] != [layer.params for layer in chains[FACES[1]]]:
        raise CheckpointError(f"face streams of {path} with the same weights", "different ones", OTHER_FILE)
    voice, after_voice = _match(path, chains[VOICE], _voice_steps())
    face, after_face, layout = _match_face(path, chains[FACES[0]])
    if after_voice or after_face:
        got = f"{(after_voice + after_face)[0].name}"
        raise CheckpointError(f"streams of {path} that end with fc7", got, OTHER_FILE)
    shared = _joined(path, net, chains)
    means = read_means(path, struct_field(net.meta, "face"), MEANS_RGB)
    parts = {
        "voice_encoder": _voice_part(voice),
        "face_encoder": _face_part(face, layout, means),
        "head": _head_part(shared),
    }
    changes = (KERNELS, *_norm_changes([*voice, *face, *shared]), "order of the joined features: face, face, voice")
    return Conversion(parts, changes)


def _voice_steps() -> list[Step]:
    steps = []
    for stage in STAGES:
        steps.append(Step("conv", (stage.kernel, stage.kernel), (stage.stride, stage.stride), (1, 1, 1, 1)))
        if stage.pool_kernel is not None:
            steps.append(Step("pool", stage.pool_kernel, stage.pool_stride, method="max"))
    return [*steps, Step("conv", None), Step("pool", None, method="avg"), Step("conv", (1, 1))]


def _face_steps(geometry: Geometry) -> list[Step]:
    """See `encoders.face.vgg_m`; a pooling that rounds up is one with padding below and to the right."""
    pads, strides = (geometry.conv1_padding, geometry.conv2_padding, 1, 1, 1), (2, 2, 1, 1, 1)
    steps = []
    for block, (kernel, stride, pad) in enumerate(zip((7, 5, 3, 3, 3), strides, pads, strict=True), start=1):
        steps.append(Step("conv", (kernel, kernel), (stride, stride), (pad,) * 4))
        if block in POOLED_BLOCKS:
            up = int(block == 2 and geometry.pool2_rounds_up)
            steps.append(Step("pool", (geometry.pool_kernel,) * 2, (2, 2), (0, up, 0, up), "max"))
    return [*steps, Step("conv", None), Step("conv", (1, 1))]


def _match_face(path: Path, chain: Sequence[Layer]) -> tuple[list[Unit], list[Layer], str]:
    """Units, remaining layers and layout of a face stream."""
    faults = []
    for layout, geometry in LAYOUTS.items():
        try:
            return (*_match(path, chain, _face_steps(geometry)), layout)
        except CheckpointError as error:
            faults.append(f"not {layout}: {error.got} instead of {error.expected}")
    raise CheckpointError(f"a face stream of layout {' or '.join(LAYOUTS)} in {path}", "; ".join(faults), OTHER_FILE)


def _match(path: Path, chain: Sequence[Layer], steps: Sequence[Step]) -> tuple[list[Unit], list[Layer]]:
    """Units of a chain that does what `steps` say, and the layers after them."""
    layers = [layer for layer in chain if layer.kind not in SKIPPED]
    units: list[Unit] = []
    for number, step in enumerate(steps, start=1):
        if not layers:
            raise CheckpointError(f"{len(steps)} steps in {path}", f"{number - 1}", OTHER_FILE)
        layer = layers.pop(0)
        window = layer.values[0].shape[:2] if layer.kind == "conv" and layer.values else layer.window
        found = (layer.kind, tuple(window), layer.stride, layer.pad, layer.method)
        wanted = (step.kind, step.window or tuple(window), step.stride, step.pad, step.method)
        if found != wanted and not (step.method == layer.method == "avg"):  # it averages all there is
            expected = f"{_words(wanted)} as step {number} of {path}"
            raise CheckpointError(expected, f"{layer.name}, {_words(found)}", OTHER_FILE)
        if layer.kind == "conv":
            units.append(_unit(path, layer, layers))
            if not layers or layers.pop(0).kind != "relu":
                raise CheckpointError(f"a ReLU after {layer.name} in {path}", "another layer", OTHER_FILE)
    return units, layers


def _words(step: tuple[object, ...]) -> str:
    kind, window, stride, pad, method = step
    return f"{method} {kind} with window {window}, stride {stride}, padding {pad}".strip()


def _unit(path: Path, layer: Layer, rest: list[Layer]) -> Unit:
    """A convolution; takes the batch norm that follows out of `rest`."""
    if len(layer.values) != 2:
        raise CheckpointError(
            f"filters and biases of {layer.name} in {path}", f"{len(layer.values)} arrays", OTHER_FILE
        )
    kernel, bias = from_hwio(layer.values[0]), tensor(layer.values[1])
    if not rest or rest[0].kind != "bnorm":
        return Unit(kernel, bias, None)
    norm = rest.pop(0)
    if len(norm.values) != 3 or norm.values[2].shape != (len(bias), 2) or (norm.values[2][:, 1] <= 0).any():
        got = f"arrays of shape {[value.shape for value in norm.values]}"
        raise CheckpointError(f"multipliers, biases and positive moments of {norm.name} in {path}", got, OTHER_FILE)
    scale, shift, moments = norm.values
    variance = np.square(moments[:, 1], dtype=np.float64) - NORM_EPS  # MatConvNet stores sqrt(variance + epsilon)
    return Unit(kernel, bias, (tensor(scale), tensor(shift), tensor(moments[:, 0]), tensor(variance)))


def _norm(name: str, unit: Unit) -> dict[str, Tensor]:
    ones, zeros = torch.ones(len(unit.bias)), torch.zeros(len(unit.bias))
    return batch_norm(name, *(unit.norm or (ones, zeros, zeros, ones - NORM_EPS)))


def _norm_changes(units: Sequence[Unit]) -> list[str]:
    merged = [unit.norm is None for unit in units]
    return ([] if all(merged) else [MOMENTS]) + ([MERGED] if any(merged) else [])


def _voice_part(units: Sequence[Unit]) -> Part:
    state: dict[str, Tensor] = {}
    place = 0
    for unit, stage in zip(units, STAGES, strict=False):
        state |= {f"trunk.{place}.weight": unit.kernel, f"trunk.{place}.bias": unit.bias}
        state |= _norm(f"trunk.{place + 1}", unit)
        place += 3 if stage.pool_kernel is None else 4
    for name, unit in zip(("fc6", "fc7"), units[len(STAGES) :], strict=True):
        state |= {f"{name}.0.weight": unit.kernel, f"{name}.0.bias": unit.bias} | _norm(f"{name}.1", unit)
    sizes = [len(unit.bias) for unit in units]
    return Part(VGGMVoice, {"channels": sizes[: len(STAGES)], "fc_sizes": sizes[len(STAGES) :]}, state)


def _face_part(units: Sequence[Unit], layout: str, means: Sequence[float]) -> Part:
    state: dict[str, Tensor] = {}
    for place, (name, unit) in enumerate(zip(FACE_LAYERS, units, strict=True)):
        state |= {f"{name}.weight": unit.kernel, f"{name}.bias": unit.bias} | _norm(f"bn{FIRST_NORM + place}", unit)
    return Part(VGGMFace, _face_config([unit.kernel for unit in units], layout, means), state)


def _face_config(kernels: Sequence[Tensor], layout: str, means: Sequence[float]) -> dict[str, Any]:
    sizes = [len(kernel) for kernel in kernels]
    return {"layout": layout, "channels": sizes[:5], "fc_sizes": sizes[5:], "image_mean": list(means)}


def _joined(path: Path, net: Net, chains: dict[str, list[Layer]]) -> list[Unit]:
    """The layers after the streams join, their first with inputs in the order face, face, voice."""
    joins = [layer for layer in net.layers if layer.kind == "concat"]
    ends = {chain[-1].outputs[0]: name for name, chain in chains.items() if chain}
    if len(joins) != 1 or sorted(ends.get(name, "") for name in joins[0].inputs) != sorted(chains):
        raise CheckpointError(f"one layer of {path} that joins the three streams", "another graph", OTHER_FILE)
    layers = [layer for layer in net.chain(joins[0].outputs[0]) if layer.kind not in SKIPPED]
    units: list[Unit] = []
    while layers and layers[0].kind == "conv":
        layer = layers.pop(0)
        units.append(_unit(path, layer, layers))
        if layer.values[0].shape[:2] != (1, 1) or (layer.stride, layer.pad) != ((1, 1), (0, 0, 0, 0)):
            raise CheckpointError(f"a fully connected {layer.name} in {path}", f"{layer.values[0].shape}", OTHER_FILE)
        if layers and layers[0].kind == "relu":
            layers.pop(0)
        elif layers and layers[0].kind == "conv":
            raise CheckpointError(f"a ReLU after {layer.name} in {path}", layers[0].name, OTHER_FILE)
    if len(units) < 2 or [layer.kind for layer in layers] not in ([], ["softmax"]) or units[-1].norm is not None:
        raise CheckpointError(f"hidden layers and two logits after the join of {path}", "another graph", OTHER_FILE)
    blocks = dict(zip([ends[name] for name in joins[0].inputs], units[0].kernel.chunk(3, dim=1), strict=True))
    ordered = torch.cat([blocks[name] for name in (*FACES, VOICE)], dim=1)
    return [units[0]._replace(kernel=ordered), *units[1:]]


def _head_part(units: Sequence[Unit]) -> Part:
    state: dict[str, Tensor] = {}
    for place, unit in enumerate(units):
        state |= {f"layers.{3 * place}.weight": unit.kernel.flatten(1), f"layers.{3 * place}.bias": unit.bias}
        if place < len(units) - 1:
            state |= _norm(f"layers.{3 * place + 1}", unit)
    sizes = [len(unit.bias) for unit in units]
    config = {"feature_size": units[0].kernel.shape[1] // 3, "sizes": sizes[:-1], "direction": "v2f"}
    return Part(StaticScorer, config, state)
