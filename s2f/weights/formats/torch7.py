"""Torch7's serialised objects (`.t7`, binary, little-endian): tables, tensors and plain values.

There is no kept library for this format. Every object starts with a type number; objects that can be shared are
numbered and stored once. Functions, which are Lua bytecode, are refused; a class is a name and a table, and nothing of
it is looked up.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from s2f.errors import CheckpointError
from s2f.weights.formats.limits import damaged

NIL, NUMBER, STRING, TABLE, OBJECT, BOOLEAN = range(6)
STORAGES = {
    **{f"torch.{name}Storage": kind for name, kind in (("Float", "<f4"), ("Cuda", "<f4"), ("Double", "<f8"))},
    **{f"torch.{name}Storage": kind for name, kind in (("Long", "<i8"), ("Int", "<i4"), ("Byte", "u1"))},
}
TENSORS = {name.replace("Storage", "Tensor") for name in STORAGES}
DEEPEST = 100


@dataclass(frozen=True)
class TorchObject:
    """An object of a Lua class.

    Attributes:
        name: of the class, as `nn.Linear`.
        fields: its table.
    """

    name: str
    fields: dict[Any, Any] = field(default_factory=dict)


def read_object(path: Path) -> Any:
    """The one object of a file.

    Args:
        path: the `.t7` file.

    Returns:
        None, bool, float, str, dict, `TorchObject`, or numpy array (tensors, and storages as flat arrays), nested.

    Raises:
        CheckpointError: a damaged file, another format, or one that holds a function (it is not run).
    """
    try:
        content = memoryview(path.read_bytes())
    except OSError as error:
        raise damaged(path, "a .t7 file", error) from error
    try:
        reader = _Reader(content, path)
        found = reader.read(0)
        if reader.left:
            raise ValueError(f"{reader.left} bytes after the object")
        return found
    except (struct.error, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise damaged(path, "a binary .t7 file", error) from error


class _Reader:
    def __init__(self, content: memoryview, path: Path) -> None:
        self._content, self._path = content, path
        self._at = 0
        self._seen: dict[int, Any] = {}

    @property
    def left(self) -> int:
        """Bytes not read yet."""
        return len(self._content) - self._at

    def read(self, depth: int) -> Any:
        """The next object."""
        if depth > DEEPEST:
            raise ValueError(f"nested more than {DEEPEST} deep")
        kind = self._number("<i")
        if kind == NIL:
            return None
        if kind == NUMBER:
            return self._number("<d")
        if kind == BOOLEAN:
            return self._number("<i") == 1
        if kind == STRING:
            return self._text()
        if kind in (TABLE, OBJECT):
            index = self._number("<i")
            if index not in self._seen:
                self._seen[index] = None  # a cycle would see this
                self._seen[index] = self._table(index, depth) if kind == TABLE else self._object(index, depth)
            return self._seen[index]
        what = "a function" if kind in (6, 7, 8) else f"type number {kind}"
        fix = "take a copy of the weights that holds tensors and tables alone"
        raise CheckpointError(f"tensors, tables and plain values in {self._path}", what, fix)

    def _table(self, index: int, depth: int) -> dict[Any, Any]:
        table: dict[Any, Any] = {}
        self._seen[index] = table
        for _ in range(self._number("<i")):
            key = self.read(depth + 1)
            table[key] = self.read(depth + 1)
        return table

    def _object(self, index: int, depth: int) -> Any:
        name = self._text()
        if name.startswith("V "):  # the version, absent from old files
            name = self._text()
        if name in TENSORS:
            return self._tensor(depth)
        if name in STORAGES:
            kind = np.dtype(STORAGES[name])
            return np.frombuffer(self._take(self._number("<q") * kind.itemsize), kind)
        found = TorchObject(name)
        self._seen[index] = found
        fields = self.read(depth + 1)
        found.fields.update(fields if isinstance(fields, dict) else {})
        return found

    def _tensor(self, depth: int) -> np.ndarray:
        dimensions = self._number("<i")
        sizes = [self._number("<q") for _ in range(dimensions)]
        strides = [self._number("<q") for _ in range(dimensions)]
        start = self._number("<q") - 1
        storage = self.read(depth + 1)
        if storage is None or not dimensions:
            return np.zeros(0, np.float32)
        last = start + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
        if min(sizes) < 1 or min(strides) < 0 or start < 0 or max(last + 1, math.prod(sizes)) > len(storage):
            raise ValueError(f"a tensor {sizes} beyond its {len(storage)} numbers")
        steps = [stride * storage.itemsize for stride in strides]
        view = np.lib.stride_tricks.as_strided(storage[start:], sizes, steps, writeable=False)
        return np.array(view, dtype=storage.dtype.newbyteorder("="))

    def _text(self) -> str:
        return bytes(self._take(self._number("<i"))).decode("utf-8")

    def _number(self, code: str) -> Any:
        return struct.unpack(code, self._take(struct.calcsize(code)))[0]

    def _take(self, count: int) -> memoryview:
        if not 0 <= count <= self.left:
            raise ValueError(f"{count} bytes wanted, {self.left} left")
        self._at += count
        return self._content[self._at - count : self._at]
