"""What goes wrong in a long run: killed, interrupted, a full disk, and copies with broken files."""

import os
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from s2f.datasets import DatasetFolder
from s2f.errors import DatasetError, OutputError
from s2f.prepare.config import PrepareConfig
from s2f.prepare.jobs import worker
from s2f.prepare.jobs.run import write_dataset
from s2f.prepare.sources.found import FaceSource, Sources, VoiceSource
from tests import programs
from tests.s2f.prepare.material import (
    RATE,
    config,
    content,
    copy_of,
    film,
    require_dlib,
    scene,
    table,
    tone,
    write_tone,
)
from tests.s2f.test_audio import encoded_by_av

KILLED = """
import os, random, signal, sys
from itertools import count
from pathlib import Path
from s2f.prepare.config import PrepareConfig
from s2f.prepare.jobs import worker
from s2f.prepare.jobs.run import write_dataset
from s2f.prepare.sources.found import Sources, VoiceSource

root, out, kills = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
voices = [VoiceSource("p", path.name) for path in root.iterdir()]
sources = Sources(root, {"p": {"split": "train"}}, voices, [])

def dying(after, seconds, read=worker.read_sound, number=count(1)):
    # once so many files are read, the system kills the process within milliseconds of its own computing time
    def read_sound(*words):
        if next(number) == after:
            signal.setitimer(signal.ITIMER_PROF, seconds)
        return read(*words)
    return read_sound

for kill in range(kills):
    child = os.fork()
    if child == 0:
        worker.read_sound = dying(8 + kill, random.Random(kill).uniform(1e-4, 4e-3))
        write_dataset(sources, PrepareConfig("folders", str(root), str(out)), {})
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGPROF
    assert not (out / "dataset.json").exists()
    print("killed with", len(os.listdir(out / "voices")), flush=True)
write_dataset(sources, PrepareConfig("folders", str(root), str(out)), {})
"""


@pytest.mark.parametrize(("kills", "files"), [(2, 40), pytest.param(10, 200, marks=pytest.mark.slow)])
def test_killed_again_and_again_and_finished_is_as_never_killed(tmp_path, kills, files):
    """The processes are killed while they write; each is a fork, so that nothing is imported twelve times."""
    root = tmp_path / "root"
    for number in range(files):
        write_tone(root / f"{number}.wav", 2.0, 100 + number)
    sources = Sources(root, {"p": {"split": "train"}}, [VoiceSource("p", path.name) for path in root.iterdir()], [])
    write_dataset(sources, PrepareConfig("folders", str(root), str(tmp_path / "whole")), {})
    done = programs.run(["-c", KILLED, root, tmp_path / "killed", kills])
    assert done.returncode == 0, done.stderr[-2000:]
    counts = [int(line.split()[-1]) for line in done.stdout.splitlines()]
    whole, killed = content(tmp_path / "whole"), content(tmp_path / "killed")
    assert len(counts) == kills
    assert counts == sorted(counts)
    assert 0 < counts[0] < counts[-1] < files
    assert len([name for name in whole if name.endswith(".flac")]) == files
    assert killed == whole


def test_leftovers_of_killed_runs_are_swept_and_do_not_stop_the_next(tmp_path):
    """A run may be killed while it writes its very first file."""
    root, out = tmp_path / "root", tmp_path / "out"
    write_tone(root / "a.wav")
    out.mkdir()
    (out / ".plan.json.123.tmp").write_text("ha")
    write_dataset(copy_of(root, [VoiceSource("p", "a.wav")]), config(root, out), {})
    expected = content(out)
    assert not [name for name in expected if "tmp" in name]
    for name in (".people.csv.7.tmp", "voices/.a.flac.9.tmp", "parts/.000.json.9.tmp", "voices/x/.b.flac.9.tmp"):
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text("half")
    (out / "voices" / "old.flac").write_text("of a source that is gone")
    (out / "parts" / "000.json").write_text("{}")
    (out / "voices" / "notes.txt").write_text("not ours")
    write_dataset(copy_of(root, [VoiceSource("p", "a.wav")]), config(root, out), {})
    assert content(out) == expected | {"voices/notes.txt": b"not ours"}
    assert not (out / "voices" / "x").exists()


def test_interrupted_by_hand_and_finished(tmp_path, monkeypatch):
    root = tmp_path / "root"
    for number in range(20):
        write_tone(root / f"{number}.wav", 1.0, 100 + number)
    sources = copy_of(root, [VoiceSource("p", f"{number}.wav") for number in range(20)])
    write_dataset(sources, config(root, tmp_path / "whole"), {})
    original, read = worker.read_sound, []

    def interrupted(path, *rest):
        read.append(path)
        if len(read) == 9:
            raise KeyboardInterrupt
        return original(path, *rest)

    monkeypatch.setattr(worker, "read_sound", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_dataset(sources, config(root, tmp_path / "out"), {})
    assert not (tmp_path / "out" / "dataset.json").exists()
    assert not (tmp_path / "out" / "voices.csv").exists()
    write_dataset(sources, config(root, tmp_path / "out"), {})
    assert content(tmp_path / "out") == content(tmp_path / "whole")
    assert len(read) < 9 + 14  # most of the first eight were not read again


def test_full_disk_stops_at_once_and_the_run_can_go_on(tmp_path):
    """The kernel refuses to let any file grow beyond a few kilobytes, as a full disk or a quota would."""
    root = tmp_path / "root"
    random = np.random.default_rng(0)
    for number in range(6):
        write_tone(root / f"{number}.wav", 1.0)
    soundfile.write(root / "long.wav", random.normal(0, 0.1, 3 * RATE), RATE)
    sources = copy_of(root, [VoiceSource("p", path.name) for path in sorted(root.iterdir())])
    write_dataset(sources, config(root, tmp_path / "whole"), {})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(OutputError, match=r"room .* to write in .*File too large; make room .* goes on where"):
            write_dataset(sources, config(root, tmp_path / "out"), {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not [name for name in content(tmp_path / "out") if "tmp" in name or name.endswith(".csv")]
    write_dataset(sources, config(root, tmp_path / "out"), {})
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_what_is_nobodys_fault_is_not_taken_for_a_bad_file(tmp_path, monkeypatch):
    root = tmp_path / "root"
    for name in ("a.wav", "b.wav"):
        write_tone(root / name)
    sources = copy_of(root, [VoiceSource("p", "a.wav"), VoiceSource("p", "b.wav")])

    def no_memory(*_):
        raise MemoryError

    monkeypatch.setattr(worker, "read_sound", no_memory)
    with pytest.raises(MemoryError):
        write_dataset(sources, config(root, tmp_path / "memory"), {})

    def disk_unplugged(*_):
        shutil.rmtree(root)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(worker, "read_sound", disk_unplugged)
    with pytest.raises(DatasetError, match="none any more; bring it back"):
        write_dataset(sources, config(root, tmp_path / "out"), {})
    assert not (tmp_path / "out" / "errors.csv").exists()


def test_what_a_library_raises_is_the_reason_and_the_same_in_every_run(tmp_path, monkeypatch):
    root = tmp_path / "root"
    write_tone(root / "a b.wav")

    def fail(path, *_):
        raise ZeroDivisionError(f"{path}\n  in <Thing object at 0x7f{os.urandom(5).hex()}>")

    monkeypatch.setattr(worker, "read_sound", fail)
    for out in (tmp_path / "1", tmp_path / "2"):
        write_dataset(copy_of(root, [VoiceSource("p", "a b.wav")]), config(root, out), {})
        line = "a b.wav,voice,ZeroDivisionError: a b.wav in <Thing object at 0x…>"
        assert (out / "errors.csv").read_text(encoding="utf-8").splitlines()[1:] == [line]


GOOD = ["plain.wav", 'it\'s "so", really.wav', "früh 顔 é.wav", "two  spaces .wav", "line\nbreak.wav", "UP/Case.WAV"]


def broken_copy(root):
    """90 good recordings and pictures, 10 that cannot be used, and what the scan would make of them."""
    for number, name in enumerate([*GOOD, *(f"n/{number}.wav" for number in range(79))]):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(root / name, tone(0.6, 100 + number), RATE)
    (root / "m.m4a").write_bytes(encoded_by_av(tone(1.0), RATE, "ipod", "aac"))
    for number in range(4):
        Image.fromarray(scene(at=(150 + number, 60))).save(root / f"face {number}.png")
    whole = film(2.0, pictures=lambda second: scene())
    (root / "whole.mp4").write_bytes(whole)
    (root / "truncated.mp4").write_bytes(whole[: len(whole) // 2])
    (root / "empty.wav").touch()
    (root / "text.jpg").write_text("This is a letter. " * 50)
    jpeg = root / "cut.jpg"
    Image.effect_noise((300, 300), 90).save(jpeg)
    jpeg.write_bytes(jpeg.read_bytes()[:9000])
    write_tone(root / "short.wav", 0.3)
    write_tone(root / "silent.wav", 1.0, level=0.0)
    (root / "folder.wav").mkdir()
    os.mkfifo(root / "pipe.wav")
    Image.new("RGB", (400, 300), (90, 90, 90)).save(root / "nobody.png")
    names = [os.fsencode(root) + b"/bad\xff\xfe.wav"]
    shutil.copy(root / "plain.wav", names[0])


REASONS = {
    "truncated.mp4": "expected a film, got a file that is none or is damaged; copy the film again",
    "empty.wav": "expected an audio file, got empty.wav with zero bytes",
    "text.jpg": "got a file that is none of these; convert it",
    "cut.jpg": "expected a picture that can be decoded, got image file is truncated",
    "short.wav": "expected a clip of at least 0.5 s, got 0.30 s",
    "silent.wav": "got silence",
    "folder.wav": "OSError: not a file",
    "pipe.wav": "OSError: not a file",
    "nobody.png": "expected a picture of a face, got none that the detector sees",
    r"bad\xff\xfe.wav": "expected a name in UTF-8, got other bytes",
}


@pytest.mark.slow
def test_one_file_in_ten_broken(tmp_path):
    """Every broken file is listed with its reason, and all others are there."""
    require_dlib()
    root, out = tmp_path / "root", tmp_path / "out"
    root.mkdir()
    try:
        broken_copy(root)
    except OSError as error:
        pytest.skip(f"this file system does not take such names: {error}")
    paths = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file() or path.suffix == ".wav"]
    voices = [VoiceSource("p", path) for path in paths if path.lower().endswith((".wav", ".m4a"))]
    faces = [FaceSource("p", path) for path in paths if path.endswith((".png", ".jpg", ".mp4"))]
    assert len(voices) + len(faces) == 85 + 1 + 4 + 1 + len(REASONS)
    summary = write_dataset(copy_of(root, voices, faces), config(root, out, landmarks="none"), {})
    errors = {row["source"]: row["reason"] for row in table(out, "errors.csv")}
    assert set(errors) == set(REASONS)
    for name, words in REASONS.items():
        assert words in errors[name], name
        assert str(tmp_path) not in errors[name]
    assert summary["counts"]["errors"] == {"voice": 6, "face": 4}
    data = DatasetFolder(out)
    rows = data.voices("train")
    assert {row["source"] for row in rows} == {path for path in paths if path.endswith((".wav", ".WAV", ".m4a"))} - {
        *REASONS,
        "bad\udcff\udcfe.wav",
    }
    assert all(len(data.voice(row, RATE)) == round(float(row["duration_s"]) * RATE) for row in rows)
    assert {row["source"] for row in data.faces("train")} == {"whole.mp4", *(f"face {k}.png" for k in range(4))}


def test_files_that_the_system_refuses(tmp_path, monkeypatch):
    """A file without permissions would not do: an administrator may read everything."""
    require_dlib()
    root, out = tmp_path / "root", tmp_path / "out"
    write_tone(root / "a.wav")
    for name in ("a.png", "a.mp4"):
        (root / name).touch()
    original = Path.open

    def refuse(self, *args, **options):
        if self.parent == root:
            raise PermissionError(13, "Permission denied", str(self))
        return original(self, *args, **options)

    monkeypatch.setattr(Path, "open", refuse)
    sources = copy_of(root, [VoiceSource("p", "a.wav")], [FaceSource("p", "a.png"), FaceSource("p", "a.mp4")])
    counts = write_dataset(sources, config(root, out), {})["counts"]
    assert counts["errors"] == {"voice": 1, "face": 2}
    assert (out / "errors.csv").read_text().count("Permission denied") == 3


def test_frames_that_cannot_be_decoded_do_not_cost_the_others(tmp_path):
    require_dlib()
    root, out = tmp_path / "root", tmp_path / "out"
    root.mkdir()
    data = film(4.0, pictures=lambda second: scene(), options={"movflags": "faststart"}, key_frames=10)
    (root / "a.mp4").write_bytes(data[: round(0.6 * len(data))])
    settings = {"frames_per_clip": 8, "landmarks": "none", "detector": "hog"}
    write_dataset(copy_of(root, [], [FaceSource("p", "a.mp4")]), config(root, out, **settings), {})
    errors = (out / "errors.csv").read_text().splitlines()[1:]
    frames = sorted(path.name for path in (out / "faces").iterdir())
    assert len(errors) + len(frames) == 8
    assert 1 <= len(errors) <= 7
    assert frames == [f"a_{k}.jpg" for k in range(len(frames))]
    assert "expected a picture at 3.75 s, got none; the film is damaged or ends too early" in errors[-1]
