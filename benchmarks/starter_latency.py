"""Time and memory of the starter: cold from the shell, warm in Python, and beside the paper-size network.

python benchmarks/starter_latency.py [CLIP]
"""

from __future__ import annotations

import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from s2f import Speech2FacePipeline, Speech2FaceVoiceEncoder

ROUNDS = 20


def median_seconds(call: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Median wall time of `call` after one warm-up."""
    call()
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def main() -> None:
    """Print the table."""
    clip = sys.argv[1] if len(sys.argv) > 1 else str(Path(__file__).parents[1] / "examples" / "voice.wav")
    with tempfile.TemporaryDirectory() as folder:
        command = [shutil.which("s2f") or "s2f", "reconstruct", clip, "-o", f"{folder}/face.png", "--quiet"]
        started = time.perf_counter()
        subprocess.run(command, check=True)
        cold = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    pipeline = Speech2FacePipeline.from_pretrained("starter")
    warm = median_seconds(lambda: pipeline(clip))
    waveform = torch.randn(1, 96000) * 0.05
    with torch.inference_mode():
        small = median_seconds(lambda: pipeline.voice_encoder.encode(waveform))
        big = Speech2FaceVoiceEncoder().eval()
        paper = median_seconds(lambda: big.encode(waveform), rounds=3)
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, 6 s clip")
    print(f"cold from the shell        {cold:6.2f} s, peak memory {peak:.2f} GB")
    print(f"warm, file to picture      {warm:6.3f} s (median of {ROUNDS})")
    print(f"voice encoder alone        {small:6.3f} s, paper size {paper:.3f} s: {paper / small:.0f} times")


if __name__ == "__main__":
    main()
