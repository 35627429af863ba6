"""The whole protocol on simulated people, by a pipeline that paints what it hears."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest

from eval.cli import main
from eval.simulated import evaluate as simulated
from eval.simulated.evaluate import Population, agreement, evaluate, read_population
from s2f.datasets import DatasetFolder
from s2f.errors import DatasetError
from s2f.labels import AGE_CLASSES, GENDERS
from tests.eval.fake_population import BlueDetector, FakePipeline, write_csv, write_population


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return DatasetFolder(write_population(tmp_path_factory.mktemp("sim") / "data", {"train": 60, "test": 120}))


@pytest.fixture(scope="module")
def report(data):
    return evaluate(FakePipeline(), data, "test", 1.0, None)


def found(report, metric, group="U", direction="v2f", **params):
    return one_of(report.rows, metric, group, direction, **params)


def one_of(rows, metric, group="U", direction="v2f", control=None, **params):
    rows = [
        row
        for row in rows
        if (row.metric, row.group, row.direction) == (metric, group, direction)
        and row.params.get("control") == control
        and params.items() <= row.params.items()
    ]
    assert len(rows) == 1
    return rows[0]


def test_the_fake_draws_what_it_hears(report):
    assert report.protocol == "simulated/2"
    for group in ("U", *AGE_CLASSES):
        assert found(report, "gender_agreement", group).value == 1
    for group in GENDERS:
        assert found(report, "gender_recall", group).value == 1
    for group in AGE_CLASSES:
        assert found(report, "age_class_recall", group).value == 1
    assert found(report, "age_class_agreement").value == found(report, "age_class_balanced").value == 1
    assert found(report, "age_class_balanced", control="shuffled").value == pytest.approx(1 / 3, abs=0.02)
    assert found(report, "age_class_confusion", "elder", shown="elder").value == 1
    assert found(report, "age_class_confusion", "elder", shown="child").value == 0
    assert found(report, "gender_agreement", direction="rendered").value == 1
    assert found(report, "age_class_recall", "elder", "rendered").value == 1
    assert found(report, "age_class_recall", "elder", "rendered").params["split"] == "test"
    assert report.notes == []
    assert found(report, "landmarks_found").value == 1
    nose = found(report, "pearson_r", measure="nose_width")
    assert nose.n == 120
    assert nose.value == pytest.approx(nose.params["planted"], abs=0.03)
    assert 0.5 < nose.ci_low < 0.71 < nose.ci_high < 0.85
    assert nose.params["p"] < 1e-10
    assert nose.params["shuffled"][0] > -0.25
    assert nose.params["shuffled"][2] < 0.25
    assert found(report, "pearson_r_expected", "within", measure="nose_width").value > 0.99
    assert found(report, "pearson_r", "m", measure="nose_width").n == 60
    assert found(report, "pearson_r", "f", measure="face_height").value == 0  # the fake draws one face height
    assert len([row for row in report.rows if row.metric == "pearson_r"]) == 13 * 4
    assert 0.5 < found(report, "variance_within_gender").value < 1.5
    json.loads(report.json())


def test_a_flipped_nose_and_shuffled_voices_are_seen(data):
    flipped = evaluate(FakePipeline(nose_sign=-1), data, "test", 1.0, None)
    assert found(flipped, "pearson_r", measure="nose_width").value < -0.5
    assert found(flipped, "pearson_r", measure="nose_width").params["planted"] > 0.5
    assert found(flipped, "pearson_r_expected", measure="nose_width").value < -0.99


def test_landmarks_of_the_picture_and_faces_from_another_folder(data, tmp_path):
    """Without pictures of its own people, and with a detector that sees no face in the bluest pictures."""
    voices_only = DatasetFolder(write_population(tmp_path / "voices_only", {"test": 60}, seed=3, faces=False))
    report = evaluate(FakePipeline(), voices_only, "test", 1.0, BlueDetector(), data)
    missed = found(report, "landmarks_found")
    assert 0.7 < missed.value < 1
    nose = found(report, "pearson_r", measure="nose_width")
    assert (nose.n, nose.value > 0.4) == (round(60 * missed.value), True)
    assert found(report, "gender_agreement").n == 60
    with pytest.raises(DatasetError, match=r"faces\.csv.*--probes"):
        evaluate(FakePipeline(), voices_only, "test", 1.0, None)


def test_shuffling_the_truth_gives_chance(data, tmp_path, monkeypatch):
    """Every person with another's truth: nothing above chance is left."""
    population = read_population(data, "test")
    order = np.random.default_rng(5).permutation(120)
    dealt = Population(
        population.voices,
        population.gender[order],
        population.age_class[order],
        population.speakers,
        {name: values[order] for name, values in population.mesh.items()},
        {name: values[order] for name, values in population.expected.items()},
    )
    monkeypatch.setattr(simulated, "read_population", lambda *_: dealt)
    report = evaluate(FakePipeline(), data, "test", 1.0, None)
    assert abs(found(report, "pearson_r", measure="nose_width").value) < 0.25
    assert found(report, "gender_agreement").value == pytest.approx(0.5, abs=0.15)
    assert found(report, "age_class_balanced").value == pytest.approx(1 / 3, abs=0.13)


def test_gender_by_age_class_with_its_control():
    """Every child is drawn as a girl."""
    gender, ages = np.array(GENDERS)[np.arange(90) % 2], np.array(AGE_CLASSES)[np.arange(90) % 3]
    shown = np.where(ages == "child", "f", gender)
    population = Population([], gender, ages, np.arange(90) % 9, {}, {})
    rows = agreement(population, {"gender": shown}, {"gender": GENDERS})
    assert not [row for row in rows if row.metric.startswith("age_class")]
    values = {group: one_of(rows, "gender_agreement", group).value for group in ("U", *AGE_CLASSES)}
    assert values == {"U": pytest.approx(5 / 6), "child": 1 / 2, "adult": 1, "elder": 1}
    assert [one_of(rows, "gender_recall", group).value for group in GENDERS] == [1, pytest.approx(2 / 3)]
    adult = one_of(rows, "gender_agreement", "adult", control="shuffled")
    assert adult.ci_low < adult.value < adult.ci_high
    assert adult.value == pytest.approx(0.5, abs=0.02)
    child = one_of(rows, "gender_agreement", "child", control="shuffled")
    assert (child.ci_low, child.value, child.ci_high) == (0.5, 0.5, 0.5)
    dealt = one_of(rows, "gender_recall", "m", control="shuffled").value
    assert dealt == pytest.approx(1 / 3, abs=0.02)  # a third is shown as m
    assert one_of(rows, "gender_agreement", "adult").params["by_speaker"] == [1, 1]


def test_classes_that_the_probes_do_not_know_are_left_out():
    gender, ages = np.array(GENDERS)[np.arange(12) % 2], np.array(AGE_CLASSES)[np.arange(12) % 3]
    population = Population([], gender, ages, np.arange(12), {}, {})
    shown = {"gender": gender, "age_class": np.full(12, "adult")}
    rows = agreement(population, shown, {"gender": GENDERS, "age_class": ("child", "adult")})
    agreed = one_of(rows, "age_class_agreement")
    assert (agreed.value, agreed.n) == (1 / 2, 8)
    assert [row.group for row in rows if row.metric == "age_class_recall" and not row.params] == ["child", "adult"]


def rewrite(root, name, change):
    with (root / name).open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        change(row)
    write_csv(root / name, rows)


def test_truth_that_is_missing_or_unknown_is_refused(tmp_path):
    root = write_population(tmp_path / "data", {"test": 6})
    rewrite(root, "truth.csv", lambda row: row.update(voice_age_class="teenager"))
    with pytest.raises(DatasetError, match="'teenager' for id0"):
        read_population(DatasetFolder(root), "test")
    rewrite(root, "truth.csv", lambda row: row.pop("mesh_nose_width"))
    with pytest.raises(DatasetError, match="mesh_nose_width"):
        read_population(DatasetFolder(root), "test")
    rewrite(root, "voices.csv", lambda row: row.update(identity="id0"))
    with pytest.raises(DatasetError, match="several for id0"):
        read_population(DatasetFolder(root), "test")


def test_command_prints_settings_once(data, monkeypatch, capsys):
    loaded = SimpleNamespace(from_pretrained=lambda *_: FakePipeline())
    monkeypatch.setattr("s2f.reconstruction.pipeline.Speech2FacePipeline", loaded)
    words = ["simulated", "fake", str(data.root), "--seconds", "1", "--landmarks", "decoder"]
    assert main(words) == 0
    protocol, head, *rows = capsys.readouterr().out.splitlines()
    assert protocol.startswith("protocol simulated/2, split ")
    assert protocol.endswith(", seconds=1.0, split=test, landmarks=decoder")
    assert head.split()[:3] == ["metric", "direction", "group"]
    assert max(map(len, rows)) < 220
    assert not any("seconds" in row for row in rows)
    assert main([*words, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    row = next(row for row in content["rows"] if row["metric"] == "pearson_r")
    assert row["params"]["landmarks"] == "decoder"
    assert row["params"]["seconds"] == 1.0
    assert main([*words, "--prbes", "x"]) == 2
    assert "did you mean probes?" in capsys.readouterr().err
