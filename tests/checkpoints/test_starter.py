"""The shipped starter: small, strict, complete, and drawing a woman for one voice and a man for another."""

import csv
import re

import numpy as np
import pytest

from s2f import Speech2FacePipeline
from s2f.checkpoints.loading import resolve
from tests import CHECKOUT

STARTER = resolve("starter")


@pytest.fixture(scope="module")
def starter():
    return Speech2FacePipeline.from_pretrained("starter")


def test_it_is_small_and_safetensors_only():
    files = [path for path in STARTER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 40 * 2**20
    assert {path.suffix for path in files} == {".json", ".safetensors", ".md", ""}  # SHA256SUMS


def test_the_card_is_complete():
    card = (STARTER / "README.md").read_text(encoding="utf-8")
    assert not re.search(r"\{\w*\}|None|nan\b", card)
    for needed in ("license: apache-2.0", "CC BY 4.0", "CC0", "split hash", "## Limits", "train_starter.sh"):
        assert needed in card
    assert len(re.findall(r"^\| (gender_agreement|one_face) ", card, re.M)) >= 5


def test_the_networks_are_the_papers_classes_with_other_numbers(starter):
    names = {name: type(part).__name__ for name, part in starter.components.items()}
    assert names == {
        "voice_encoder": "Speech2FaceVoiceEncoder",
        "face_encoder": "CompactFaceEncoder",
        "decoder": "NormalizedFaceDecoder",
        "unexplained": "UnexplainedVariation",
    }
    assert starter.decoder.image_size_px == 224


def test_every_texture_layer_is_alive(starter):
    """No layer of the texture network may end with all units at zero, as one did in an early run."""
    silent = []
    for number, norm in enumerate(starter.decoder.texture_norms):
        norm.register_forward_hook(lambda _m, _i, output, k=number: silent.append(k) if output.max() <= 0 else None)
    starter(str(CHECKOUT / "examples" / "voice.wav"))
    assert silent == []


def test_real_voices_get_faces_of_their_gender(starter, shared_data):
    """Twelve held-out readers: beside the jaw women's pictures show dark long hair, men's the grey background."""
    with (shared_data / "voices" / "speakers.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "dev"]
    women = [row for row in rows if row["gender"] == "f"][:6]
    men = [row for row in rows if row["gender"] == "m"][:6]
    clips = [str(shared_data / "voices" / row["file"]) for row in women + men]
    pictures = np.stack([np.asarray(image, dtype=float) for image in starter(clips).images])
    hair = pictures[:, 110:160, 45:65].mean((1, 2, 3))
    assert np.median(hair[:6]) < np.median(hair[6:]) - 5
