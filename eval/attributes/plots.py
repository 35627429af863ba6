"""Pictures of confusion matrices, as Speech2Face's Fig. 4a: rows divided by their sum, the reference to the left."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eval.plotting import save_figure
from eval.results import Row

ENDING = "_confusion"
SHOWN = {"v2f": "face drawn from the voice (S2F)", "f2f": "face drawn from the picture (F2F)", "true": "true picture"}
REFERENCES = {"picture": "true picture", "label": "label of the person"}
DARK = 0.55  # shares above it are written in white


def draw_confusions(rows: Sequence[Row], folder: Path) -> list[Path]:
    """Draw the rows `<attribute>_confusion`, one figure for each direction and reference, one panel an attribute.

    Paper: Speech2Face (CVPR 2019), Fig. 4a. Every cell is the share of the people of its row; n is written at the row.

    Args:
        rows: of `eval.attributes.picture_rows.picture_rows`, or any that hold such rows; those without a `reference`
            among their parameters are left out.
        folder: existing folder.

    Returns:
        The files, `confusion_<direction>_<reference>` as PNG and SVG; none without such rows.
    """
    cells: dict[tuple[str, str], dict[str, list[Row]]] = {}
    for row in rows:
        if row.metric.endswith(ENDING) and "reference" in row.params:
            found = cells.setdefault((row.direction, row.params["reference"]), {})
            found.setdefault(row.metric.removesuffix(ENDING), []).append(row)
    files = []
    for (direction, reference), attributes in cells.items():
        figure = Figure(figsize=(4.1 * len(attributes), 3.9), layout="constrained")
        panels = figure.subplots(1, len(attributes), squeeze=False)[0]
        for panel, (attribute, shares) in zip(panels, attributes.items(), strict=True):
            _matrix(panel, shares)
            panel.set_title(attribute.replace("_", " "))
            panel.set_xlabel(SHOWN.get(direction, direction))
        panels[0].set_ylabel(REFERENCES.get(reference, reference))
        files += save_figure(figure, folder / f"confusion_{direction}_{reference}")
    return files


def _matrix(panel: Axes, rows: Sequence[Row]) -> None:
    """One matrix: a row for each class of the reference that is present, a column for each answer."""
    groups = list(dict.fromkeys(row.group for row in rows))
    shown = list(dict.fromkeys(str(row.params["shown"]) for row in rows))
    shares = np.full((len(groups), len(shown)), np.nan)
    for row in rows:
        shares[groups.index(row.group), shown.index(str(row.params["shown"]))] = row.value
    counts = {row.group: row.n for row in rows}
    panel.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (down, across), share in np.ndenumerate(shares):
        colour = "white" if share > DARK else "black"
        panel.text(across, down, f"{100 * share:.0f} %", ha="center", va="center", color=colour)
    panel.set_xticks(range(len(shown)), shown)
    panel.set_yticks(range(len(groups)), [f"{name}\nn = {counts[name]}" for name in groups])
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)
