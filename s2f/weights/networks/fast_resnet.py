"""Fast ResNetSE34L from the `.model` file of Chung et al.'s trainer, the voice network of Wen et al.'s code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from encoders.voice.fast_resnet import FastResNetSE34L
from encoders.voice.front_ends.magnitude import mel_filters
from s2f.errors import CheckpointError
from s2f.weights.formats.torch_file import read_state_dict
from s2f.weights.networks.conversion import COUNTER, OTHER_FILE, ChannelOrder, Conversion, Part, require_names, tensor

BLOCKS = (3, 4, 6, 3)
NETWORK, LOSS, FRONT_END = "__S__.", "__L__.", "torchfb."
NORM = ("weight", "bias", "running_mean", "running_var")
# parts of a block, theirs to ours, and what each holds
BLOCK = {
    "conv1": ("residual.0", ("weight",)),
    "bn1": ("residual.2", NORM),
    "conv2": ("residual.3", ("weight",)),
    "bn2": ("residual.4", NORM),
    "se.fc.0": ("residual.5.squeeze", ("weight", "bias")),
    "se.fc.2": ("residual.5.excite", ("weight", "bias")),
}
SHORTCUT = {"downsample.0": ("shortcut.0", ("weight",)), "downsample.1": ("shortcut.1", NORM)}
WINDOW, FILTERS = "spectrogram.window", "mel_scale.fb"
CLOSE = 1e-4


def from_model(path: Path, order: ChannelOrder) -> Conversion:
    """`baseline_lite_ap.model`, plain or with the trainer's prefix; its loss layers are left out.

    Raises:
        CheckpointError: not that file, or its stored mel filters or window are not those of our front end.
    """
    stored = read_state_dict(path)
    named = {name.removeprefix(NETWORK): value for name, value in stored.items() if not name.startswith(LOSS)}
    _require_front_end(path, {n.removeprefix(FRONT_END): v for n, v in named.items() if n.startswith(FRONT_END)})
    found = {n: v for n, v in named.items() if not n.startswith(FRONT_END) and not n.endswith(COUNTER)}
    names = {f"conv1.{key}": f"stem.0.{key}" for key in ("weight",)} | {f"bn1.{key}": f"stem.1.{key}" for key in NORM}
    for stage, count in enumerate(BLOCKS):
        for block in range(count):
            theirs, ours = f"layer{stage + 1}.{block}", f"stages.{stage}.{block}"
            parts = BLOCK | (SHORTCUT if f"{theirs}.downsample.0.weight" in found else {})
            names |= {f"{theirs}.{t}.{key}": f"{ours}.{o}.{key}" for t, (o, keys) in parts.items() for key in keys}
    names |= {f"sap_linear.{key}": f"pool.hidden.{key}" for key in ("weight", "bias")}
    names |= {"attention": "pool.attention.weight"} | {f"fc.{key}": f"fc.{key}" for key in ("weight", "bias")}
    require_names(path, names, found)
    state = {ours: tensor(found[theirs]) for theirs, ours in names.items()}
    state["pool.attention.weight"] = state["pool.attention.weight"].T.contiguous()
    left = {name: "of the training loss" for name in stored if name.startswith(LOSS)}
    left |= {name: "computed by our front end, and equal to it" for name in named if name.startswith(FRONT_END)}
    return Conversion({"": Part(FastResNetSE34L, _config(state), state)}, ("names of modules",), left)


def _config(state: Mapping[str, Tensor]) -> dict[str, object]:
    filters = [len(state[f"stages.{stage}.0.residual.0.weight"]) for stage in range(len(BLOCKS))]
    squeezed = len(state["stages.0.0.residual.5.squeeze.weight"])
    return {
        "filters": filters,
        "blocks": list(BLOCKS),
        "se_reduction": filters[0] // max(squeezed, 1),
        "feature_size": len(state["fc.weight"]),
    }


def _require_front_end(path: Path, stored: Mapping[str, Tensor]) -> None:
    """Compare the file's own window and mel filters, where it has them, with those our front end computes."""
    ours = {WINDOW: torch.hamming_window(400), FILTERS: mel_filters(40, 512, 16000).T}
    for name, values in stored.items():
        expected = ours.get(name)
        if expected is None or values.shape != expected.shape or (values - expected).abs().max() > CLOSE:
            got = f"another {name}" if name in ours else f"{name}, which is unknown"
            raise CheckpointError(f"the analysis of 40 mel bands (25 ms Hamming, 512) in {path}", got, OTHER_FILE)
