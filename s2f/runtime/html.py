"""HTML pages by Jinja2 templates: one file each, no scripts, no outside requests, light and dark, fit for a phone.

Beside this module, `page.html.jinja` is the frame that every page extends; `pieces.html.jinja` has tables and pictures.
"""

from __future__ import annotations

import base64
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def environment(folder: Path) -> Environment:
    """Templates of a folder, and those that all pages share.

    Args:
        folder: holds `*.html.jinja`.

    Returns:
        Loads templates in which every value is escaped and an unknown name is an error.
    """
    templates = Environment(
        loader=FileSystemLoader([folder, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters |= {"cell": cell_text, "base64": _base64}
    return templates


def cell_text(value: object) -> str:
    """Text of a cell, not yet escaped: floats with three decimals, None and NaN as a dash."""
    if value is None or value != value:
        return "\N{EN DASH}"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
