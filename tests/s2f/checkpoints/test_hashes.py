"""SHA256SUMS: what a folder holds, what changed, and no path that leads elsewhere."""

import hashlib
import json
import shutil
import subprocess

import pytest

import s2f
from s2f.checkpoints import hashes
from s2f.checkpoints.hashes import MANIFEST, read_manifest, write_manifest
from s2f.checkpoints.loading import packaged
from s2f.errors import CheckpointError
from s2f.weights.verify import verify


def faults(folder):
    found = verify(folder)
    assert not found.ok
    return "; ".join(found.faults)


def test_a_saved_pipeline_is_whole_and_sha256sum_agrees(tiny_checkpoint):
    found = verify(tiny_checkpoint)
    assert found.ok
    assert found.networks == {
        "decoder": "NormalizedFaceDecoder",
        "face_encoder": "CompactFaceEncoder",
        "voice_encoder": "Speech2FaceVoiceEncoder",
    }
    assert found.files == 7
    listed = read_manifest(tiny_checkpoint)
    content = (tiny_checkpoint / "model_index.json").read_bytes()
    assert listed["model_index.json"] == hashlib.sha256(content).hexdigest()
    done = subprocess.run(["sha256sum", "-c", MANIFEST], cwd=tiny_checkpoint, capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.count(": OK") == 7


def test_the_starter_is_whole():
    found = verify(packaged()["starter"])
    assert found.ok, found.faults


def test_changes_are_named(tiny_checkpoint):
    weights = tiny_checkpoint / "decoder" / "diffusion_pytorch_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    (tiny_checkpoint / "extra.txt").write_text("x")
    (tiny_checkpoint / "face_encoder" / "config.json").unlink()
    said = faults(tiny_checkpoint)
    assert "decoder/diffusion_pytorch_model.safetensors has changed" in said
    assert "extra.txt is not listed" in said
    assert "face_encoder/config.json is missing" in said
    assert "no face_encoder" in said


def test_hashes_as_listed_are_not_enough(tiny_checkpoint):
    """Networks are loaded strictly as well."""
    config = tiny_checkpoint / "decoder" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"hidden_size": 99}))
    write_manifest(tiny_checkpoint)
    assert "misshapen" in faults(tiny_checkpoint)


def test_no_list_no_folder_and_an_empty_list(tiny_checkpoint, tmp_path):
    assert "no folder at" in faults(tmp_path / "nothing")
    (tiny_checkpoint / MANIFEST).write_text("")
    assert "lines `<sha256>  <path>`" in faults(tiny_checkpoint)
    (tiny_checkpoint / MANIFEST).unlink()
    assert "`s2f weights card` writes it" in faults(tiny_checkpoint)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "decoder/../../secret", "a\\b"])
def test_paths_that_lead_elsewhere(tiny_checkpoint, name):
    (tiny_checkpoint.parent / "secret").write_text("x")
    (tiny_checkpoint / MANIFEST).write_text(f"{'0' * 64}  {name}\n")
    assert "paths inside the folder" in faults(tiny_checkpoint)


@pytest.mark.parametrize("line", ["abc  model_index.json", "0" * 64 + " model_index.json", "Z" * 64 + "  a", "\xff"])
def test_lines_of_another_form(tiny_checkpoint, line):
    (tiny_checkpoint / MANIFEST).write_bytes(line.encode("latin-1") + b"\n")
    assert "expected" in faults(tiny_checkpoint)


def test_links_out_of_the_folder(tiny_checkpoint, tmp_path):
    (tmp_path / "secret").write_text("x")
    (tiny_checkpoint / "notes").symlink_to(tmp_path / "secret")
    with pytest.raises(CheckpointError, match="which leads to"):
        write_manifest(tiny_checkpoint)
    with (tiny_checkpoint / MANIFEST).open("a") as file:
        file.write(f"{hashlib.sha256(b'x').hexdigest()}  notes\n")
    assert "which leads to" in faults(tiny_checkpoint)
    (tiny_checkpoint / "notes").unlink()
    shutil.move(tiny_checkpoint / MANIFEST, tmp_path / MANIFEST)
    (tiny_checkpoint / MANIFEST).symlink_to(tmp_path / MANIFEST)
    assert "which leads to" in faults(tiny_checkpoint)


def test_a_list_beyond_its_bound(tiny_checkpoint, monkeypatch):
    monkeypatch.setattr(hashes, "MAX_BYTES", 100)
    assert "at most 0.0001 MB" in faults(tiny_checkpoint)


def test_links_to_folders(tiny_checkpoint):
    (tiny_checkpoint / "again").symlink_to(tiny_checkpoint / "decoder")
    with pytest.raises(CheckpointError, match="a link to a folder"):
        write_manifest(tiny_checkpoint)
    assert "a link to a folder" in faults(tiny_checkpoint)


def test_names_that_sha256sum_would_escape(tiny_checkpoint):
    (tiny_checkpoint / "a\nb").touch()
    with pytest.raises(CheckpointError, match="plain file names"):
        write_manifest(tiny_checkpoint)


def test_a_single_network_and_a_class_that_is_not_ours(tmp_path):
    s2f.NormalizedFaceDecoder(8, 4, (4,), 5, 4, (4,), 32).save_pretrained(tmp_path / "one")
    write_manifest(tmp_path / "one")
    assert verify(tmp_path / "one").networks == {"": "NormalizedFaceDecoder"}
    config = tmp_path / "one" / "config.json"
    config.write_text(config.read_text().replace("NormalizedFaceDecoder", "AutoencoderKL"))
    write_manifest(tmp_path / "one")
    assert "got AutoencoderKL" in faults(tmp_path / "one")


def test_json_and_table(tiny_checkpoint):
    found = verify(tiny_checkpoint)
    assert json.loads(found.json())["ok"] is True
    assert found.table().endswith("whole")
    (tiny_checkpoint / "extra").touch()
    assert "WRONG: extra is not listed" in verify(tiny_checkpoint).table()
