"""Keras's weights files in HDF5, read by h5py; a model's configuration, which could name code, is never looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from s2f.errors import AssetMissing, CheckpointError
from s2f.weights.formats.limits import damaged, require_unpacked

INSTALL = "pip install 's2f[weights]'"


def read_layers(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """Arrays by layer and short name, layers in the order of the model.

    Args:
        path: a `.h5` file of `save_weights`, or of a whole model (`model_weights` inside).

    Returns:
        Layer to name to array; a name is its last part without the number, `kernel` of `conv1_1/kernel:0`. Layers
        without weights are left out.

    Raises:
        AssetMissing: h5py is not installed.
        CheckpointError: no such file, or data that lies outside the file.
    """
    try:
        import h5py
    except ImportError as error:
        raise AssetMissing("the package h5py for .h5 files", "none installed", INSTALL) from error
    try:
        with h5py.File(path, "r") as file:
            root = file.get("model_weights", file)
            if "layer_names" not in root.attrs:
                raise CheckpointError(f"Keras weights (layer_names) in {path}", "none", "give the .h5 of save_weights")
            layers = {name: root[name] for name in _texts(root.attrs["layer_names"])}
            found = {
                name: [(n, group[n]) for n in _texts(group.attrs["weight_names"])] for name, group in layers.items()
            }
            datasets = [dataset for weights in found.values() for _, dataset in weights]
            if outside := [dataset.name for dataset in datasets if _is_outside(dataset, file)]:
                got = f"{outside[0]}, which points at another file"
                raise CheckpointError(f"all weights inside {path}", got, "take a copy without links")
            require_unpacked(path, sum(dataset.size * dataset.dtype.itemsize for dataset in datasets))
            return {
                layer: {_short(name): np.asarray(dataset[()]) for name, dataset in weights}
                for layer, weights in found.items()
                if weights
            }
    except CheckpointError:
        raise
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError) as error:
        raise damaged(path, "a Keras weights file", error) from error


def ordered(path: Path, layer: str, arrays: Mapping[str, np.ndarray], names: Sequence[str]) -> list[np.ndarray]:
    """A layer's arrays in the order of `names`.

    Old versions of Keras called them otherwise (`conv1_1_W`), in the same order; Keras itself goes by order alone.

    Args:
        path: the file, for messages.
        layer: name of the layer, for messages.
        arrays: its arrays by short name.
        names: how Keras calls them now.

    Returns:
        The arrays.

    Raises:
        CheckpointError: another number of arrays.
    """
    if len(arrays) != len(names):
        expected, got = f"{', '.join(names)} of {layer} in {path}", ", ".join(arrays) or "nothing"
        raise CheckpointError(expected, got, "give the file that this kind names")
    return [arrays[name] for name in names] if arrays.keys() == set(names) else list(arrays.values())


def _is_outside(dataset: Any, file: Any) -> bool:
    """Whether a dataset's values lie, or may lie, in another file."""
    return dataset.file.filename != file.filename or bool(dataset.external) or dataset.is_virtual


def _texts(values: Any) -> list[str]:
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]


def _short(name: str) -> str:
    return name.rpartition("/")[2].partition(":")[0]
