"""Read pickles of other people's lists without running anything that they say.

A pickle is a program: it names functions and calls them. Here it can name nothing but the few stand-ins below, which
make sets, bytes and single numbers or texts of numpy. What it leaves must be plain containers, texts and numbers.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from s2f.errors import DatasetError

PLAIN = (str, int, float, bool, bytes, type(None))
FLOATS = {2: "e", 4: "f", 8: "d"}
FIX = "use the list only if you trust its source: write it again with plain containers, texts and numbers"


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
            content = _Reader(stream, path.name).load()
    except DatasetError:
        raise
    except OSError as error:
        raise DatasetError(f"a list at {path}", error.strerror or str(error), "correct the path") from error
    except Exception as error:  # damaged opcodes raise nearly anything
        got = f"{type(error).__name__}: {error}"
        raise DatasetError(f"a readable pickle at {path}", got, "copy the file again") from error
    if (other := _not_plain(content)) is not None:
        raise DatasetError(f"plain containers, texts and numbers in {path.name}", other, FIX)
    return content


class _Reader(pickle.Unpickler):
    """Finds the stand-ins and nothing else."""

    def __init__(self, stream: Any, name: str) -> None:
        super().__init__(stream, encoding="utf-8")
        self._name = name

    def find_class(self, module_name: str, global_name: str) -> Any:
        make = MAKERS.get((module_name, global_name))
        if make is None:
            got = f"a pickle that imports {module_name}.{global_name}"
            raise DatasetError(f"plain containers, texts and numbers in {self._name}", got, FIX)
        return _Maker(make)

    def persistent_load(self, pid: Any) -> Any:
        got = f"a pickle that refers to an object outside it ({pid!r})"
        raise DatasetError(f"plain containers, texts and numbers in {self._name}", got, FIX)


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
    """What numpy says of a single value: kind, size in bytes and byte order."""

    __slots__ = ("_kind", "_order", "_size")

    def __init__(self, code: str, align: bool = False, copy: bool = True) -> None:
        self._kind, size = code[:1], code[1:]
        if self._kind not in "USiufb" or not size.isdecimal():
            raise DatasetError("single numbers and texts of numpy", f"numpy dtype {code!r}", FIX)
        self._size = int(size) * (4 if self._kind == "U" else 1)
        self._order = "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] not in ("<", ">", "|") or state[2:5] != (None, None, None):
            raise DatasetError("single numbers and texts of numpy", f"a numpy dtype with {state!r}", FIX)
        self._order = state[1]

    def value(self, data: bytes) -> str | int | float | bool:
        """The value that the bytes hold."""
        if not isinstance(data, bytes) or len(data) != self._size:
            got = f"{type(data).__name__} of {len(data)}"
            raise DatasetError(f"{self._size} bytes of a value of numpy", got, "copy the file again")
        order, big = (">", "big") if self._order == ">" else ("<", "little")
        if self._kind == "U":
            return data.decode(f"utf-32-{'be' if big == 'big' else 'le'}").rstrip("\0")
        if self._kind == "S":
            return data.rstrip(b"\0").decode("utf-8")
        if self._kind == "f":
            return float(struct.unpack(order + FLOATS[self._size], data)[0])
        number = int.from_bytes(data, big, signed=self._kind == "i")  # type: ignore[arg-type]
        return bool(number) if self._kind == "b" else number


def _scalar(kind: _Type, data: bytes = b"") -> str | int | float | bool:
    if not isinstance(kind, _Type):
        raise pickle.UnpicklingError("a value of numpy without its dtype")
    return kind.value(data)


def _encoded(text: str, encoding: str) -> bytes:
    """Bytes as protocols 0 to 2 write them."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"bytes encoded as {encoding!r}")
    return text.encode("latin-1")


MAKERS: dict[tuple[str, str], Callable[..., Any]] = {
    **{(module, "set"): set for module in ("builtins", "__builtin__")},
    **{(module, "frozenset"): frozenset for module in ("builtins", "__builtin__")},
    **{(module, "scalar"): _scalar for module in ("numpy.core.multiarray", "numpy._core.multiarray")},
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _encoded,
}


def _not_plain(content: Any) -> str | None:
    """The first thing found that is not plain, in words."""
    waiting, seen = [content], set()
    while waiting:
        item = waiting.pop()
        if type(item) in PLAIN or id(item) in seen:
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
