"""Planted correlations come back, controls say nothing, and every picture that is not used is accounted for."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from eval.craniofacial.evaluate import craniofacial_rows, evaluate, planted, read_truth
from eval.craniofacial.pairs import kind
from eval.faces.landmarks import Found
from eval.faces.pictures import Pairs, PicturePair, pair_folders
from eval.metrics.intervals import share_interval
from eval.results import UNDEFINED
from s2f.datasets import DatasetFolder, split_hash
from s2f.errors import DatasetError, UsageError
from s2f.faces.craniofacial import ALTERNATIVES, MEASURES, PUBLISHED_CORRELATIONS, craniofacial_measures, inter_ocular
from s2f.runtime.files import write_csv
from tests.eval.schematic_faces import SIZES, faces_of, measures_of, sizes_of_people

SHARES = dict(zip(SIZES, np.linspace(-0.9, 0.9, len(SIZES)), strict=True))
NOISES = dict(zip(SIZES, np.sqrt(1 - np.linspace(-0.9, 0.9, len(SIZES)) ** 2), strict=True))


def two_sides(people: int) -> tuple[dict, dict]:
    """Sizes of people, and others that follow them, every size to another degree."""
    a, other = sizes_of_people(people, 1), sizes_of_people(people, 2)
    b = {
        name: SIZES[name] + SHARES[name] * (a[name] - SIZES[name]) + NOISES[name] * (other[name] - SIZES[name])
        for name in SIZES
    }
    return a, b


@pytest.fixture(scope="module")
def thousand():
    a, b = two_sides(1000)
    return measures_of(a), measures_of(b), faces_of(a), faces_of(b)


def rows_of(rows, normalised="no", control=None, metric="pearson_r"):
    chosen = [
        row
        for row in rows
        if (row.metric, row.params.get("normalised"), row.params.get("control")) == (metric, normalised, control)
    ]
    return {row.params["measure"]: row for row in chosen if "alternative" not in row.params}


def test_planted_correlations_come_back_and_random_pairs_have_none(thousand):
    sizes_a, sizes_b, a, b = thousand
    rows = craniofacial_rows(a, b, np.arange(1000))
    main = rows_of(rows)
    assert tuple(main) == MEASURES
    for name in MEASURES:
        expected = stats.pearsonr(sizes_a[name], sizes_b[name]).statistic
        assert main[name].value == pytest.approx(expected, abs=1e-9)
        assert main[name].params["published"] == PUBLISHED_CORRELATIONS[name]
        assert main[name].direction == "f2s"
        assert "by_speaker" not in main[name].params
    values = [row.value for row in main.values()]
    assert min(values) < -0.4 < 0.4 < max(values)
    assert len({round(value, 2) for value in values}) == 12
    assert sum(row.params["significant"] for row in main.values()) >= 10
    shuffled = rows_of(rows, control="shuffled")
    assert tuple(shuffled) == MEASURES
    assert max(abs(row.value) for row in shuffled.values()) <= 0.1
    assert not any(row.params["significant"] for row in shuffled.values())
    assert not any({"by_speaker", "published"} & set(row.params) for row in shuffled.values())
    assert len(rows) == 12 + 7 + 12


def test_sides_may_be_swapped_and_measures_follow_their_own_names(thousand):
    _, _, a, b = (part[:60] if isinstance(part, np.ndarray) else part for part in thousand)
    there, back = rows_of(craniofacial_rows(a, b, np.arange(60))), rows_of(craniofacial_rows(b, a, np.arange(60)))
    for name in MEASURES:
        assert there[name].value == pytest.approx(back[name].value)


def test_size_of_faces_matters_only_as_they_are(thousand):
    _, _, a, b = (part[:200] if isinstance(part, np.ndarray) else part for part in thousand)
    grown = b * np.random.default_rng(3).uniform(0.7, 1.4, 200)[:, None, None]
    before, after = (craniofacial_rows(a, side, np.arange(200)) for side in (b, grown))
    sizes_before, sizes_after = (rows_of(rows, "inter-ocular") for rows in (before, after))
    assert list(sizes_before) == [name for name in MEASURES if not name.endswith("_index")]
    unit = inter_ocular(a), inter_ocular(b)
    for name, row in sizes_before.items():
        assert sizes_after[name].value == pytest.approx(row.value)
        assert {"q", "shuffled"} <= set(row.params)
        assert not {"published", "planted"} & set(row.params)
        sides = [
            craniofacial_measures(face)[name] / scale ** (2 if name == "nose_area" else 1)
            for face, scale in zip((a, b), unit, strict=True)
        ]
        assert row.value == pytest.approx(stats.pearsonr(*sides).statistic)
    plain_before, plain_after = rows_of(before), rows_of(after)
    changed = {name for name in MEASURES if plain_after[name].value != pytest.approx(plain_before[name].value)}
    assert changed == set(sizes_before)


def test_other_readings_and_ranks_are_extra(thousand):
    _, _, a, b = (part[:60] if isinstance(part, np.ndarray) else part for part in thousand)
    plain, full = (craniofacial_rows(a, b, np.arange(60), sensitivity=wanted) for wanted in (False, True))
    assert full[: len(plain)] == plain
    extra = full[len(plain) :]
    found = [(row.params["measure"], row.params["alternative"]) for row in extra if "alternative" in row.params]
    assert found == [(name, reading) for name, readings in ALTERNATIVES.items() for reading in readings]
    assert tuple(rows_of(extra, metric="spearman_r")) == MEASURES
    assert not any({"q", "significant", "published"} & set(row.params) for row in extra)


FACES = {side: faces_of(sizes) for side, sizes in zip("ab", two_sides(40), strict=True)}
NAMES = [f"id{k:02d}" for k in range(40)]


def folders(root: Path, count: int = 40) -> None:
    for number, side in enumerate(("a", "b", "mean", "nearest")):
        (root / side).mkdir(parents=True)
        for k, name in enumerate(NAMES[:count]):
            Image.new("RGB", (8, 8), (k, 80 * number, 90)).save(root / side / f"{name}.png")


@pytest.fixture
def seen(monkeypatch):
    """Landmarks by the name of a picture and its folder; what is put in is in trouble, or changed."""
    trouble, notes, asked, drawn = {}, {}, [], []

    def found(pictures, landmarks, out):
        asked.append((len(pictures), landmarks, out))
        assert len(set(pictures)) == len(pictures)
        points = {}
        for path in pictures:
            k = NAMES.index(path.stem)
            side = {"a": FACES["a"][k], "b": FACES["b"][k], "mean": FACES["a"][5], "nearest": FACES["b"][k - 1]}
            points[path] = side[path.parent.name]
        bad = {path: trouble[key] for path in pictures if (key := (path.parent.name, path.stem)) in trouble}
        good = {path: one for path, one in points.items() if path not in bad}
        return Found(good, bad, {path: notes.get((path.parent.name, path.stem), ()) for path in good})

    monkeypatch.setattr("eval.craniofacial.pairs.find_landmarks", found)
    monkeypatch.setattr("eval.craniofacial.evaluate.draw_scatter", lambda *_: drawn.append("scatter"))
    monkeypatch.setattr("eval.craniofacial.evaluate.draw_examples", lambda *_: drawn.append("examples"))
    return trouble, notes, asked, drawn


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_everything_left_out_or_changed_is_counted_and_listed(seen, tmp_path):
    trouble, notes, asked, _ = seen
    folders(tmp_path)
    (tmp_path / "b" / "id39.png").unlink()
    (tmp_path / "a" / "list.txt").write_text("no picture")
    trouble |= {("b", "id00"): "no face", ("b", "id01"): "no face", ("a", "id01"): "2 faces"}
    trouble |= {("a", f"id{k:02d}"): f"not square ({k} x 9 px)" for k in (2, 3)}
    notes |= {("a", f"id{k:02d}"): (f"{k} x 112 px, measured", "greyscale") for k in (6, 7)}
    pairs = pair_folders(tmp_path / "a", tmp_path / "b")
    report = evaluate(pairs, "dlib-hog", tmp_path / "out", {"mean": pair_folders(tmp_path / "a", tmp_path / "mean")})
    assert asked == [(39 + 40 + 40, "dlib-hog", tmp_path / "out" / "landmarks")]
    assert report.notes == [
        "39 pairs given, 35 used",
        "1 of A left out: 2 faces",
        "2 of A left out: not square (W x H px)",
        "2 of A changed: W x H px, measured",
        "2 of A changed: greyscale",
        "2 of B left out: no face",
        "1 without a partner: not a picture by its name",
        "1 without a partner: only in A",
        "control mean: 40 pairs given, 37 used",
        *("control mean: " + note for note in ("1 of A left out: 2 faces", "2 of A left out: not square (W x H px)")),
        *("control mean: " + note for note in ("2 of A changed: W x H px, measured", "2 of A changed: greyscale")),
        "control mean: 1 without a partner: not a picture by its name",
        report.notes[-1],
    ]
    share = report.rows[0]
    assert (share.metric, share.value, share.n) == ("landmarks_found", pytest.approx(35 / 39), 39)
    assert (share.ci_low, share.ci_high) == pytest.approx(share_interval(35, 39))
    assert {row.n for row in rows_of(report.rows).values()} == {35}
    listed = {row["name"]: row for row in table(tmp_path / "out" / "pairs.csv") if row["set"] == "main"}
    assert set(listed) == {*NAMES, "list.txt"}
    assert listed["id01"] | {"a": "", "b": ""} == {
        "set": "main", "name": "id01", "state": "left out", "reason": "A: 2 faces; B: no face", "changes": "",
        "a": "", "b": "",
    }  # fmt: skip
    assert listed["id06"]["state"] == "used"
    assert listed["id06"]["changes"] == "A: 6 x 112 px, measured; A: greyscale"
    assert (listed["id39"]["state"], listed["list.txt"]["state"]) == ("unpaired", "unpaired")
    assert listed["id39"]["reason"] == f"only in A: {tmp_path / 'a' / 'id39.png'}"


def test_report_and_tables_in_the_folder_are_those_of_the_run(seen, tmp_path):
    folders(tmp_path)
    controls = {name: pair_folders(tmp_path / "a", tmp_path / name) for name in ("mean", "nearest")}
    pairs = pair_folders(tmp_path / "a", tmp_path / "b")
    report = evaluate(pairs, "starter", tmp_path / "out", controls, seed=3)
    assert (tmp_path / "out" / "craniofacial.json").read_text() == report.json() + "\n"
    assert report.split_hash == split_hash({"identity": name, "split": ""} for name in NAMES)
    assert {row.params["landmarks"] for row in report.rows} == {"starter"}
    jaws = [sizes["jaw"] for sizes in two_sides(40)]
    assert rows_of(report.rows)["jaw_width"].value == pytest.approx(stats.pearsonr(*jaws).statistic)
    measures = table(tmp_path / "out" / "measures.csv")
    assert [row["name"] for row in measures] == NAMES * 3
    assert float(measures[7]["b_jaw_width"]) == pytest.approx(two_sides(40)[1]["jaw"][7], rel=1e-5)
    assert float(measures[47]["b_inter_ocular"]) == pytest.approx(inter_ocular(FACES["a"][[5]])[0], rel=1e-5)
    for name, row in rows_of(report.rows, control="nearest").items():
        partner = craniofacial_measures(np.roll(FACES["b"], 1, axis=0))[name]
        assert row.value == pytest.approx(stats.pearsonr(craniofacial_measures(FACES["a"])[name], partner).statistic)
    mean = rows_of(report.rows, control="mean")
    assert tuple(mean) == MEASURES
    assert {(row.value, row.ci_low, row.ci_method) for row in mean.values()} == {(None, None, UNDEFINED)}
    assert report.table().count("undefined, no variance") == 12
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"craniofacial.json", "pairs.csv", "measures.csv"}
    assert seen[-1] == ["scatter", "examples"]
    again = evaluate(pairs, "starter", None, controls, seed=3)
    assert again == report
    assert evaluate(pairs, "starter", None, controls, seed=4) != report
    assert len(seen[-1]) == 2


def truth_folder(root: Path) -> DatasetFolder:
    """Truth of people behind whom stand ten speakers; the nose's width alone has an expectation."""
    random = np.random.default_rng(0)
    root.mkdir()
    speakers = ["" if k == 0 else f"s{k // 4}" for k in range(40)]
    write_csv(root / "people.csv", ("identity", "split", "speaker"), zip(NAMES, ["test"] * 40, speakers, strict=True))
    mesh = np.exp(random.normal(3, 0.1, (40, 12)))
    header = ["identity", *(f"mesh_{name}" for name in MEASURES), "expected_nose_width"]
    expected = np.log(mesh[:, MEASURES.index("nose_width")]) + random.normal(0, 0.1, 40)
    rows = [[name, *values, one] for name, values, one in zip(NAMES, mesh.tolist(), expected.tolist(), strict=True)]
    write_csv(root / "truth.csv", header, rows[::-1])
    return DatasetFolder(root)


def test_truth_gives_speakers_and_what_was_planted_in_the_very_pairs_used(seen, tmp_path):
    folders(tmp_path)
    data = truth_folder(tmp_path / "data")
    seen[0]["b", "id07"] = "no face"
    pairs = pair_folders(tmp_path / "a", tmp_path / "b")
    report = evaluate(pairs, out=tmp_path / "out", truth=data)
    rows = rows_of(report.rows)
    truth = [row for row in table(data.root / "truth.csv")[::-1] if row["identity"] != "id07"]
    sides = [[float(row[column]) for row in truth] for column in ("mesh_nose_width", "expected_nose_width")]
    hoped = stats.pearsonr(np.log(sides[0]), sides[1]).statistic
    assert {name: row.params.get("planted") for name, row in rows.items()} == {
        name: pytest.approx(hoped, abs=6e-4) if name == "nose_width" else None for name in MEASURES
    }
    assert all("by_speaker" in row.params for row in rows.values())
    assert "planted" not in rows_of(report.rows, "inter-ocular")["nose_width"].params
    assert report.split_hash == data.split_hash
    named = {row["name"]: row["speaker"] for row in table(tmp_path / "out" / "measures.csv")}
    assert (named["id00"], named["id01"], named["id39"]) == ("id00", "s0", "s9")
    flipped = read_truth(data, NAMES)
    flipped = flipped._replace(expected={name: -values for name, values in flipped.expected.items()})
    assert planted(flipped)["nose_width"] == pytest.approx(-planted(read_truth(data, NAMES))["nose_width"])


def test_people_whom_the_truth_does_not_know_are_refused(seen, tmp_path):
    folders(tmp_path)
    data = truth_folder(tmp_path / "data")
    stranger = replace(pair_folders(tmp_path / "a", tmp_path / "b").pairs[0], name="somebody")
    with pytest.raises(DatasetError, match="somebody"):
        evaluate(Pairs((stranger,), ()), truth=data)


def test_too_few_are_refused_with_the_reasons_and_listed(seen, tmp_path):
    folders(tmp_path, 5)
    seen[0].update({("a", "id00"): "no face", ("b", "id03"): "2 faces"})
    pairs = pair_folders(tmp_path / "a", tmp_path / "b")
    with pytest.raises(DatasetError, match=r"4 different.*5 pairs given, 3 used; 1 of A left out: no face"):
        evaluate(pairs, out=tmp_path / "out")
    assert [row["state"] for row in table(tmp_path / "out" / "pairs.csv")].count("left out") == 2
    seen[0].clear()
    shared = Pairs(tuple(replace(pair, speaker="one") for pair in pairs.pairs), ())
    with pytest.raises(DatasetError, match="4 different"):
        evaluate(shared)


def test_controls_have_names_of_their_own(seen, tmp_path):
    folders(tmp_path)
    pairs = pair_folders(tmp_path / "a", tmp_path / "b")
    for name in ("main", "shuffled"):
        with pytest.raises(UsageError, match="not named"):
            evaluate(pairs, controls={name: pairs})


def test_landmarks_that_divide_by_zero_are_left_out(seen, tmp_path):
    folders(tmp_path)
    face = FACES["b"][4].copy()
    try:
        FACES["b"][4, 57] = FACES["b"][4, [62, 66]].mean(0)
        report = evaluate(pair_folders(tmp_path / "a", tmp_path / "b"))
    finally:
        FACES["b"][4] = face
    assert "1 of B left out: landmarks of no shape" in report.notes
    assert json.loads(report.json())["rows"][1]["n"] == 39


@pytest.mark.parametrize(
    ("reason", "short"),
    [
        ("no face", "no face"),
        ("unreadable: no such file at /tmp/a", "unreadable"),
        ("no file at some where/x.png (column b)", "no file"),
        ("nothing in column a on line 7", "nothing in column a"),
        ("112 x 90 px, measured at the scale of 224 px height", "W x H px, measured at the scale of 224 px height"),
    ],
)
def test_reasons_are_counted_without_their_particulars(reason: str, short: str):
    assert kind(reason) == short


def test_pairs_of_a_table_keep_their_speakers(seen, tmp_path):
    folders(tmp_path)
    files = [(tmp_path / "a" / f"{name}.png", tmp_path / "b" / f"{name}.png") for name in NAMES]
    pairs = Pairs(
        tuple(PicturePair(name, *two, f"s{k // 2}") for k, (name, two) in enumerate(zip(NAMES, files, strict=True))), ()
    )
    report = evaluate(pairs)
    assert all("by_speaker" in row.params for row in rows_of(report.rows).values())
    assert any(note.startswith("40 pairs of 20 speakers: p, q") for note in report.notes)
    alone = Pairs(tuple(replace(pair, speaker=pair.name) for pair in pairs.pairs), ())
    assert not any("speakers" in note for note in evaluate(alone).notes)
