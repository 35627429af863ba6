"""`s2f demo`: starts, says where, ends in order and leaves nothing; and one sentence when it cannot start."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from importlib import metadata
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from demos import command
from demos.background_model import Engine
from s2f import cli
from s2f.checkpoints.loading import resolve
from s2f.errors import CheckpointError
from tests import CHECKOUT


@pytest.fixture
def refused(capsys, monkeypatch):
    """Function that asserts exit code 2 and one sentence, which it returns.

    A server that starts here says where Gradio keeps files; afterwards it is again what the session's server said.
    """
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")

    def refused(*words):
        assert cli.main(["demo", *map(str, words)]) == 2
        captured = capsys.readouterr()
        assert captured.err.startswith("s2f: error: expected ")
        assert captured.err.count("\n") == 1
        return captured.err

    return refused


@pytest.mark.slow
def test_it_serves_and_ends_in_order(tmp_path):
    command = [sys.executable, "-m", "s2f", "demo", "--port", "0", "--keep-seconds", "1"]
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(CHECKOUT)}
    demo = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        line = demo.stdout.readline()
        assert line.startswith("s2f demo: http://127.0.0.1:"), line
        url = line.split()[2]
        with urlopen(url, timeout=30) as page:  # there before the model is
            assert b"hear a voice, see a face" in page.read()
        states = []
        while "ready" not in states:
            try:
                with urlopen(f"{url}/health", timeout=30) as health:
                    states.append(json.load(health)["status"])
            except HTTPError as error:
                states.append(json.load(error)["status"])
            time.sleep(0.2)
        assert set(states) <= {"loading", "ready"}
        (folder,) = tmp_path.glob("s2f-demo-*")
        (folder / "left").write_bytes(b"x")
        deadline = time.monotonic() + 10
        while (folder / "left").exists():
            assert time.monotonic() < deadline, "the sweeper does not run"
            time.sleep(0.1)
        (folder / "left again").write_bytes(b"x")
        demo.send_signal(signal.SIGINT)
        out, err = demo.communicate(timeout=60)
        assert (demo.returncode, out) == (0, "")
        assert "Traceback" not in err
        assert "error" not in err.lower()
        assert not list(tmp_path.glob("s2f-demo-*"))
    finally:
        demo.kill()


def test_a_port_that_is_taken(refused):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "expected an address to listen at" in refused("--port", taken.getsockname()[1])
    assert "expected an address to listen at" in refused("--port", 70000)


def test_no_such_checkpoint_or_time(refused, tmp_path):
    assert "or a checkpoint folder" in refused("--checkpoint", tmp_path / "none")
    for bad in (0, 1e9):
        assert "expected keep_seconds of 1 to 86400" in refused("--keep_seconds", bad)


def test_a_damaged_checkpoint_ends_the_server(refused, tmp_path):
    folder = shutil.copytree(resolve("starter"), tmp_path / "broken")
    (weights,) = (folder / "decoder").glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:1000])
    assert "truncated or damaged" in refused("--checkpoint", folder, "--port", 0)


def test_without_gradio_it_says_what_to_install(refused, monkeypatch):
    monkeypatch.setattr(command, "find_spec", lambda _: None)
    assert "install the extra s2f[demo]" in refused()


def test_an_installation_without_the_command(refused, monkeypatch):
    monkeypatch.setattr("s2f.commands.program.entry_points", lambda **_: ())
    assert "expected the command s2f demo, got an installation without it" in refused()


def test_the_entry_point_is_the_command():
    (entry,) = metadata.entry_points(group="s2f.commands", name="demo")
    assert entry.load() is command


def test_whoever_waits_gets_the_error(tmp_path):
    folder = shutil.copytree(resolve("starter"), tmp_path / "broken")
    shutil.rmtree(folder / "voice_encoder")
    engine = Engine(str(folder))
    assert (engine.state, engine.is_starter) == ("loading", False)
    with pytest.raises(CheckpointError, match="copy the whole checkpoint"):
        engine.load()
    assert engine.state == "failed"
    for wait in (lambda: engine.model, lambda: engine.scores):
        with pytest.raises(CheckpointError, match="copy the whole checkpoint"):
            wait()
    assert Engine().is_starter
