"""Files of a dataset folder: which have the same content, and whether samples lie where shards say."""

import shutil
from pathlib import Path

import pytest
import torch

import s2f
from s2f.dataset_check import files
from s2f.dataset_check.folder import check
from s2f.datasets import DatasetFolder
from s2f.shards.writing import write_shards
from tests.s2f.dataset_check.damaged_data import add, copied_voice, counted, one, put, read, video_of_two
from tests.s2f.tiny_data import write_csv


@pytest.fixture
def folder(tiny_dataset, tmp_path) -> Path:
    """A copy of the tiny dataset that a test may damage."""
    return Path(shutil.copytree(tiny_dataset, tmp_path / "data"))


@pytest.fixture(scope="module")
def packed(tiny_dataset, tmp_path_factory) -> Path:
    """The tiny dataset in shards; only to be read."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        encoder = s2f.CompactFaceEncoder((4, 8), 16, num_identities=5, image_size_px=32).eval()
    out = tmp_path_factory.mktemp("packed") / "shards"
    write_shards(DatasetFolder(tiny_dataset), encoder, out, samples_per_shard=4)
    return out


@pytest.fixture
def shards(packed, tmp_path) -> Path:
    """A copy of the shards that a test may damage."""
    return Path(shutil.copytree(packed, tmp_path / "shards"))


# --- what is the same, and what is not --------------------------------------------------------------------------------


def test_equal_sizes_and_equal_ends_are_not_equal_contents(folder):
    content = bytearray((folder / "id0.wav").read_bytes())
    assert len(content) > 2 * files.TAIL_BYTES
    content[1000] ^= 1
    (folder / "id6.wav").write_bytes(content)
    assert check(folder).findings == []


def test_parts_of_one_file_are_compared_where_they_lie(tmp_path):
    (tmp_path / "tar").write_bytes(b"abcabdabcabcabc")
    first, second, third = (files.Piece("tar", 3 * number, 3) for number in range(3))
    longer = files.Piece("tar", 9, 6)
    assert files.identical(tmp_path, [first, second, third, longer], progress=False) == [[first, third]]


def test_only_equal_ends_are_read_whole(folder, monkeypatch):
    whole: list[str] = []
    sha256 = files._sha256

    def note(root, last, piece):
        whole.extend([piece.path] if last is None else [])
        return sha256(root, last, piece)

    monkeypatch.setattr(files, "_sha256", note)
    copied_voice("id4", "id5")(folder)
    assert counted(check(folder)) == {"content_of_two_people": 1}
    assert sorted(whole) == ["id4.wav", "id5.wav"]  # all nine have one size


def test_one_speaker_may_lend_a_recording_to_several_people(folder):
    put(folder, "voices.csv", 1, path="id0.wav")
    assert counted(check(folder)) == {"content_of_two_people": 1}
    put(folder, "people.csv", 0, speaker="Ann")
    put(folder, "people.csv", 1, speaker="Ann")
    assert check(folder).findings == []


def test_parts_of_one_file_may_be_different_people_within_a_split(folder):
    put(folder, "voices.csv", 0, duration_s="1")
    put(folder, "voices.csv", 1, path="id0.wav", start_s="1", duration_s="1")
    assert check(folder).findings == []
    put(folder, "voices.csv", 6, path="id0.wav", start_s="2", duration_s="1")
    assert counted(check(folder)) == {"content_in_two_splits": 1}


def test_parts_of_one_file_may_be_one_person(folder):
    add(folder, "voices.csv", identity="id0", path="id0.wav", start_s="1", duration_s="2")
    assert check(folder).findings == []
    add(folder, "voices.csv", identity="id0", path="id0.wav", start_s="1.0", duration_s="1")
    assert counted(check(folder)) == {"repeated_row": 1}


def test_people_without_split_leak_nothing(folder):
    for number in (6, 7, 8):
        put(folder, "people.csv", number, split="", speaker="id0")
    copied_voice("id0", "id6")(folder)
    video_of_two(folder)
    assert counted(check(folder)) == {"person_without_split": 3, "repeated_content": 1}  # id6 speaks with id0's voice


# --- shards -----------------------------------------------------------------------------------------------------------


def test_shards_are_usable_for_training(packed):
    found = check(packed)
    assert found.findings == []
    assert (found.sharded, found.usable, found.usable_for) == (True, True, ["train_s2f"])
    assert found.counts["hours"]["train"] == pytest.approx(6 * 3.5 / 3600)
    assert found.counts["people_with_both"]["all"] == 9
    assert found.counts["pictures"]["all"] == 0
    assert found.opened == {"recordings": 9, "pictures": 0}
    assert found.split_hash == found.stored_split_hash


def test_shards_with_truth_can_be_evaluated(shards):
    write_csv(shards / "truth.csv", [{"identity": f"id{number}"} for number in range(9)])
    assert check(shards).usable_for == ["train_s2f", "evaluate"]


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ({"audio_offset": "1000000000"}, "beyond_tar"),
        ({"face_bytes": "1000000000"}, "beyond_tar"),
        ({"face_offset": "-1"}, "beyond_tar"),
        ({"audio_bytes": "0"}, "beyond_tar"),
        ({"audio_bytes": "many"}, "beyond_tar"),
        ({"audio_offset": "512"}, "unreadable_recording"),
        ({"face_offset": "512"}, "unreadable_recording"),
    ],
)
def test_places_in_tars(shards, cells, kind):
    rows = read(shards / "voices.csv")
    if "512" in cells.values():  # a header's place
        cells = {name: str(int(rows[0][name]) - 512) for name in cells}
    put(shards, "voices.csv", 0, **cells)
    found = check(shards)
    assert counted(found) == {kind: 1}
    assert one(found, kind).examples[0].startswith(f"{rows[0]['path']}:{rows[0]['key']}")


def test_a_missing_and_a_cut_tar(shards):
    (shards / "val-000000.tar").unlink()
    path = shards / "test-000000.tar"
    row = next(row for row in read(shards / "voices.csv") if row["path"] == path.name)
    path.write_bytes(path.read_bytes()[: int(row["audio_offset"]) + 100])
    assert counted(check(shards)) == {"missing_file": 1, "beyond_tar": 1}


def test_a_sample_in_two_splits(shards):
    rows = read(shards / "voices.csv")
    index = {row["identity"]: number for number, row in enumerate(rows)}
    source = rows[index["id0"]]
    place = {name: source[name] for name in source if name != "identity"}
    put(shards, "voices.csv", index["id6"], **place)
    found = check(shards)
    assert counted(found) == {"content_in_two_splits": 1}
    assert one(found, "content_in_two_splits").examples == [f"{source['path']}:{source['key']}"]
