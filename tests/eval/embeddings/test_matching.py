import numpy as np
import pytest

from eval.embeddings.folder import read_embeddings
from eval.embeddings.groups import groupings
from eval.embeddings.matching import Protocol, evaluate
from eval.metrics.n_way import n_way
from eval.metrics.two_way import accuracy, two_way_trials, win_table
from tests.eval.folders import people_folder
from tests.eval.triplets import random_case


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return read_embeddings(people_folder(tmp_path_factory.mktemp("e"), people=24, noise=1.5))


def test_rows_carry_what_the_parts_compute(found):
    report = evaluate(found, groupings(found, ["U", "G"]), Protocol(n_max=4, sizes=(5, 10, 24), marginal=2))
    rows = [row for row in report.rows if row.direction == "f2v"]
    first = rows[0]
    table = win_table(found.cross("f2v"))
    assert first.value == accuracy(table, "samples", "identities")[0]
    assert (first.group, first.chance, first.n) == ("U", 0.5, 24)
    assert first.params == {"n_way": 2, "weighting": "samples", "negatives": "identities", "trials": 72 * 3 * 69}
    assert first.ci_low < first.value < first.ci_high
    curve = [row.value for row in rows if row.group == "U" and row.ci_method == "jackknife over people"]
    np.testing.assert_allclose(curve, n_way(found.cross("f2v"), 4, "identities", np.arange(24)).accuracy("samples")[1:])
    assert [row.chance for row in rows if row.params["n_way"] == 4] == [0.25, 0.25]
    binomial = next(row for row in rows if row.ci_method.startswith("binomial"))
    half = 2.576 * np.sqrt(first.value * (1 - first.value) / (72 * 3 * 69))
    assert binomial.ci_high - binomial.value == pytest.approx(half)
    assert [(row.n, row.params["subset"]) for row in rows if "subset" in row.params] == [(5, 5), (10, 10)]
    listed = [(row.params["listed"], row.value) for row in rows if row.metric == "marginal_accuracy"]
    assert [rank for rank, _ in listed] == ["best"] * 2 + ["worst"] * 2
    assert listed[0][1] >= listed[1][1] > listed[3][1] >= listed[2][1]
    controls = {row.params["control"]: row for row in rows if "control" in row.params}
    assert controls["constant"].value == 0.5
    assert abs(controls["shuffled"].value - 0.5) < 0.2 < first.value - 0.5


def test_cells_average_to_their_grouping(found):
    """Equal cells, so the whole is their mean; each has its own people and triplets."""
    rows = evaluate(found, groupings(found, ["G"]), Protocol(n_max=2, control=False)).rows
    whole, women, men = [row for row in rows if row.direction == "v2f"]
    assert [row.group for row in (whole, women, men)] == ["G", "G: f", "G: m"]
    assert whole.value == pytest.approx((women.value + men.value) / 2)
    assert (women.n, men.n, whole.n) == (12, 12, 24)
    assert whole.params["trials"] == women.params["trials"] + men.params["trials"] == 2 * 36 * 3 * 33


def test_triplets_are_counted():
    case = random_case(np.random.default_rng(8), most_people=5, most_samples=4)
    cells = np.arange(case.people) % 2
    counted = sum(
        1
        for probe in case.probe_identity
        for own in case.candidate_identity
        for other in case.candidate_identity
        if own == probe and other != probe and cells[other] == cells[probe]
    )
    assert two_way_trials(win_table(case.cross), cells[:, None] == cells) == counted


def test_who_is_left_out_is_said(tmp_path):
    folder = people_folder(tmp_path / "e", people=6)
    for side in ("voice", "face"):
        path = folder / f"{side}.csv"
        lines = path.read_text().splitlines()
        path.write_text("\n".join(line[:-1] if line.startswith("p05") else line for line in lines))
    some = read_embeddings(folder)
    report = evaluate(some, groupings(some, ["G"]), Protocol(n_max=3, control=False))
    assert report.notes == ["G: 1 people of unknown gender left out"]
    counted = {(row.group, row.params["n_way"], row.n) for row in report.rows}
    assert counted == {("G", 2, 5), ("G: f", 2, 3), ("G: m", 2, 2), ("G", 3, 3)}
