"""The dataset folder's contract."""

import hashlib

import numpy as np
import pytest
import soundfile

from s2f.datasets import DatasetFolder, by_identity, split_hash
from s2f.errors import DatasetError
from tests.s2f.tiny_data import write_csv


def test_reads_splits_and_landmarks(tiny_dataset):
    data = DatasetFolder(tiny_dataset)
    assert data.identities("train") == [f"id{k}" for k in range(6)]
    assert data.identities("val", "test") == ["id6", "id7", "id8"]
    assert {row["identity"] for row in data.voices("val")} == {"id6", "id7"}
    assert len(data.faces("train")) == 12
    assert set(data.canonical_faces("train")) == set(data.identities("train"))
    points = data.landmarks()["faces/id0_canonical.png"]
    assert points.shape == (68, 2)
    text = (tiny_dataset / "landmarks.csv").read_text().splitlines()[1].split(",")
    assert points[3].tolist() == pytest.approx([float(text[7]), float(text[8])])
    assert data.path(data.faces("train")[0]).is_file()


def test_split_hash_is_of_the_sorted_lines_and_ignores_their_order(tiny_dataset):
    people = [{"identity": "b", "split": "val"}, {"identity": "a", "split": "train"}]
    expected = hashlib.sha256(b"a,train\nb,val").hexdigest()
    assert split_hash(people) == split_hash(people[::-1]) == expected
    assert DatasetFolder(tiny_dataset).split_hash != expected


def test_unknown_columns_are_kept_and_split_is_optional(tmp_path):
    write_csv(tmp_path / "people.csv", [{"identity": "a", "hair": "red"}])
    data = DatasetFolder(tmp_path)
    assert data.people["a"]["hair"] == "red"
    assert data.identities("train") == []


@pytest.mark.parametrize(
    ("people", "message"),
    [
        ([{"identity": "a", "split": "dev"}], "a split of train, val, test"),
        ([{"identity": "a"}, {"identity": "a"}], "a twice"),
        ([{"name": "a"}], "none named identity"),
    ],
)
def test_bad_people(tmp_path, people, message):
    write_csv(tmp_path / "people.csv", people)
    with pytest.raises(DatasetError, match=message):
        DatasetFolder(tmp_path)


def test_missing_files_and_empty_splits(tmp_path):
    with pytest.raises(DatasetError, match=r"people\.csv.*s2f simulate"):
        DatasetFolder(tmp_path)
    write_csv(tmp_path / "people.csv", [{"identity": "a", "split": "train"}])
    data = DatasetFolder(tmp_path)
    with pytest.raises(DatasetError, match=r"voices\.csv"):
        data.voices("train")
    write_csv(tmp_path / "voices.csv", [{"identity": "z", "path": "z.wav"}])
    with pytest.raises(DatasetError, match=r"rows of voices\.csv for split train, got none"):
        data.voices("train")
    write_csv(tmp_path / "faces.csv", [{"identity": "a", "path": "a.png", "view": "wild"}])
    with pytest.raises(DatasetError, match="none for 1 of them, first a"):
        data.canonical_faces("train")


def test_voice_is_the_rows_part_of_its_recording(tiny_dataset):
    data = DatasetFolder(tiny_dataset)
    whole, _ = soundfile.read(tiny_dataset / "id0.wav", dtype="float32")
    row = {"identity": "id0", "path": "id0.wav"}
    np.testing.assert_array_equal(data.voice(row, 16000), whole)
    part = data.voice(row | {"start_s": "1.5", "duration_s": "0.25"}, 16000)
    np.testing.assert_array_equal(part, whole[24000:28000])
    np.testing.assert_array_equal(data.voice(row | {"start_s": "3"}, 16000), whole[48000:])
    with pytest.raises(DatasetError, match=r"start_s 9 of 3\.50 s"):
        data.voice(row | {"start_s": "9"}, 16000)


def test_face_boxes_are_refused_until_something_crops(tmp_path):
    write_csv(tmp_path / "people.csv", [{"identity": "a", "split": "train"}])
    boxed = {"identity": "a", "path": "a.png", "left": "10", "top": "", "right": "", "bottom": ""}
    write_csv(tmp_path / "faces.csv", [boxed])
    with pytest.raises(DatasetError, match=r"cropped faces in faces\.csv, got a face box for a\.png"):
        DatasetFolder(tmp_path).faces("train")
    write_csv(tmp_path / "faces.csv", [boxed | {"left": ""}])
    assert len(DatasetFolder(tmp_path).faces("train")) == 1


def test_truth_is_only_known_of_simulated_people(tiny_dataset):
    with pytest.raises(DatasetError, match=r"with truth\.csv, got none .*; only `s2f simulate` knows the truth"):
        DatasetFolder(tiny_dataset).truth(["id0"], "voice_gender")


def test_missing_landmarks_are_named(tiny_dataset):
    data = DatasetFolder(tiny_dataset)
    rows = list(data.canonical_faces("val").values())
    points = data.landmarks_of(rows)
    assert points.shape == (2, 68, 2)
    assert (points[1] == data.landmarks()[rows[1]["path"]]).all()
    with pytest.raises(DatasetError, match=r"none for 1 of them, first other\.png"):
        data.landmarks_of([*rows, {"path": "other.png"}])


def test_by_identity_keeps_order():
    rows = [{"identity": "b", "path": "1"}, {"identity": "a", "path": "2"}, {"identity": "b", "path": "3"}]
    assert [row["path"] for row in by_identity(rows)["b"]] == ["1", "3"]
