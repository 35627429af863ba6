"""PNG text, the weights' hash, and writing files whole or not at all."""

import hashlib
import os

import numpy as np
import pytest
from PIL import Image

from s2f import __version__
from s2f.checkpoints.provenance import NOTE, Provenance, save_png, weights_sha256
from s2f.errors import OutputError

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8))


def test_png_carries_its_provenance_and_every_pixel(tmp_path):
    save_png(PICTURE, tmp_path / "new" / "face.png", Provenance("starter", "0123456789abcdef", seed=7))
    with Image.open(tmp_path / "new" / "face.png") as read:
        assert read.text == {
            "ai_generated": "true",
            "software": f"s2f {__version__}",
            "checkpoint": "starter",
            "checkpoint_sha256": "0123456789abcdef",
            "seed": "7",
            "note": NOTE,
        }
        np.testing.assert_array_equal(np.asarray(read), np.asarray(PICTURE))
    assert os.listdir(tmp_path / "new") == ["face.png"]


def test_no_seed_no_chunk_and_names_in_any_script(tmp_path):
    save_png(PICTURE, tmp_path / "face.png", Provenance("gesicht-früh-顔", "00"))
    with Image.open(tmp_path / "face.png") as read:
        assert "seed" not in read.text
        assert read.text["checkpoint"] == "gesicht-früh-顔"


def test_interrupted_writing_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "face.png"
    path.write_bytes(b"old")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_png(PICTURE, path, Provenance("a", "b"))
    assert os.listdir(tmp_path) == ["face.png"]
    assert path.read_bytes() == b"old"


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "face.png", "/dev/null/x/face.png"):
        with pytest.raises(OutputError, match=r"expected a place .* got .*face\.png \(.+\); choose a folder"):
            save_png(PICTURE, path, Provenance("a", "b"))


def test_only_png():
    with pytest.raises(OutputError, match=r"ending in \.png"):
        save_png(PICTURE, "face.jpg", Provenance("a", "b"))


def test_hash_covers_all_weights_in_order(tmp_path):
    for name, data in (("b/model.safetensors", b"BB"), ("a/model.safetensors", b"A"), ("a/config.json", b"{}")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    assert weights_sha256(tmp_path) == hashlib.sha256(b"ABB").hexdigest()[:16]
    (tmp_path / "a" / "config.json").write_text("{ }")
    assert weights_sha256(tmp_path) == hashlib.sha256(b"ABB").hexdigest()[:16]
