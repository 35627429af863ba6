"""Fixtures for every test: no outgoing network, one torch thread per parallel worker, optional development data."""

import fcntl
import ipaddress
import os
import socket
from pathlib import Path

import pytest

from tests import CHECKOUT

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch, and for the commands that tests start

import torch

if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)


LONGEST_FIRST = ("training", "demos", "prepare", "weights", "simulate", "report")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first: a worker that is done takes tests from the other's end, where they should be short."""
    places = {name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: min(places.get(part, len(places)) for part in item.path.parts))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with development data beside the checkout; skips the test where there is none."""
    folder = CHECKOUT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no folder shared/data beside the checkout")
    return folder


@pytest.fixture(scope="session")
def real_head(shared_data, tmp_path_factory):
    """MakeHuman's head without hair; its files are condensed once, by whichever worker asks first."""
    from s2f.simulate.head.makehuman import load_head
    from s2f.simulate.head.mesh import HeadRig

    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    with (folder / "makehuman.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return HeadRig(load_head(shared_data / "faces" / "makehuman", None, folder / "makehuman"))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Internet sockets may only connect to this machine."""

    def guard(name: str):
        original = getattr(socket.socket, name)

        def connect(self: socket.socket, address):
            if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(address[0]):
                raise RuntimeError(f"expected an offline test, got a connection to {address}; give it local data")
            return original(self, address)

        return connect

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, guard(name))
