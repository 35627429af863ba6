"""What comes in is what visitors uploaded, and nothing else: no addresses to fetch from, no files of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import gradio as gr
from gradio.data_classes import FileData

REFUSAL = "expected an uploaded file, got an address or a path; upload the file itself"

Component = TypeVar("Component", gr.Audio, gr.Image, gr.File)


def as_they_came(component: Component) -> Component:
    """Make a component hand on files as they were uploaded, not decoded or converted.

    The method is replaced on the object: Gradio writes a stub file beside the source of every subclass.

    Args:
        component: audio, image, or several files.

    Returns:
        The same component; what a function gets from it is a path or None, or a list of paths.
    """
    changed: Any = component
    changed.preprocess = _paths if isinstance(component, gr.File) else _path
    return component


def _path(payload: FileData | None) -> str | None:
    return payload.path if payload else None


def _paths(payload: Any) -> list[str]:
    return [file.path for file in payload or []]


def guard(page: gr.Blocks, root: Path) -> None:
    """Refuse every file that does not lie in the folder of visitors, whatever component it is sent to.

    Gradio downloads addresses itself. And it looks at paths only once a page was started by its own `launch`, so a page
    that is mounted would read any file of the machine: it is told that it was launched.

    Args:
        page: whole, every component in it.
        root: Gradio's folder for files.
    """
    page.has_launched = True
    for block in page.blocks.values():
        _guard(block, root)


def _guard(block: Any, root: Path) -> None:
    keep = block.async_move_resource_to_block_cache

    async def inside(url_or_file_path: str | Path | None) -> str | None:
        if url_or_file_path is not None and not Path(url_or_file_path).resolve().is_relative_to(root.resolve()):
            raise gr.Error(REFUSAL, print_exception=False)
        return await keep(url_or_file_path)

    block.async_move_resource_to_block_cache = inside
