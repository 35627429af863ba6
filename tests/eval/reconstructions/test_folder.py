"""The reader of the reconstructions folder: what it returns, and that it refuses what is not whole."""

import json

import numpy as np
import pytest

from eval.embeddings.folder import read_embeddings
from eval.reconstructions.folder import PICTURES, read_reconstructions, seconds_name
from s2f.errors import DatasetError
from tests.eval.reconstruction_folders import write_reconstructions


@pytest.fixture
def folder(tmp_path):
    true = np.eye(3) + 0.1
    people = {"identity": ["zoe", "al", "bo"], "gender": ["f", "m", ""]}
    return write_reconstructions(tmp_path / "out", true, people=people, seconds=(2.5, 6), left_out=["x"])


def test_people_come_sorted_and_every_place_is_named(folder):
    found = read_reconstructions(str(folder))
    assert list(found.people) == ["al", "bo", "zoe"]
    assert found.people["zoe"] == {"identity": "zoe", "gender": "f"}
    assert found.seconds == (2.5, 6.0)
    assert found.about["left_out"] == ["x"]
    for kind in PICTURES:
        assert found.picture(kind, "bo") == folder / kind / "bo.png"
    for seconds in found.seconds:
        assert len(read_embeddings(found.features(seconds_name(seconds))).identities) == 3
    assert (seconds_name(6.0), seconds_name(2.5), seconds_name(10)) == ("6s", "2.5s", "10s")


@pytest.mark.parametrize("kind", PICTURES)
def test_a_missing_picture_is_named(folder, kind):
    (folder / kind / "bo.png").unlink()
    (folder / kind / "al.png").unlink()
    with pytest.raises(DatasetError, match=rf"for 3 people, got 2 missing, .*{kind}/al\.png"):
        read_reconstructions(folder)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "people with a column identity"),
        (["al,m"] * 2, "one row for each person .* got 2 for 1"),
    ],
)
def test_tables_without_people_or_with_the_same_twice_are_refused(folder, rows, said):
    (folder / "people.csv").write_text("\n".join(["identity,gender", *rows, ""]))
    with pytest.raises(DatasetError, match=said):
        read_reconstructions(folder)


def test_a_table_that_is_absent_or_does_not_name_people_is_refused(folder):
    (folder / "people.csv").write_text("name\nal\n")
    with pytest.raises(DatasetError, match="people with a column identity"):
        read_reconstructions(folder)
    (folder / "people.csv").unlink()
    with pytest.raises(DatasetError, match=r"with people\.csv at .* got none"):
        read_reconstructions(folder)


@pytest.mark.parametrize("text", [None, "{", "3", '["checkpoint", "split", "split_hash", "seconds"]'])
def test_what_is_no_json_object_is_refused(folder, text):
    (folder / "reconstructions.json").unlink()
    if text is not None:
        (folder / "reconstructions.json").write_text(text)
    with pytest.raises(DatasetError, match=r"reconstructions\.json"):
        read_reconstructions(folder)


@pytest.mark.parametrize("name", ["checkpoint", "split", "split_hash", "seconds"])
def test_json_without_what_is_needed_is_refused(folder, name):
    path = folder / "reconstructions.json"
    about = json.loads(path.read_text())
    del about[name]
    path.write_text(json.dumps(about))
    with pytest.raises(DatasetError, match=f"none named {name}"):
        read_reconstructions(folder)


@pytest.mark.parametrize("seconds", [[], "6", 6, ["6"], [6, 3], [3, 3], [0, 3], [True, 3], [3, None]])
def test_seconds_that_are_no_increasing_lengths_are_refused(folder, seconds):
    path = folder / "reconstructions.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"seconds": seconds}))
    with pytest.raises(DatasetError, match="increasing numbers above 0"):
        read_reconstructions(folder)
