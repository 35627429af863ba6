"""The browser demo under load: start, one clip, 20 clients at once with 5 clips each, memory, and what is left on disk.

python benchmarks/demo_load.py [CLIP]

The server is a process of its own, started as a user starts it; the clients share the same cores. Its rival is the
model alone, in one process and without a page: what the page costs is the ratio.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from gradio_client import Client, handle_file

from demos.model import Model
from s2f.checkpoints.loading import resolve

CLIENTS, CLIPS, ROUNDS = 20, 5, 6
KEEP_S = 20.0


def memory_mb(pid: int, name: str = "VmRSS") -> float:
    """Resident memory of a process, or with VmHWM its peak, in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"expected {name} in /proc/{pid}/status, got none; run this on Linux")


def seconds_until(answered: Callable[[], bool], started: float) -> float:
    """Seconds from `started` until a call answers."""
    while not answered():
        time.sleep(0.05)
    return time.perf_counter() - started


def page_is_there(url: str) -> bool:
    """Whether the page is answered."""
    try:
        with urlopen(url, timeout=30) as page:
            return page.status == 200
    except URLError:
        return False


def is_ready(url: str) -> bool:
    """Whether the model is loaded."""
    try:
        with urlopen(f"{url}/health", timeout=30) as health:
            return json.load(health)["status"] == "ready"
    except URLError:
        return False


def visit(url: str, clip: str, folder: Path, times: list[float]) -> None:
    """One client: upload and draw, one clip after another."""
    client = Client(url, verbose=False, download_files=folder)
    for _ in range(CLIPS):
        started = time.perf_counter()
        face, *_ = client.predict(handle_file(clip), [], 6, 0, 0, api_name="/reconstruct")
        assert Path(face).stat().st_size > 1000
        times.append(time.perf_counter() - started)


def files_in(folder: Path) -> list[Path]:
    """Visitors' files."""
    return [path for path in folder.rglob("*") if path.is_file()]


def crowd(url: str, clip: str, clients: int, answers: Path) -> tuple[list[float], float]:
    """Seconds of each answer of so many clients at once, and of all together."""
    times: list[float] = []
    visitors = [
        threading.Thread(target=visit, args=(url, clip, answers / f"{clients}-{number}", times))
        for number in range(clients)
    ]
    started = time.perf_counter()
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    return times, time.perf_counter() - started


def seconds_alone(clip: str) -> float:
    """Seconds the model takes for a clip, without a server."""
    model = Model(resolve("starter"), "cpu")
    model.hear([clip])
    started = time.perf_counter()
    for _ in range(10):
        model.hear([clip])
    return (time.perf_counter() - started) / 10


def under_load(demo: subprocess.Popen[str], started: float, clip: str, temporary: Path, bare: float) -> None:
    """Print what a running demo does; `bare` are the seconds that the model alone takes for a clip."""
    assert demo.stdout is not None, "no pipe"
    url = demo.stdout.readline().split()[2]
    page = seconds_until(lambda: page_is_there(url), started)
    ready = seconds_until(lambda: is_ready(url), started)
    print(f"page after {page:.1f} s, model ready after {ready:.1f} s")
    one, _ = crowd(url, clip, 1, temporary / "answers")
    print(f"model alone {bare:.2f} s a clip; one client {one[0]:.2f} s first, median {statistics.median(one):.2f} s")
    megabytes = [memory_mb(demo.pid)]
    for _ in range(ROUNDS):
        times, together = crowd(url, clip, CLIENTS, temporary / "answers")
        megabytes.append(memory_mb(demo.pid))
        print(
            f"{CLIENTS} clients at once: {len(times)} of {CLIENTS * CLIPS} clips answered in {together:.0f} s, "
            f"median {statistics.median(times):.1f} s, longest {max(times):.1f} s; "
            f"{together / len(times) / bare:.1f} times the model"
        )
    print(f"memory before and after each: {', '.join(f'{value:.0f}' for value in megabytes)} MB; ", end="")
    print(f"peak {memory_mb(demo.pid, 'VmHWM'):.0f} MB")


def main() -> None:
    """Print the table."""
    clip = sys.argv[1] if len(sys.argv) > 1 else str(Path(__file__).parents[1] / "examples" / "voice.wav")
    bare = seconds_alone(clip)
    with tempfile.TemporaryDirectory() as temporary:
        started = time.perf_counter()
        command = [shutil.which("s2f") or "s2f", "demo", "--port", "0", "--keep_seconds", str(KEEP_S)]
        demo = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": temporary})
        try:
            under_load(demo, started, clip, Path(temporary), bare)
            (folder,) = Path(temporary).glob("s2f-demo-*")
            kept = len(files_in(folder))
            time.sleep(KEEP_S * 1.2 + 1)
            left = len(files_in(folder))
        finally:
            demo.terminate()
            demo.wait(60)
        print(f"files: {kept} before the cache time of {KEEP_S:g} s, {left} after it; folder left: {folder.exists()}")


if __name__ == "__main__":
    main()
