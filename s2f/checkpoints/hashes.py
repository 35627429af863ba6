"""`SHA256SUMS`: the list of what a checkpoint folder holds, in the form that `sha256sum -c` reads."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from s2f.checkpoints.loading import contained
from s2f.errors import CheckpointError
from s2f.runtime.files import file_sha256, write_text

MANIFEST = "SHA256SUMS"
LINE = re.compile(r"([0-9a-f]{64})  (\S.*)")
MAX_BYTES = 10_000_000
AGAIN = "copy the whole checkpoint from its source"


def write_manifest(folder: str | Path) -> Path:
    """List the files of a folder, sub-folders included, with their SHA-256.

    Args:
        folder: a checkpoint folder.

    Returns:
        The list.

    Raises:
        CheckpointError: a file that leads out of the folder, or a name with a line break or a backslash.
    """
    folder = Path(folder)
    lines = []
    for path in _files(folder):
        name = path.relative_to(folder).as_posix()
        if re.search(r"[\n\r\\]", name):
            raise CheckpointError(f"plain file names in {folder}", repr(name), "rename the file")
        lines.append(f"{file_sha256(contained(path, folder))}  {name}\n")
    write_text(folder / MANIFEST, "".join(lines))
    return folder / MANIFEST


def read_manifest(folder: Path) -> dict[str, str]:
    """The list of a folder.

    Args:
        folder: a checkpoint folder.

    Returns:
        Path relative to the folder, with slashes, to SHA-256.

    Raises:
        CheckpointError: no list, a line of another form, or a path that leads elsewhere.
    """
    path = contained(folder / MANIFEST, folder)
    if not path.is_file():
        fix = "`s2f weights card` writes it for a checkpoint made before there were such lists"
        raise CheckpointError(f"{MANIFEST} in {folder}", "none", fix)
    if path.stat().st_size > MAX_BYTES:
        raise CheckpointError(f"at most {MAX_BYTES / 1e6:g} MB in {path}", "more", AGAIN)
    try:
        rows = [LINE.fullmatch(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except UnicodeDecodeError as error:
        raise CheckpointError(f"a text at {path}", str(error), AGAIN) from error
    if None in rows or not rows:
        raise CheckpointError(f"lines `<sha256>  <path>` in {path}", "others", AGAIN)
    listed = {row[2]: row[1] for row in rows if row is not None}
    for name in listed:
        parts = PurePosixPath(name)
        if parts.is_absolute() or ".." in parts.parts or "\\" in name:
            raise CheckpointError(f"paths inside the folder in {path}", repr(name), AGAIN)
    return listed


class Compared(NamedTuple):
    """How many files are as listed, and one phrase for every one that is not."""

    files: int
    faults: list[str]


def compare(folder: str | Path) -> Compared:
    """Compare the files of a folder with its list.

    Args:
        folder: a checkpoint, or the folder of one network.

    Raises:
        CheckpointError: no folder, or no list that can be used; see `read_manifest`.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise CheckpointError("a checkpoint folder", f"no folder at {folder}", "check the spelling")
    listed = read_manifest(folder)
    faults = [fault for name, expected in listed.items() if (fault := _fault(folder, name, expected))]
    present = {path.relative_to(folder).as_posix() for path in _files(folder)}
    unlisted = [f"{name} is not listed" for name in sorted(present - listed.keys())]
    return Compared(len(listed) - len(faults), [*faults, *unlisted])


def _fault(folder: Path, name: str, expected: str) -> str | None:
    path = folder / name
    try:
        if not contained(path, folder).is_file():
            return f"{name} is missing"
    except CheckpointError as error:
        return str(error)
    return None if file_sha256(path) == expected else f"{name} has changed"


def _files(folder: Path) -> list[Path]:
    """All files but the list itself, in the order of their names."""
    found = [path for path in folder.rglob("*") if path.is_file() or path.is_symlink()]
    if linked := [path for path in found if path.is_dir()]:
        raise CheckpointError(
            f"files inside {folder}", f"{linked[0]}, a link to a folder", "put the folder itself there"
        )
    return sorted((p for p in found if p != folder / MANIFEST), key=lambda path: path.relative_to(folder).as_posix())
