"""Read other people's pickles without running anything that they say.

A pickle is a program: it names functions and calls them. Here it can name nothing but the few stand-ins below, which
make sets, bytes, single numbers or texts of numpy and, where a weights file is read, arrays of numbers. What it leaves
must be plain containers, texts, numbers and such arrays.
"""

from __future__ import annotations

import math
import pickle
import struct
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from s2f.errors import CheckpointError, DatasetError, S2fError

PLAIN = (str, int, float, bool, bytes, type(None))
FLOATS = {2: "e", 4: "f", 8: "d"}
TRUST = "write it again with plain containers, texts and numbers"
LIST_FIX = f"use the list only if you trust its source: {TRUST}"
WEIGHTS_FIX = "take another copy of the weights: a genuine one holds arrays of numbers and nothing that acts"


def load_plain(path: str | Path) -> Any:
    """Read a pickle of plain containers, texts and numbers, protocols 0 to 5.

    Args:
        path: the file.

    Returns:
        dict, list, tuple, set, frozenset, str, int, float, bool, bytes and None, nested; numpy's single numbers and
        texts become Python's.

    Raises:
        DatasetError: the file cannot be read, names anything else, or leaves anything else; it says what.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            content = _read(stream, path, PLAIN_MAKERS, "utf-8", DatasetError, LIST_FIX)
    except OSError as error:
        raise DatasetError(f"a list at {path}", error.strerror or str(error), "correct the path") from error
    if (other := _not_plain(content, PLAIN)) is not None:
        raise DatasetError(f"plain containers, texts and numbers in {path.name}", other, LIST_FIX)
    return content


def load_arrays(stream: BinaryIO, path: Path) -> Any:
    """Read a pickle of arrays of numbers in plain containers, as `numpy.save` writes a dictionary, protocols 0 to 4.

    Args:
        stream: where the pickle starts.
        path: the file, for messages.

    Returns:
        dict, list, tuple, str, int, float, bool, bytes, None and numpy arrays, nested; an array of one object is that
        object.

    Raises:
        CheckpointError: the pickle is damaged, names anything else, or leaves anything else; it says what.
    """
    content = _read(stream, path, ARRAY_MAKERS, "latin-1", CheckpointError, WEIGHTS_FIX, _unwrapped)
    if (other := _not_plain(content, (*PLAIN, np.ndarray))) is not None:
        raise CheckpointError(f"arrays of numbers in {path.name}", other, WEIGHTS_FIX)
    return content


class _Refused(Exception):
    """What a pickle asks for and does not get.

    Args:
        expected: what would have been accepted.
        got: what was asked for.
    """

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(expected, got)
        self.expected, self.got = expected, got


def _read(
    stream: BinaryIO,
    path: Path,
    makers: Mapping[tuple[str, str], Callable[..., Any]],
    encoding: str,
    error: type[S2fError],
    fix: str,
    finish: Callable[[Any], Any] = lambda content: content,
) -> Any:
    """What a pickle leaves, made by `makers` alone; `encoding` is that of texts which Python 2 wrote."""
    try:
        return finish(_Reader(stream, makers, encoding).load())
    except _Refused as refused:
        raise error(f"{refused.expected} in {path.name}", refused.got, fix) from refused
    except OSError:
        raise
    except Exception as damaged:  # damaged opcodes raise nearly anything
        got = f"{type(damaged).__name__}: {damaged}"
        raise error(f"a readable pickle at {path}", got, "copy the file again") from damaged


class _Reader(pickle.Unpickler):
    """Finds the stand-ins and nothing else."""

    def __init__(self, stream: Any, makers: Mapping[tuple[str, str], Callable[..., Any]], encoding: str) -> None:
        super().__init__(stream, encoding=encoding)
        self._makers = makers

    def find_class(self, module_name: str, global_name: str) -> Any:
        make = self._makers.get((module_name, global_name))
        if make is None:
            got = f"a pickle that imports {module_name}.{global_name}"
            raise _Refused("plain containers, texts and numbers", got)
        return _Maker(make)

    def persistent_load(self, pid: Any) -> Any:
        got = f"a pickle that refers to an object outside it ({pid!r})"
        raise _Refused("plain containers, texts and numbers", got)


class _Maker:
    """A stand-in that can be called, and neither changed nor kept."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make

    def __call__(self, *args: Any) -> Any:
        return self._make(*args)

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("a state for a function")


class _Type:
    """What numpy says of values: kind, size in bytes and byte order."""

    __slots__ = ("_kind", "_order", "_size")

    def __init__(self, code: str, align: bool = False, copy: bool = True) -> None:
        self._kind, size = code[:1], code[1:]
        if self._kind not in "OUSiufb" or not size.isdecimal():
            raise _Refused("numbers and texts of numpy", f"numpy dtype {code!r}")
        self._size = int(size) * (4 if self._kind == "U" else 1)
        self._order = "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] not in ("<", ">", "|") or state[2:5] != (None, None, None):
            raise _Refused("numbers and texts of numpy", f"a numpy dtype with {state!r}")
        self._order = state[1]

    def value(self, data: bytes) -> str | int | float | bool:
        """The single value that the bytes hold."""
        if self._kind == "O":
            raise _Refused("single numbers and texts of numpy", "numpy dtype 'O'")
        if not isinstance(data, bytes) or len(data) != self._size:
            got = f"{type(data).__name__} of {len(data)}"
            raise _Refused(f"{self._size} bytes of a value of numpy", got)
        order, big = (">", "big") if self._order == ">" else ("<", "little")
        if self._kind == "U":
            return data.decode(f"utf-32-{'be' if big == 'big' else 'le'}").rstrip("\0")
        if self._kind == "S":
            return data.rstrip(b"\0").decode("utf-8")
        if self._kind == "f":
            return float(struct.unpack(order + FLOATS[self._size], data)[0])
        number = int.from_bytes(data, big, signed=self._kind == "i")  # type: ignore[arg-type]
        return bool(number) if self._kind == "b" else number

    def array(self, shape: tuple[int, ...], column_major: bool, data: Any) -> Any:
        """The array that the bytes hold; of the kind object, its one element."""
        if self._kind == "O":
            if type(data) is not list or len(data) != 1:
                raise _Refused("arrays of numbers", "an array of several objects")
            return data[0]
        if self._kind not in "iufb":
            raise _Refused("arrays of numbers", f"an array of numpy dtype {self._kind}{self._size}")
        stored = data.encode("latin-1") if type(data) is str else data  # Python 2 wrote bytes as text
        if type(stored) is not bytes or len(stored) != math.prod(shape) * self._size:
            got = f"{type(stored).__name__} of {len(stored)}"
            raise _Refused(f"{math.prod(shape) * self._size} bytes for an array {shape}", got)
        order = ">" if self._order == ">" else "<"
        values = np.frombuffer(stored, np.dtype(f"{order}{self._kind}{self._size}"))
        native = values.astype(values.dtype.newbyteorder("="))
        return native.reshape(shape, order="F" if column_major else "C")


class _Array:
    """An array under construction: its state says everything."""

    __slots__ = ("content",)

    def __init__(self, kind: Any = None, shape: Any = None, code: Any = None) -> None:
        self.content: Any = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, column_major, data = state
        if not isinstance(kind, _Type):
            raise pickle.UnpicklingError("an array of numpy without its dtype")
        self.content = kind.array(shape, column_major, data)


def _scalar(kind: _Type, data: bytes = b"") -> str | int | float | bool:
    if not isinstance(kind, _Type):
        raise pickle.UnpicklingError("a value of numpy without its dtype")
    return kind.value(data)


def _encoded(text: str, encoding: str) -> bytes:
    """Bytes as protocols 0 to 2 write them."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"bytes encoded as {encoding!r}")
    return text.encode("latin-1")


def _unnamed(*_: Any) -> None:
    """Stands for `numpy.ndarray`, which `_reconstruct` is given and nothing calls."""
    raise pickle.UnpicklingError("a call of numpy.ndarray")


PLAIN_MAKERS: dict[tuple[str, str], Callable[..., Any]] = {
    **{(module, "set"): set for module in ("builtins", "__builtin__")},
    **{(module, "frozenset"): frozenset for module in ("builtins", "__builtin__")},
    **{(module, "scalar"): _scalar for module in ("numpy.core.multiarray", "numpy._core.multiarray")},
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _encoded,
}
ARRAY_MAKERS = PLAIN_MAKERS | {
    **{(module, "_reconstruct"): _Array for module in ("numpy.core.multiarray", "numpy._core.multiarray")},
    ("numpy", "ndarray"): _unnamed,
}


def _unwrapped(content: Any) -> Any:
    """Containers with every `_Array` replaced by what it holds."""
    if isinstance(content, _Array):
        return _unwrapped(content.content)
    if type(content) is dict:
        return {key: _unwrapped(value) for key, value in content.items()}
    if type(content) in (list, tuple):
        return type(content)(_unwrapped(value) for value in content)
    return content


def _not_plain(content: Any, plain: tuple[type, ...]) -> str | None:
    """The first thing found that is not plain, in words."""
    waiting, seen = [content], set()
    while waiting:
        item = waiting.pop()
        if type(item) in plain or id(item) in seen:
            continue
        seen.add(id(item))
        if type(item) is dict:
            waiting += _parts(item.keys(), item.values())
        elif type(item) in (list, tuple, set, frozenset):
            waiting += item
        else:
            return f"a {type(item).__name__.strip('_')}"
    return None


def _parts(*groups: Iterable[Any]) -> list[Any]:
    return [part for group in groups for part in group]
