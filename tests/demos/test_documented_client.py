"""The program that docs/demo.md prints asks a running demo as printed."""

import shutil

import pytest
from PIL import Image

from tests import CHECKOUT
from tests.documented import snippets


@pytest.mark.slow
def test_printed_client(server, speech, tmp_path, monkeypatch):
    (snippet,) = (one for one in snippets() if one.text.startswith("from gradio_client"))
    address = "http://127.0.0.1:7860"
    assert address in snippet.text
    shutil.copy(speech, tmp_path / "voice.wav")
    face = CHECKOUT / "demos" / "simulated_people" / "canonical" / "id00000.png"
    Image.open(face).convert("RGB").save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(snippet.text.replace(address, server.url), names)
    assert len(names["variants"]) == 2
    assert names["facts"]["answer"] in range(1, 5)
