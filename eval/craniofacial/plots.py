"""Pictures of a craniofacial report: every measure of A against B, and examples with the landmarks drawn in.

Paper: Speech2Face (CVPR 2019), Fig. 5: (a) and (b) show a face of each kind with landmarks and measured lines. The
examples here are a seeded random choice among all pairs that could be measured; nobody picks them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke
from PIL import Image

from eval.craniofacial.pairs import PointPairs
from eval.embeddings.plots import COLOURS
from eval.faces.landmarks import HEIGHT_PX
from eval.faces.pictures import read_picture
from eval.plotting import save_figure
from eval.results import Report, Row
from s2f.faces.craniofacial import DIMENSIONS, MEASURES, craniofacial_measures

UNITS = {0: "", 1: " (px)", 2: " (px²)"}
STOMION = -1  # where the lips meet, put after the 68 points
LINES = {
    "nose width": (31, 35),
    "nose height": (27, 33),
    "jaw width": (4, 12),
    "mouth width": (48, 54),
    "upper lip": (33, STOMION),
}
ENLARGE = 2
SIDE_PX = ENLARGE * HEIGHT_PX
OUTLINE = [Stroke(linewidth=2.8, foreground="white"), Normal()]
COLUMNS = 3  # pairs beside each other
DPI = 150
GAP_PX, CAPTION_PX, LEGEND_PX = 28, 36, 100


def draw_scatter(report: Report, pairs: PointPairs, folder: Path) -> list[Path]:
    """Draw `scatter`: a panel a measure, A to the right and B upwards, with the least-squares line.

    Args:
        report: of the pairs; its figures stand above the panels.
        pairs: the pairs.
        folder: existing folder.

    Returns:
        The files, PNG and SVG.
    """
    sides = [craniofacial_measures(pairs.points(side)) for side in "ab"]
    main = {row.params["measure"]: row for row in report.rows if row.params.get("published") is not None}
    figure = Figure(figsize=(12, 9))
    figure.subplots_adjust(left=0.06, right=0.99, bottom=0.06, top=0.94, hspace=0.4, wspace=0.25)
    for panel, name in zip(figure.subplots(3, 4).flat, MEASURES, strict=True):
        _scatter_panel(panel, sides[0][name], sides[1][name], main[name])
    figure.supxlabel("A")
    figure.supylabel("B")
    return save_figure(figure, folder / "scatter")


def _scatter_panel(panel: Axes, a: Float[np.ndarray, " N"], b: Float[np.ndarray, " N"], row: Row) -> None:
    panel.plot(a, b, ".", color=COLOURS[0], markersize=5, alpha=0.5, markeredgewidth=0, rasterized=True)
    if row.value is None:
        said = row.ci_method
    else:
        ends = np.array([a.min(), a.max()])
        panel.plot(ends, np.polyval(np.polyfit(a, b, 1), ends), color=COLOURS[1])
        said = f"r = {row.value:.2f} ({row.ci_low:.2f} to {row.ci_high:.2f})"
    name = row.params["measure"]
    panel.set_title(f"{name.replace('_', ' ')}{UNITS[DIMENSIONS[name]]}\n{said}, n = {row.n}", fontsize=9)
    panel.locator_params(nbins=5)
    panel.tick_params(labelsize=7)
    panel.spines[["top", "right"]].set_visible(False)


def draw_examples(pairs: PointPairs, folder: Path, count: int, seed: int) -> list[Path]:
    """Draw `examples.png`: pairs chosen at random, A left and B right, with landmarks and some measured lines.

    Args:
        pairs: the pairs.
        folder: existing folder.
        count: number of pairs, all if there are fewer; 0 draws nothing.
        seed: of the choice.

    Returns:
        The file.
    """
    chosen = np.sort(np.random.default_rng(seed).permutation(len(pairs.used))[:count])
    if not len(chosen):
        return []
    columns = min(COLUMNS, len(chosen))
    width = columns * (2 * SIDE_PX + GAP_PX) + GAP_PX
    height = -(-len(chosen) // columns) * (SIDE_PX + CAPTION_PX) + LEGEND_PX
    figure = Figure(figsize=(width / DPI, height / DPI))
    for place, number in enumerate(chosen):
        pair = pairs.used[number]
        row, column = divmod(place, columns)
        left = GAP_PX + column * (2 * SIDE_PX + GAP_PX)
        bottom = height - LEGEND_PX - row * (SIDE_PX + CAPTION_PX) - SIDE_PX
        for x, file in ((left, pair.a), (left + SIDE_PX, pair.b)):
            panel = figure.add_axes((x / width, bottom / height, SIDE_PX / width, SIDE_PX / height))
            _face(panel, file, pairs.found.points[file])
        below = (left + SIDE_PX) / width, (bottom - 5) / height
        figure.text(*below, pair.name, ha="center", va="top", fontsize=14, parse_math=False)
    handles = [Line2D([], [], color=colour, linewidth=2.5) for colour in COLOURS[: len(LINES)]]
    size = 6 + 2 * columns
    legend = figure.legend(handles, list(LINES), loc="upper center", ncols=len(LINES), frameon=False, fontsize=size)
    legend.set_title("of each pair: A left, B right", FontProperties(size=size))
    path = folder / "examples.png"
    figure.savefig(path, dpi=DPI)
    return [path]


def _face(panel: Axes, file: Path, points: Float[np.ndarray, "68 2"]) -> None:
    """A picture, scaled to a height of 224 px and enlarged, with its landmarks; only the middle of a wide one."""
    pixels, _ = read_picture(file)
    units = pixels.shape[1] * HEIGHT_PX / pixels.shape[0]
    size = max(1, round(ENLARGE * units)), SIDE_PX
    enlarged = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
    panel.imshow(enlarged, extent=(-0.5, units - 0.5, HEIGHT_PX - 0.5, -0.5), interpolation="nearest")
    panel.plot(*points.T, "o", color="white", markersize=2.2, markeredgecolor="black", markeredgewidth=0.4)
    ends = np.vstack([points, points[[62, 66]].mean(0)])
    for colour, line in zip(COLOURS, LINES.values(), strict=False):
        panel.plot(*ends[list(line)].T, color=colour, linewidth=1.8, path_effects=OUTLINE, solid_capstyle="round")
    panel.set_axis_off()
    middle, half = units / 2 - 0.5, HEIGHT_PX / 2
    panel.set(xlim=(middle - half, middle + half), ylim=(HEIGHT_PX - 0.5, -0.5), aspect="auto")
