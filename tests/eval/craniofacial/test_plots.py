"""What is drawn is what was measured, where it was measured."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from eval.craniofacial.evaluate import craniofacial_rows
from eval.craniofacial.pairs import PointPairs
from eval.craniofacial.plots import ENLARGE, GAP_PX, LEGEND_PX, LINES, SIDE_PX, draw_examples, draw_scatter
from eval.embeddings.plots import COLOURS
from eval.faces.landmarks import Found
from eval.faces.pictures import Pairs, PicturePair
from eval.results import Report
from s2f.faces.craniofacial import MEASURES
from tests.eval.schematic_faces import faces_of, sizes_of_people

COUNT = 20
SIZES = sizes_of_people(COUNT)
SHOWN = {
    "nose width": "nose_width",
    "nose height": "nose_height",
    "jaw width": "jaw",
    "mouth width": "mouth",
    "upper lip": "upper_lip_height",
}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """A red, B black; half of the pictures are smaller, and one of those of B is wide."""
    root = tmp_path_factory.mktemp("pictures")
    listed, points = [], {}
    for k, face in enumerate(faces_of(SIZES)):
        files = [root / f"{side}{k}.png" for side in "ab"]
        for file, colour in zip(files, ((90, 0, 0), (0, 0, 0)), strict=True):
            Image.new("RGB", (56, 56) if k % 2 else (224, 224), colour).save(file)
            points[file] = face
        listed.append(PicturePair(f"id{k}", *files, f"id{k}"))
    return PointPairs(Pairs(tuple(listed), ()), Found(points, {}, {}))


def where(pixels: np.ndarray, line: str) -> np.ndarray:
    """(K, 2) x, y of pixels in the colour of a line."""
    colour = np.array(to_rgb(COLOURS[list(LINES).index(line)])) * 255
    y, x = np.nonzero(np.abs(pixels.astype(float) - colour).max(-1) < 12)
    return np.stack([x, y], axis=1)


def test_examples_show_the_lines_in_both_pictures(pairs, tmp_path):
    (path,) = draw_examples(pairs, tmp_path, 1, seed=0)
    pixels = np.asarray(Image.open(path).convert("RGB"))
    assert pixels.shape[1] == 2 * SIDE_PX + 2 * GAP_PX
    chosen = int(np.random.default_rng(0).permutation(COUNT)[0])
    for side, red in ((0, 90), (1, 0)):
        left = GAP_PX + side * SIDE_PX
        panel = pixels[LEGEND_PX : LEGEND_PX + SIDE_PX, left : left + SIDE_PX]
        assert np.median(panel, axis=(0, 1)) == pytest.approx([red, 0, 0])
        points = faces_of(SIZES)[chosen]
        for line, (first, last) in LINES.items():
            spots = where(panel, line)
            ends = np.stack([points[first], points[last] if last >= 0 else points[[62, 66]].mean(0)])
            middle = ENLARGE * (ends.mean(0) + 0.5)
            assert len(spots) > 20
            reach = np.ptp(spots, axis=0)
            assert reach.max() == pytest.approx(ENLARGE * SIZES[SHOWN[line]][chosen], abs=6), line
            assert (spots.min(0) + spots.max(0)) / 2 == pytest.approx(middle, abs=4), line


def test_examples_are_a_seeded_choice(pairs, tmp_path, monkeypatch):
    named = []
    monkeypatch.setattr("matplotlib.figure.Figure.text", lambda self, x, y, name, **_: named.append(name))
    monkeypatch.setattr("eval.craniofacial.plots._face", lambda *_: None)
    monkeypatch.setattr("matplotlib.figure.Figure.add_axes", lambda *_: None)
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda *_, **__: None)
    choices = []
    for seed in (0, 0, 1):
        named.clear()
        draw_examples(pairs, tmp_path, 5, seed)
        choices.append(tuple(named))
    assert choices[0] == choices[1] != choices[2]
    assert len(set(choices[0])) == 5
    named.clear()
    draw_examples(pairs, tmp_path, 100, 0)
    assert named == [pair.name for pair in pairs.used]
    assert draw_examples(pairs, tmp_path, 0, 0) == []


def test_panels_say_the_figures_of_the_report_and_are_the_same_each_time(pairs, tmp_path, monkeypatch):
    a, random = pairs.points("a"), np.random.default_rng(0)
    b = a + random.normal(0, 1, a.shape)
    rows = craniofacial_rows(a, b, np.arange(COUNT))
    constant = next(row for row in rows if row.params["measure"] == "nose_width")
    still = craniofacial_rows(a, np.repeat(a[:1], COUNT, 0), np.arange(COUNT))[4]
    assert still.params["measure"] == "nose_width"
    rows[rows.index(constant)] = still
    titles = []
    original = "matplotlib.axes.Axes.set_title"
    monkeypatch.setattr(original, lambda self, text, **_: titles.append(text))
    first = draw_scatter(Report("craniofacial/1", "0", rows), pairs, tmp_path)
    assert [title.splitlines()[0].split(" (")[0].replace(" ", "_") for title in titles] == list(MEASURES)
    jaw = rows[2]
    assert titles[2] == f"jaw width (px)\nr = {jaw.value:.2f} ({jaw.ci_low:.2f} to {jaw.ci_high:.2f}), n = {COUNT}"
    assert titles[4] == f"nose width (px)\nundefined, no variance, n = {COUNT}"
    assert titles[6].startswith("mandibular index\n")
    assert titles[11].startswith("nose area (px²)\n")
    content = [path.read_bytes() for path in first]
    assert [path.read_bytes() for path in draw_scatter(Report("craniofacial/1", "0", rows), pairs, tmp_path)] == content
    assert [path.name for path in first] == ["scatter.png", "scatter.svg"]
