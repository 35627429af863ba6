"""MatConvNet's networks in `.mat` files, read by scipy: SimpleNN (a chain) and DagNN (a graph).

Only files of MATLAB's version 7 and older are read; nets of these sizes were saved so. Objects and function handles of
MATLAB stay what scipy makes of them, data.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from s2f.errors import CheckpointError
from s2f.weights.formats.limits import damaged, require_unpacked

KINDS = {
    "dagnn.Conv": "conv",
    "dagnn.BatchNorm": "bnorm",
    "dagnn.ReLU": "relu",
    "dagnn.Pooling": "pool",
    "dagnn.DropOut": "dropout",
    "dagnn.Concat": "concat",
    "dagnn.SoftMax": "softmax",
}
HEADER_BYTES = 128
COMPRESSED = 15
AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Layer:
    """One layer.

    Attributes:
        name: its name.
        kind: conv, bnorm, relu, pool, dropout, concat, softmax, or what the file says.
        inputs: variables it reads.
        outputs: variables it writes.
        params: names of its arrays, which tell shared weights.
        values: its arrays; of a conv (H, W, I, O) and (O,), of a bnorm multipliers, biases and (C, 2) moments.
        stride: (vertical, horizontal).
        pad: top, bottom, left, right.
        window: (height, width) of a pooling.
        method: of a pooling, `max` or `avg`.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    params: tuple[str, ...]
    values: tuple[np.ndarray, ...]
    stride: tuple[int, ...]
    pad: tuple[int, ...]
    window: tuple[int, ...]
    method: str


@dataclass(frozen=True)
class Net:
    """A network.

    Attributes:
        layers: in the order of the file, which is an order of execution.
        meta: what the file says besides, nested dictionaries.
    """

    layers: tuple[Layer, ...]
    meta: Mapping[str, Any]

    def inputs(self) -> list[str]:
        """Variables that no layer writes, in order of their first use."""
        written = {name for layer in self.layers for name in layer.outputs}
        read = [name for layer in self.layers for name in layer.inputs]
        return [name for name in dict.fromkeys(read) if name not in written]

    def chain(self, variable: str) -> list[Layer]:
        """Layers that follow a variable one after the other, up to where streams join or part."""
        found: list[Layer] = []
        while True:
            readers = [layer for layer in self.layers if variable in layer.inputs]
            if len(readers) != 1 or len(readers[0].inputs) != 1 or len(readers[0].outputs) != 1:
                return found
            found.append(readers[0])
            variable = readers[0].outputs[0]


def read_net(path: Path) -> Net:
    """The network of a file.

    Args:
        path: the `.mat` file: variables `layers` and `meta` (and `params`), or these within `net` or `netStruct`.

    Returns:
        The network.

    Raises:
        CheckpointError: no such file, MATLAB's version 7.3, or no network inside.
    """
    from scipy.io import loadmat

    try:
        require_unpacked(path, _unpacked_size(path))
        content = loadmat(path)
    except CheckpointError:
        raise
    except NotImplementedError as error:
        fix = "load it in MATLAB or Octave and save it with `save -v7`"
        raise CheckpointError(f"a .mat file of version 7 or older at {path}", "version 7.3 (HDF5)", fix) from error
    except Exception as error:  # scipy raises nearly anything about a damaged file
        raise damaged(path, "a .mat file", error) from error
    named = {name: _plain(value) for name, value in content.items() if not name.startswith("__")}
    root = next((_one(named[name]) for name in ("net", "netStruct") if name in named), named)
    try:
        layers = _graph(root) if root.get("params") else _simple(root["layers"])
        meta = _one(root["meta"]) if root.get("meta") else root
    except (KeyError, TypeError, IndexError, ValueError, AttributeError) as error:
        got = f"something else ({type(error).__name__}: {error})"
        raise CheckpointError(f"a network of MatConvNet in {path}", got, "give the file of the network") from error
    return Net(tuple(layers), meta)


def _unpacked_size(path: Path) -> int:
    """Bytes of the variables of a version 7 file once they are unpacked; counting ends at eight times the file."""
    packed_size = path.stat().st_size
    total = 0
    with path.open("rb") as stream:
        stream.seek(HEADER_BYTES)
        while len(tag := stream.read(8)) == 8:
            kind, left = struct.unpack("<ii", tag)
            if kind != COMPRESSED:
                return total + packed_size
            unpacker = zlib.decompressobj()
            while left > 0 and (packed := stream.read(min(left, AT_ONCE))):
                left -= len(packed)
                while packed and total <= 8 * packed_size:  # weights do not pack nearly as well
                    total += len(unpacker.decompress(packed, AT_ONCE))
                    packed = unpacker.unconsumed_tail
    return total


def _plain(value: Any) -> Any:
    """Scipy's arrays as lists of dictionaries (structs), lists (cells), texts and arrays of numbers."""
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype.names:
        names = value.dtype.names
        return [{name: _plain(record[name]) for name in names} for record in value.ravel(order="F")]
    if value.dtype == object:
        return [_plain(item) for item in value.ravel(order="F")]
    if value.dtype.kind in "US":
        return "".join(str(item) for item in value.ravel(order="F"))
    return value


def _one(value: Any) -> Any:
    """A struct of one element, or the value; None where there is none."""
    return (value[0] if value else None) if isinstance(value, list) else value


def _simple(cells: Sequence[Any]) -> list[Layer]:
    layers = []
    for number, cell in enumerate(cells):
        fields = _one(cell)
        values = fields.get("weights") or [fields[name] for name in ("filters", "biases") if name in fields]
        names = tuple(f"{fields['name']}{place}" for place in range(len(values)))
        variables = (f"x{number}",), (f"x{number + 1}",)
        window = fields.get("pool", ())
        layers.append(_layer(fields["name"], fields["type"], variables, names, values, fields, window))
    return layers


def _graph(root: Mapping[str, Any]) -> list[Layer]:
    arrays = {param["name"]: param["value"] for param in root["params"]}
    layers = []
    for fields in root["layers"]:
        block = _one(fields.get("block")) or {}
        names = tuple(name for name in _names(fields["params"]) if name)
        variables = tuple(_names(fields["inputs"])), tuple(_names(fields["outputs"]))
        kind = KINDS.get(fields["type"], fields["type"])
        values = [arrays[name] for name in names]
        layers.append(_layer(fields["name"], kind, variables, names, values, block, block.get("poolSize", ())))
    return layers


def _names(value: Any) -> list[str]:
    return (
        [value] if isinstance(value, str) else [str(_one(item)) for item in value if not isinstance(item, np.ndarray)]
    )


def _layer(
    name: str,
    kind: str,
    variables: tuple[tuple[str, ...], tuple[str, ...]],
    params: tuple[str, ...],
    values: Sequence[np.ndarray],
    options: Mapping[str, Any],
    window: Any,
) -> Layer:
    arrays = [np.asarray(value, np.float32) for value in values]
    if kind == "conv":  # MATLAB drops trailing dimensions of size 1
        arrays = [arrays[0].reshape(arrays[0].shape + (1,) * (4 - arrays[0].ndim)), *(a.ravel() for a in arrays[1:])]
    elif kind == "bnorm":
        arrays = [arrays[0].ravel(), arrays[1].ravel(), *arrays[2:]]
    stride, pad = _whole(options.get("stride", 1), 2), _whole(options.get("pad", 0), 4)
    method = str(options.get("method", ""))
    return Layer(name, kind, *variables, params, tuple(arrays), stride, pad, _whole(window, 2), method)


def _whole(value: Any, count: int) -> tuple[int, ...]:
    """Whole numbers; one stands for all."""
    numbers = tuple(int(number) for number in np.asarray(value, float).ravel())
    return numbers * count if len(numbers) == 1 else numbers
