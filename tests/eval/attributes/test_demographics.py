"""The interval, the report, and the protocol on a pipeline that paints what it hears."""

import json
import zlib

import numpy as np
import pytest

from eval.attributes.demographics import evaluate
from eval.cli import main
from eval.faces.conditions import CONDITIONS
from eval.metrics.intervals import share_interval
from eval.results import Report, Row
from s2f.datasets import DatasetFolder
from s2f.errors import DatasetError
from tests.eval.fake_population import FakePipeline, write_csv, write_population, write_voice


def test_wilson_interval_by_its_formula():
    for hits, count in ((0, 5), (37, 40), (40, 40)):
        z, share = 1.959963984540054, hits / count
        centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
        half = z / (1 + z**2 / count) * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
        assert share_interval(hits, count) == pytest.approx((centre - half, centre + half), abs=1e-9)


def test_report_as_json_and_table():
    row = Row("gender_agreement", "v2f", "U", 0.925, 0.801, 0.974, "wilson", 0.5, 40, {"seconds": 6.0})
    report = Report("demographics/3", "ab" * 32, [row])
    content = json.loads(report.json())
    assert content["split_hash"] == "ab" * 32
    assert content["rows"][0]["params"] == {"seconds": 6.0}
    assert content["rows"][0]["ci_method"] == "wilson"
    table = report.table().splitlines()
    assert "gender_agreement  v2f" in table[2]
    assert "0.801..0.974" in table[2]


def test_command_refuses_bad_input_in_one_sentence(tmp_path, capsys):
    assert main(["demographics", str(tmp_path / "none"), str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "expected" in error
    assert main(["demographics", "starter", str(tmp_path), "--secods", "3"]) == 2
    assert "did you mean seconds?" in capsys.readouterr().err


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return DatasetFolder(write_population(tmp_path_factory.mktemp("people") / "data", {"train": 60, "test": 24}))


def rows_of(report, metric, direction="v2f"):
    return [row for row in report.rows if (row.metric, row.direction) == (metric, direction)]


def test_every_voice_is_drawn_as_it_is(data, tmp_path):
    report = evaluate(FakePipeline(), data, "test", 1.0, None, tmp_path / "pictures")
    agreed, control = rows_of(report, "gender_agreement")
    assert (agreed.group, agreed.value, agreed.n, agreed.chance) == ("U", 1, 24, 0.5)
    assert (control.group, control.params["control"]) == ("U", "shuffled")
    assert control.value == pytest.approx(0.5, abs=0.02)
    recalled = [row for row in rows_of(report, "gender_recall") if "control" not in row.params]
    assert {row.group: (row.value, row.n) for row in recalled} == {"f": (1, 12), "m": (1, 12)}
    assert agreed.params["by_speaker"] == [1, 1]  # two people a speaker
    (child,) = rows_of(report, "shown_as_child")
    assert (child.group, child.value, child.n) == ("adult", 0, 8)
    for metric, groups in (("agreement", ["U"]), ("balanced", ["U"]), ("recall", ["child", "adult", "elder"])):
        own = rows_of(report, f"age_class_{metric}", "rendered")
        assert [(row.group, row.value) for row in own] == [(group, 1.0) for group in groups]
    assert rows_of(report, "gender_agreement", "rendered")[0].value == 1
    assert len(list((tmp_path / "pictures").glob("*.png"))) == 24


def test_conditions_reach_the_pipeline_with_a_seed_of_the_recording(data, monkeypatch):
    calls = []

    def swap_genders(waveform, rate, condition, seed):
        calls.append((condition, seed, len(waveform), rate))
        tone = np.sin(2 * np.pi * 200 * np.arange(len(waveform)) / rate)
        return waveform + (0.3 - 4 * (waveform * tone).mean()) * tone  # amplitude 0.3 - itself

    monkeypatch.setattr("eval.faces.drawing.degrade_voice", swap_genders)
    report = evaluate(FakePipeline(), data, "test", 0.5, None, conditions=True)
    measured = [row for row in rows_of(report, "gender_agreement") if "control" not in row.params]
    rows = {row.params.get("condition"): row for row in measured}
    assert list(rows) == [None, *CONDITIONS]
    assert len(rows) == len(measured)
    assert (rows[None].value, rows[None].n) == (1, 24)
    assert {(rows[name].value, rows[name].n) for name in CONDITIONS} == {(0, 24)}
    assert {call[2:] for call in calls} == {(8000, 16000)}
    seeds = [seed for condition, seed, _, _ in calls if condition == "reverb"]
    names = [row["identity"] for row in data.voices("test")]
    assert seeds == [zlib.crc32(name.encode()) for name in names]


def test_original_recordings_of_dev_speakers_are_adults(data, tmp_path):
    """Four readers: a woman, a man, a man who sounds like a child, and one of training who is not heard."""
    speakers = []
    for name, gender, split, levels in (
        ("a", "f", "dev", (0.25, 0.5, 0.5)),
        ("b", "m", "dev", (0.75, 0.5, 0.5)),
        ("c", "m", "dev", (0.75, 0.15, 0.5)),
        ("d", "m", "train", (0.25, 0.15, 0.5)),
    ):
        write_voice(tmp_path / f"{name}.wav", levels)
        speakers.append({"speaker": name, "gender": gender, "split": split, "file": f"{name}.wav"})
    write_csv(tmp_path / "speakers.csv", speakers)
    report = evaluate(FakePipeline(), data, "test", 1.0, None, voices=tmp_path)
    agreement, child = rows_of(report, "gender_agreement")[0], rows_of(report, "shown_as_child")[0]
    assert (agreement.value, agreement.n) == (1, 3)
    assert agreement.params["voices"] == tmp_path.name
    assert (child.value, child.n) == (1 / 3, 3)
    write_csv(tmp_path / "speakers.csv", speakers[3:])
    with pytest.raises(DatasetError, match="dev speakers"):
        evaluate(FakePipeline(), data, "test", 1.0, None, voices=tmp_path)


def test_without_ages_there_is_gender_only(tmp_path):
    root = write_population(tmp_path / "data", {"train": 12, "test": 6})
    people = [row | {"age": ""} for row in DatasetFolder(root).people.values()]
    write_csv(root / "people.csv", people)
    report = evaluate(FakePipeline(), DatasetFolder(root), "test", 1.0, None)
    assert {row.metric.partition("_")[0] for row in report.rows} == {"gender"}
    assert report.notes == ["age_class left out: the training faces are of no known class"]


def test_genders_must_be_known(tmp_path):
    root = write_population(tmp_path / "data", {"train": 12, "test": 6})
    (root / "truth.csv").unlink()
    people = list(DatasetFolder(root).people.values())
    write_csv(root / "people.csv", [row | {"gender": "f"} for row in people])
    with pytest.raises(DatasetError, match="training faces of two classes of gender"):
        evaluate(FakePipeline(), DatasetFolder(root), "test", 1.0, None)
    write_csv(root / "people.csv", [row | {"gender": row["gender"] * (row["split"] == "train")} for row in people])
    with pytest.raises(DatasetError, match="gender f or m for every person"):
        evaluate(FakePipeline(), DatasetFolder(root), "test", 1.0, None)


def test_faces_have_their_own_gender(tmp_path):
    """truth.csv gives the face's gender, which the probes learn; the voice keeps people.csv's."""
    root = write_population(tmp_path / "data", {"train": 12, "test": 6})
    truth = [
        {"identity": name, "gender": "mf"[row["gender"] == "m"]} for name, row in DatasetFolder(root).people.items()
    ]
    write_csv(root / "truth.csv", truth)
    report = evaluate(FakePipeline(), DatasetFolder(root), "test", 1.0, None)
    assert rows_of(report, "gender_agreement")[0].value == 0
    assert rows_of(report, "gender_agreement", "rendered")[0].value == 1
    assert not rows_of(report, "shown_as_child")
