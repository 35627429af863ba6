"""Predicted against true features: angles and distances by hand, recall against sorting, controls, what is refused."""

import json

import numpy as np
import pytest
from jsonargparse import ArgumentParser

from eval.commands import features as command
from eval.reconstructions.features import KS, FeaturePairs, distances, evaluate, read_pairs
from eval.reconstructions.folder import read_reconstructions
from s2f.errors import DatasetError, UsageError
from tests.eval.reconstruction_folders import write_features, write_reconstructions

RANDOM = np.random.default_rng(0)
PEOPLE = 120
TRUE = RANDOM.normal(0.5, 1, (PEOPLE, 6)) * RANDOM.uniform(0.5, 2, (PEOPLE, 1))
HEARD = {
    "3s": TRUE + RANDOM.normal(0, 1.2, TRUE.shape),
    "6s": TRUE + RANDOM.normal(0, 0.7, TRUE.shape),
    "mean": np.tile(TRUE.mean(0), (PEOPLE, 1)),
    "nearest": TRUE + RANDOM.normal(0, 1.6, TRUE.shape),
}
SPEAKERS = [f"s{number // 3}" for number in range(PEOPLE)]


def rows_of(report, metric, **params):
    return [
        row for row in report.rows if row.metric == metric and all(row.params.get(k) == v for k, v in params.items())
    ]


def row_of(report, metric, **params):
    (row,) = rows_of(report, metric, **params)
    return row


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("features") / "folder"
    return read_reconstructions(write_reconstructions(root, TRUE, HEARD, people={"speaker": SPEAKERS}))


@pytest.fixture(scope="module")
def report(folder):
    return evaluate(folder)


def test_distances_by_hand():
    """30, 90, 180 and 0 degrees, at lengths that must not matter."""
    predicted = np.array([[2 * np.cos(np.pi / 6), 1.0], [0, 3], [-5, 0], [1e-3, 0]])
    true = np.array([[7.0, 0], [0.1, 0], [1, 0], [4, 0]])
    found = distances(FeaturePairs(predicted, true))
    np.testing.assert_allclose(found["cosine_angle_deg"], [30, 90, 180, 0], atol=1e-9)
    np.testing.assert_allclose(found["l2"], [2 * np.sin(np.pi / 12), np.sqrt(2), 2, 0], atol=1e-12)
    np.testing.assert_allclose(found["l1"], [1 - np.sqrt(3) / 2 + 0.5, 2, 2, 0], atol=1e-12)


def test_small_angles_are_exact():
    turned = np.radians(1e-7)
    pairs = FeaturePairs(np.array([[np.cos(turned), np.sin(turned)]]), np.array([[1.0, 0]]))
    assert distances(pairs)["cosine_angle_deg"][0] == pytest.approx(1e-7, rel=1e-6)


def test_folder_by_hand(tmp_path):
    """Two people: 0 and 60 degrees at 3 s, 0 and 30 at 6 s; dealt out, 90 and 60 away."""
    true = np.eye(2)
    at = {
        name: np.array([[1, 0], [np.sin(angle), np.cos(angle)]])
        for name, angle in (("3s", np.pi / 3), ("6s", np.pi / 6))
    }
    mean = {"mean": np.ones((2, 2)), "nearest": true[::-1]}
    found = evaluate(read_reconstructions(write_reconstructions(tmp_path / "two", true, at | mean)))
    own = row_of(found, "cosine_angle_deg", seconds=3.0)
    assert (own.value, own.n, own.direction, own.group) == (pytest.approx(30), 2, "v2f", "U")
    assert own.params == {"seconds": 3.0, "published": 48.43, "std": 42.43}
    assert own.ci_low == pytest.approx(0, abs=1e-9)
    assert own.ci_high == pytest.approx(60)
    later = [row for row in rows_of(found, "cosine_angle_deg", seconds=6.0) if "control" not in row.params]
    assert [row.value for row in later] == pytest.approx([15])
    assert later[0].params["published"] == 45.75
    change = row_of(found, "cosine_angle_deg_difference", seconds="6 - 3")
    assert (change.value, change.ci_low, change.ci_high) == (
        pytest.approx(-15), pytest.approx(-30), pytest.approx(0, abs=1e-9),
    )  # fmt: skip
    levels = {name: row_of(found, "cosine_angle_deg", control=name).value for name in ("shuffled", "mean", "nearest")}
    assert levels == {"shuffled": pytest.approx((60 + 90) / 2), "mean": pytest.approx(45), "nearest": pytest.approx(90)}
    assert {row.params["scale"] for row in [*rows_of(found, "l2"), *rows_of(found, "l1_difference")]} == {"unit"}


def by_sorting(predicted, true, metric, k):
    """Share of people whose own feature is among the first k."""
    hits = []
    for place, one in enumerate(predicted):
        if metric == "cosine":
            apart = -(true @ one) / np.linalg.norm(true, axis=1)
        else:
            apart = np.linalg.norm(true - one, ord={"l2": 2, "l1": 1}[metric], axis=1)
        hits.append(place in np.argsort(apart, kind="stable")[:k])
    return np.mean(hits)


@pytest.mark.parametrize("metric", ["cosine", "l2", "l1"])
def test_recall_against_sorting(report, metric):
    for seconds in (3.0, 6.0):
        rows = [
            r for r in rows_of(report, "recall", by=metric, seconds=seconds, gallery="all") if "control" not in r.params
        ]
        assert [row.params["k"] for row in rows] == list(KS)
        for row in rows:
            k = row.params["k"]
            assert row.value == pytest.approx(by_sorting(HEARD[f"{seconds:g}s"], TRUE, metric, k))
            assert (row.chance, row.n) == (pytest.approx(k / PEOPLE), PEOPLE)
            assert row.ci_low <= row.value <= row.ci_high
            assert row.params.get("scale") == (None if metric == "cosine" else "raw")


def test_galleries_of_a_hundred_against_drawn_ones(report):
    """The paper's gallery: 99 others drawn with the own one; chance is K %."""
    random, table = np.random.default_rng(1), HEARD["6s"] @ TRUE.T / np.linalg.norm(TRUE, axis=1)
    drawn = np.zeros((300, PEOPLE))
    for trial in drawn:
        others = random.permuted(np.tile(np.arange(PEOPLE - 1), (PEOPLE, 1)), axis=1)[:, :99]
        others += others >= np.arange(PEOPLE)[:, None]
        trial[:] = (np.take_along_axis(table, others, 1) > np.diag(table)[:, None]).sum(1)
    rows = [r for r in rows_of(report, "recall", by="cosine", seconds=6.0) if "published" in r.params]
    assert [row.params["published"] for row in rows] == [0.1092, 0.17, 0.306, 0.4582]
    for row in rows:
        assert row.value == pytest.approx((drawn < row.params["k"]).mean(), abs=0.005)
        assert row.chance == pytest.approx(row.params["k"] / 100)


def test_published_figures_only_where_they_belong(report):
    shown = [row for row in report.rows if "published" in row.params]
    assert len(shown) == 2 + 2 * 3 * 4
    assert {row.metric for row in shown} == {"cosine_angle_deg", "recall"}
    assert not any("control" in row.params for row in shown)
    l1 = row_of(report, "recall", by="l1", seconds=3.0, k=10, gallery="Speech2Face 2019, 100")
    assert l1.params["published"] == 0.287


def test_controls(report):
    """A constant feature finds by chance, shuffled voices find others, the nearest face is worse than the voice."""
    for k in KS:
        constant = row_of(report, "recall", control="mean", k=k, gallery="all")
        assert constant.value == pytest.approx(constant.chance) == pytest.approx(k / PEOPLE)
        shuffled = row_of(report, "recall", control="shuffled", k=k, gallery="all")
        assert shuffled.value < 0.15
        nearest = row_of(report, "recall", control="nearest", k=k, gallery="all")
        assert nearest.value == pytest.approx(by_sorting(HEARD["nearest"], TRUE, "cosine", k))
    assert {row.params.get("seconds") for row in report.rows if row.params.get("control")} == {6.0}


def test_interval_redraws_speakers(report):
    assert row_of(report, "l2", seconds=3.0).ci_method == "bootstrap over speakers"


def test_order_of_people_and_rows_does_not_matter(folder, report, tmp_path):
    """The same people written in another order, the tables of features in yet another."""
    order, shuffle = np.random.default_rng(3).permutation(PEOPLE), np.random.default_rng(4).permutation(PEOPLE)
    names = [f"p{number:03d}" for number in order]
    columns = {"identity": names, "speaker": [SPEAKERS[number] for number in order]}
    root = write_reconstructions(
        tmp_path / "other", TRUE[order], {k: v[order] for k, v in HEARD.items()}, people=columns
    )
    mixed = np.load(root / "features_6s" / "voice.npy")[shuffle]
    np.save(root / "features_6s" / "voice.npy", mixed)
    listed = "\n".join(["identity", *(names[place] for place in shuffle)])
    (root / "features_6s" / "voice.csv").write_text(listed + "\n")
    other = evaluate(read_reconstructions(root))
    assert [row.value for row in other.rows] == pytest.approx([row.value for row in report.rows])
    assert [row.ci_low for row in other.rows] == pytest.approx([row.ci_low for row in report.rows])


def test_length_of_predictions_does_not_matter_to_the_cosine(folder, report, tmp_path):
    longer = {name: 10.0 * values for name, values in HEARD.items()}
    other = evaluate(
        read_reconstructions(write_reconstructions(tmp_path / "long", TRUE, longer, people={"speaker": SPEAKERS}))
    )
    changed = set()
    for before, after in zip(report.rows, other.rows, strict=True):
        if before.value != pytest.approx(after.value):
            changed.add((before.metric, before.params.get("scale")))
    assert changed == {("recall", "raw")}
    said = [next(note for note in one.notes if "times as long" in note) for one in (report, other)]
    lengths = [float(note.split()[3]) for note in said]
    assert lengths[1] == pytest.approx(10 * lengths[0], rel=0.01)
    assert not any("one length" in note for note in said)


def test_among_features_of_one_length_l2_is_the_cosine(tmp_path):
    even = TRUE / np.linalg.norm(TRUE, axis=1, keepdims=True)
    found = evaluate(read_reconstructions(write_reconstructions(tmp_path / "even", even, HEARD)), control=False)
    by_l2, by_cosine = ([row.value for row in rows_of(found, "recall", by=metric)] for metric in ("l2", "cosine"))
    assert by_l2 == pytest.approx(by_cosine)
    assert any("l2 finds what cosine finds" in note for note in found.notes)


def test_few_people_have_no_gallery_of_a_hundred(tmp_path):
    root = write_reconstructions(
        tmp_path / "few", TRUE[:99], seconds=(6.0,), left_out=[{"identity": "x", "reason": "y"}]
    )
    found = evaluate(read_reconstructions(root), control=False)
    assert {row.params["gallery"] for row in rows_of(found, "recall")} == {"all"}
    assert "no galleries of 100: there are 99 people" in found.notes
    assert any(note.startswith("1 people left out") for note in found.notes)
    assert not rows_of(found, "l2_difference")
    assert not any("control" in row.params for row in found.rows)


def test_command(folder, capsys):
    parser = ArgumentParser(exit_on_error=False)
    command.add_arguments(parser)
    words = [str(folder.root), "--seed", "3", "--control", "true", "--json"]
    assert command.run(parser.parse_args(words)) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["protocol"], found["split_hash"]) == ("features/1", "0" * 64)
    assert command.run(parser.parse_args([str(folder.root), "--control", "false"])) == 0
    table = capsys.readouterr().out
    assert "cosine_angle_deg" in table
    assert "control" not in table
    with pytest.raises(UsageError, match="a seed of 0 or more, got -1"):
        command.run(parser.parse_args([str(folder.root), "--seed", "-1"]))


def test_features_must_be_of_these_people(tmp_path):
    root = write_reconstructions(tmp_path / "some", TRUE[:4], seconds=(6.0,))
    folder = read_reconstructions(root)
    write_features(root / "features_few", ["p000", "p001", "p002"], TRUE[:3], TRUE[:3])
    write_features(root / "features_others", ["p000", "p001", "p002", "q"], TRUE[:4], TRUE[:4])
    write_features(root / "features_twice", ["p000", "p001", "p002", "p003", "p003"], TRUE[:5], TRUE[:5])
    for name in ("few", "others", "twice"):
        with pytest.raises(DatasetError, match="one voice and one face of each of the 4 people"):
            read_pairs(folder, name)
    with pytest.raises(DatasetError, match=r"with voice\.npy, got none"):
        read_pairs(folder, "absent")
    write_features(root / "features_zero", ["p000", "p001", "p002", "p003"], np.zeros((4, 6)), TRUE[:4])
    with pytest.raises(DatasetError, match="that are zero"):
        read_pairs(folder, "zero")
