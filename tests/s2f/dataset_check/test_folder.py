"""`s2f data check`: each defect is found with its count, alone, and the verdict follows from the findings."""

import csv
import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from s2f.audio import load
from s2f.dataset_check.findings import GROUPS, KINDS, PURPOSES
from s2f.dataset_check.folder import check
from s2f.datasets import SPLITS, DatasetFolder
from s2f.errors import S2fError, UsageError
from s2f.faces.images import load_image
from tests.s2f.dataset_check.damaged_data import (
    absolute,
    add,
    broken_picture,
    byte_order_mark,
    change,
    copied_face,
    copied_voice,
    counted,
    drop,
    extra_landmark_column,
    face_named_by_two,
    garbage,
    landmarks_without_a_column,
    latin_1,
    lower_picture,
    no_path_column,
    no_people,
    no_rows_at_all,
    no_splits,
    one,
    one_of_train,
    outside,
    people_of,
    person,
    put,
    rows_twice,
    same_speaker,
    second_copy,
    short_and_long_rows,
    silence,
    speaker_named_like_an_identity,
    unclosed_quote,
    video_of_two,
    voices_and_truth,
    without,
)
from tests.s2f.tiny_data import write_csv

ALL = list(PURPOSES)


@pytest.fixture
def folder(tiny_dataset, tmp_path) -> Path:
    """A copy of the tiny dataset that a test may damage."""
    return Path(shutil.copytree(tiny_dataset, tmp_path / "data"))


PLANTED = [
    (no_people, {"missing_table": 1, "landmarks_without_picture": 0}),
    (no_rows_at_all, {"missing_table": 1, "person_without_both": 9}),
    (no_path_column, {"missing_column": 1, "person_without_voice": 9}),
    (landmarks_without_a_column, {"missing_column": 1}),
    (byte_order_mark, {"byte_order_mark": 1}),
    (latin_1, {"not_utf8": 3}),
    (unclosed_quote, {"broken_table": 1}),
    (short_and_long_rows, {"ragged_row": 2, "person_without_split": 1}),
    (lambda root: add(root, "people.csv", identity="", split="train"), {"empty_identity": 1}),
    (lambda root: add(root, "people.csv", identity="id3", split="train"), {"repeated_identity": 1}),
    (lambda root: put(root, "people.csv", 3, split="dev"), {"unknown_split": 1}),
    (lambda root: drop(root, "people.csv", "id3"), {"unknown_identity": 3}),
    (lambda root: put(root, "voices.csv", 3, start_s="soon", duration_s="nan"), {"bad_number": 2}),
    (lambda root: put(root, "voices.csv", 3, start_s="-1"), {"bad_number": 1}),
    (lambda root: put(root, "faces.csv", 3, left="1", top="2", right="3", bottom="4"), {"face_box": 1}),
    (lambda root: put(root, "landmarks.csv", 3, y30="left"), {"bad_landmarks": 1}),
    (lambda root: put(root, "landmarks.csv", 3, x0="inf"), {"bad_landmarks": 1}),
    (extra_landmark_column, {"bad_landmarks": 1}),
    (lambda root: (root / "id3.wav").unlink(), {"missing_file": 1}),
    (lambda root: put(root, "faces.csv", 3, path=""), {"missing_file": 1}),
    (lambda root: put(root, "faces.csv", 3, path="faces"), {"missing_file": 1}),
    (lambda root: put(root, "faces.csv", 3, path="x" * 5000), {"missing_file": 1}),
    (lambda root: (root / "faces" / "id3_wild.png").write_bytes(b""), {"empty_file": 1}),
    (garbage, {"unreadable_recording": 1}),
    (silence, {"unreadable_recording": 1}),
    (lambda root: put(root, "voices.csv", 3, start_s="9"), {"unreadable_recording": 1}),
    (broken_picture, {"unreadable_picture": 1}),
    (same_speaker, {"speaker_in_two_splits": 1}),
    (speaker_named_like_an_identity, {"speaker_in_two_splits": 1}),
    (copied_voice("id0", "id6"), {"content_in_two_splits": 1}),
    (copied_face("id6_wild.png", "id8_wild.png"), {"content_in_two_splits": 1}),
    (copied_voice("id0", "id1"), {"content_of_two_people": 1}),
    (copied_face("id6_wild.png", "id7_wild.png"), {"content_of_two_people": 1}),
    (face_named_by_two, {"content_of_two_people": 1}),
    (second_copy, {"repeated_content": 1}),
    (rows_twice, {"repeated_row": 3}),
    (video_of_two, {"video_in_two_splits": 1}),
    (lambda root: put(root, "people.csv", 3, split=""), {"person_without_split": 1}),
    (lambda root: drop(root, "voices.csv", "id3"), {"person_without_voice": 1}),
    (person(), {"person_without_both": 1}),
    (person(gender="male", age="old"), {"person_without_both": 1, "odd_value": 2}),
    (person(age="nan"), {"person_without_both": 1, "odd_value": 1}),
    (lower_picture, {"not_square": 1}),
    (outside, {"outside_folder": 1}),
    (absolute, {"absolute_path": 1}),
    (lambda root: (root / "dataset.json").write_text('{"split_hash": "00ff"}'), {"other_split_hash": 1}),
    (lambda root: (root / "dataset.json").write_text("[1, 2"), {"broken_dataset_json": 1}),
    (lambda root: (root / "dataset.json").write_text("5"), {"broken_dataset_json": 1}),
]
ELSEWHERE = {"beyond_tar", "landmarks_without_picture", "person_without_face"}  # planted by tests of their own
assert {kind for _, expected in PLANTED for kind in expected} | ELSEWHERE == set(KINDS)


def test_a_clean_folder_has_no_findings(tiny_dataset):
    found = check(tiny_dataset)
    assert found.findings == []
    assert (found.usable, found.usable_for, found.not_usable_for) == (True, ALL, {})
    assert found.verdict == "Usable for train_s2f, train_face and evaluate."
    assert found.notes == ["no dataset.json says how this folder was made"]
    assert found.split_hash == DatasetFolder(tiny_dataset).split_hash
    assert found.opened == {"recordings": 9, "pictures": 18}


@pytest.mark.parametrize(
    ("plant", "expected"), PLANTED, ids=[f"{n}-{next(iter(kinds))}" for n, (_, kinds) in enumerate(PLANTED)]
)
def test_each_defect_is_found_alone_with_its_count(folder, plant, expected):
    plant(folder)
    found = check(folder, progress=False)
    assert counted(found) == {kind: count for kind, count in expected.items() if count}
    errors = [kind for kind in expected if KINDS[kind].severity == "error"]
    for finding in found.findings:
        assert (finding.severity, finding.message, finding.fix) == KINDS[finding.kind]
        assert 1 <= len(finding.examples) <= finding.count
        assert all(part.isprintable() for part in finding.examples)
    if errors:
        assert not found.usable
        assert found.usable_for == []
        assert (
            found.verdict
            == f"Not usable: repair the {len(errors)} kind{'s' * (len(errors) > 1)} of errors above first."
        )
    else:
        assert found.usable == bool(found.usable_for)
        assert found.verdict.startswith("Usable for" if found.usable else "Not usable; not for train_s2f: ")


@pytest.mark.parametrize(
    ("plant", "kind", "example"),
    [
        (latin_1, "not_utf8", "people.csv line 2"),
        (short_and_long_rows, "ragged_row", "people.csv line 2: 7 instead of 4"),
        (no_path_column, "missing_column", "voices.csv: path"),
        (silence, "unreadable_recording", "id3.wav: silence (peak 0.0e+00, rms 0.0e+00 of full scale)"),
        (copied_voice("id0", "id6"), "content_in_two_splits", "id0.wav = id6.wav"),
        (lower_picture, "not_square", "faces/id3_wild.png: 64 x 48"),
        (same_speaker, "speaker_in_two_splits", "Ann"),
    ],
)
def test_examples_say_where(folder, plant, kind, example):
    plant(folder)
    assert example in one(check(folder), kind).examples


def test_many_cases_give_five_sorted_examples(folder):
    for path in folder.glob("*.wav"):
        path.unlink()
    finding = one(check(folder), "missing_file")
    assert (finding.count, finding.examples) == (9, [f"id{number}.wav" for number in range(5)])


def test_broken_tables_do_not_hide_the_rest(folder):
    for plant in (short_and_long_rows, latin_1, byte_order_mark, silence, copied_voice("id0", "id1")):
        plant(folder)
    (folder / "voices.csv").write_bytes((folder / "voices.csv").read_bytes().replace(b"duration_s", b"length"))
    found = counted(check(folder))
    expected = {"not_utf8", "byte_order_mark", "ragged_row", "unreadable_recording", "content_of_two_people"}
    assert set(found) == expected | {"unknown_split"}  # the short row's last cell is a name now


def test_there_must_be_a_folder(tmp_path):
    with pytest.raises(UsageError, match="an existing dataset folder"):
        check(tmp_path / "absent")
    found = check(tmp_path)
    assert counted(found) == {"missing_table": 2}
    assert found.split_hash is None


def test_landmarks_of_unknown_pictures(folder):
    drop(folder, "faces.csv", "id8")
    found = check(folder)
    assert counted(found) == {"person_without_face": 1, "landmarks_without_picture": 1}
    assert found.counts["pictures"] == {"train": 12, "val": 4, "test": 0, "none": 0, "all": 16}
    assert found.counts["landmarks"] == {"train": 6, "val": 2, "test": 0, "none": 0, "all": 8}


# --- the same answer as those who read the folder -------------------------------------------------------------------


def read_all(root: Path) -> None:
    """Read everything as training does."""
    data = DatasetFolder(root)
    for row in data.voices(*SPLITS):
        load((data.voice(row, 16000), 16000))
    faces = data.faces(*SPLITS)
    for row in faces:
        load_image(data.path(row))
    assert np.isfinite(data.landmarks_of(row for row in faces if row["view"] == "canonical")).all()


# what is dishonest, or left out in silence, stops no reader
SILENT = {"speaker_in_two_splits", "content_in_two_splits", "unknown_identity", "empty_identity"}
STOPPING = [
    plant for plant, kinds in PLANTED if KINDS[next(iter(kinds))].severity == "error" and not SILENT & set(kinds)
]
HARMLESS = [plant for plant, kinds in PLANTED if all(KINDS[kind].severity == "warning" for kind in kinds)]


@pytest.mark.parametrize("plant", STOPPING)
def test_errors_are_what_stops_a_reader(folder, plant):
    read_all(folder)
    plant(folder)
    with pytest.raises((S2fError, OSError, ValueError, AssertionError, csv.Error)):
        read_all(folder)


@pytest.mark.parametrize("plant", HARMLESS)
def test_warnings_stop_nobody(folder, plant):
    plant(folder)
    read_all(folder)


@pytest.mark.parametrize("seed", range(30))
def test_nothing_in_a_table_stops_the_check(folder, seed):
    chance = random.Random(seed)
    write_csv(folder / "errors.csv", [{"source": "a.wav", "kind": "voice", "reason": "silent"}])
    write_csv(folder / "truth.csv", [{"identity": "id0", "voice_gender": "f"}])
    (folder / "dataset.json").write_text('{"split_hash": "00ff", "missing": ["a list"]}')
    for path in chance.sample(sorted([*folder.glob("*.csv"), *folder.glob("*.json")]), 3):
        content = bytearray(path.read_bytes())
        for _ in range(20):
            content.insert(chance.randrange(min(len(content), 400)), chance.choice(b'\x00\n\r",./0;\xed\xff'))
        path.write_bytes(content)
    found = check(folder)
    assert json.loads(found.json())["usable"] == found.usable
    assert " ".join(found.table().split()).endswith(found.verdict)


# --- what the folder can be used for ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plant", "usable_for"),
    [
        (without("landmarks.csv"), ALL),
        (without("voices.csv"), ["train_face"]),
        (without("faces.csv", "landmarks.csv"), []),
        (voices_and_truth, ["evaluate"]),
        (no_splits, []),
        (people_of("train"), []),
        (people_of("train", "val"), ALL),
        (one_of_train, []),
        (people_of("test"), ["evaluate"]),
        (lambda root: drop(root, "faces.csv", "id0"), ["train_face", "evaluate"]),
        (lambda root: drop(root, "faces.csv", "id8"), ALL),  # of test; evaluation has val
        (lambda root: drop(root, "voices.csv", "id0"), ALL),
        (lower_picture, []),
        (silence, []),
    ],
)
def test_usable_for(folder, plant, usable_for):
    plant(folder)
    found = check(folder)
    assert found.usable_for == usable_for
    assert found.usable == bool(usable_for)
    assert set(found.not_usable_for) == set(ALL) - set(usable_for)
    assert all(found.not_usable_for.values())


def test_verdict_names_uses_and_reasons(folder):
    drop(folder, "faces.csv", "id0")
    change(folder, "landmarks.csv", lambda rows: rows.pop(0))
    assert check(folder).verdict == (
        "Usable for train_face and evaluate; not for train_s2f: it needs a face for every voice, and 1 of train "
        "and val lack one (1 kind of warnings)."
    )


def test_only_the_required_columns(folder):
    change(folder, "people.csv", lambda rows: [[row.pop(name) for name in ("gender", "age")] for row in rows])
    change(
        folder, "voices.csv", lambda rows: [[row.pop(n) for n in ("start_s", "duration_s", "video")] for row in rows]
    )
    change(folder, "faces.csv", lambda rows: [row.pop("view") for row in rows])
    found = check(folder)
    assert found.findings == []
    assert found.usable_for == ALL
    assert found.counts["hours"]["all"] == pytest.approx(9 * 3.5 / 3600)
    no_splits(folder)
    found = check(folder)
    assert counted(found) == {"person_without_split": 9}
    assert found.usable_for == []
    assert found.counts["people"] == {"train": 0, "val": 0, "test": 0, "none": 9, "all": 9}


# --- figures ----------------------------------------------------------------------------------------------------------


def test_hours_come_from_the_table_or_from_the_file(folder):
    put(folder, "voices.csv", 0, duration_s="36")  # as it says, 36 s
    put(folder, "voices.csv", 1, duration_s="", start_s="1")  # 2.5 s are left of 3.5 s
    put(folder, "voices.csv", 2, duration_s="0")  # 3.5 s: 0 is the whole recording
    put(folder, "voices.csv", 6, duration_s="")
    garbage(folder)
    put(folder, "voices.csv", 3, duration_s="")  # nobody knows
    counts = check(folder).counts
    assert counts["hours"]["train"] == pytest.approx((36 + 2.5 + 3.5 + 3.5 + 3.5) / 3600)
    assert counts["hours"]["val"] == pytest.approx(7 / 3600)
    assert counts["hours"]["all"] == pytest.approx((49 + 7 + 3.5) / 3600)
    assert counts["recordings_of_unknown_length"] == {"train": 1, "val": 0, "test": 0, "none": 0, "all": 1}
    assert counts["recordings"]["all"] == 9


def test_counts(folder):
    drop(folder, "voices.csv", "id0")
    drop(folder, "faces.csv", "id6")
    put(folder, "people.csv", 1, split="")
    for number, video in ((0, "a"), (1, "a"), (2, "b"), (7, "c")):  # id1, id2, id3, id8
        put(folder, "voices.csv", number, video=video)
    counts = check(folder).counts
    assert set(counts) == {
        *("people", "people_with_voice", "people_with_face", "people_with_both", "videos", "recordings", "hours"),
        *("recordings_of_unknown_length", "pictures", "landmarks"),
    }
    assert all(tuple(numbers) == GROUPS for numbers in counts.values())
    assert list(counts["people"].values()) == [5, 2, 1, 1, 9]
    assert list(counts["people_with_voice"].values()) == [4, 2, 1, 1, 8]
    assert list(counts["people_with_face"].values()) == [5, 1, 1, 1, 8]
    assert list(counts["people_with_both"].values()) == [4, 1, 1, 1, 7]
    assert list(counts["videos"].values()) == [2, 0, 1, 1, 3]  # a is one video, of train and of nobody's split
    assert list(counts["pictures"].values()) == [10, 2, 2, 2, 16]


def test_people_are_described_by_split(folder):
    countries = ["UK", "UK", "US", "a", "b", "c", "d", "e", ""]

    def edit(rows: list[dict[str, str]]) -> None:
        for row, country in zip(rows, countries, strict=True):
            row["nationality"] = country
            row["split"] = "train"
        rows[0]["age"], rows[1]["age"], rows[2]["gender"] = "7.5", "", "?"

    change(folder, "people.csv", edit)
    found = check(folder).people
    assert set(found) == {"gender", "age", "ethnicity", "nationality", "language"}
    assert set(found["gender"]) == {"train", "all"}
    assert found["gender"]["all"] == {"counts": {"f": 4, "m": 4}, "other": 0, "unknown": 1, "unknown_share": 1 / 9}
    assert list(found["age"]["train"]["counts"].items()) == [("0-9", 1), ("20-29", 7)]
    assert list(found["nationality"]["all"]["counts"].items()) == [("UK", 2), ("US", 1), ("a", 1), ("b", 1), ("c", 1)]
    assert found["nationality"]["all"]["other"] == 2
    assert found["ethnicity"]["all"] == {"counts": {}, "other": 0, "unknown": 9, "unknown_share": 1.0}


def test_what_preparation_left_behind(folder):
    put(folder, "voices.csv", 0, quality="clipped;damaged")
    put(folder, "voices.csv", 1, quality="clipped")
    put(folder, "faces.csv", 0, quality="small_face")
    reasons = [("voice", "silent"), ("voice", "silent"), ("face", "no face"), ("voice", "undecodable")]
    write_csv(folder / "errors.csv", [{"source": f"{n}.x", "kind": k, "reason": r} for n, (k, r) in enumerate(reasons)])
    split_hash = DatasetFolder(folder).split_hash
    stored = {"split_hash": split_hash, "missing": ["vox1_meta.csv is not there"]}
    (folder / "dataset.json").write_text(json.dumps(stored))
    found = check(folder)
    assert found.findings == []
    assert found.quality == {"voices.csv": {"clipped": 2, "damaged": 1}, "faces.csv": {"small_face": 1}}
    assert found.left_out == {
        "face": {"count": 1, "reasons": {"no face": 1}},
        "voice": {"count": 3, "reasons": {"silent": 2, "undecodable": 1}},
    }
    assert found.missing == ["vox1_meta.csv is not there"]
    assert (found.split_hash, found.stored_split_hash, found.notes) == (split_hash, split_hash, [])
    text = found.table()
    for part in ("clipped 2, damaged 1", "3: silent 2, undecodable 1", "vox1_meta.csv is not there", split_hash[:12]):
        assert part in text


def test_an_interrupted_preparation_is_named(folder):
    (folder / "plan.json").write_text("{}")
    assert check(folder).notes == [
        "plan.json without dataset.json: the command that makes this folder has not finished"
    ]
