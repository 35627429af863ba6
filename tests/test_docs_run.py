"""Commands and snippets of the documents that take seconds are run as printed, on small things.

A placeholder is a link of that name in an empty folder, so that not a letter of a command is changed.
"""

import doctest
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file

from eval.cli import main as s2f_eval
from s2f.cli import main as s2f
from s2f.errors import AudioError
from tests import CHECKOUT
from tests.documented import DOCUMENTS, Snippet, printed, relative, snippets
from tests.small_things import Things

# Commands as printed, with what their placeholders are; other names are new files.
RUN = {
    "s2f reconstruct examples/voice.wav -o face.png": {"examples": "examples"},
    "s2f doctor": {},
    "s2f prepare --list": {},
    "s2f data check DIR": {"DIR": "dataset"},
    "s2f shards DATA OUT --face_encoder FOLDER": {"DATA": "dataset", "FOLDER": "face_encoder"},
    "s2f weights verify starter": {},
    "s2f-eval matching DIR": {"DIR": "embeddings"},
    "s2f-eval verification DIR": {"DIR": "embeddings"},
    "s2f-eval compare A B": {"A": "embeddings", "B": "embeddings"},
    "s2f-eval features DIR": {"DIR": "reconstructions"},
}
RUN_SLOWLY = {
    "s2f shards --index FOLDER": {"FOLDER": "shards"},
    "s2f embed RUN/model DATA -o EMBEDDINGS": {"RUN": "matching_run", "DATA": "dataset"},
    "s2f reconstruct CLIP… -o OUT": {"CLIP": "clip"},
    "s2f reconstruct CLIP -o face.png --samples 4": {"CLIP": "clip"},
    "s2f data check OUT": {"OUT": "dataset"},
    "s2f data check DIR --json": {"DIR": "dataset"},
    "s2f embed CKPT DATA -o DIR": {"CKPT": "matching_model", "DATA": "dataset"},
    "s2f weights export starter -o ONNX": {},
    "s2f weights push CKPT --to_folder DIR": {"CKPT": "checkpoint"},
    "s2f-eval matching EMBEDDINGS --group_by U G": {"EMBEDDINGS": "embeddings"},
    "s2f-eval matching EMBEDDINGS --group_by U G gender/age": {"EMBEDDINGS": "embeddings"},
    "s2f-eval matching EMBEDDINGS --group_by U G gender/age --plots FOLDER": {"EMBEDDINGS": "embeddings"},
    "s2f-eval matching EMBEDDINGS --group_by U G --sizes 100 189": {"EMBEDDINGS": "large_embeddings"},
    "s2f-eval retrieval DIR": {"DIR": "embeddings"},
    "s2f-eval reconstruct starter DATA -o DIR": {"DATA": "dataset"},
    "s2f-eval reconstruct CKPT DATA -o DIR": {"CKPT": "checkpoint", "DATA": "dataset"},
    "s2f-eval probes starter DATA -o PROBES": {"DATA": "dataset"},
    "s2f-eval probes CKPT DATA -o PROBES": {"CKPT": "checkpoint", "DATA": "dataset"},
    "s2f-eval craniofacial DIR/f2f DIR/s2f": {"DIR": "reconstructions"},
    "s2f-eval craniofacial DIR/f2f DIR/s2f --controls DIR/mean DIR/nearest": {"DIR": "reconstructions"},
    "s2f-eval decoder DIR": {"DIR": "reconstructions"},
    "s2f-eval report DIR": {"DIR": "reconstructions"},
}
NOT_RUN = {
    "s2f demo": "serves until it is stopped; tests/demos/test_command.py does both",
    "s2f simulate": "needs checkouts of MakeHuman",
    "s2f prepare": "needs a published dataset; tests/s2f/prepare makes small ones",
    "s2f reconstruct en-*.wav": "needs espeak-ng",
    "s2f reconstruct CLIP -o face.png --samples N": "N is no number",
    "s2f shards DIR SHARDS": "asks for a GPU",
    "s2f shards OUT SHARDS": "asks for a GPU",
    "s2f weights import": "needs a published file; tests/s2f/weights writes such files",
    "s2f weights card": "ID is no licence",
    "s2f weights fit-unexplained": "needs more than 32 people; tests/s2f/reconstruction makes some",
    "s2f-eval demographics": "needs the starter's training people; tests/eval/attributes makes small ones",
    "s2f-eval simulated": "needs the truth of simulated people; tests/eval/simulated makes some",
    "s2f-eval features DIR --truth": "likewise",
    "s2f-eval craniofacial DIR/f2f DIR/s2f --controls DIR/mean DIR/nearest --truth": "likewise",
    "s2f-eval report DIR --classifier": "likewise",
    "s2f-eval consistency": "needs clips of 10 s; tests/eval/consistency makes some",
    "s2f-eval …": "any of them",
    "s2f-eval COMMAND": "any of them",
}


@pytest.fixture(scope="module")
def things(tmp_path_factory):
    return Things(tmp_path_factory.mktemp("things"))


def run(text: str, links: dict[str, str], things: Things, folder: Path, patch: pytest.MonkeyPatch) -> int:
    """Run a command in a folder where placeholders are links to small things."""
    for placeholder, thing in links.items():
        (folder / placeholder).symlink_to(things[thing])
    patch.chdir(folder)
    (words,) = {command.words for command in printed() if str(command) == text}
    return {"s2f": s2f, "s2f-eval": s2f_eval}[words[0]]([word.removesuffix("…") for word in words[1:]])


@pytest.mark.parametrize("text", RUN)
def test_commands_run_as_printed(text, things, tmp_path, monkeypatch, capsys):
    assert run(text, RUN[text], things, tmp_path, monkeypatch) == 0, capsys.readouterr().err
    assert capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("text", RUN_SLOWLY)
def test_slower_commands_run_as_printed(text, things, tmp_path, monkeypatch, capsys):
    assert run(text, RUN_SLOWLY[text], things, tmp_path, monkeypatch) == 0, capsys.readouterr().err
    assert capsys.readouterr().out


def test_every_command_is_run_or_says_why_not():
    assert len(RUN | RUN_SLOWLY) > 30
    undecided = []
    for command, places in printed().items():
        text = str(command)
        in_document = {relative(path) for path in DOCUMENTS} & {place.split(":")[0] for place in places}
        mention = not command.block and not re.search(r"[A-Z…]|starter", text)
        if command.words[0] in ("s2f", "s2f-eval") and in_document and not mention and text not in RUN | RUN_SLOWLY:
            undecided += [f"{', '.join(places)}: {text}"] * (not text.startswith(tuple(NOT_RUN)))
    assert not undecided, "run it, or say in NOT_RUN why not:\n" + "\n".join(undecided)
    texts = [str(command) for command in printed()]
    assert not [beginning for beginning in NOT_RUN if not any(text.startswith(beginning) for text in texts)]


def python_snippet(beginning: str) -> Snippet:
    """The one python block that begins so."""
    (snippet,) = (one for one in snippets() if one.language == "python" and one.text.startswith(beginning))
    return snippet


def execute(text: str, folder: Path, patch: pytest.MonkeyPatch, known: dict[str, Any] | None = None) -> dict[str, Any]:
    """Run a text of Python in a folder; returns its names."""
    patch.chdir(folder)
    names = {"__name__": "__main__"} | (known or {})
    exec(compile(text, "snippet", "exec"), names)
    return names


def test_snippet_of_the_pipeline(tmp_path, monkeypatch):
    (tmp_path / "examples").symlink_to(CHECKOUT / "examples")
    execute(python_snippet("from s2f import Speech2FacePipeline\n\npipe = Speech").text, tmp_path, monkeypatch)
    assert (tmp_path / "face.png").stat().st_size > 1000


@pytest.mark.slow
def test_snippet_of_publishing(things, tmp_path, monkeypatch):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "s2f").symlink_to(things["training_run"])
    execute(python_snippet("from s2f import Speech2FacePipeline\nfrom s2f.checkpoints").text, tmp_path, monkeypatch)
    assert s2f(["weights", "verify", str(tmp_path / "public")]) == 0


def test_snippet_of_matching(things, tmp_path, monkeypatch):
    (tmp_path / "RUN").symlink_to(things["matching_run"])
    shutil.copy(things["clip"], tmp_path / "clip.wav")
    text = python_snippet("from s2f.audio import load").text
    names = execute(text, tmp_path, monkeypatch, {"faces": torch.rand(1, 3, 3, 32, 32)})
    assert names["scores"].shape == (1, 3)


def test_snippet_of_embeddings(tmp_path, monkeypatch, capsys):
    people = [f"p{number // 2}" for number in range(8)]
    vectors = np.random.default_rng(0).normal(size=(8, 4))
    known = {
        f"{side}_{what}": value
        for side in ("voice", "face")
        for what, value in (("vectors", vectors), ("people", people))
    }
    execute(python_snippet("import csv, numpy").text, tmp_path, monkeypatch, known)
    assert s2f_eval(["matching", str(tmp_path)]) == 0, capsys.readouterr().err


def test_snippet_of_an_error(tmp_path, monkeypatch):
    known = {"AudioError": AudioError, "sample_rate_hz": -1}
    with pytest.raises(AudioError, match="got -1 Hz; pass for example 16000"):
        execute(python_snippet("raise AudioError").text, tmp_path, monkeypatch, known)


def test_examples_of_a_session():
    sessions = [snippet for snippet in snippets() if snippet.text.startswith(">>>")]
    assert sessions
    for snippet in sessions:
        test = doctest.DocTestParser().get_doctest(snippet.text, {}, snippet.place, snippet.place, 0)
        assert doctest.DocTestRunner().run(test).failed == 0


def test_one_line_programs(things, tmp_path, monkeypatch):
    shutil.copy(things["clip"], tmp_path / "spoken.wav")
    monkeypatch.chdir(tmp_path)
    torch.save({"a": torch.ones(2)}, "alexnet.pth")
    lines = [command.words for command in printed() if command.words[1:2] == ("-c",) and command.block]
    assert len(lines) == 2
    for _, _, text, *words in lines:
        monkeypatch.setattr(sys, "argv", ["-c", *words])
        execute(text, tmp_path, monkeypatch)
    assert load_file("alexnet.safetensors")["a"].tolist() == [1, 1]
    assert np.array_equal(soundfile.read("voice.wav")[0], soundfile.read("spoken.wav")[0])


def test_every_python_snippet_is_run():
    """The ones above, and that of the demo's endpoints in tests/demos/test_documented_client.py."""
    assert len([snippet for snippet in snippets() if snippet.language == "python"]) == 7
