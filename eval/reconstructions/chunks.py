"""Long work in chunks, each kept in a file as soon as it is done, so that an interrupted call goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TypeVar

import numpy as np
from tqdm import tqdm

from s2f.runtime.files import write_bytes

CHUNK = 32
Item = TypeVar("Item")


def in_chunks(
    items: Sequence[Item], folder: Path, label: str, work: Callable[[Sequence[Item]], Mapping[str, np.ndarray]]
) -> list[Path]:
    """Do what is not done yet, with a progress bar.

    Args:
        items: all of them, in an order that never changes.
        folder: where the chunks are kept.
        label: begins their names, and is shown by the progress bar.
        work: takes some items to arrays; it is not called for a chunk whose file is there.

    Returns:
        The chunks' files, in order.
    """
    paths = []
    with tqdm(total=len(items), desc=label, unit="people") as progress:
        for number, first in enumerate(range(0, len(items), CHUNK)):
            chunk, path = items[first : first + CHUNK], folder / f"{label}_{number:06d}.npz"
            if not path.is_file():
                content = BytesIO()
                np.savez(content, **work(chunk))  # type: ignore[arg-type]
                write_bytes(path, content.getvalue())
            paths.append(path)
            progress.update(len(chunk))
    return paths


def gathered(paths: Sequence[Path], name: str) -> np.ndarray:
    """One array of all chunks together, along its first axis; chunks without it are passed over.

    Raises:
        ValueError: no chunk has it.
    """
    parts = []
    for path in paths:
        with np.load(path, allow_pickle=False) as stored:
            if name in stored:
                parts.append(stored[name])
    return np.concatenate(parts)
