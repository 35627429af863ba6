"""SoundNet-8 up to conv6: the arrays of the TensorFlow port, and the state dicts of two PyTorch ports."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from encoders.voice.soundnet import STAGES, SoundNet
from s2f.errors import CheckpointError
from s2f.weights.formats.numpy_file import read_arrays
from s2f.weights.formats.torch_file import read_state_dict
from s2f.weights.networks.conversion import (
    COUNTER,
    ChannelOrder,
    Conversion,
    Part,
    batch_norm,
    from_hwio,
    require_names,
    tensor,
)

KEPT = tuple(f"conv{number}" for number in range(1, len(STAGES) + 1))
BEYOND = "after conv6, where the feature is taken"
LATER = re.compile(r"(conv|batchnorm)(7|8)(_2|_objs|_scns)?(\.|$)")
RANGE = "samples times 256, the range the network was trained on"
UNTRAINED = "batch norms that were trained: this port's converter copied convolutions alone"
FROM_NPY = "take sound8.npy, or a state dict made from it"


def from_npy(path: Path, order: ChannelOrder) -> Conversion:
    """`sound8.npy`: a dictionary of conv1 ... conv8_2, each with weights (K, 1, I, O), biases, gamma, beta, mean, var.

    Raises:
        CheckpointError: not that file.
    """
    arrays = read_arrays(path)
    found = {name: values for name, values in arrays.items() if not LATER.match(name)}
    require_names(path, KEPT, found)
    layers = {}
    for name in KEPT:
        require_names(path, ("weights", "biases", "gamma", "beta", "mean", "var"), found[name])
        values = found[name]
        norm = [values[key] for key in ("gamma", "beta", "mean", "var")]
        layers[name] = (from_hwio(values["weights"]), tensor(values["biases"]), [tensor(value) for value in norm])
    left = {name: BEYOND for name in arrays if LATER.match(name)}
    return _conversion(layers, left, ["kernels (K, 1, I, O) turned into (O, I, K)", RANGE])


def from_pth(path: Path, order: ChannelOrder) -> Conversion:
    """A PyTorch port: `conv1.0` and `conv1.1` (smallflyingpig's `sound8.pth`), or `conv1`, `batchnorm1` (keunhong's).

    Raises:
        CheckpointError: not such a file, or the one whose batch norms were never filled.
    """
    stored = read_state_dict(path)
    left = {name: BEYOND for name in stored if LATER.match(name)}
    state = {name: value for name, value in stored.items() if name not in left and not name.endswith(COUNTER)}
    nested = "conv1.0.weight" in state
    names: Mapping[str, tuple[str, str]] = {
        name: (f"{name}.0", f"{name}.1") if nested else (name, name.replace("conv", "batchnorm")) for name in KEPT
    }
    norm_keys = ("weight", "bias", "running_mean", "running_var")
    expected = [f"{names[name][0]}.{key}" for name in KEPT for key in ("weight", "bias")]
    expected += [f"{names[name][1]}.{key}" for name in KEPT for key in norm_keys]
    require_names(path, expected, state)
    layers = {}
    for name in KEPT:
        convolution, norm = names[name]
        values = [tensor(state[f"{norm}.{key}"]) for key in norm_keys]
        layers[name] = (tensor(state[f"{convolution}.weight"]), tensor(state[f"{convolution}.bias"]), values)
    if all(torch.equal(norm[2], torch.zeros_like(norm[2])) for _, _, norm in layers.values()):
        raise CheckpointError(UNTRAINED, f"running means of 0 throughout {path}", FROM_NPY)
    return _conversion(layers, left, ["kernels (O, I, K, 1) turned into (O, I, K)", RANGE])


def _conversion(
    layers: Mapping[str, tuple[Tensor, Tensor, list[Tensor]]], left: Mapping[str, str], changes: list[str]
) -> Conversion:
    state: dict[str, Tensor] = {}
    place = 0
    for name, stage in zip(KEPT, STAGES, strict=True):
        kernel, bias, norm = layers[name]
        state |= {f"trunk.{place}.weight": _one_dimensional(kernel), f"trunk.{place}.bias": bias}
        state |= batch_norm(f"trunk.{place + 1}", *norm)
        place += 4 if stage.pool > 1 else 3
    config = {"channels": [len(layers[name][1]) for name in KEPT]}
    return Conversion({"": Part(SoundNet, config, state)}, tuple(changes), dict(left))


def _one_dimensional(kernel: Tensor) -> Tensor:
    """A kernel (O, I, K) or (O, I, K, 1) as the former."""
    return kernel.flatten(2) if kernel.ndim == 4 and kernel.shape[3] == 1 else kernel
