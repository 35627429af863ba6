"""The pictures hold the figures of the report."""

import numpy as np
import pytest
from PIL import Image

from eval.consistency import plots
from eval.consistency.plots import draw_consistency
from eval.results import Report, Row


def row(metric, value, n=10, **params):
    return Row(metric, "v2f", "U", value, value - 0.1, value + 0.1, "bootstrap over people", None, n, params)


ROWS = [
    row("cosine_to_longest", 0.9, seconds=4.0),
    row("cosine_to_longest", 0.7, seconds=2.0),
    row("cosine_to_longest", 0.2, seconds=2.0, control="shuffled"),
    row("cosine_to_own_face", 0.5, seconds=2.0),
    row("cosine_to_own_face", 0.35, control="mean"),
    row("cosine_to_own_face_difference", 0.6, seconds=8.0, minus=2.0),
    row("gender_agreement", 0.8, seconds=2.0),
    row("gender_agreement", 0.88, seconds=8.0),
    row("split_half_cosine", 0.6, seconds=3.0, of="segments", segments=1),
    row("split_half_cosine", 0.75, seconds=3.0, of="segments", segments=2),
    row("cosine_to_own_face", 0.45, seconds=3.0, of="segments", segments=1),
    row("split_half_cosine", 0.3, seconds=3.0, of="clips", clips=1, control="shuffled"),
    row("cosine_within_clip", 0.99, seconds=3.0, of="segments"),
]


def report(rows):
    return Report("consistency/2", "0" * 64, rows)


@pytest.fixture
def drawn(monkeypatch):
    """What every panel was asked to draw: (x, y) by label, and bands."""
    from matplotlib.axes import Axes

    lines, bands = [], []
    plot, fill = Axes.plot, Axes.fill_between

    def noted_plot(self, x, y, *style, **how):
        lines.append((how["label"], style[0], list(x), np.round(y, 6).tolist()))
        return plot(self, x, y, *style, **how)

    def noted_fill(self, x, low, high, **how):
        bands.append((list(x), np.round(low, 6).tolist(), np.round(high, 6).tolist()))
        return fill(self, x, low, high, **how)

    monkeypatch.setattr(Axes, "plot", noted_plot)
    monkeypatch.setattr(Axes, "fill_between", noted_fill)
    return lines, bands


@pytest.fixture
def figures(monkeypatch):
    """Figures, not saved."""
    kept = []
    monkeypatch.setattr(plots, "save_figure", lambda figure, stem: kept.append(figure) or [])
    return kept


def test_curves_are_the_rows_in_order_of_length(drawn, figures, tmp_path):
    lines, bands = drawn
    draw_consistency(report(ROWS), tmp_path)
    assert lines == [
        ("to the longest length", "-", [2.0, 4.0], [0.7, 0.9]),
        ("to the longest length, shuffled", "--", [2.0], [0.2]),
        ("to the own face", "-", [2.0], [0.5]),
        ("with the speaker", "-", [2.0, 8.0], [0.8, 0.88]),
        ("to the own face", "-", [1], [0.45]),
        ("to as many others", "-", [1, 2], [0.6, 0.75]),
        ("to as many others, shuffled", "--", [1], [0.3]),
    ]
    assert bands[0] == ([2.0, 4.0], [0.6, 0.8], [0.8, 1.0])


def test_files_are_written_and_not_empty(tmp_path):
    files = draw_consistency(report(ROWS[:8]), tmp_path)
    assert [path.name for path in files] == ["lengths.png", "lengths.svg"]
    assert np.asarray(Image.open(files[0]).convert("L")).std() > 5


def test_panels_for_what_there_is(figures, tmp_path):
    draw_consistency(report(ROWS[:5]), tmp_path)
    draw_consistency(report(ROWS), tmp_path)
    titles = [[panel.get_title() for panel in figure.axes] for figure in figures]
    cosine, gender = "cosine", "gender of the drawn face"
    assert titles == [[cosine], [cosine, gender], ["mean of several segments", "mean of several clips"]]
    assert figures[1].axes[0].get_xticks().tolist() == [2, 4]
