"""What comes in is what visitors sent, as they sent it, and nothing else: no addresses, no files of this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import FileData

from demos.visitor_files import VisitorFiles

REFUSAL = (
    "expected an uploaded file, got an address, a path, or a file that was deleted meanwhile; upload the file again"
)


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
