"""Pictures of a consistency report: what the length that is heard changes, and what averaging does; PNG and SVG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eval.embeddings.plots import COLOURS
from eval.plotting import new_panels, row_limits, row_values, save_figure
from eval.results import Report, Row

NAMES = {
    "cosine_to_longest": "to the longest length",
    "cosine_to_own_face": "to the own face",
    "gender_agreement": "with the speaker",
    "split_half_cosine": "to as many others",
}
CONTROL = ", shuffled"
COUNTS = ("segments", "clips")


def draw_consistency(report: Report, folder: Path) -> list[Path]:
    """Draw what a report of `s2f-eval consistency` holds: `lengths` and, where there are such rows, `averaging`.

    Args:
        report: of `eval.consistency.evaluate.evaluate`.
        folder: existing folder.

    Returns:
        The files.
    """
    files = save_figure(_lengths(report.rows), folder / "lengths")
    averaged = {name: [row for row in report.rows if name in row.params] for name in COUNTS}
    averaged = {name: rows for name, rows in averaged.items() if rows}
    return files + (save_figure(_averaging(averaged), folder / "averaging") if averaged else [])


def _lengths(rows: Sequence[Row]) -> Figure:
    """Cosines beside, where there is any, gender agreement; by seconds."""
    swept = [row for row in rows if "seconds" in row.params and not {"of", "minus"} & set(row.params)]
    genders = [row for row in swept if row.metric.startswith("gender_")]
    figure, panels = new_panels(2 if genders else 1)
    _curves(panels[0], [row for row in swept if row not in genders], "seconds")
    panels[0].set(title="cosine", xlabel="seconds heard", ylabel="mean cosine of features")
    if genders:
        _curves(panels[1], genders, "seconds")
        panels[1].set(title="gender of the drawn face", xlabel="seconds heard", ylabel="agreement", ylim=(0, 1.02))
    return figure


def _averaging(averaged: dict[str, list[Row]]) -> Figure:
    """One panel for segments, one for clips, as far as there are any."""
    figure, panels = new_panels(len(averaged))
    for panel, (name, rows) in zip(panels, averaged.items(), strict=True):
        _curves(panel, rows, name)
        panel.set(title=f"mean of several {name}", xlabel=f"{name} averaged", ylabel="mean cosine of features")
    return figure


def _curves(panel: Axes, rows: Sequence[Row], by: str) -> None:
    """One line a metric with its band, its control dashed in the same colour."""
    for metric, colour in zip(NAMES, COLOURS, strict=False):
        for control in (None, "shuffled"):
            found = [row for row in rows if (row.metric, row.params.get("control")) == (metric, control)]
            if found:
                points = sorted(found, key=lambda row: row.params[by])
                places = [row.params[by] for row in points]
                label, style = NAMES[metric] + (CONTROL if control else ""), "--" if control else "-"
                panel.plot(places, row_values(points), style, marker="o", markersize=4, color=colour, label=label)
                panel.fill_between(places, *row_limits(points).T, color=colour, alpha=0.15, linewidth=0)
    ticks = sorted({row.params[by] for row in rows if by in row.params})
    panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    panel.legend(frameon=False, fontsize=8)
