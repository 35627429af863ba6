"""Files and folders appear whole or not at all."""

import os

import pytest

from s2f.errors import AudioMissing, OutputError
from s2f.runtime.files import whole_folder, write_bytes, write_text, writing


def fail_halfway(final):
    with whole_folder(final) as partial:
        (partial / "new.txt").write_text("half")
        raise RuntimeError("halfway")


def test_failing_block_leaves_the_old_folder(tmp_path):
    final = tmp_path / "network"
    final.mkdir()
    (final / "old.txt").write_text("old")
    with pytest.raises(RuntimeError, match="halfway"):
        fail_halfway(final)
    assert [path.name for path in final.iterdir()] == ["old.txt"]
    with whole_folder(final) as partial:
        assert list(partial.iterdir()) == []


def test_successful_block_replaces_the_folder(tmp_path):
    final = tmp_path / "deep" / "network"
    for name in ("old.txt", "new.txt"):
        with whole_folder(final) as partial:
            (partial / name).write_text(name)
    assert [path.name for path in final.iterdir()] == ["new.txt"]
    assert os.listdir(final.parent) == ["network"]


def test_text_is_written_as_it_is_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old and longer")
    write_text(path, "früh\r\n顔\n")
    assert path.read_bytes() == "früh\r\n顔\n".encode()
    assert os.listdir(tmp_path) == ["a.txt"]


def test_interrupted_writing_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.bin"
    write_bytes(path, b"old")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        write_bytes(tmp_path / "file" / "a.bin", b"new")


def test_a_write_that_fails_is_said_with_how_to_go_on(tmp_path):
    full = OSError(28, "No space left on device")
    with pytest.raises(OutputError) as refused, writing(tmp_path):
        raise full
    expected = f"expected room and permission to write in {tmp_path}, got No space left on device; "
    assert (
        str(refused.value) == expected + "make room or give another folder; the same command goes on where it stopped"
    )
    with pytest.raises(AudioMissing), writing(tmp_path):  # an OSError too, but no failed write
        raise AudioMissing("a clip", "none", "check the path")
    with pytest.raises(ValueError, match="mine"), writing(tmp_path):
        raise ValueError("mine")

    with pytest.raises(OutputError, match=r"got mine; go on$"), writing(tmp_path, lambda: "go on", (ValueError,)):
        raise ValueError("mine")
