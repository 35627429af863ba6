"""What every evaluation returns: rows with value, interval, chance and n, as a table or as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from s2f.errors import DatasetError

UNDEFINED = "undefined, no variance"
WRITE = "write it with `s2f-eval … --json`, or remove it"
SETTINGS = ("seconds", "split", "landmarks", "weighting", "negatives", "list")
NO_METHOD = "none: fewer than two clusters of people"
Direction = Literal["v2f", "f2v"]
DIRECTIONS: tuple[Direction, Direction] = ("v2f", "f2v")


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        metric: name of the measure.
        direction: v2f (voice to face), f2f (face to face), f2s (a face drawn from a photo against one drawn from the
            voice) or a data split's own pictures.
        group: U for everybody, or the group's value.
        value: the figure, None where it is undefined.
        ci_low: lower limit of its interval, None where there is none.
        ci_high: upper limit.
        ci_method: how the interval was made, or why there is none; `UNDEFINED` where the value is None.
        chance: value that guessing reaches, None where there is none.
        n: number of independent items.
        params: what else defines the figure.
    """

    metric: str
    direction: str
    group: str
    value: float | None
    ci_low: float | None
    ci_high: float | None
    ci_method: str
    chance: float | None
    n: int
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """Rows with the protocol and the people they belong to.

    Attributes:
        protocol: name and version of how the figures were made.
        split_hash: of the people.
        rows: the figures.
        notes: what was left out and how much of it, a sentence each.
    """

    protocol: str
    split_hash: str
    rows: Sequence[Row]
    notes: Sequence[str] = ()

    def json(self) -> str:
        """One JSON object."""
        content = {"protocol": self.protocol, "split_hash": self.split_hash, "rows": [asdict(row) for row in self.rows]}
        return json.dumps(content | {"notes": list(self.notes)}, allow_nan=False)

    def table(self) -> str:
        """Text table for people; settings that are the same in every row that has them are said once above it."""
        head = ("metric", "direction", "group", "value", "interval", "chance", "n", "interval by", "parameters")
        settings = self._settings()
        lines = [head, *(_cells(row, settings) for row in self.rows)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
        text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
        said = [f"{name}={value}" for name, value in settings.items()]
        head_line = ", ".join([f"protocol {self.protocol}", f"split {self.split_hash[:12]}", *said])
        return "\n".join([head_line, *(line.rstrip() for line in text), *(f"note: {note}" for note in self.notes)])

    def _settings(self) -> dict[str, Any]:
        values = {name: [row.params[name] for row in self.rows if name in row.params] for name in SETTINGS}
        return {name: found[0] for name, found in values.items() if found and found.count(found[0]) == len(found)}


def _cells(row: Row, settings: Mapping[str, Any]) -> tuple[str, ...]:
    params = ", ".join(f"{name}={value}" for name, value in row.params.items() if name not in settings)
    where = row.metric, row.direction, row.group
    value, chance = number_text(row.value), number_text(row.chance)
    return (*where, value, range_text(row.ci_low, row.ci_high), chance, str(row.n), row.ci_method, params)


def range_text(low: float | None, high: float | None) -> str:
    """Limits as "0.700..0.800"; nothing where there are none."""
    return "" if low is None else f"{number_text(low)}..{number_text(high)}"


def number_text(number: float | None) -> str:
    """Three decimals, four of small ones; nothing of nothing."""
    if number is None:
        return ""
    return f"{number:z.4f}" if 0 < abs(number) < 0.1 else f"{number:.3f}"


def read_report(path: Path) -> Report:
    """Read a report that was written as JSON.

    Args:
        path: what a command printed with `--json`.

    Returns:
        The report.

    Raises:
        DatasetError: unreadable, or no report.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(f"a report in {path}", str(error), WRITE) from error
    return report_of(content, str(path))


def report_of(content: Any, source: str) -> Report:
    """A report from the JSON object of one.

    Args:
        content: the object.
        source: where it comes from, for the message.

    Returns:
        The report.

    Raises:
        DatasetError: it is no report.
    """
    try:
        rows = [Row(**row) for row in content["rows"]]
        report = Report(content["protocol"], content["split_hash"], rows, content["notes"])
        _check(report)
    except (TypeError, KeyError, OverflowError) as error:
        got = f"{type(error).__name__}: {error}"
        raise DatasetError(f"a report in {source}", got, WRITE) from error
    return report


def _check(report: Report) -> None:
    """Refuse what has the names of a report but not its types."""
    texts = [report.protocol, report.split_hash, *report.notes]
    texts += [text for row in report.rows for text in (row.metric, row.direction, row.group, row.ci_method)]
    numbers = [number for row in report.rows for number in (row.value, row.ci_low, row.ci_high, row.chance, row.n)]
    whole = all((row.ci_low is None) == (row.ci_high is None) and row.n is not None for row in report.rows)
    if not (whole and isinstance(report.notes, list) and all(isinstance(row.params, dict) for row in report.rows)):
        raise TypeError("notes, parameters or intervals that are incomplete")
    for text in texts:
        if not isinstance(text, str):
            raise TypeError(f"{text!r} where a text belongs")
    for number in numbers:
        if number is not None and not _is_number(number):
            raise TypeError(f"{number!r} where a number belongs")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
