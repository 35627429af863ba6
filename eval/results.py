"""What every evaluation returns: rows with value, interval, chance and n, as a table or as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

UNDEFINED = "undefined, no variance"
SETTINGS = ("seconds", "split", "landmarks", "weighting", "negatives", "list")


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
    numbers = [_number(number) for number in (row.value, row.ci_low, row.ci_high, row.chance)]
    interval = "" if row.ci_low is None else f"{numbers[1]}..{numbers[2]}"
    where = row.metric, row.direction, row.group
    return (*where, numbers[0], interval, numbers[3], str(row.n), row.ci_method, params)


def _number(number: float | None) -> str:
    """Three decimals, four of small ones; nothing of nothing."""
    if number is None:
        return ""
    return f"{number:.4f}" if 0 < abs(number) < 0.1 else f"{number:.3f}"
