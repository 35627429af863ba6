"""Pieces of HTML pages that are one file each: no scripts, no outside requests, light and dark, fit for a phone."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from typing import Literal

STYLE = """
:root{color-scheme:light dark;--ink:#1c1c1e;--dim:#63636a;--line:#d5d5da;--page:#fff;--f:#c2541f;--m:#2f74c0}
@media(prefers-color-scheme:dark){:root{--ink:#e8e8ea;--dim:#a0a0a8;--line:#3c3c42;--page:#18181a;--f:#ee8a52;--m:#6aa9ef}}
body{margin:0 auto;max-width:68rem;padding:1rem;background:var(--page);color:var(--ink);
font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.5rem;margin:.2em 0}h2{font-size:1.15rem;margin:2em 0 .4em}p{max-width:46rem;margin:.4em 0}
img{max-width:100%;height:auto;border-radius:4px}.scroll{overflow-x:auto}.dim{color:var(--dim);font-size:.875rem}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{padding:.25em .8em .25em 0;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}
th:first-child,td:first-child,.settings :is(th,td){text-align:left}
.settings td{white-space:normal;overflow-wrap:anywhere}th{font-weight:600}
.panels{display:grid;gap:.5rem 1.5rem;grid-template-columns:repeat(auto-fill,minmax(17rem,1fr))}
"""


def page(title: str, body: str, style: str) -> str:
    """A whole page.

    Args:
        title: of the window and above the body, not yet escaped.
        body: HTML below the title.
        style: CSS, beginning with `STYLE`.

    Returns:
        The text of the file.
    """
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head><body><h1>{escape(title)}</h1>{body}"
        "</body></html>\n"
    )


def table(header: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """HTML table; every cell is escaped, numbers are rounded, None and NaN are a dash."""

    def line(cells: Sequence[object], tag: str) -> str:
        return f"<tr>{''.join(f'<{tag}>{cell_text(cell)}</{tag}>' for cell in cells)}</tr>"

    body = "".join(line(row, "td") for row in rows)
    return f'<div class="scroll"><table>{line(header, "th")}{body}</table></div>'


def facts_table(facts: Iterable[tuple[object, object]]) -> str:
    """Table of names and values; long values are broken instead of scrolled."""
    return f'<div class="settings">{table(("name", "value"), facts)}</div>'


def cell_text(value: object) -> str:
    """Escaped text of a cell: floats with three decimals, None and NaN as a dash."""
    if value is None or value != value:
        return "\N{EN DASH}"
    return f"{value:.3f}" if isinstance(value, float) else escape(str(value))


def picture(content: bytes, kind: Literal["png", "jpeg"], alt: str) -> str:
    """A picture that lies in the page itself.

    Args:
        content: bytes of the file.
        kind: its format.
        alt: what it shows, not yet escaped.

    Returns:
        An `img` element.
    """
    source = base64.b64encode(content).decode()
    return f'<img alt="{escape(alt)}" src="data:image/{kind};base64,{source}">'
