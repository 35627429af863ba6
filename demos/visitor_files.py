"""Visitors' files: one folder, deleted when they are old and gone with the server; what comes in is what was sent.

Functions of a page get what visitors sent, as they sent it, and nothing else: no addresses, no files of this machine.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import FileData

MOST_BYTES = 2 * 2**30  # of all files together; beyond it the oldest go first
REFUSAL = (
    "expected an uploaded file, got an address, a path, or a file that was deleted meanwhile; upload the file again"
)
SWEEPS, LONGEST_PAUSE_S = 10, 5.0  # in the time that a file is kept; and at least so often


class VisitorFiles:
    """A temporary folder that forgets.

    Gradio's own `delete_cache` misses uploads that were broken off and files nobody asked for; this looks at all files.

    Args:
        keep_s: how long a file is kept after it was last written, sent or used, see `touch`.

    Attributes:
        root: the folder, resolved.
        keep_s: see above.
    """

    def __init__(self, keep_s: float) -> None:
        self.root, self.keep_s = Path(tempfile.mkdtemp(prefix="s2f-demo-")).resolve(), keep_s

    def new_folder(self) -> Path:
        """A new folder with a name that cannot be guessed."""
        folder = self.root / uuid.uuid4().hex
        folder.mkdir()
        return folder

    def touch(self, path: str | Path) -> bool:
        """Whether a visitor's file is still there; if so it counts as used now.

        Args:
            path: what somebody asks for.

        Returns:
            False for files elsewhere, too.
        """
        try:
            wanted = Path(path).resolve()
            if not wanted.is_relative_to(self.root) or not wanted.is_file():
                return False
            os.utime(wanted)
        except (OSError, ValueError):  # a name no file can have, or deleted this moment
            return False
        return True

    def sweep(self, now: float) -> int:
        """Delete old files, the oldest ones of too many, and folders that are empty and old.

        Args:
            now: seconds since the epoch.

        Returns:
            How many files were deleted.
        """
        files: list[tuple[float, int, Path]] = []
        folders: list[tuple[float, int, Path]] = []
        for path in self.root.rglob("*"):
            try:
                status = path.lstat()
            except FileNotFoundError:
                continue
            (folders if path.is_dir() else files).append((status.st_ctime, status.st_size, path))
        total, deleted = sum(size for _, size, _ in files), 0
        for changed, size, path in sorted(files):
            if now - changed > self.keep_s or total > MOST_BYTES:
                path.unlink(missing_ok=True)
                total, deleted = total - size, deleted + 1
        for changed, _, folder in sorted(folders, key=lambda entry: -len(entry[2].parts)):
            if now - changed > self.keep_s:
                with suppress(OSError):  # not empty
                    folder.rmdir()
        return deleted

    async def sweep_for_ever(self) -> None:
        """Sweep again and again, until the task is cancelled."""
        while True:
            await asyncio.sleep(min(self.keep_s / SWEEPS, LONGEST_PAUSE_S))
            await asyncio.to_thread(self.sweep, time.time())

    def remove(self) -> None:
        """Delete the folder with everything in it."""
        shutil.rmtree(self.root, ignore_errors=True)


def guard(page: gr.Blocks, files: VisitorFiles) -> None:
    """Let functions get what was sent: files as paths, not decoded, and only visitors' own; numbers unchecked.

    Checks and their sentences are then in one place, our own. Gradio would download addresses. It looks at paths only
    once a page was started by its own `launch`, so a page that is mounted would read any file of the machine: it is
    told that it was launched. And a picture that is sent without Gradio's mark of a file passes all its checks: so
    paths are looked at again when they are handed on. Methods are replaced on the objects, because Gradio writes a stub
    file beside the source of every subclass.

    Args:
        page: whole, every component in it.
        files: of visitors, where Gradio keeps its own too.
    """
    page.has_launched = True
    for block in page.blocks.values():
        changed: Any = block
        changed.async_move_resource_to_block_cache = _inside(block, files)
        if isinstance(block, gr.components.Component):
            changed.preprocess = _sent_to(files)
        if isinstance(block, gr.Audio):
            changed.postprocess = _file  # Gradio's would run ffmpeg where it is installed


def _checked(path: str | Path, files: VisitorFiles) -> None:
    if not files.touch(path):
        raise gr.Error(REFUSAL, print_exception=False)


def _inside(block: Any, files: VisitorFiles) -> Callable[..., Any]:
    """Gradio's hook for every file with its mark that comes in or goes out."""
    keep = block.async_move_resource_to_block_cache

    async def inside(url_or_file_path: str | Path | None) -> str | None:
        if url_or_file_path is not None:
            _checked(url_or_file_path, files)
        return await keep(url_or_file_path)

    return inside


def _sent_to(files: VisitorFiles) -> Callable[[Any], Any]:
    """What a function gets of a payload: a path, a list of paths, or the value itself."""

    def sent(payload: Any) -> Any:
        if hasattr(payload, "root"):
            return [sent(file) for file in payload.root]
        if not hasattr(payload, "path"):
            return payload
        _checked(payload.path or "", files)
        return payload.path

    return sent


def _file(path: str | None) -> FileData | None:
    return None if path is None else FileData(path=path)
