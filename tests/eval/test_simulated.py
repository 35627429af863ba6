"""Agreement, confusion and variance by hand, and the whole protocol on a pipeline that paints what it hears."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from eval import simulated
from eval.cli import main
from eval.correlation import speaker_weights
from eval.demographics import AGE_CLASSES, Faces
from eval.simulated import (
    Population,
    Reconstruction,
    agreement,
    confusion,
    evaluate,
    read_population,
    shuffled_recalls,
    variance_rows,
    within_variance,
)
from s2f.datasets import DatasetFolder
from s2f.errors import DatasetError
from tests.eval.fake_population import BlueDetector, FakePipeline, write_csv, write_population


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return DatasetFolder(write_population(tmp_path_factory.mktemp("sim") / "data", {"train": 60, "test": 120}))


@pytest.fixture(scope="module")
def report(data):
    return evaluate(FakePipeline(), data, "test", 1.0, None)


def found(report, metric, group="U", direction="v2f", **params):
    rows = [
        row
        for row in report.rows
        if (row.metric, row.group, row.direction) == (metric, group, direction) and params.items() <= row.params.items()
    ]
    assert len(rows) == 1
    return rows[0]


def people(is_male, age_class, speakers=None):
    count = len(is_male)
    speakers = np.arange(count) if speakers is None else speakers
    return Population([], np.array(is_male), np.array(age_class), np.asarray(speakers), {}, {})


def by_group(rows, metric):
    return {row.group: row for row in rows if row.metric == metric}


def test_confusion_by_hand():
    true = np.array(["child", "child", "adult", "adult", "adult", "elder"])
    shown = np.array(["child", "elder", "adult", "child", "adult", "adult"])
    np.testing.assert_array_equal(confusion(shown, true, AGE_CLASSES), [[1, 0, 1], [1, 2, 0], [0, 1, 0]])
    population = people([True, False] * 3, true)
    rows = agreement(population, Reconstruction(torch.zeros(6, 2), population.is_male, shown, np.zeros((6, 68, 2))))
    recalls = by_group(rows, "age_class_agreement")
    assert {group: (row.value, row.n) for group, row in recalls.items()} == {
        "U": (pytest.approx((1 / 2 + 2 / 3 + 0) / 3), 6),
        "child": (1 / 2, 2),
        "adult": (2 / 3, 3),
        "elder": (0, 1),
    }
    shares = {(row.group, row.params["shown"]): row for row in rows if row.metric == "age_class_confusion"}
    assert len(shares) == 9
    assert shares["child", "elder"].value == 1 / 2
    assert shares["adult", "elder"].value == 0
    assert shares["elder", "adult"].value == 1
    assert shares["elder", "adult"].chance == pytest.approx(3 / 6)
    assert {row.value for row in by_group(rows, "gender_agreement").values()} == {1.0}


def test_shuffled_recalls_are_the_shares_of_the_answers():
    true, shown = np.repeat(["a", "b"], [30, 10]), np.repeat(["a", "b"], [10, 30])
    control = shuffled_recalls(shown, true, ["a", "b"])
    np.testing.assert_allclose(control.mean(0), [10 / 40, 30 / 40], atol=0.02)
    assert control.mean() == pytest.approx(0.5, abs=0.02)
    np.testing.assert_allclose(shuffled_recalls(np.full(40, "a"), true, ["a", "b"])[0], [1, 0])
    order = np.random.default_rng(2).permutation(40)
    expected = [(shown[order][:30] == "a").mean(), (shown[order][30:] == "b").mean()]
    np.testing.assert_allclose(shuffled_recalls(shown, true, ["a", "b"], shuffles=1, seed=2), [expected])


def test_gender_by_class_with_its_control():
    is_male = np.arange(90) % 2 == 1
    ages = np.array(AGE_CLASSES)[np.arange(90) % 3]
    shown = np.where(ages == "child", False, is_male)  # every child drawn as a girl
    answer = Reconstruction(torch.zeros(90, 2), shown, None, np.zeros((90, 68, 2)))
    rows = by_group(agreement(people(is_male, ages, np.arange(90) % 9), answer), "gender_agreement")
    assert {group: row.value for group, row in rows.items()} == {
        "U": pytest.approx(5 / 6),
        "f": 1,
        "m": pytest.approx(2 / 3),
        "child": 1 / 2,
        "adult": 1,
        "elder": 1,
    }
    low, mean, high = rows["adult"].params["shuffled"]
    assert low < mean < high
    assert mean == pytest.approx(0.5, abs=0.02)
    assert rows["child"].params["shuffled"] == [0.5, 0.5, 0.5]
    assert rows["m"].params["shuffled"][1] == pytest.approx(1 / 3, abs=0.02)  # a third is shown as m
    assert rows["adult"].params["by_speaker"] == [1, 1]


def test_intervals_over_speakers_are_wider_where_a_speaker_is_all_right_or_all_wrong():
    speakers, is_male = np.repeat(np.arange(10), 50), np.arange(500) % 2 == 1
    shown = np.where(speakers < 8, is_male, ~is_male)
    answer = Reconstruction(torch.zeros(500, 2), shown, None, np.zeros((500, 68, 2)))
    row = agreement(people(is_male, np.full(500, "adult"), speakers), answer)[0]
    assert (row.group, row.value) == ("U", 0.8)
    low, high = row.params["by_speaker"]
    draws = speaker_weights(speakers)[:, ::50][:, :8].sum(1) / 10
    assert [low, high] == pytest.approx(np.quantile(draws, [0.025, 0.975]))
    assert high - low > 4 * (row.ci_high - row.ci_low)


def test_variance_within_cells_by_hand():
    features = torch.tensor([[2.0, 0], [0, 3], [0, 1], [0, 5]])
    value, _ = within_variance(features, np.array(["a", "a", "b", "b"]))
    assert value == pytest.approx((0.5 + 0.5) / 2)  # unit vectors (1, 0) and (0, 1); the other two are the same
    unit = torch.nn.functional.normalize(torch.randn(400, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
    value, error = within_variance(7 * unit, np.full(400, ""))
    assert value == pytest.approx(np.trace(np.cov(unit.T)), rel=1e-5)
    assert error < 0.05
    with pytest.raises(DatasetError, match="several people"):
        within_variance(features, np.arange(4).astype(str))


def test_class_means_have_no_variance_within():
    random = torch.Generator().manual_seed(1)
    is_male, ages = np.arange(300) % 2 == 1, np.array(AGE_CLASSES)[np.arange(300) % 3]
    centre = torch.randn(6, 8, generator=random)[torch.arange(300) % 6]
    real = centre + 0.5 * torch.randn(300, 8, generator=random)
    faces, population = Faces(real, is_male, ages), people(is_male, ages)

    def shares(predicted):
        return {row.metric: row for row in variance_rows(population, predicted, faces)}

    means, same, constant = shares(centre), shares(3 * real), shares(torch.ones(300, 8))
    assert means["variance"].value > 0.5
    assert 0.1 < means["variance_within_gender"].value < means["variance"].value
    assert means["variance_within_gender_and_age"].value == pytest.approx(0, abs=1e-12)
    assert [row.value for row in same.values()] == pytest.approx([1, 1, 1])
    assert all(row.ci_low < row.value < row.ci_high for row in same.values())
    assert [row.value for row in constant.values()] == pytest.approx([0, 0, 0])
    unknown = variance_rows(population, real, Faces(real, is_male, np.full(300, "")))
    assert [row.metric for row in unknown] == ["variance", "variance_within_gender"]


def test_delta_interval_covers_the_ratio():
    """Half the spread of isotropic noise around a far mean has a quarter of the variance; 95 % of intervals hold it."""
    random = torch.Generator().manual_seed(2)
    mean, hits = torch.tensor([20.0, 0, 0]), 0
    for _ in range(100):
        real, ours = (mean + s * torch.randn(80, 3, generator=random) for s in (1.0, 0.5))
        is_male = np.arange(80) < 40
        faces = Faces(real, is_male, np.full(80, ""))
        row = variance_rows(people(is_male, np.full(80, "adult")), ours, faces)[0]
        hits += row.ci_low < 0.25 < row.ci_high
    assert 88 <= hits <= 100


def test_the_fake_draws_what_it_hears(report):
    assert report.protocol == "simulated/1"
    for group in ("U", "f", "m", "child", "adult", "elder"):
        assert found(report, "gender_agreement", group).value == 1
    for group in ("U", *AGE_CLASSES):
        assert found(report, "age_class_agreement", group).value == 1
    assert found(report, "age_class_agreement", "U").params["shuffled"][1] == pytest.approx(1 / 3, abs=0.02)
    assert found(report, "age_class_confusion", "elder", shown="elder").value == 1
    assert found(report, "age_class_confusion", "elder", shown="child").value == 0
    assert found(report, "gender_agreement", direction="rendered").value == 1
    assert found(report, "age_class_agreement", "elder", "rendered").value == 1
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
        population.is_male[order],
        population.age_class[order],
        population.speakers,
        {name: values[order] for name, values in population.mesh.items()},
        {name: values[order] for name, values in population.expected.items()},
    )
    monkeypatch.setattr(simulated, "read_population", lambda *_: dealt)
    report = evaluate(FakePipeline(), data, "test", 1.0, None)
    assert abs(found(report, "pearson_r", measure="nose_width").value) < 0.25
    assert found(report, "gender_agreement").value == pytest.approx(0.5, abs=0.15)
    assert found(report, "age_class_agreement").value == pytest.approx(1 / 3, abs=0.13)


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
    monkeypatch.setattr("s2f.pipeline.Speech2FacePipeline", loaded)
    words = ["simulated", "fake", str(data.root), "--seconds", "1", "--landmarks", "decoder"]
    assert main(words) == 0
    settings, protocol, head, *rows = capsys.readouterr().out.splitlines()
    assert settings == "settings seconds=1.0, split=test, landmarks=decoder"
    assert protocol.startswith("protocol simulated/1, split ")
    assert head.split()[:3] == ["metric", "direction", "group"]
    assert max(map(len, rows)) < 200
    assert not any("seconds" in row for row in rows)
    assert main([*words, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    row = next(row for row in content["rows"] if row["metric"] == "pearson_r")
    assert row["params"]["landmarks"] == "decoder"
    assert row["params"]["seconds"] == 1.0
    assert main([*words, "--prbes", "x"]) == 2
    assert "did you mean probes?" in capsys.readouterr().err
