"""How fast `s2f prepare` is, and where the time goes: recordings and pictures, in one process and in two.

python benchmarks/preparation.py [--scale 1.0]

The script makes its own inputs in a temporary folder: recordings of 8 s as the published datasets have them (wav at
16 kHz, stereo m4a at 44.1 kHz), flac files of 20 minutes at 44.1 kHz, and pictures of 640 x 480 px and films around a
face that the starter draws. Shares are measured in this process, function by function; rates by the whole command,
without its imports and the loading of models, started by torchrun where there are two processes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from pkgutil import resolve_name
from typing import Any
from unittest.mock import patch

import av
import numpy as np
import soundfile
import torch
from PIL import Image

from s2f import Speech2FacePipeline
from s2f.audio import load
from s2f.prepare.config import PrepareConfig
from s2f.prepare.jobs.plan import plan_jobs
from s2f.prepare.jobs.run import write_dataset
from s2f.prepare.jobs.worker import Worker
from s2f.prepare.media.faces import FaceModels
from s2f.prepare.sources.found import FaceSource, Sources, VoiceSource
from s2f.runtime.processes import processes

SPOKEN = Path(__file__).parents[1] / "examples" / "voice.wav"
FPS = 25
SECONDS = {"wav": 8, "m4a": 8, "flac": 1200}
# kind, how many, detector, landmarks; the detector "none" sees nothing, at once
INPUTS = {
    "wav 16 kHz, 8 s": ("wav", 400, "hog", "none"),
    "m4a 44.1 kHz stereo, 8 s": ("m4a", 150, "hog", "none"),
    "flac 44.1 kHz, 20 min": ("flac", 4, "hog", "none"),
    "pictures, no search": ("jpg", 200, "none", "none"),
    "pictures, HOG": ("jpg", 100, "hog", "none"),
    "pictures, HOG, dlib's landmarks": ("jpg", 100, "hog", "dlib"),
    "pictures, CNN, dlib's landmarks": ("jpg", 12, "cnn", "dlib"),
    "films, HOG, dlib's landmarks": ("mp4", 24, "hog", "dlib"),
}
STAGES = {
    "decode": ("s2f.audio._decode", "s2f.prepare.jobs.worker.read_picture", "s2f.prepare.media.video._frame"),
    "resample": ("soxr.resample",),
    "detect": ("s2f.faces.detection.FaceDetector.detect", "s2f.faces.detection.HogDetector.detect"),
    "landmarks": ("s2f.prepare.media.faces.FaceModels.landmarks",),
    "encode": ("s2f.prepare.media.audio.flac_bytes", "s2f.prepare.jobs.worker.jpeg_bytes"),
    "write": ("s2f.prepare.jobs.worker.write_bytes",),
}


def make_sound(folder: Path, kind: str, count: int) -> None:
    """Write recordings of the example clip's voice, repeated, with a little noise so that none equals another."""
    rate = 16000 if kind == "wav" else 44100
    folder.mkdir()
    voice = load(SPOKEN, rate, SECONDS[kind]).waveform
    for number in range(count):
        samples = voice + np.random.default_rng(number).normal(0, 1e-3, len(voice)).astype(np.float32)
        path = folder / f"{number}.{kind}"
        if kind != "m4a":
            soundfile.write(path, samples, rate, "PCM_16")
            continue
        with av.open(str(path), "w", format="ipod") as container:
            track = container.add_stream("aac", rate=rate, layout="stereo")
            frame = av.AudioFrame.from_ndarray(np.stack([samples, samples]), format="fltp", layout="stereo")
            frame.sample_rate = rate
            fitted = av.AudioResampler(format="fltp", layout="stereo", rate=rate, frame_size=1024)
            for block in [*fitted.resample(frame), *fitted.resample(None)]:
                container.mux(track.encode(block))
            container.mux(track.encode(None))


def make_faces(folder: Path, kind: str, count: int) -> None:
    """Write pictures, or films of 6 s, of one face on grey; it lies elsewhere in each."""
    face = Speech2FacePipeline.from_pretrained("starter")(str(SPOKEN)).images[0].resize((280, 280))
    folder.mkdir()
    for number in range(count):
        picture = Image.new("RGB", (640, 480), (110, 110, 110))
        picture.paste(face, (number * 37 % 360, number * 23 % 200))
        path = folder / f"{number}.{kind}"
        if kind == "jpg":
            picture.save(path, quality=90)
            continue
        with av.open(str(path), "w") as container:
            track = container.add_stream("libx264", rate=FPS, width=640, height=480, pix_fmt="yuv420p")
            pixels = np.asarray(picture)
            for shift in range(6 * FPS):
                image = np.roll(pixels, shift // 5, axis=1)
                container.mux(track.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(track.encode(None))


def found_in(root: Path) -> Sources:
    """What an adaptor would find."""
    paths = sorted(path.name for path in root.iterdir())
    voices = [VoiceSource("p", path) for path in paths if path.endswith((".wav", ".m4a", ".flac"))]
    faces = [FaceSource("p", path) for path in paths if path.endswith((".jpg", ".mp4"))]
    return Sources(root, {"p": {}}, voices, faces)


def settings(root: Path, out: Path, detector: str, landmarks: Any) -> PrepareConfig:
    """Settings; without a detector the pictures' own framing is kept."""
    plain = {"detector": "hog", "framing": "crop"} if detector == "none" else {"detector": detector}
    return PrepareConfig("benchmark", str(root), str(out), landmarks=landmarks, **plain)


def blind(detector: str) -> AbstractContextManager[Any]:
    """With "none", let the detector answer at once that it sees nothing."""
    found = patch("s2f.faces.detection.HogDetector.detect", lambda *_: [])
    return found if detector == "none" else nullcontext()


@contextmanager
def timed(seconds: dict[str, float]) -> Iterator[None]:
    """Add up the time spent in each stage; what a stage calls belongs to it."""
    busy: list[str] = []

    def watched(stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            busy.append(stage)
            started = time.perf_counter()
            try:
                return function(*args, **options)
            finally:
                busy.pop()
                if not busy:
                    seconds[stage] += time.perf_counter() - started

        return call

    with ExitStack() as stack:
        for stage, names in STAGES.items():
            for name in names:
                stack.enter_context(patch(name, watched(stage, resolve_name(name))))
        yield


def shares(root: Path, out: Path, detector: str, landmarks: Any) -> str:
    """Where the time of one process goes, the largest share first."""
    sources, config = found_in(root), settings(root, out, detector, landmarks)
    models = FaceModels(config.detector, config.landmarks) if sources.faces else None
    worker = Worker(config, out, root, root, models)
    jobs, _ = plan_jobs(sources, 1)
    worker.do(jobs[0])  # warm-up
    seconds: dict[str, float] = defaultdict(float)
    torch.set_num_threads(1)
    started = time.perf_counter()
    with blind(detector), timed(seconds):
        for job in jobs[: max(2, len(jobs) // 3)]:
            assert not worker.do(job)["errors"]
    whole = time.perf_counter() - started
    seconds["rest"] = whole - sum(seconds.values())
    largest_first = sorted(seconds.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {part / whole:.0%}" for name, part in largest_first if part / whole >= 0.005)


def command_seconds(root: Path, out: Path, detector: str, landmarks: str, count: int) -> float:
    """Wall time of the whole command, without its imports and the loading of models."""
    start = [sys.executable]
    if count > 1:
        start += ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(count)]
    words = [*start, __file__, "--command", str(root), str(out), detector, landmarks]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=environment)
    return float(done.stdout.split()[-1])


def command(root: Path, out: Path, detector: str, landmarks: Any) -> None:
    """What `command_seconds` starts."""
    sources, config = found_in(root), settings(root, out, detector, landmarks)
    team = processes()
    loading = 0.0
    for _ in range(2 if sources.faces else 0):  # the first time the files are not in memory yet
        started = time.perf_counter()
        FaceModels(config.detector, config.landmarks)
        loading = time.perf_counter() - started
    team.wait()
    started = time.perf_counter()
    with blind(detector):
        counts = write_dataset(sources, config, {})["counts"]
    assert not counts["errors"], counts
    if team.is_main:
        print(time.perf_counter() - started - loading)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of inputs")
    parser.add_argument("--command", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.command:
        root, out, detector, landmarks = options.command
        command(Path(root), Path(out), detector, landmarks)
        return
    print(f"{os.cpu_count()} CPU cores, torch {torch.__version__}, PyAV {av.__version__}")
    print("\n| input | 1 process | 2 processes | where the time of one process goes |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, (kind, number, detector, landmarks) in INPUTS.items():
            root, count = Path(folder, name), max(2, round(number * options.scale))
            make = make_sound if kind in SECONDS else make_faces
            make(root, kind, count)
            rates = []
            for team in (1, 2):
                seconds = command_seconds(root, Path(folder, f"{name} {team}"), detector, landmarks, team)
                heard = f", {count * SECONDS[kind] / seconds:.0f} x real time" if kind in SECONDS else ""
                rates.append(f"{count / seconds:.2f} files/s{heard}")
            parts = shares(root, Path(folder, f"{name} shares"), detector, landmarks)
            print(f"| {name} | {' | '.join(rates)} | {parts} |", flush=True)


if __name__ == "__main__":
    main()
