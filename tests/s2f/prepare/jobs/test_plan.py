"""Names of what is written: one for every source, whatever the order, and none that leads out of the folder."""

import json
import random
import unicodedata

import pytest

from s2f.prepare.jobs.plan import output_names, plan_jobs, printable
from s2f.prepare.sources.found import FaceSource, Sources, VoiceSource


def stems(voices=(), faces=(), frames=1):
    jobs, unused = plan_jobs(Sources("root", {}, list(voices), list(faces)), frames)
    assert unused == []
    return {(job.source.path, job.source.start_s): job.stem for job in jobs}


def outputs(voices=(), faces=(), frames=1):
    jobs, _ = plan_jobs(Sources("root", {}, list(voices), list(faces)), frames)
    return [name for job in jobs for name in output_names(job, frames)]


def test_what_is_written_is_called_like_its_source():
    voices = [VoiceSource("p", "wav/id1/Q.x-1/00001.wav"), VoiceSource("p", "b.m4a")]
    faces = [FaceSource("p", "id1/a.b.JPG"), FaceSource("p", "films/c.MP4")]
    assert outputs(voices, faces, frames=2) == [
        "faces/films/c_0.jpg",
        "faces/films/c_1.jpg",
        "faces/id1/a.b.jpg",
        "voices/b.flac",
        "voices/wav/id1/Q.x-1/00001.flac",
    ]


def test_files_that_differ_in_their_suffix_alone():
    found = stems([VoiceSource("p", name) for name in ("a.wav", "a.m4a", "b.wav")])
    assert sorted(found.values()) == ["voices/a_m4a", "voices/a_wav", "voices/b"]


def test_parts_of_one_file_are_told_apart_by_their_start():
    parts = [VoiceSource("p", "a.wav", start_s=start, end_s=start + 3) for start in (0.0, 12.0, 13.5)]
    found = stems([*parts, VoiceSource("p", "a_0.wav")])
    assert found[("a.wav", 12.0)] == "voices/a_12000"
    assert found[("a.wav", 13.5)] == "voices/a_13500"
    assert {found[("a.wav", 0.0)], found[("a_0.wav", 0.0)]} != {"voices/a_0"}
    assert len(set(found.values())) == 4
    one = stems([VoiceSource("p", "a.wav", start_s=12.0)])
    assert list(one.values()) == ["voices/a"]


def test_upper_and_lower_case_alone_do_not_tell_files_apart():
    names = ["A/x.wav", "a/X.wav", "a/x.wav", "caf\u00e9.wav", "cafe\u0301.wav", "STRASSE.wav", "stra\u00dfe.wav"]
    written = outputs([VoiceSource("p", name) for name in names])
    assert len({unicodedata.normalize("NFC", name).casefold() for name in written}) == len(names)


def test_a_film_and_the_pictures_beside_it():
    faces = [FaceSource("p", name) for name in ("x.mp4", "x.mkv", "x_0.png", "x_1.jpg", "x.png")]
    written = outputs([], faces, frames=3)
    assert len(set(written)) == len(written) == 2 * 3 + 3


def test_a_folder_called_like_a_file():
    written = outputs([VoiceSource("p", "a.wav"), VoiceSource("p", "a.flac/b.wav")])
    assert "voices/a.flac/b.flac" in written
    assert "voices/a.flac" not in written


def test_one_picture_of_several_people():
    faces = [FaceSource(who, "group.jpg", box=(x, 0, x + 9, 9)) for who, x in (("p", 0), ("q", 20), ("q", 40))]
    assert len(set(outputs([], faces))) == 3
    assert len(outputs([], [*faces, faces[0]])) == 3  # the very same source twice is one


def test_names_and_keys_depend_on_nothing_but_the_sources():
    voices = [VoiceSource("p", f"{n % 3}.{suffix}", start_s=n) for n in range(9) for suffix in ("wav", "WAV", "m4a")]
    faces = [FaceSource("p", f"{n % 2}.mp4", centre=(n / 9, 0.5)) for n in range(4)]
    expected, _ = plan_jobs(Sources("root", {}, voices, faces), 2)
    written = [name for job in expected for name in output_names(job, 2)]
    assert len({name.casefold() for name in written}) == len(written) == 27 + 2 * 4
    for seed in range(5):
        random.Random(seed).shuffle(voices)
        random.Random(seed).shuffle(faces)
        assert plan_jobs(Sources("elsewhere", {"p": {}}, voices, faces), 2)[0] == expected
    assert len({job.key for job in expected}) == len(expected)
    assert all(len(job.bucket) == 3 and int(job.bucket, 16) < 4096 for job in expected)


def test_the_key_holds_what_decides_the_result_and_no_more():
    def key(**changes):
        source = FaceSource("p", "a.jpg", **changes)
        return plan_jobs(Sources("root", {}, [], [source]), 1)[0][0].key

    same = [{}, {"columns": {"age": "9"}}, {"video": "v"}, {"frame_s": 3.0}]
    other = [{"framing": "crop"}, {"centre": (0.5, 0.5)}, {"box": (1, 2, 3, 4)}, {"end_s": 9.0}, {"start_s": 1.0}]
    assert len({key(**changes) for changes in same}) == 1
    assert len({key(**changes) for changes in [{}, *other]}) == 1 + len(other)
    assert json.loads(key())["stem"] == "faces/a"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (VoiceSource("p", "../a.wav"), "a path below the root"),
        (VoiceSource("p", "./a.wav"), "a path below the root"),
        (VoiceSource("p", "x/../../a.wav"), "a path below the root"),
        (VoiceSource("p", "/etc/a.wav"), "a path below the root"),
        (VoiceSource("p", ""), "a path below the root"),
        (VoiceSource("p", "x" * 200 + ".wav"), "names of at most 200 bytes"),
        (VoiceSource("p", "x/b\udcff.wav"), "a name in UTF-8"),
        (VoiceSource("p\udcff", "a.wav"), "a name in UTF-8"),
        (VoiceSource("p", "a.wav", columns={"name": "\udcff"}), "a name in UTF-8"),
        (VoiceSource("p", "a.wav", columns={"half a character": "\ud83d"}), "a name in UTF-8"),
        (VoiceSource("p", "a.wav", start_s=-1.0), "a part that starts at 0 s"),
        (VoiceSource("p", "a.wav", start_s=3.0, end_s=3.0), "a part that starts at 0 s"),
        (VoiceSource("p", "a.wav", start_s=float("nan")), "a part that starts at 0 s"),
    ],
)
def test_sources_that_are_refused(source, words):
    jobs, (unused,) = plan_jobs(Sources("root", {}, [source], []), 1)
    assert jobs == []
    assert words in unused.reason
    assert unused.kind == "voice"
    unused.source.encode()


def test_what_the_scan_passed_over_is_listed():
    scanned = Sources("root", {}, passed_over=[("x/\udcfc.wav", "nobody known as \udcfc")])
    assert plan_jobs(scanned, 1) == ([], [(r"x/\xfc.wav", "scan", r"nobody known as \xfc")])
    assert printable("früh 顔") == "früh 顔"


def test_odd_names_are_kept():
    names = ['it\'s "so", really.wav', "früh 顔.wav", "two  spaces .wav", "line\nbreak.wav", "...a.wav", "a.b.c.wav"]
    written = outputs([VoiceSource("p", name) for name in names])
    assert sorted(written) == sorted("voices/" + name.removesuffix(".wav") + ".flac" for name in names)
