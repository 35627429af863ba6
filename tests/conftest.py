"""Fixtures for every test: no outgoing network, one torch thread per parallel worker, optional development data."""

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Training first: its files take longest, and one that comes last leaves a core idle."""
    items.sort(key=lambda item: "training" not in item.path.parts)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with development data beside the checkout; skips the test where there is none."""
    folder = CHECKOUT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no folder shared/data beside the checkout")
    return folder


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
