import numpy as np
import pytest
from PIL import Image

from eval.embeddings.folder import read_embeddings
from eval.embeddings.groups import groupings
from eval.embeddings.matching import Protocol, evaluate
from eval.embeddings.plots import draw_matching, draw_verification
from eval.metrics.roc import auc, roc_counts
from tests.eval.folders import people_folder


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return read_embeddings(people_folder(tmp_path_factory.mktemp("e"), people=16))


def test_pictures_say_what_they_show_and_are_the_same_each_time(found, tmp_path):
    restrictions = groupings(found, ["U", "G"])
    report = evaluate(found, restrictions, Protocol(n_max=5, sizes=(6, 10)))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    files = [*draw_matching(report, tmp_path / "one"), *draw_verification(found, restrictions, tmp_path / "one")]
    pictures = [f"{n}.{e}" for n in ("one_to_n", "sizes", "roc") for e in ("png", "svg")]
    assert [path.name for path in files] == [*pictures, "roc.csv"]
    table = np.genfromtxt(files[-1], delimiter=",", names=True, dtype=None, encoding="utf-8")
    everybody = table[table["group"] == "U"]
    area = np.trapezoid(1 - everybody["false_negative_rate"], everybody["false_positive_rate"])
    assert area == pytest.approx(auc(roc_counts(found.cross("v2f"))), abs=1e-4)  # about 1,000 points
    again = [*draw_matching(report, tmp_path / "two"), *draw_verification(found, restrictions, tmp_path / "two")]
    assert [path.read_bytes() for path in files] == [path.read_bytes() for path in again]
    for path in (path for path in files if path.suffix == ".png"):
        assert np.asarray(Image.open(path).convert("L")).std() > 5


def test_people_of_the_papers_stand_in_their_group_and_direction_only(found, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("matplotlib.axes.Axes.text", lambda self, x, y, text, **_: said.append((y, text)))
    report = evaluate(found, groupings(found, ["U", "G"]), Protocol(n_max=3, control=False, sizes=()))
    draw_matching(report, tmp_path)
    assert said == [
        (0.813, "people, SVHF Table 2 (U, N = 2)"),
        (0.714, "people, Kim 2018 Table 1 (G, N = 2)"),
    ]
