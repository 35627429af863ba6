"""AVSpeech: listed parts of videos against the clips on disk, however their names write the times."""

import tracemalloc

import pytest

from s2f.errors import DatasetError
from tests.s2f.prepare.cast import CAST
from tests.s2f.prepare.empty_trees import touch
from tests.s2f.prepare.scans import scan, splits, voices
from tests.s2f.prepare.trees import AVSPEECH_TIMES, write_lines


def test_avspeech_finds_the_listed_clips(trees):
    sources = scan("avspeech", trees("avspeech"))
    expected_voices, expected_faces = [], {}
    for who, (start, end, written) in zip(CAST, AVSPEECH_TIMES, strict=True):
        part = "test" if who.number in (1, 8) else "train"
        path = f"{part}/{who.youtube}" + (f"_{written}.mp4" if written else ".mp4")
        video = f"{who.youtube}_{start.rstrip('0').rstrip('.')}"
        span = (0.0, None) if written else (float(start), float(end))
        expected_voices.append((who.youtube, path, video, *span))
        expected_faces[who.youtube] = (path, video, "scene", *span, (0.5, 0.51))
    first = CAST[0].youtube
    expected_voices.append((first, f"train/{first}_60_63.5.wav", f"{first}_60", 0.0, None))
    assert voices(sources) == sorted(expected_voices, key=str)
    assert {
        face.identity: (face.path, face.video, face.framing, face.start_s, face.end_s, face.centre)
        for face in sources.faces
    } == expected_faces
    assert splits(sources) == {who.youtube: "test" if who.number in (1, 8) else "train" for who in CAST}
    assert sources.missing == ["10 of 19 listed clips are on disk"]
    reasons = dict(sources.passed_over)
    assert reasons[f"train/{first}_70.0_73.5.wav"] == "no list names this clip"
    assert "<YouTube id>" in reasons["train/holiday.wav"]
    assert len(reasons) == 2


@pytest.mark.parametrize(
    ("written", "matched"),
    [
        ("90.000000_93.566667", "90"),
        ("90.0_93.6", "90"),  # rounded
        ("90.0_93.5", "90"),  # cut off
        ("0090.00-0093.57", "90"),
        ("90_93", "90"),
        ("95_98", "95"),
        ("90.0_94.0", None),
        ("90.00_93.57", "90"),
        ("90.02_93.57", None),
        ("90.0004000_93.566667", "90"),
        ("90.0020000_93.566667", None),
        ("90_94", "90"),  # rounded up
        ("91_94", None),
    ],
)
def test_avspeech_times_are_compared_as_numbers(tmp_path, written, matched):
    write_lines(tmp_path / "avspeech_test.csv", "a-b_c-d_e-f,90.0,93.566667,.5,.5", "a-b_c-d_e-f,95.25,98.5,.1,.2")
    touch(tmp_path, f"a-b_c-d_e-f_{written}.MP4", "other_id-00_1_2.mp4", "a-b_c-d_e-f_95.25_98.5.mp4")
    sources = scan("avspeech", tmp_path)
    if matched == "90":
        assert [voice.video for voice in sources.voices] == ["a-b_c-d_e-f_90", "a-b_c-d_e-f_95.25"]
    else:
        assert [voice.video for voice in sources.voices] == ["a-b_c-d_e-f_95.25"]
    assert ("other_id-00_1_2.mp4", "no list names this clip") in sources.passed_over
    assert len(sources.passed_over) == 2 - (matched == "90")


def test_avspeech_takes_sound_from_the_sound_file_and_the_face_from_the_film(tmp_path):
    write_lines(
        tmp_path / "avspeech_train.csv", "abcdefghijk,1,4,.5,.5", "abcdefghijk,5,9,.5,.5", "ABCDEFGHIJK,1,4,0,1"
    )
    touch(tmp_path, "abcdefghijk.mp4", "abcdefghijk_1.0_4.0.mp4", "abcdefghijk_1.0_4.0.m4a", "ABCDEFGHIJK.webm")
    touch(tmp_path, "again/abcdefghijk_1.00_4.00.mkv")
    sources = scan("avspeech", tmp_path)
    assert voices(sources) == [
        ("ABCDEFGHIJK", "ABCDEFGHIJK.webm", "ABCDEFGHIJK_1", 1.0, 4.0),
        ("abcdefghijk", "abcdefghijk.mp4", "abcdefghijk_5", 5.0, 9.0),
        ("abcdefghijk", "abcdefghijk_1.0_4.0.m4a", "abcdefghijk_1", 0.0, None),
    ]
    assert [(face.path, face.start_s, face.end_s) for face in sources.faces] == [
        ("abcdefghijk_1.0_4.0.mp4", 0.0, None),
        ("abcdefghijk.mp4", 5.0, 9.0),
        ("ABCDEFGHIJK.webm", 1.0, 4.0),
    ]
    assert [path for path, _ in sources.passed_over] == ["again/abcdefghijk_1.00_4.00.mkv"]
    assert sources.missing == ["avspeech_test.csv is not there"]


def test_avspeech_prefers_cut_clips_and_train(tmp_path):
    write_lines(tmp_path / "avspeech_test.csv", "abcdefghijk,1,4,.5,.5", "abcdefghijk,5,9,.5,.5")
    write_lines(tmp_path / "avspeech_train.csv", "abcdefghijk,20,24,.5,.5")
    touch(tmp_path, "abcdefghijk.wav", "abcdefghijk_1_4.mp4", "abcdefghijk_20_24.mp4")
    sources = scan("avspeech", tmp_path)
    assert voices(sources) == [
        ("abcdefghijk", "abcdefghijk.wav", "abcdefghijk_5", 5.0, 9.0),
        ("abcdefghijk", "abcdefghijk_1_4.mp4", "abcdefghijk_1", 0.0, None),
        ("abcdefghijk", "abcdefghijk_20_24.mp4", "abcdefghijk_20", 0.0, None),
    ]
    assert splits(sources) == {"abcdefghijk": "train"}
    assert sources.missing == []


def test_avspeech_lists(tmp_path):
    touch(tmp_path / "clips", "abcdefghijk_1_4.mp4")
    with pytest.raises(DatasetError, match=r"avspeech_train\.csv or avspeech_test\.csv"):
        scan("avspeech", tmp_path / "clips")
    table = tmp_path / "lists" / "AVSpeech_Train.csv"
    write_lines(table, "YouTube ID,start,end,x,y", "abcdefghijk,1.0,4.0,0.25,0.75", end="\r\n", bom=True)
    sources = scan("avspeech", tmp_path / "clips", tmp_path / "lists")
    assert sources.faces[0].centre == (0.25, 0.75)
    assert sources.missing == ["avspeech_test.csv is not there"]


@pytest.mark.parametrize(
    "line",
    [
        "abcdefghijk,1,4,.5",
        "abcdefghijk,1,4,.5,.5,6",
        "abcdefghijk,a,4,.5,.5",
        "abcdefghijk,4,1,.5,.5",
        "abcdefghijk,1,inf,.5,.5",
        "abcdefghijk,1,4,nan,.5",
        ",1,4,0,0",
    ],
)
def test_avspeech_damaged_line(tmp_path, line):
    touch(tmp_path, "abcdefghijk_1_4.mp4")
    write_lines(tmp_path / "avspeech_train.csv", "abcdefghijk,1,4,.5,.5", line)
    with pytest.raises(DatasetError, match=r"in line 2 of .*avspeech_train\.csv; "):
        scan("avspeech", tmp_path)


def test_avspeech_keeps_only_what_is_on_disk(tmp_path):
    lines = [f"{number:011d},1.000000,4.000000,0.5,0.5" for number in range(20_000)]
    write_lines(tmp_path / "avspeech_train.csv", *lines)
    touch(tmp_path, "00000000007_1_4.mp4")
    tracemalloc.start()
    sources = scan("avspeech", tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [voice.identity for voice in sources.voices] == ["00000000007"]
    assert peak < 1e6  # the list alone has 20,000 lines of 43 bytes, and a text in memory takes more
