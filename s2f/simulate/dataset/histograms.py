"""Small histograms of women and men laid over each other, one picture each."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = {"f": "#c2541f", "m": "#2f74c0"}
BINS_PER_TICK, TICKS = 5, 5
SIZE_PT, FONT_PT = (345, 104), 10
AXES_PT = (30, 18, 300, 80)  # left, bottom, width, height


def bin_edges(low: float, high: float) -> np.ndarray:
    """Bin edges from round number to round number, about `TICKS` of them labelled.

    Args:
        low: smallest number.
        high: largest number.

    Returns:
        Ascending edges; every `BINS_PER_TICK`-th is round.
    """
    rough = max(high - low, 1e-6) / TICKS
    power = 10.0 ** np.floor(np.log10(rough))
    step = power * next(round_number for round_number in (1, 2, 5, 10) if round_number * power >= rough)
    first, last = int(np.floor(low / step)), int(np.floor(high / step)) + 1
    return np.linspace(first * step, last * step, BINS_PER_TICK * (last - first) + 1)


def histogram(values: Mapping[str, Sequence[float]], edges: np.ndarray) -> bytes:
    """Overlaid histograms as an SVG file; the same numbers give the same bytes.

    Args:
        values: numbers by "f" or "m"; those outside the edges are not drawn.
        edges: bin edges.

    Returns:
        Content of the file, with dark ink on no ground.
    """
    wide, high = SIZE_PT
    figure = Figure(figsize=(wide / 72, high / 72))
    left, bottom, width, height = AXES_PT
    draw(figure.add_axes((left / wide, bottom / high, width / wide, height / high)), values, edges)
    content = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "s2f", "svg.fonttype": "none"}):
        figure.savefig(content, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return content.getvalue()


def draw(panel: Axes, values: Mapping[str, Sequence[float]], edges: np.ndarray) -> None:
    """Draw the bars of `histogram`; the one tick to the left is the highest of them."""
    most = 0
    for key, numbers in values.items():
        count = np.histogram(numbers, edges)[0]
        some = count > 0
        panel.bar(
            edges[:-1][some], count[some], 0.97 * np.diff(edges)[some], align="edge", color=COLOURS[key], alpha=0.55
        )
        most = max(most, int(count.max()))
    panel.set(xlim=(edges[0], edges[-1]), ylim=(0, max(most, 1)), yticks=[most])
    panel.set_xticks(edges[::BINS_PER_TICK], [f"{value:.5g}" for value in edges[::BINS_PER_TICK]])
    panel.tick_params(length=0, labelsize=FONT_PT, labelcolor="#63636a")
    panel.spines[["top", "left", "right"]].set_visible(False)
    panel.spines["bottom"].set_color("#b8b8be")
