"""`s2f prepare` and `s2f data check` as people type them."""

import json
import re

import pytest

from s2f import cli
from s2f.prepare.adaptors import ADAPTORS
from s2f.prepare.config import FLAGS
from s2f.prepare.report import WIDTH, datasets, summary
from s2f.prepare.splits import OFFICIAL, RULES
from tests import CHECKOUT
from tests.s2f.prepare.material import table, three_recordings
from tests.s2f.prepare.trees import TREES

NOBODY = "\N{EN DASH}"
GUIDE = (CHECKOUT / "docs" / "datasets.md").read_text(encoding="utf-8")


@pytest.fixture
def own(tmp_path):
    """Three recordings of two people, as `folders` reads them."""
    return three_recordings(tmp_path / "own")


@pytest.fixture
def said(capsys):
    """Function (words) that runs a command: code, standard output, standard error."""

    def said(*words):
        code = cli.main([str(word) for word in words])
        return code, *capsys.readouterr()

    return said


def test_the_list_says_everything_about_every_dataset(said):
    code, out, _ = said("prepare", "--list")
    assert (code, out) == (0, datasets() + "\n")
    assert max(map(len, out.splitlines())) <= WIDTH
    joined = " ".join(out.split())
    for name, adaptor in ADAPTORS.items():
        assert f"{name}: {adaptor.title}" in out
        for text in (*adaptor.layout, adaptor.licence, adaptor.needs):
            assert " ".join(text.split()) in joined


def test_the_guide_knows_every_dataset_split_and_flag():
    for name in (*ADAPTORS, *FLAGS):
        assert re.search(rf"^\| .*`{name}`", GUIDE, re.M), name
    for rule in RULES:
        (row,) = re.findall(rf"^\| `{rule}` \| (.*?) \|", GUIDE, re.M)
        if rule in OFFICIAL:
            assert row == " / ".join(f"{count:,}" if count else NOBODY for count in OFFICIAL[rule].values())


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ((), "expected s2f prepare DATASET ROOT OUT, got nothing; `s2f prepare --list`"),
        (("folders", "ROOT"), "got folders ROOT;"),
        (("voxceleb3", "ROOT", "OUT"), "got 'voxceleb3'; did you mean voxceleb2?"),
        (("folders", "nowhere", "OUT"), "an existing folder as ROOT, got none at nowhere"),
        (("folders", "ROOT", "OUT", "--faces_root", "ROOT"), "--faces NAME beside --faces_root, got none"),
        (("folders", "ROOT", "OUT", "--leave_out", "cliped"), "got 'cliped'; did you mean clipped?"),
        (("folders", "ROOT", "OUT", "--crop_facter", "2"), "did you mean crop_factor?"),
        (("folders", "ROOT", "OUT", "--crop_factor", "0.5"), "crop_factor from 1 to 4, got 0.5"),
        (("folders", "ROOT", "OUT", "--metadata", "nowhere.csv"), "--metadata, got none at nowhere.csv"),
        (("folders", "ROOT", "OUT"), "at least 3 people for a random split, got 2"),
        (("folders", "ROOT", "ROOT/out", "--split", "none"), "an output folder outside"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(said, own, tmp_path, words, answer):
    places = {"ROOT": own, "OUT": tmp_path / "out", "ROOT/out": own / "out"}
    code, out, err = said("prepare", *(places.get(word, word) for word in words))
    assert (code, out) == (2, "")
    assert answer.replace("ROOT;", f"{own};") in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_another_split_needs_no_new_preparation(said, tmp_path):
    root, out = TREES["voxceleb1"](tmp_path / "root"), tmp_path / "out"
    code, first, _ = said("prepare", "voxceleb1", root, out, "--split", "svhf")
    assert code == 0
    assert "split svhf: train 5, val 2, test 2; hash" in first
    assert "18 of 153,516 recordings are here" in first
    media = {path: path.stat().st_mtime_ns for path in out.rglob("*.flac")}
    assert len(media) == 18
    code, second, _ = said("prepare", "voxceleb1", root, out, "--split", "random", "--split_seed", 3)
    assert code == 0
    assert "split random, seed 3: train 7, val 1, test 1; hash" in second
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.flac")} == media
    stored = json.loads((out / "dataset.json").read_text())
    assert (stored["split"]["rule"], stored["split"]["seed"]) == ("random", 3)
    assert stored["split_hash"] in second
    assert [entry["name"] for entry in stored["datasets"]] == ["voxceleb1"]


def test_the_summary_counts_what_is_left_out(said, own, tmp_path):
    (own / "a" / "broken.wav").write_text("no sound")
    code, out, _ = said("prepare", "folders", own, tmp_path / "out", "--split", "none")
    assert code == 0
    assert "2 people, 3 recordings" in out
    assert f"not used, with reasons in {tmp_path / 'out' / 'errors.csv'}: voice 1" in " ".join(out.split())
    assert [row["source"] for row in table(tmp_path / "out", "errors.csv")] == ["a/broken.wav"]
    made = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert summary(str(tmp_path / "out"), made) + "\n" == out
    made["counts"] |= {"people_without_files": 4, "people_without_voice_or_face": 5, "flags": {"clipped": 6}}
    longer = summary("x", made)
    for sentence in ("4 people have no file", "5 people have only a voice or only a face", "clipped 6"):
        assert sentence in longer


def test_data_check_answers_by_its_exit_code(said, own, tmp_path):
    assert said("prepare", "folders", own, tmp_path / "out", "--split", "none")[0] == 0
    code, out, _ = said("data", "check", tmp_path / "out")
    assert code == 1
    assert "Not usable" in out
    code, out, _ = said("data", "check", tmp_path / "out", "--json")
    assert code == 1
    assert json.loads(out)["usable"] is False
    assert said("data", "check", tmp_path / "nowhere")[0] == 2
    assert said("data", "chek", tmp_path / "out")[0] == 2
