"""Programs that tests start, forked from a server that has imported what they need: most run shorter than they import.

A program is what follows `python` on a command line. Several processes find each other as those of `torchrun` do:
through a store that this process keeps, at a port that the system chose.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import wait
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

IMPORTED = (
    *("s2f.cli", "s2f.commands.prepare", "s2f.commands.shards", "s2f.simulate.dataset.run"),
    *("s2f.training.encoders.face", "s2f.training.speech2face.task", "s2f.training.matching.three_stages"),
)
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([*IMPORTED])
PATIENCE_S = 600.0  # a machine may be busy; a program that ends is not waited for


class Program:
    """A running program; leave its `with` block and it is gone.

    Attributes:
        out: file with its standard output, that of all its processes.
        err: file with its standard error.
    """

    def __init__(self, words: Sequence[object], processes: int = 1, environment: Mapping[str, str] | None = None):
        """Start it.

        Args:
            words: a script's path, "-m" and a module, or "-c" and code; then its arguments.
            processes: how many, each with its rank in the environment if there are several.
            environment: instead of this process's own.
        """
        self._folder = TemporaryDirectory(prefix="program-")
        self.out, self.err = (Path(self._folder.name) / name for name in ("out", "err"))
        self._store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        self._processes = []
        for rank in range(processes):
            given = {**(os.environ if environment is None else environment)}
            given |= self._place(rank, processes) if processes > 1 else {}
            arguments = ([str(word) for word in words], given, str(self.out), str(self.err))
            self._processes.append(FORKS.Process(target=_run, args=arguments))
            self._processes[-1].start()

    def _place(self, rank: int, processes: int) -> dict[str, str]:
        """What `torchrun` tells a process."""
        ranks = dict.fromkeys(("RANK", "LOCAL_RANK"), rank) | dict.fromkeys(
            ("WORLD_SIZE", "LOCAL_WORLD_SIZE"), processes
        )
        store = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": self._store.port, "TORCHELASTIC_RESTART_COUNT": 0}
        return {name: str(value) for name, value in (ranks | store | {"TORCHELASTIC_USE_AGENT_STORE": True}).items()}

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        self.send(signal.SIGKILL)
        for process in self._processes:
            process.join()
        self._folder.cleanup()

    @property
    def returncode(self) -> int | None:
        """That of the first process that failed, 0 if all ended well, None while one runs."""
        codes = [process.exitcode for process in self._processes]
        return next(filter(None, codes), None if None in codes else 0)

    def send(self, number: int) -> None:
        """Send a signal to all its processes and to those that they started, as a terminal does."""
        for process in self._processes:
            if process.exitcode is None:
                os.killpg(process.pid, number)

    def wait(self) -> int:
        """Wait until all have ended or one has failed."""
        end = time.monotonic() + PATIENCE_S
        while self.returncode is None:
            running = [process.sentinel for process in self._processes if process.exitcode is None]
            if not wait(running, end - time.monotonic()):
                raise TimeoutError(f"expected an end within {PATIENCE_S} s, got none; {self.err.read_text()[-2000:]}")
        return self.returncode

    def wait_for(self, done) -> None:
        """Wait until `done()` is true; a program that ends before that fails the test."""
        end = time.monotonic() + PATIENCE_S
        while not done():
            assert self.returncode is None, self.err.read_text()[-2000:]
            assert time.monotonic() < end
            time.sleep(0.02)


def run(
    words: Sequence[object], processes: int = 1, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess:
    """Run a program to its end; arguments as of `Program`."""
    with Program(words, processes, environment) as program:
        code = program.wait()
        return subprocess.CompletedProcess(list(words), code, program.out.read_text(), program.err.read_text())


def _run(words: list[str], environment: dict[str, str], out: str, err: str) -> None:
    """What the forked process does; `multiprocessing` turns SystemExit and exceptions into its exit code."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell makes background jobs deaf to it
    for stream, path in ((sys.stdout, out), (sys.stderr, err)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, stream.fileno())
        os.close(file)
    os.environ.clear()
    os.environ.update(environment)
    torch.set_num_threads(int(environment.get("OMP_NUM_THREADS", torch.get_num_threads())))
    option, *rest = words
    try:
        if option == "-c":
            sys.argv = ["-c", *rest[1:]]
            exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})
        elif option == "-m":
            sys.argv = [*rest]
            runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        else:
            sys.argv = [*words]
            runpy.run_path(option, run_name="__main__")
    finally:
        atexit._run_exitfuncs()
