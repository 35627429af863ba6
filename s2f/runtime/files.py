"""Writing without leaving half a result behind: a temporary name first, then a rename."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from s2f.errors import OutputError, S2fError

GO_ON = "make room or give another folder; the same command goes on where it stopped"


@contextmanager
def whole_folder(final: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes `final` when the block ends without an error, replacing what was there."""
    partial = final.with_name(final.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    yield partial
    shutil.rmtree(final, ignore_errors=True)
    os.replace(partial, final)


@contextmanager
def replaced_entries(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder whose entries replace those of `folder` when the block ends without an error.

    Other entries of `folder` stay. Each entry appears whole: a file or a sub-folder.
    """
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    yield partial
    folder.mkdir(parents=True, exist_ok=True)
    for entry in sorted(partial.iterdir()):
        target = folder / entry.name
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        os.replace(entry, target)
    partial.rmdir()


@contextmanager
def writing(
    folder: Path, fix: Callable[[], str] = lambda: GO_ON, errors: tuple[type[Exception], ...] = (OSError,)
) -> Iterator[None]:
    """Turn a write that fails into one sentence that says how to go on.

    Args:
        folder: that is written to.
        fix: says how to go on; asked only when something failed.
        errors: what a failing write raises here.

    Raises:
        OutputError: the disk is full, a quota is used up, the folder was removed, ...
    """
    try:
        yield
    except S2fError:  # some are OSErrors too: a missing recording is no full disk
        raise
    except errors as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise OutputError(f"room and permission to write in {folder}", reason, fix()) from error


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file in one step, replacing what was there; several processes may write the same one."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file in one step; line ends stay as they are."""
    write_bytes(path, text.encode())


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a UTF-8 CSV table in one step.

    Args:
        path: the file.
        header: column names.
        rows: cells in the order of the header.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, text.getvalue())
