"""Pictures of reports: accuracy by number of candidates, by number of people, and error rates; PNG and SVG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import norm

from eval.embeddings.folder import Embeddings
from eval.embeddings.groups import Grouping
from eval.embeddings.human_baselines import HUMANS
from eval.metrics.roc import auc, det_points, eer, roc_counts
from eval.plotting import new_panels, row_limits, row_values, save_figure
from eval.results import DIRECTIONS, Report, Row
from s2f.runtime.files import write_csv

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")  # Okabe and Ito: safe for the colour-blind
NAMES = {"v2f": "voice to face", "f2v": "face to voice"}
DET_RATES = (0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9)
WIDTHS = (3.2, 2.4, 1.6, 1.2, 1.0, 0.8)  # lines that coincide stay visible


def draw_matching(report: Report, folder: Path) -> list[Path]:
    """Draw what a matching report holds: `one_to_n` and, with repeated subsets, `sizes`.

    Args:
        report: of `eval.embeddings.matching.evaluate`.
        folder: existing folder.

    Returns:
        The files.
    """
    rows = [row for row in report.rows if row.metric == "accuracy" and "control" not in row.params]
    rows = [row for row in rows if not row.ci_method.startswith("binomial")]
    curves = [row for row in rows if "subset" not in row.params and ":" not in row.group]
    files = save_figure(_one_to_n(curves), folder / "one_to_n")
    subsets = [row for row in rows if "subset" in row.params]
    if subsets:
        whole = [row for row in curves if row.group == "U" and row.params["n_way"] == 2]
        files += save_figure(_sizes(subsets, whole), folder / "sizes")
    return files


def _one_to_n(rows: Sequence[Row]) -> Figure:
    """One panel a direction: accuracy with its interval by N, chance, and people at N = 2."""
    figure, panels = new_panels(len(DIRECTIONS))
    most = max(row.params["n_way"] for row in rows)
    ways = np.arange(2, most + 1)
    groups = list(dict.fromkeys(row.group for row in rows))
    for panel, direction in zip(panels, DIRECTIONS, strict=True):
        for group, colour, width in zip(groups, COLOURS * len(groups), WIDTHS * len(groups), strict=False):
            points = [row for row in rows if row.group == group and row.direction == direction]
            _band(panel, points, "nothing (U)" if group == "U" else group, colour, width)
            for human in HUMANS:
                if (human.group, human.direction) == (group, direction):
                    panel.axhline(human.accuracy, color=colour, linestyle=":", linewidth=1)
                    note = f"{human.source} ({group}, N = 2)"
                    panel.text(most, human.accuracy, note, ha="right", va="bottom", fontsize=7, color=colour)
        panel.plot(ways, 1 / ways, color="0.5", linestyle="--", label="chance")
        panel.set(title=NAMES[direction], xlabel="candidates N", ylim=(0, 1), xticks=ways)
        panel.legend(frameon=False, title="negatives share")
    panels[0].set_ylabel("accuracy")
    return figure


def _band(panel: Axes, rows: Sequence[Row], label: str, colour: str, width: float) -> None:
    rows = sorted(rows, key=lambda row: row.params["n_way"])
    ways = [row.params["n_way"] for row in rows]
    panel.plot(ways, row_values(rows), marker="o", markersize=4, color=colour, linewidth=width, label=label)
    panel.fill_between(ways, *row_limits(rows).T, color=colour, alpha=0.2, linewidth=0)


def _sizes(subsets: Sequence[Row], whole: Sequence[Row]) -> Figure:
    """Accuracy on random subsets by their size: what repeats differ by, and the interval of all people."""
    figure, (panel,) = new_panels(1)
    for direction, colour, shift in zip(DIRECTIONS, COLOURS, (0.985, 1.015), strict=False):
        rows = [row for row in subsets if row.direction == direction]
        sizes = np.array([row.n for row in rows]) * shift
        spread = [row.params["std"] for row in rows]
        panel.errorbar(sizes, row_values(rows), spread, fmt="o", color=colour, capsize=3, label=NAMES[direction])
        for row in (row for row in whole if row.direction == direction):
            reach = np.abs(row_limits([row]).T - row_values([row]))
            panel.errorbar(
                [row.n * shift], row_values([row]), reach, fmt="s", color=colour, capsize=3, fillstyle="none"
            )
    ticks = sorted({row.n for row in (*subsets, *whole)})
    panel.set(xscale="log", xlabel="people in the test", ylabel="1:2 accuracy")
    panel.set_xticks(ticks, [str(tick) for tick in ticks])
    panel.set_xticks([], minor=True)
    panel.set_title(
        "dots: mean and standard deviation of random subsets;\nsquares: everybody, 95 % interval", fontsize=8
    )
    panel.legend(frameon=False)
    return figure


def draw_verification(embeddings: Embeddings, groupings: Sequence[Grouping], folder: Path) -> list[Path]:
    """Draw `roc`: the ROC and the DET curve over all pairs, one line a grouping; their points go to roc.csv.

    Args:
        embeddings: voices and faces.
        groupings: who may be compared with whom.
        folder: existing folder.

    Returns:
        The files.
    """
    figure, (roc, det) = new_panels(2)
    table: list[tuple[str, float, float]] = []
    groupings = [grouping for grouping in groupings if (grouping.compared >= 0).any()]
    for grouping, colour, width in zip(groupings, COLOURS * len(groupings), WIDTHS * len(groupings), strict=False):
        counts = roc_counts(embeddings.cross("v2f"), grouping.compared)
        (accepted, rejected), equal = det_points(counts), eer(counts).rate
        table += [(grouping.name, *rates) for rates in zip(accepted.tolist(), rejected.tolist(), strict=True)]
        label = f"{grouping.name}: AUC {auc(counts):.3f}, EER {equal:.3f}"
        roc.plot(accepted, 1 - rejected, color=colour, linewidth=width, label=label)
        inside = (accepted > 0) & (rejected > 0)
        det.plot(norm.ppf(accepted[inside]), norm.ppf(rejected[inside]), color=colour, linewidth=width)
        det.plot(norm.ppf(equal), norm.ppf(equal), marker="o", color=colour)
    roc.plot([0, 1], [0, 1], color="0.5", linestyle="--", label="chance")
    roc.set(title="ROC", xlabel="false positive rate", ylabel="true positive rate", aspect="equal")
    roc.legend(frameon=False, loc="lower right")
    ticks, labels = norm.ppf(DET_RATES), [f"{rate:g}" for rate in DET_RATES]
    det.plot(ticks[[0, -1]], -ticks[[0, -1]], color="0.5", linestyle="--")
    det.set(title="DET (dots: equal error rate)", xlabel="false positive rate", ylabel="false negative rate")
    det.set(xlim=ticks[[0, -1]], ylim=ticks[[0, -1]], aspect="equal")
    det.set_xticks(ticks, labels)
    det.set_yticks(ticks, labels)
    write_csv(folder / "roc.csv", ("group", "false_positive_rate", "false_negative_rate"), table)
    return [*save_figure(figure, folder / "roc"), folder / "roc.csv"]
