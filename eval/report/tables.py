"""Tables of a report's rows: every figure with its interval, chance level, n, and how the interval was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from eval.results import SETTINGS, Row, number_text, range_text

DIRECTIONS = {
    "v2f": "from voice",
    "f2v": "from face",
    "f2f": "from picture",
    "f2s": "F2F against S2F",
    "true": "true pictures",
    "rendered": "rendered pictures",
    "photo": "photos",
}
BESIDE = {
    "planted": "planted",
    "published": "paper",
    "recorded": "as simulated",
    "p": "p",
    "q": "q",
    "significant": "q ≤ .05",
    "shuffled": "shuffled",
    "by_speaker": "95 % over speakers",
    "prior_random": "random answers",
    "std": "std. dev.",
    "undefined_draws": "undefined draws",
}
"""Parameters that are further figures of a row, not settings, with their headings."""
APART = ("control", "scale", "shown")  # settings by which rows of one table may differ
TITLE = 3  # metrics named in a heading
Column = tuple[str, list[str]]  # heading and cells


class RowsTable(NamedTuple):
    """A table of figures.

    Attributes:
        said: what is the same in all rows, in one line; "" if nothing is.
        header: headings of the columns.
        rows: texts of the cells.
    """

    said: str
    header: list[str]
    rows: list[tuple[str, ...]]


def rows_tables(rows: Sequence[Row]) -> list[tuple[str, RowsTable]]:
    """Tables of any rows: metrics of one direction that have the same settings share a table.

    Args:
        rows: of a report.

    Returns:
        Every table with its heading.
    """
    shapes: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        shapes.setdefault((row.direction, row.metric), set()).update(row.params)
    tables: dict[tuple[str, frozenset[str]], list[Row]] = {}
    for row in rows:
        settings = shapes[row.direction, row.metric] - {*BESIDE, *APART}
        tables.setdefault((row.direction, frozenset(settings)), []).append(row)
    return [(_title(some), rows_table(some)) for some in tables.values()]


def rows_table(rows: Sequence[Row], value: str = "value") -> RowsTable:
    """One table; what is the same in all rows is said once above it.

    Args:
        rows: at least one.
        value: heading of the figures.

    Returns:
        The table.
    """
    figures = [
        (value, [row.ci_method if row.value is None else number_text(row.value) for row in rows]),
        ("95 % interval", [range_text(row.ci_low, row.ci_high) for row in rows]),
    ]
    columns = [
        ("interval by", ["" if row.value is None else row.ci_method for row in rows]),
        ("chance", [number_text(row.chance) for row in rows]),
        ("n", [str(row.n) for row in rows]),
    ]
    beside = [(text, _cells(rows, name)) for name, text in BESIDE.items() if any(name in row.params for row in rows)]
    settings = _settings(rows)
    said = ", ".join(f"{name}: {cells[0] or 'none'}" for name, cells in [*settings, *columns] if _same(cells))
    shown = [one for one in settings if not _same(one[1])] + figures
    shown += [one for one in columns if not _same(one[1])] + beside
    return RowsTable(said, [name for name, _ in shown], list(zip(*(cells for _, cells in shown), strict=True)))


def _settings(rows: Sequence[Row]) -> list[Column]:
    """What tells the rows of a table apart, or is true of all of them."""
    columns = [
        ("metric", [words(row.metric) for row in rows]),
        ("direction", [DIRECTIONS.get(row.direction, row.direction) for row in rows]),
        ("group", ["all" if row.group == "U" else row.group for row in rows]),
    ]
    columns = [one for one in columns if len(set(one[1])) > 1 or (one[0] == "group" and one[1][0] != "all")]
    for name in dict.fromkeys(name for row in rows for name in row.params if name not in BESIDE):
        cells = _cells(rows, name)
        common = set(cells) - {""} if name in SETTINGS else set()
        columns.append((words(name), [*common] * len(rows) if len(common) == 1 else cells))
    return columns


def _cells(rows: Sequence[Row], name: str) -> list[str]:
    cells = [_param(row.params.get(name, "none" if name == "control" else None)) for row in rows]
    return [words(cell) for cell in cells] if name == "measure" else cells


def _same(cells: Sequence[str]) -> bool:
    return len(set(cells)) == 1 < len(cells)


def words(name: str) -> str:
    """A name without underscores."""
    return name.replace("_", " ")


def _title(rows: Sequence[Row]) -> str:
    metrics, where = dict.fromkeys(words(row.metric) for row in rows), rows[0].direction
    where = DIRECTIONS.get(where, where)
    return f"{', '.join(metrics)}: {where}" if len(metrics) <= TITLE else where[:1].upper() + where[1:]


def _param(value: Any) -> str:
    """A parameter in words: limits as a range, limits around a mean as the mean with them."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{words(key)}: {_param(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        cells = [f"{inner:z.3f}" if isinstance(inner, float) else _param(inner) for inner in value]
        if len(cells) == 2:
            return "..".join(cells)
        return f"{cells[1]} ({cells[0]}..{cells[2]})" if len(cells) == 3 else ", ".join(cells)
    return "" if value is None else str(value)
