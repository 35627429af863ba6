"""Xie et al.'s Thin ResNet-34 with GhostVLAD from the Keras weights they released."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from encoders.voice.thin_resnet import ThinResNet34
from s2f.errors import CheckpointError
from s2f.weights.formats.keras import ordered, read_layers
from s2f.weights.networks.conversion import (
    OTHER_FILE,
    ChannelOrder,
    Conversion,
    Part,
    batch_norm,
    from_hwio,
    require_names,
    tensor,
)

BLOCKS = (2, 3, 3, 3)
STEM = "conv1_1/3x3_s1"
RESIDUAL = {0: "1x1_reduce", 2: "3x3", 4: "1x1_increase"}  # place in a block's residual branch
NORM = ("gamma", "beta", "moving_mean", "moving_variance")
CLASSIFIER = "prediction"


def from_keras(path: Path, order: ChannelOrder) -> Conversion:
    """`weights.h5` of `resnet34_vlad8_ghost2_bdim512_deploy`, or of a run with other cluster numbers or none of ghosts.

    Raises:
        AssetMissing: h5py is not installed.
        CheckpointError: not such a file.
    """
    stored = read_layers(path)
    arrays = {name: values for name, values in stored.items() if name != CLASSIFIER}
    kind = "gvlad" if "gvlad_pool" in arrays else "vlad"
    normed = {STEM: "stem.0"}
    for stage, count in enumerate(BLOCKS):
        for block in range(count):
            ours, theirs = f"stages.{stage}.{block}", f"conv{stage + 2}_{'abc'[block]}"
            normed |= {f"{theirs}_{name}": f"{ours}.residual.{place}" for place, name in RESIDUAL.items()}
            normed |= {f"{theirs}_1x1_proj": f"{ours}.shortcut"} if block == 0 else {}
    dense = {"x_fc": "x_fc", f"{kind}_center_assignment": "assignment", "fc6": "fc6"}
    require_names(path, [*normed, *(f"{name}/bn" for name in normed), *dense, f"{kind}_pool"], arrays)
    state: dict[str, Tensor] = {}
    for theirs, ours in normed.items():
        (kernel,) = ordered(path, theirs, arrays[theirs], ("kernel",))
        norm = ordered(path, f"{theirs}/bn", arrays[f"{theirs}/bn"], NORM)
        state |= {f"{ours}.0.weight": from_hwio(kernel)} | batch_norm(f"{ours}.1", *norm)
    for theirs, ours in dense.items():
        kernel, bias = ordered(path, theirs, arrays[theirs], ("kernel", "bias"))
        state |= {f"{ours}.weight": tensor(kernel.T) if kernel.ndim == 2 else from_hwio(kernel)}
        state |= {f"{ours}.bias": tensor(bias)}
    (centres,) = ordered(path, f"{kind}_pool", arrays[f"{kind}_pool"], ("centers",))
    clusters, ghosts = _clusters(path, len(centres), centres.shape[-1], state["fc6.weight"].shape[1])
    state["vlad.centres"] = tensor(centres[:clusters])
    left = {name: "the classifier of speakers" for name in stored if name == CLASSIFIER}
    if ghosts:
        left[f"{kind}_pool, last {ghosts} rows"] = "centres of the ghosts, which nothing reads"
    changes = ("kernels (H, W, I, O) turned into (O, I, H, W)", "epsilon 0.001 of Keras's batch norms")
    config = _config(state, clusters, ghosts)
    return Conversion({"": Part(ThinResNet34, config, state)}, changes, left)


def _config(state: Mapping[str, Tensor], clusters: int, ghosts: int) -> dict[str, object]:
    widths = [
        [len(state[f"stages.{stage}.0.residual.{place}.0.weight"]) for place in RESIDUAL]
        for stage in range(len(BLOCKS))
    ]
    return {
        "stem_channels": len(state["stem.0.0.weight"]),
        "widths": widths,
        "blocks": list(BLOCKS),
        "clusters": clusters,
        "ghost_clusters": ghosts,
        "feature_size": len(state["fc6.weight"]),
    }


def _clusters(path: Path, rows: int, size: int, inputs: int) -> tuple[int, int]:
    """Clusters and ghosts: fc6 reads the clusters alone."""
    clusters, rest = divmod(inputs, max(size, 1))
    if rest or not 1 <= clusters <= rows:
        got = f"{rows} centres of {size} and {inputs} inputs of fc6"
        raise CheckpointError(f"inputs of fc6 in {path} for at most as many clusters as centres", got, OTHER_FILE)
    return clusters, rows - clusters
