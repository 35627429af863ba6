"""Runs over a folder that is there already: what is done again, what is not, and what must not change."""

import json
import os

import pytest
from PIL import Image

from s2f.errors import OutputError
from s2f.prepare.jobs import run as running
from s2f.prepare.jobs import worker
from s2f.prepare.jobs.run import write_dataset
from s2f.prepare.sources.found import FaceSource, VoiceSource
from tests.s2f.prepare.material import (
    config,
    content,
    copy_of,
    require_dlib,
    scene,
    table,
    three_recordings,
    voices,
    write_tone,
)


@pytest.fixture
def root(tmp_path):
    """A copy with voices alone: two people, three recordings."""
    return three_recordings(tmp_path / "root")


@pytest.fixture
def three():
    return voices("a/1.wav", "a/2.wav", "b/1.wav")


@pytest.fixture
def count_work(monkeypatch):
    """Paths of the files that are really read."""
    read = []
    original = worker.read_sound
    monkeypatch.setattr(worker, "read_sound", lambda path, *rest: read.append(path.name) or original(path, *rest))
    return read


def test_a_repeated_run_does_nothing_again(root, three, tmp_path, count_work):
    out = tmp_path / "out"
    write_dataset(copy_of(root, three), config(root, out), {})
    before = content(out)
    assert len(count_work) == 3
    write_dataset(copy_of(root, three), config(root, out), {})
    assert len(count_work) == 3
    assert content(out) == before


def test_a_grown_copy_is_added_to(root, three, tmp_path, count_work):
    out = tmp_path / "out"
    write_dataset(copy_of(root, three[:2]), config(root, out), {})
    write_tone(root / "c" / "new.wav", 2.0, 300)
    count_work.clear()
    more = copy_of(root, [*three, *voices("c/new.wav")])
    assert write_dataset(more, config(root, out), {})["counts"]["voices"] == 4
    assert sorted(count_work) == ["1.wav", "new.wav"]
    write_dataset(more, config(root, tmp_path / "at_once"), {})
    assert content(out) == content(tmp_path / "at_once")


@pytest.mark.slow
def test_faces_may_come_later(tmp_path):
    """The detector is part of the settings only once there are faces."""
    require_dlib()
    root, out = tmp_path / "root", tmp_path / "out"
    write_tone(root / "p.wav")
    Image.fromarray(scene()).save(root / "p.png")
    voice, face = VoiceSource("p", "p.wav"), FaceSource("p", "p.png")
    write_dataset(copy_of(root, [voice]), config(root, out), {})
    write_dataset(copy_of(root, [voice], [face]), config(root, out, detector="hog"), {})
    write_dataset(copy_of(root, [voice], [face]), config(root, tmp_path / "at_once", detector="hog"), {})
    assert content(out) == content(tmp_path / "at_once")
    with pytest.raises(OutputError, match="another detector"):
        write_dataset(copy_of(root, [voice], [face]), config(root, out, detector="cnn"), {})
    assert (out / "landmarks.csv").is_file()
    write_dataset(copy_of(root, [voice]), config(root, out, detector="hog"), {})
    assert not (out / "landmarks.csv").exists()
    assert not (out / "faces").exists()
    with pytest.raises(OutputError, match="another detector"):  # it is not forgotten
        write_dataset(copy_of(root, [voice], [face]), config(root, out, detector="cnn"), {})


def test_sources_that_changed_or_went_away(root, three, tmp_path, count_work):
    out = tmp_path / "out"
    write_dataset(copy_of(root, three), config(root, out), {})
    write_tone(root / "a" / "1.wav", 3.0, 500)
    (root / "b" / "1.wav").unlink()
    count_work.clear()
    summary = write_dataset(copy_of(root, three[:2]), config(root, out), {})
    assert count_work == ["1.wav"]
    assert summary["counts"] | {"hours": 0} == summary["counts"] | {"people": 1, "voices": 2, "hours": 0}
    assert [row["duration_s"] for row in table(out, "voices.csv")] == ["3.0", "1.15"]
    assert not (out / "voices" / "b").exists()
    write_dataset(copy_of(root, three[:2]), config(root, tmp_path / "at_once"), {})
    assert content(out) == content(tmp_path / "at_once")


def test_same_size_and_another_time_is_read_again(root, three, tmp_path, count_work):
    out = tmp_path / "out"
    write_dataset(copy_of(root, three), config(root, out), {})
    count_work.clear()
    os.utime(root / "a" / "2.wav", ns=(1, 1))
    write_dataset(copy_of(root, three), config(root, out), {})
    assert count_work == ["2.wav"]


@pytest.mark.parametrize("damage", ["removed", "cut short", "part file"])
def test_what_is_missing_of_an_earlier_run_is_made_again(root, three, tmp_path, damage):
    out = tmp_path / "out"
    write_dataset(copy_of(root, three), config(root, out), {})
    before = content(out)
    if damage == "removed":
        (out / "voices/a/1.flac").unlink()
    elif damage == "cut short":
        (out / "voices/a/1.flac").write_bytes(b"")
    else:
        for path in (out / "parts").iterdir():
            path.write_text("{half")
    write_dataset(copy_of(root, three), config(root, out), {})
    assert content(out) == before


def test_errors_are_tried_again(root, three, tmp_path, count_work):
    """A codec may have been missing; a file may come later."""
    out = tmp_path / "out"
    (root / "a" / "bad.wav").write_bytes(b"no sound")
    sources = copy_of(root, [*three, *voices("c/late.wav", "a/bad.wav")])
    assert write_dataset(sources, config(root, out), {})["counts"]["errors"] == {"voice": 2}
    count_work.clear()
    write_dataset(sources, config(root, out), {})
    assert count_work == ["bad.wav"]
    write_tone(root / "a" / "bad.wav")
    write_tone(root / "c" / "late.wav")
    assert write_dataset(sources, config(root, out), {})["counts"]["errors"] == {}
    assert (out / "errors.csv").read_text() == "source,kind,reason\n"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sample_rate_hz", 8000),
        ("size_px", 112),
        ("landmarks", "none"),
        ("leave_out", ["clipped"]),
        ("framing", "crop"),
    ],
)
def test_another_setting_needs_another_folder(root, three, tmp_path, name, value):
    out = tmp_path / "out"
    write_dataset(copy_of(root, three), config(root, out), {})
    before = content(out)
    with pytest.raises(OutputError, match=f"another {name}; repeat the old settings to resume"):
        write_dataset(copy_of(root, three), config(root, out, **{name: value}), {})
    assert content(out) == before


def test_another_split_changes_people_alone(root, three, tmp_path):
    out = tmp_path / "out"
    first = copy_of(root, three)
    write_dataset(first, config(root, out), {})
    before = content(out)
    first.people["a"]["split"] = "test"
    write_dataset(first, config(root, out, split="own"), {})
    changed = {name for name, data in content(out).items() if before[name] != data}
    assert changed == {"people.csv", "dataset.json"}


def test_summary_is_written_last(root, three, tmp_path, monkeypatch):
    out = tmp_path / "out"
    write_dataset(copy_of(root, three), config(root, out), {})

    def fail(*_):
        assert not (out / "dataset.json").exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "write_tables", fail)
    with pytest.raises(KeyboardInterrupt):
        write_dataset(copy_of(root, three), config(root, out), {})
    assert not (out / "dataset.json").exists()


def test_results_are_stored_now_and_then(root, three, tmp_path, monkeypatch):
    """All three recordings in one bucket, an interruption after the second, and no waiting between two writes."""
    monkeypatch.setattr("s2f.prepare.jobs.plan.BUCKET_DIGITS", 0)
    monkeypatch.setattr(running, "SAVE_EVERY_S", 0.0)
    original, calls = worker.read_sound, []

    def interrupted(path, *rest):
        calls.append(path)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(path, *rest)

    monkeypatch.setattr(worker, "read_sound", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_dataset(copy_of(root, three), config(root, tmp_path / "out"), {})
    results = json.loads((tmp_path / "out" / "parts" / ".json").read_text())
    assert len(results) == 2
    assert all(result["media"] for result in results.values())
