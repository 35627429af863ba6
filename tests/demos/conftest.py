"""A demo that runs in this process, and clips to send to it."""

import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests import CHECKOUT

RATE = 16000


@pytest.fixture(scope="session")
def speech() -> Path:
    """Our example clip, 6.9 s."""
    return CHECKOUT / "examples" / "voice.wav"


@pytest.fixture(scope="session")
def write_tone():
    """Function that writes a tone with overtones."""

    def write(path: Path, seconds: float, hz: float = 150.0) -> Path:
        t = np.arange(round(seconds * RATE)) / RATE
        soundfile.write(path, sum(0.2 / k * np.sin(2 * np.pi * k * hz * t) for k in range(1, 6)), RATE)
        return path

    return write


@pytest.fixture(scope="session")
def server():
    """The demo of the starter, its model loaded, on a free port of this machine."""
    from demos.background_model import Engine
    from demos.server import Server

    demo = Server(Engine(), port=0)
    thread = threading.Thread(target=demo.run)
    thread.start()
    deadline = time.monotonic() + 120
    port = int(demo.url.rpartition(":")[2])
    while time.monotonic() < deadline and demo.engine.state == "loading":
        time.sleep(0.1)
    with socket.create_connection(("127.0.0.1", port), timeout=10):
        pass
    yield demo
    demo.stop()
    thread.join(30)
    assert not thread.is_alive()
    assert not demo.files.root.exists()
