"""A classifier that reads colours looks at a reconstructions folder, and the command that asks for it."""

import json

import numpy as np
import pytest

from eval.attributes.demographics import Drawn, evaluate
from eval.attributes.picture_rows import picture_rows, require_same
from eval.attributes.rows import attribute_rows, shuffled_rows
from eval.cli import main
from eval.metrics.classification import Comparison
from eval.reconstructions.folder import read_reconstructions
from eval.results import UNDEFINED, Report
from s2f.checkpoints.loading import packaged
from s2f.checkpoints.provenance import weights_sha256
from s2f.datasets import DatasetFolder
from s2f.errors import DatasetError, ImageError, UsageError
from tests.eval.fake_population import FakePipeline, write_population
from tests.eval.reconstruction_folders import write_reconstructions


class Colours:
    """Red says the gender, unless there is much green; blue says the ethnicity."""

    name = "colours"
    classes = {"gender": ("f", "m"), "ethnicity": ("north", "south")}  # noqa: RUF012

    def classify(self, images):
        red, green, blue = (np.array([image.getpixel((0, 0))[c] for image in images]) for c in range(3))
        gender = np.where(green > 200, "", np.where(red > 127, "m", "f"))
        return {"gender": gender, "ethnicity": np.where(blue > 127, "south", "north")}


def paint(genders, places="n" * 6):
    """Pictures that `Colours` reads: f, m or ? for an abstention, and n or s."""
    colours = {"f": (0, 0), "m": (255, 0), "?": (0, 255)}
    return [
        np.full((8, 8, 3), (*colours[gender], 255 * (place == "s")), np.uint8)
        for gender, place in zip(genders, places, strict=True)
    ]


KINDS = {"true": ("ffmmm?", "nnnsss"), "s2f": ("fmmmf?", "nnssss"), "f2f": ("ffmmmf", "nnnnnn"), "mean": ("mmmmmm",)}
PICTURES = {kind: paint(*shown) for kind, shown in ({"nearest": ("f??mmf",)} | KINDS).items()}
PEOPLE = {
    "gender": ["f", "f", "m", "m", "f", ""],
    "age": ["30"] * 6,
    "ethnicity": ["north", "north", "south", "south", "west", ""],
    "speaker": ["a", "a", "b", "b", "c", "c"],
}


def folder(root, people=PEOPLE, pictures=PICTURES, **about):
    count = len(pictures["true"])
    return read_reconstructions(write_reconstructions(root, np.eye(count), None, pictures, people, **about))


def found(rows, metric, direction, reference, group="U", **params):
    params["control"] = params.get("control")
    chosen = [row for row in rows if (row.metric, row.direction, row.group) == (metric, direction, group)]
    chosen = [row for row in chosen if row.params.get("reference") == reference]
    chosen = [row for row in chosen if all(row.params.get(name) == value for name, value in params.items())]
    assert len(chosen) == 1
    return chosen[0]


def figure(*words, **params):
    row = found(*words, **params)
    return row.value, row.n


def test_every_comparison_by_hand(tmp_path, monkeypatch):
    """Person 5 has no true answer about gender and no label; the ethnicity of person 4 is no class of `Colours`."""
    monkeypatch.setattr("eval.attributes.picture_rows.CHUNK", 4)
    rows, notes = picture_rows(Colours(), folder(tmp_path / "drawn", left_out=[{"identity": "x", "reason": "y"}]))
    assert figure(rows, "gender_agreement", "v2f", "picture") == (3 / 5, 5)  # fmmmf against ffmmm
    assert figure(rows, "gender_agreement", "f2f", "picture") == (1, 5)
    assert figure(rows, "gender_agreement", "v2f", "label") == (4 / 5, 5)  # fmmmf against ffmmf
    assert figure(rows, "gender_agreement", "true", "label") == (4 / 5, 5)  # ffmmm against ffmmf
    assert figure(rows, "gender_recall", "v2f", "picture", "m") == (2 / 3, 3)
    assert figure(rows, "gender_confusion", "v2f", "picture", "f", shown="m") == (1 / 2, 2)
    assert figure(rows, "gender_abstained", "v2f", "picture") == (1 / 6, 6)
    assert figure(rows, "gender_abstained", "f2f", "picture") == (0, 6)
    assert figure(rows, "ethnicity_agreement", "v2f", "picture") == (5 / 6, 6)
    assert figure(rows, "ethnicity_agreement", "f2f", "picture") == (3 / 6, 6)
    assert figure(rows, "ethnicity_agreement", "v2f", "label") == (4 / 4, 4)
    assert figure(rows, "ethnicity_agreement", "true", "label") == (3 / 4, 4)
    assert figure(rows, "gender_agreement", "v2f", "picture", control="mean") == (3 / 5, 5)
    assert figure(rows, "gender_kappa", "v2f", "picture", control="mean") == (0, 5)
    assert figure(rows, "gender_agreement", "v2f", "picture", control="nearest") == (3 / 3, 3)
    assert figure(rows, "gender_agreement", "v2f", "label", control="mean") == (2 / 5, 5)
    assert found(rows, "gender_agreement", "v2f", "picture").params["seconds"] == 6
    assert notes == [
        "pictures classified by colours",
        "1 people left out by s2f-eval reconstruct",
        "gender: 1 of 6 true pictures the classifier abstains about, left out",
        "gender: 1 of 6 people without a label it knows, left out",
        "ethnicity: 2 of 6 people without a label it knows, left out",
    ]
    assert json.loads(Report("demographics/3", "0", rows, notes).json())


def test_rows_are_those_of_the_answers_with_speakers_and_their_control(tmp_path):
    rows, _ = picture_rows(Colours(), folder(tmp_path / "drawn"))
    true, drawn, speakers = (np.array(list(letters)) for letters in ("ffmmm", "fmmmf", "aabbc"))
    compared = Comparison("gender", ("f", "m"), np.append(true, ""), np.append(drawn, ""), np.append(speakers, "c"))
    about = {"reference": "picture", "split": "test", "seconds": 6.0}
    expected = attribute_rows(compared, "v2f", about) + shuffled_rows(compared, "v2f", about)
    assert [row for row in rows if row in expected] == expected
    assert "by_speaker" in expected[0].params


def test_one_gender_and_one_picture_for_everybody(tmp_path):
    """Where the reference and the mean face are of one class, kappa is said to be undefined."""
    pictures = PICTURES | {"true": paint("mmmmmm"), "s2f": paint("mmfmmm")}
    rows, _ = picture_rows(Colours(), folder(tmp_path / "drawn", pictures=pictures))
    row = found(rows, "gender_kappa", "v2f", "picture", control="mean")
    assert (row.value, row.ci_method) == (None, UNDEFINED)
    assert found(rows, "gender_kappa", "v2f", "picture").value == 0


def test_people_of_whom_nothing_is_known(tmp_path):
    rows, notes = picture_rows(Colours(), folder(tmp_path / "drawn", people={}))
    assert {row.params["reference"] for row in rows} == {"picture"}
    assert "gender: 6 of 6 people without a label it knows, nothing is compared with them" in notes
    assert not any("by_speaker" in row.params for row in rows)


def test_trouble_is_said(tmp_path):
    drawn = folder(tmp_path / "drawn")
    drawn.picture("f2f", "p002").write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"p002\.png"):
        picture_rows(Colours(), drawn)
    with pytest.raises(DatasetError, match="gender f, m or none"):
        picture_rows(Colours(), folder(tmp_path / "other", people=PEOPLE | {"gender": ["male"] * 6}))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return DatasetFolder(write_population(tmp_path_factory.mktemp("people") / "data", {"train": 60, "test": 24}))


def test_only_pictures_of_this_checkpoint_and_data(data, tmp_path):
    starter = packaged()["starter"]
    made_by = {name: weights_sha256(starter / name) for name in ("voice_encoder", "face_encoder", "decoder")}
    same = {"split_hash": data.split_hash, "split": "test", "weights_sha256": made_by}
    require_same(folder(tmp_path / "same", **same), "starter", data, "test")
    for number, (other, message) in enumerate(
        (
            ({"split_hash": "0" * 64}, "split_hash"),
            ({"split": "val"}, "of split test, got of val"),
            ({"weights_sha256": {}}, "which weights"),
            ({"weights_sha256": None}, "which weights"),
            ({"weights_sha256": made_by | {"decoder": "0" * 16}}, f"decoder {made_by['decoder']}"),
        )
    ):
        with pytest.raises(UsageError, match=message):
            require_same(folder(tmp_path / str(number), **(same | other)), "starter", data, "test")
    with pytest.raises(UsageError, match="split val"):
        require_same(folder(tmp_path / "val", **same), "starter", data, "val")


def test_report_gains_rows_and_keeps_the_others(data, tmp_path):
    """Without a classifier probes are fitted; the fake draws what it hears, so the folder's pictures are told apart."""
    names = data.identities("test")
    tones = {"f": 0.25, "m": 0.75}
    ages = {"8": 0.15, "30": 0.5, "70": 0.85}
    true = [
        np.full((8, 8, 3), [int(255 * level) for level in (tones[row["gender"]], ages[row["age"]], 0.5)], np.uint8)
        for row in (data.people[name] for name in names)
    ]
    pictures = {"true": true, "s2f": true[2:] + true[:2]}
    people = {key: [data.people[name][key] for name in names] for key in ("gender", "age", "speaker")}
    drawn = folder(tmp_path / "drawn", people | {"identity": names}, pictures)
    plain = evaluate(FakePipeline(), data, "test", 1.0, None)
    report = evaluate(FakePipeline(), data, "test", 1.0, None, reconstructions=Drawn(drawn, None))
    assert report.rows[: len(plain.rows)] == plain.rows
    assert (report.protocol, plain.notes) == ("demographics/3", [])
    added = report.rows[len(plain.rows) :]
    assert {row.metric.rpartition("_")[0] for row in added} == {"gender", "age_class"}
    assert figure(added, "gender_agreement", "v2f", "picture") == (1, 24)
    assert figure(added, "age_class_agreement", "v2f", "picture") == (0, 24)
    assert figure(added, "age_class_agreement", "f2f", "picture") == (1, 24)
    assert figure(added, "gender_kappa", "true", "label") == (1, 24)
    assert report.notes[:2] == [
        "ethnicity left out: the training faces are of no known class",
        "pictures classified by probes on SimpleNamespace",
    ]
    asked = evaluate(FakePipeline(), data, "test", 1.0, None, reconstructions=Drawn(drawn, Colours()))
    assert "pictures classified by colours" in asked.notes
    assert figure(asked.rows, "ethnicity_agreement", "v2f", "picture") == (1, 24)


def test_command_refuses_what_means_nothing(data, tmp_path, capsys):
    folder(tmp_path / "drawn")
    for words, message in (
        (["--classifier", "a:b"], "expected --reconstructions with --classifier"),
        (["--plots", str(tmp_path / "plots")], "expected --reconstructions with --plots"),
        (["--reconstructions", str(tmp_path / "drawn")], f"split_hash {data.split_hash}"),
        (["--reconstructions", str(tmp_path / "none")], "reconstructions.json"),
    ):
        assert main(["demographics", "starter", str(data.root), *words]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "plots").exists()


def test_command_hands_everything_on(data, tmp_path, monkeypatch, capsys):
    from s2f.reconstruction.pipeline import Speech2FacePipeline

    plotted = []
    monkeypatch.setattr(Speech2FacePipeline, "from_pretrained", lambda name: FakePipeline())
    monkeypatch.setattr("eval.attributes.picture_rows.weights_sha256", lambda path: path.name)
    monkeypatch.setattr("eval.attributes.plots.draw_confusions", lambda *given: plotted.append(given))
    drawn = folder(tmp_path / "drawn", split_hash=data.split_hash, weights_sha256={"decoder": "decoder"})
    words = ["--seconds", "1", "--reconstructions", str(drawn.root), "--plots", str(tmp_path / "plots"), "--json"]
    assert main(["demographics", "starter", str(data.root), *words, "--classifier", f"{__name__}:Colours"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert "pictures classified by colours" in report["notes"]
    assert {row["params"]["seconds"] for row in report["rows"] if "seconds" in row["params"]} == {1, 6}
    ((rows, where),) = plotted
    assert len(rows) == len(report["rows"])
    assert where.is_dir()
