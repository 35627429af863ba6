"""`s2f demo`: the browser demo."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from importlib.util import find_spec

from jsonargparse import ArgumentParser, Namespace

from s2f.commands.program import EXIT_OK, add_options, typed
from s2f.errors import AssetMissing, UsageError
from s2f.runtime.memory import share_arenas

ARENAS = 2  # benchmarks/demo_load.py: without it memory grows by some 500 MB in 600 clips


@dataclass(frozen=True)
class DemoConfig:
    """Arguments of `s2f demo`.

    Args:
        checkpoint: "starter" or a checkpoint folder.
        host: address to listen at; 127.0.0.1 is reached from this machine only.
        port: to listen at; 0 takes a free one.
        device: cpu, cuda, cuda:1, mps.
        keep_seconds: how long visitors' files are kept after their last use.
    """

    checkpoint: str = "starter"
    host: str = "127.0.0.1"
    port: int = 7860
    device: str = "cpu"
    keep_seconds: float = 600.0


def add_arguments(parser: ArgumentParser) -> None:
    """Add this command's options to its parser."""
    add_options(parser, DemoConfig)


def run(arguments: Namespace) -> int:
    """Serve until interrupted; 0 done, 2 it cannot start."""
    config = typed(DemoConfig, arguments)
    if find_spec("gradio") is None:
        raise AssetMissing("the package gradio", "none", "install the extra s2f[demo]")
    if not 1 <= config.keep_seconds <= 86400:
        got = f"{config.keep_seconds:g}"
        raise UsageError("keep_seconds of 1 to 86400", got, "600 leaves time to look and to download")
    logging.basicConfig(level=logging.WARNING)
    share_arenas(ARENAS)
    from demos.background_model import Engine
    from demos.server import Server

    server = Server(Engine(config.checkpoint, config.device), config.host, config.port, config.keep_seconds)
    print(f"s2f demo: {server.url} (Ctrl-C ends it)", flush=True)
    server.run()
    return EXIT_OK
