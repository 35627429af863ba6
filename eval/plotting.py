"""What all plots share: panels, saving, values and limits of rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eval.results import Row


def row_values(rows: Sequence[Row]) -> Float[np.ndarray, " N"]:
    """The figures, NaN where they are undefined."""
    return np.array([np.nan if row.value is None else row.value for row in rows])


def row_limits(rows: Sequence[Row]) -> Float[np.ndarray, "N 2"]:
    """Limits of the intervals, NaN where there is none."""
    return np.array([[np.nan if limit is None else limit for limit in (row.ci_low, row.ci_high)] for row in rows])


def new_panels(count: int) -> tuple[Figure, Sequence[Axes]]:
    """A figure with so many panels side by side."""
    figure = Figure(figsize=(5.2 * count, 4.4), layout="constrained")
    panels = figure.subplots(1, count, squeeze=False)[0]
    for panel in panels:
        panel.spines[["top", "right"]].set_visible(False)
    return figure, panels


def save_figure(figure: Figure, stem: Path) -> list[Path]:
    """Write a figure as PNG and SVG; the same figure gives the same bytes.

    Args:
        figure: the figure.
        stem: both files without their suffix, in an existing folder.

    Returns:
        The files.
    """
    files = [stem.with_suffix(".png"), stem.with_suffix(".svg")]
    with matplotlib.rc_context({"svg.hashsalt": stem.name}):
        for path, date in zip(files, ({}, {"Date": None}), strict=True):
            figure.savefig(path, dpi=150, metadata=date)
    return files
