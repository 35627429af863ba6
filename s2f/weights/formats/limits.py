"""How large a weights file may be, before and after unpacking."""

from __future__ import annotations

from pathlib import Path

from s2f.errors import CheckpointError

MAX_BYTES = 4_000_000_000  # the largest known file, VGG-Face's, has 580 MB
FIX = "take another copy of the weights; none of the known files is nearly as large"


def require_size(path: Path) -> None:
    """Refuse what is no file, or a file larger than `MAX_BYTES`.

    Args:
        path: the file.

    Raises:
        CheckpointError: it is absent, empty or too large.
    """
    if not path.is_file():
        raise CheckpointError("a weights file", f"no file at {path}", "check the spelling; nothing is downloaded")
    size = path.stat().st_size
    if not size:
        raise CheckpointError("a weights file", f"{path}, which is empty", "copy it again")
    require_unpacked(path, size)


def require_unpacked(path: Path, size: int) -> None:
    """Refuse a file whose content takes more than `MAX_BYTES` in memory.

    Args:
        path: the file.
        size: bytes of its content.

    Raises:
        CheckpointError: it is too large.
    """
    if size > MAX_BYTES:
        raise CheckpointError(f"at most {MAX_BYTES / 1e9:g} GB of weights", f"{size / 1e9:.1f} GB in {path}", FIX)


def damaged(path: Path, kind: str, error: object) -> CheckpointError:
    """The error for a file that cannot be read as what it should be.

    Args:
        path: the file.
        kind: what it should be, with its article.
        error: what the reader said.

    Returns:
        The error to raise.
    """
    words = " ".join(str(error).split())
    return CheckpointError(f"{kind} at {path}", f"one that cannot be read ({words[:300]})", "copy the file again")
