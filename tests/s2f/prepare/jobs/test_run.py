"""The dataset folder that comes out: its tables, and that nothing but sources and settings decides a byte of it."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from s2f.cli import main
from s2f.datasets import DatasetFolder
from s2f.errors import AssetMissing, OutputError, UsageError
from s2f.prepare.jobs.run import write_dataset
from s2f.prepare.sources.found import FaceSource, Sources, VoiceSource
from tests import CHECKOUT, programs
from tests.s2f.prepare.material import (
    RATE,
    config,
    content,
    copy_of,
    film,
    require_dlib,
    scene,
    table,
    three_recordings,
    tone,
    voices,
)


@pytest.fixture
def root(tmp_path):
    """A copy with voices alone: two people, three recordings."""
    return three_recordings(tmp_path / "root")


@pytest.fixture
def three():
    return voices("a/1.wav", "a/2.wav", "b/1.wav")


def test_tables_of_voices(root, tmp_path):
    sources = copy_of(
        root,
        [
            VoiceSource(
                "x", "b/1.wav", video="v2", columns=dict(zip("hgfed", "12345", strict=True)) | {"word": 'ha, "ha"'}
            ),
            VoiceSource("y", "a/2.wav", video="v1", start_s=0.2, end_s=0.8),
            VoiceSource("y", "a/1.wav"),
            VoiceSource("c", "c/none.wav"),
        ],
        passed_over=[("notes.txt", "no recording")],
        missing=["no videos"],
    )
    sources.people |= {"y": {"gender": "m", "split": "train", "name": "Änne"}, "x": {"split": "test", "age": "30"}}
    out = tmp_path / "out"
    facts = {"split": {"rule": "own"}, "missing": sources.missing}
    summary = write_dataset(sources, config(root, out), facts)
    assert sorted(path.name for path in out.iterdir()) == sorted(
        ["people.csv", "voices.csv", "faces.csv", "errors.csv", "dataset.json", "plan.json", "parts", "voices"]
    )
    assert (out / "people.csv").read_text(encoding="utf-8").splitlines() == [
        "identity,gender,age,ethnicity,nationality,language,split,name",
        "x,,30,,,,test,",
        "y,m,,,,,train,Änne",
    ]
    assert (out / "voices.csv").read_text(encoding="utf-8").splitlines() == [
        "identity,path,start_s,duration_s,video,source,quality,d,e,f,g,h,word",
        'x,voices/b/1.flac,0.0,1.2,v2,b/1.wav,,5,4,3,2,1,"ha, ""ha"""',
        "y,voices/a/1.flac,0.0,1.11,,a/1.wav,,,,,,,",
        "y,voices/a/2.flac,0.0,0.6,v1,a/2.wav,,,,,,,",
    ]
    assert (out / "errors.csv").read_text(encoding="utf-8").splitlines() == [
        "source,kind,reason",
        "c/none.wav,voice,FileNotFoundError: No such file or directory",
        "notes.txt,scan,no recording",
    ]
    header = "identity,path,video,frame_s,left,top,right,bottom,view,source,quality,face_px,faces_found\n"
    assert (out / "faces.csv").read_text() == header
    assert json.loads((out / "dataset.json").read_text()) == summary
    assert summary["split"] == {"rule": "own"}
    assert summary["missing"] == ["no videos"]
    assert summary["counts"] == {
        "people": 2,
        "people_without_files": 1,
        "people_without_voice_or_face": 0,
        "splits": {"train": 1, "val": 0, "test": 1, "": 0},
        "voices": 3,
        "hours": round((1.11 + 0.6 + 1.2) / 3600, 3),
        "faces": 0,
        "landmarks": 0,
        "errors": {"scan": 1, "voice": 1},
        "flags": {},
    }
    data = DatasetFolder(out)
    assert data.split_hash == summary["split_hash"]
    row = data.voices("test")[0]
    np.testing.assert_array_equal(data.voice(row, RATE), soundfile.read(root / "b/1.wav", dtype="float32")[0])


def test_whoever_lacks_a_voice_or_a_face_has_no_split(tmp_path):
    require_dlib()
    root, out = tmp_path / "root", tmp_path / "out"
    root.mkdir()
    Image.fromarray(scene()).save(root / "face.png")
    soundfile.write(root / "voice.wav", tone(1.0), RATE)
    heard = [VoiceSource(name, "voice.wav") for name in ("both", "voice")]
    faces = [FaceSource(name, "face.png") for name in ("both", "face")]
    sources = copy_of(root, heard, faces)
    sources.people |= {name: {"split": "train"} for name in ("both", "voice", "face")}
    counts = write_dataset(sources, config(root, out, detector="hog"), {})["counts"]
    assert {row["identity"]: row["split"] for row in table(out, "people.csv")} == {
        "both": "train",
        "face": "",
        "voice": "",
    }
    assert (counts["people_without_voice_or_face"], counts["splits"]["train"], counts["splits"][""]) == (2, 1, 2)
    alone = write_dataset(copy_of(root, heard, []), config(root, tmp_path / "alone"), {})["counts"]
    assert alone["people_without_voice_or_face"] == 0


@pytest.mark.slow
def test_tables_of_faces(tmp_path):
    """One film, one scene, one crop without a face, two faces side by side, and a scene without any."""
    require_dlib()
    root, out = tmp_path / "root", tmp_path / "out"
    (root / "p").mkdir(parents=True)
    blank = np.full((300, 420, 3), 90, np.uint8)
    both = np.concatenate([scene(), scene((300, 300), (60, 60), 160)], axis=1)
    for name, pixels in (("scene.png", scene()), ("blank.png", blank), ("both.png", both)):
        Image.fromarray(pixels).save(root / "p" / name)
    (root / "p" / "film.mp4").write_bytes(film(2.0, pictures=lambda second: scene() if second < 1 else blank))
    faces = [FaceSource("p", f"p/{name}", video="v") for name in ("scene.png", "both.png", "film.mp4")]
    faces += [FaceSource("p", "p/blank.png", framing="crop"), FaceSource("q", "p/blank.png")]
    faces[0] = FaceSource("p", "p/scene.png", video="v", frame_s=7.5, columns={"age": "31"})
    summary = write_dataset(copy_of(root, [], faces), config(root, out, frames_per_clip=2, size_px=160), {})
    rows = {row["source"] + row["frame_s"]: row for row in table(out, "faces.csv")}
    assert list(rows) == ["p/blank.png", "p/both.png", "p/film.mp40.48", "p/scene.png7.5"]
    assert [row["quality"] for row in rows.values()] == ["no_face", "several_faces", "", ""]
    assert [row["faces_found"] for row in rows.values()] == ["0", "2", "1", "1"]
    assert rows["p/blank.png"]["face_px"] == ""
    assert 95 < float(rows["p/scene.png7.5"]["face_px"]) < 135  # 115 in the unit test of the detector
    assert rows["p/scene.png7.5"]["age"] == "31"
    assert all(row["view"] == "wild" and row["left"] + row["bottom"] == "" for row in rows.values())
    assert [row["video"] for row in rows.values()] == ["", "v", "v", "v"]
    errors = {(row["source"], row["kind"]): row["reason"] for row in table(out, "errors.csv")}
    assert set(errors) == {("p/blank.png", "face"), ("p/film.mp4", "face")}
    assert errors["p/film.mp4", "face"].endswith("(at 1.50 s)")
    data = DatasetFolder(out)
    assert [row["identity"] for row in data.faces("train")] == ["p"] * 4
    assert summary["counts"]["people_without_files"] == 1
    landmarks = data.landmarks()
    assert set(landmarks) == {row["path"] for row in rows.values() if row["quality"] != "no_face"}
    assert list(landmarks) == sorted(landmarks)
    for path, points in landmarks.items():
        assert Image.open(out / path).size == (160, 160)
        assert points.shape == (68, 2)
        assert 40 < points[27:].mean() < 120
    assert summary["made_with"]["detector"] == "cnn"
    assert summary["counts"]["flags"] == {"no_face": 1, "several_faces": 1}


def test_order_of_the_sources_does_not_matter(root, three, tmp_path):
    sources = copy_of(root, [*three, *voices("x/none.wav", "x/../y.wav")], passed_over=[("b", "x"), ("a", "y")])
    write_dataset(sources, config(root, tmp_path / "a"), {})
    for seed in range(3):
        mixed = Sources(root, dict(reversed(sources.people.items())), list(sources.voices), [])
        mixed.passed_over = sources.passed_over[::-1]
        random.Random(seed).shuffle(mixed.voices)
        write_dataset(mixed, config(root, tmp_path / str(seed)), {})
        assert content(tmp_path / str(seed)) == content(tmp_path / "a")


@pytest.mark.slow
def test_two_processes_write_the_same(root, tmp_path):
    (root / "a" / "bad.wav").write_bytes(b"no sound")
    words = ["prepare", "--split", "none", "folders", str(root)]
    assert main([*words, str(tmp_path / "one")]) == 0
    done = programs.run(["-m", "s2f", *words, tmp_path / "two"], processes=2)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("next: s2f data check") == 1
    one = content(tmp_path / "one")
    assert len([name for name in one if name.endswith(".flac")]) == 3
    assert content(tmp_path / "two") == one


@pytest.mark.slow
def test_any_number_of_processes_writes_the_same(tmp_path, capsys):
    """Sound, speech, pictures and landmarks, in this process and in three started by torchrun."""
    require_dlib()
    pytest.importorskip("silero_vad")
    root = tmp_path / "root"
    spoken, rate = soundfile.read(CHECKOUT / "examples" / "voice.wav")
    for number in range(12):
        (root / str(number % 3)).mkdir(parents=True, exist_ok=True)
        part = spoken[number * 3000 :][: 2 * rate] * (1 - number / 20)
        soundfile.write(root / str(number % 3) / f"{number}.wav", part, rate, "PCM_16")
    (root / "0" / "bad.wav").write_bytes(b"no sound")
    for number in range(4):
        Image.fromarray(scene(at=(150 + 10 * number, 60))).save(root / str(number % 3) / f"{number}.png")
    options = ["--detector", "hog", "--landmarks", "starter", "--voice_activity", "true", "--split_seed", "1"]
    assert main(["prepare", "folders", str(root), str(tmp_path / "out1"), *options]) == 0
    assert capsys.readouterr().out.count("next: s2f data check") == 1
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "3"]
    words += ["-m", "s2f", "prepare", "folders", root, tmp_path / "out3", *options]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true"}
    environment.pop("OMP_NUM_THREADS", None)
    done = subprocess.run(words, cwd=CHECKOUT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("next: s2f data check") == 1
    found = {count: content(tmp_path / f"out{count}") for count in (1, 3)}
    assert len([name for name in found[1] if name.endswith((".flac", ".jpg"))]) == 12 + 4
    header = b"identity,path,start_s,duration_s,video,source,quality,speech_s\n"
    assert found[1]["voices.csv"].startswith(header)
    assert found[3] == found[1]


def test_files_of_bad_quality_can_be_left_out(root, three, tmp_path):
    soundfile.write(root / "a/1.wav", np.clip(tone(2, level=2.0), -1, 1), RATE)
    kept = write_dataset(copy_of(root, three), config(root, tmp_path / "kept"), {})
    assert kept["counts"]["flags"] == {"clipped": 1}
    out = tmp_path / "out"
    summary = write_dataset(copy_of(root, three), config(root, out, leave_out=["clipped"]), {})
    assert summary["counts"]["voices"] == 2
    assert table(out, "errors.csv") == [
        {"source": "a/1.wav", "kind": "voice", "reason": "left out for its quality: clipped"}
    ]
    assert not (out / "voices/a/1.flac").exists()


def test_a_folder_that_is_not_ours(root, three, tmp_path):
    for name in ("letter.txt", "plan.json"):
        out = tmp_path / name.replace(".", "_")
        out.mkdir()
        (out / name).write_text('{"s2f": "0.1.0"}')
        with pytest.raises(OutputError):
            write_dataset(copy_of(root, three), config(root, out), {})
        assert [path.name for path in out.iterdir()] == [name]
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="a new or empty output folder"):
        write_dataset(copy_of(root, three), config(root, tmp_path / "file"), {})


def test_an_output_folder_within_the_dataset(root, three, tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(root)
    monkeypatch.chdir(tmp_path)
    for out in (root, root / "out", Path("root/x/../out"), tmp_path / "link" / "out"):
        with pytest.raises(UsageError, match="an output folder outside"):
            write_dataset(copy_of(root, three), config(root, out), {})
    elsewhere = copy_of(root, three)
    elsewhere.faces_root = tmp_path / "faces"
    with pytest.raises(UsageError, match="an output folder outside"):
        write_dataset(elsewhere, config(root, tmp_path / "faces" / "out"), {})
    assert not list(root.glob("out*"))


def test_faces_from_a_second_root(root, tmp_path):
    require_dlib()
    (tmp_path / "faces" / "a").mkdir(parents=True)
    Image.fromarray(scene()).save(tmp_path / "faces" / "a" / "1.png")
    sources = copy_of(root, voices("a/1.wav"), [FaceSource("a", "a/1.png")])
    sources.faces_root = tmp_path / "faces"
    assert write_dataset(sources, config(root, tmp_path / "out", detector="hog"), {})["counts"]["faces"] == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("frames_per_clip", 0),
        ("crop_factor", 0.5),
        ("crop_factor", float("nan")),
        ("size_px", 8),
        ("search_px", 100),
        ("min_face_px", -1),
        ("sample_rate_hz", 100),
        ("leave_out", ["cliped"]),
    ],
)
def test_settings_out_of_range(root, three, tmp_path, name, value):
    with pytest.raises(UsageError, match="did you mean clipped" if name == "leave_out" else name):
        write_dataset(copy_of(root, three), config(root, tmp_path / "out", **{name: value}), {})
    assert not (tmp_path / "out").exists()


def test_what_is_needed_is_missed_at_the_start_and_only_if_needed(root, three, tmp_path, monkeypatch):
    for name in ("dlib", "av", "silero_vad"):
        monkeypatch.setitem(sys.modules, name, None)
    for sources, settings, extra in (
        (copy_of(root, three, [FaceSource("a", "a.png")]), {}, "dlib"),
        (copy_of(root, voices("a/1.m4a")), {}, "codecs"),
        (copy_of(root, [], [FaceSource("a", "a.mp4")]), {}, "codecs"),
        (copy_of(root, three), {"voice_activity": True}, "vad"),
    ):
        with pytest.raises(AssetMissing, match=rf"s2f\[{extra}\]"):
            write_dataset(sources, config(root, tmp_path / "none", **settings), {})
    assert not (tmp_path / "none").exists()
    assert write_dataset(copy_of(root, three), config(root, tmp_path / "out"), {})["counts"]["voices"] == 3


def test_detector_that_was_chosen_is_said(root, tmp_path, capsys):
    require_dlib()
    Image.fromarray(scene()).save(root / "a.png")
    sources = copy_of(root, [], [FaceSource("a", "a.png")])
    write_dataset(sources, config(root, tmp_path / "auto"), {})
    assert "dlib's cnn detector" in capsys.readouterr().err
    write_dataset(sources, config(root, tmp_path / "hog", detector="hog"), {})
    assert "detector" not in capsys.readouterr().err
    assert json.loads((tmp_path / "hog" / "plan.json").read_text())["detector"] == "hog"
