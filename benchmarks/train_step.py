"""One training step of the voice encoder against a plain PyTorch version of the same table, and against the device.

python benchmarks/train_step.py [--size paper|starter] [--batch N] [--seconds S] [--steps N] [--variants NAME …]

The rival is written below the way the table reads: eager, float32, default optimiser, default memory. Ours is the
real training loop (`s2f.training.loop.loop.train`) on clips that stay in memory: front end, the recipe's augmentation,
frozen networks, losses, clipping, optimiser, log. It stops if the two do not compute the same feature. A variant is
`plain`, `plain+kept_memory` (with the loop's allocator setting, to see what that alone is worth), `ours`, or ours with
options: `ours+channels_last`, `ours+bf16`, `ours+compile`, joined by further plus signs. Each runs in a process of its
own; the first two steps are not counted. Arithmetic is PyTorch's own count of the rival's step; the ceiling is what one
large matrix product, and the largest convolution of the table, reach on this device.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset
from torch.utils.flop_counter import FlopCounterMode

import s2f
from s2f.runtime.memory import keep_freed_memory
from s2f.training.loop.loop import start, train
from s2f.training.speech2face.task import Speech2FaceArguments, Speech2FaceModule

RECIPES = Path(__file__).resolve().parents[1] / "s2f" / "recipes"
WARM_UP = 2
ROUNDING = 5e-3  # the power law is steep at 0, and batch statistics are of two clips
SIZES: dict[str, dict[str, Any]] = {
    "paper": {"recipe": "speech2face", "feature": 4096, "first_layer": 1000, "identities": 2622, "batch": 8},
    "starter": {"recipe": "starter_s2f", "feature": 256, "first_layer": 256, "identities": 2271, "batch": 32},
}


class Plain(nn.Module):
    """Table 1 of Speech2Face as it reads, with the front end and Eq. 1."""

    def __init__(self, network: dict[str, Any], size: dict[str, Any]) -> None:
        super().__init__()
        channels = network.get("channels", (64, 64, 128, 128, 128, 256, 512, 512, 512))
        strides = network.get("strides", [(1, 1)] * 7 + [(2, 2)] * 2)
        layers: list[nn.Module] = []
        previous, frequencies = 2, 257
        for number, (width, stride) in enumerate(zip(channels, strides, strict=True), 1):
            layers.append(nn.Conv2d(previous, width, 4, tuple(stride)))
            frequencies = (frequencies - 4) // stride[1] + 1
            if number == len(channels):
                layers.append(nn.AdaptiveAvgPool2d((1, frequencies)))
            layers += [nn.ReLU(), nn.BatchNorm2d(width)]
            if number in (3, 4, 5, 6):
                layers.append(nn.MaxPool2d((2, 1)))
            previous = width
        hidden = network.get("hidden_size", 4096)
        self.net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(previous * frequencies, hidden), nn.ReLU())
        self.last = nn.Linear(hidden, size["feature"])
        self.first_layer = nn.Linear(size["feature"], size["first_layer"]).requires_grad_(False)
        self.logits = nn.Linear(size["feature"], size["identities"]).requires_grad_(False)

    def forward(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Loss of a batch."""
        voice = self.feature(waveform)
        l1 = (self.first_layer(voice) - self.first_layer(target)).abs().sum(1).mean()
        l2 = (F.normalize(voice) - F.normalize(target)).square().sum(1).mean()
        teacher = F.softmax(self.logits(target) / 2, dim=1)
        distilled = -(teacher * F.log_softmax(self.logits(voice) / 2, dim=1)).sum(1).mean()
        return l1 + 0.025 * l2 + 200 * distilled

    def feature(self, waveform: Tensor) -> Tensor:
        """Face feature of a batch of clips."""
        window = torch.hann_window(400, device=waveform.device)
        spectrum = torch.fft.rfft(waveform.unfold(-1, 400, 160) * window, n=512)
        parts = torch.stack([spectrum.real, spectrum.imag], dim=1)
        return self.last(self.net(parts.sign() * parts.abs() ** 0.3))


def clips(size: dict[str, Any], batch: int, seconds: float, device: torch.device | str) -> tuple[Tensor, Tensor]:
    """Noise for clips and face features; the arithmetic does not care."""
    generator = torch.Generator().manual_seed(0)
    waveform = 0.05 * torch.randn(batch, round(seconds * 16000), generator=generator)
    return waveform.to(device), torch.randn(batch, size["feature"], generator=generator).to(device)


def plain_steps(network: dict[str, Any], size: dict[str, Any], options: argparse.Namespace, device: str) -> list[float]:
    model = Plain(network, size).to(device).train()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], betas=(0.5, 0.999), eps=1e-4)
    waveform, target = clips(size, options.batch, options.seconds, device)
    times = []
    for _ in range(WARM_UP + options.steps):
        begun = time.perf_counter()
        optimizer.zero_grad()
        loss = model(waveform, target)
        loss.backward()
        optimizer.step()
        loss.item()
        times.append(time.perf_counter() - begun)
    return times[WARM_UP:]


class InMemory(Dataset):
    """The same clips at every step."""

    def __init__(self, waveform: Tensor, feature: Tensor) -> None:
        self.waveform, self.feature = waveform, feature

    def __len__(self) -> int:
        return len(self.waveform)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        return {"waveform": self.waveform[key[1]], "feature": self.feature[key[1]], "side": {}}


class InMemoryTask:
    """A task of the training loop that validates and exports nothing."""

    def __init__(self, module: nn.Module, dataset: Dataset, frozen: tuple[nn.Module, ...] = ()) -> None:
        self.module, self.dataset, self.frozen = module, dataset, frozen
        self.sources: dict[str, str] = {}

    def to(self, device: torch.device) -> None:
        """Move the frozen networks."""
        for network in self.frozen:
            network.to(device)

    def validate(self, folder: Path) -> dict[str, float]:
        """No figures."""
        return {}

    def export(self, folder: Path) -> None:
        """Write nothing."""


def recipe_arguments(recipe: str, folder: str, **changes: Any) -> Speech2FaceArguments:
    """A recipe's own settings, but for side tasks, which need labels."""
    settings = yaml.safe_load((RECIPES / f"{recipe}.yaml").read_text()) | {"side_tasks": {}, "balance": []}
    places = {"data": "", "output_dir": folder, "face_encoder": "", "decoder": ""}
    return Speech2FaceArguments(**(settings | places | {"logging_steps": 1} | changes))


def our_task(arguments: Speech2FaceArguments, size: dict[str, Any], batch: int) -> InMemoryTask:
    """The real module, with random frozen networks of the recipe's size."""
    face_encoder = s2f.CompactFaceEncoder((8,), size["feature"], size["identities"], 16).requires_grad_(False)
    small: dict[str, Any] = {"base_channels": 8, "texture_channels": (4, 4), "image_size_px": 32, "warp_grid": 8}
    decoder = s2f.NormalizedFaceDecoder(size["feature"], size["first_layer"], (8,), **small).requires_grad_(False)
    encoder = s2f.Speech2FaceVoiceEncoder(feature_size=size["feature"], **arguments.network)
    module = Speech2FaceModule(encoder, face_encoder.eval(), decoder.eval(), arguments)
    return InMemoryTask(module, InMemory(*clips(size, batch, arguments.seconds, "cpu")), (face_encoder, decoder))


def logged_steps(task: InMemoryTask, arguments: Speech2FaceArguments) -> list[float]:
    """Seconds of every step of the real loop, from its own log."""
    train(task, arguments, start(arguments))
    rows = [json.loads(line) for line in (Path(arguments.output_dir) / "log.jsonl").read_text().splitlines()]
    ends = [row["seconds"] for row in rows if row["event"] == "train"]
    return [after - before for before, after in pairwise(ends)][WARM_UP - 1 :]


def our_steps(size: dict[str, Any], options: argparse.Namespace, features: set[str]) -> list[float]:
    changes = {
        "seconds": options.seconds,
        "train_batch_size": options.batch,
        "max_train_steps": WARM_UP + options.steps,
        "scale_lr_from": None,
        "channels_last": "channels_last" in features,
        "torch_compile": "compile" in features,
        "mixed_precision": "bf16" if "bf16" in features else "no",
        "cpu": options.device == "cpu",
    }
    with tempfile.TemporaryDirectory() as folder:
        arguments = recipe_arguments(size["recipe"], folder, **changes)
        return logged_steps(our_task(arguments, size, options.batch), arguments)


def ceilings(network: dict[str, Any], device: str, dtype: torch.dtype) -> tuple[float, float]:
    """FLOP/s of a matrix product of side 4,096 (8,192 on a GPU) and of the table's fourth convolution, forward."""
    side = 4096 if device == "cpu" else 8192
    matrix = torch.randn(side, side, device=device, dtype=dtype)
    width = network.get("channels", (64, 64, 128, 128))[3]
    layout = torch.channels_last
    sound = torch.randn(4, width, 294, 248, device=device, dtype=dtype).to(memory_format=layout)
    kernel = torch.randn(width, width, 4, 4, device=device, dtype=dtype).to(memory_format=layout)
    product = 2 * side**3 / _best(lambda: matrix @ matrix, device)
    macs = 4 * 291 * 245 * width * width * 16
    return product, 2 * macs / _best(lambda: F.conv2d(sound, kernel), device)


def _best(work: Any, device: str, repeats: int = 5) -> float:
    best = float("inf")
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        if device != "cpu":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - begun)
    return best


def counted_flops(network: dict[str, Any], size: dict[str, Any], seconds: float) -> float:
    """Floating-point operations of one clip's forward and backward pass, as PyTorch counts them."""
    model = Plain(network, size)
    waveform, target = clips(size, 2, seconds, "cpu")
    with FlopCounterMode(display=False) as counter:
        model(waveform, target).backward()
    return counter.get_total_flops() / 2


def disagreement(network: dict[str, Any], size: dict[str, Any], seconds: float) -> float:
    """Largest difference between the rival's feature and ours with the same weights, relative to the largest value."""
    ours = s2f.Speech2FaceVoiceEncoder(feature_size=size["feature"], **(network | {"target_rms": None})).train()
    plain = Plain(network, size).train()
    layers = [layer for layer in plain.net if list(layer.parameters())]
    own = [module for pair in zip(ours.convolutions, ours.norms, strict=True) for module in pair]
    for layer, module in zip([*layers, plain.last], [*own, ours.fc1, ours.fc2], strict=True):
        layer.load_state_dict(module.state_dict())
    waveform, _ = clips(size, 2, seconds, "cpu")
    with torch.no_grad():
        expected = plain.feature(waveform)
        return ((ours.encode(waveform) - expected).abs().max() / expected.abs().max()).item()


def measure(variant: str, options: argparse.Namespace) -> list[float]:
    """Run one variant in its own process and return its step times."""
    words = [sys.executable, __file__, "--one", variant]
    for name in ("size", "batch", "seconds", "steps", "device"):
        words += [f"--{name}", str(getattr(options, name))]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{variant}: {done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="paper")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--seconds", type=float, help="length of a clip; the recipe's own by default")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=2, help="how often the variants take turns")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--variants", nargs="+")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.batch = options.batch or SIZES[options.size]["batch"]
    recipe = yaml.safe_load((RECIPES / f"{SIZES[options.size]['recipe']}.yaml").read_text())
    options.network, options.seconds = recipe["network"], options.seconds or recipe["seconds"]
    on_cpu, on_gpu = ["plain", "plain+kept_memory", "ours"], ["plain", "ours", "ours+bf16+channels_last+compile"]
    options.variants = options.variants or (on_gpu if options.device == "cuda" else on_cpu)
    return options


def main() -> None:
    options = parse()
    size = SIZES[options.size]
    if options.one:
        name, *features = options.one.split("+")
        if "kept_memory" in features:
            keep_freed_memory()
        steps = plain_steps(options.network, size, options, options.device) if name == "plain" else None
        print(json.dumps(steps or our_steps(size, options, set(features))))
        return
    flops = counted_flops(options.network, size, options.seconds) * options.batch
    device = torch.cuda.get_device_name() if options.device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(
        f"{device}; {options.size} size, batch {options.batch}, {options.seconds:g} s; {flops / 1e12:.3f} TFLOP a step"
    )
    if (apart := disagreement(options.network, size, options.seconds)) > ROUNDING:
        sys.exit(f"plain and ours compute different features: {apart:.1e} of the largest value apart")
    print(f"plain and ours differ by {apart:.1e} of the largest value")
    times: dict[str, list[float]] = {variant: [] for variant in options.variants}
    for _ in range(options.rounds):
        for variant in options.variants:
            times[variant] += measure(variant, options)
    reached = {}
    for dtype in (torch.float32, torch.bfloat16) if options.device == "cuda" else (torch.float32,):
        reached[dtype] = ceilings(options.network, options.device, dtype)
        matrix, convolution = (value / 1e12 for value in reached[dtype])
        print(f"ceiling {str(dtype)[6:]}: matrix product {matrix:.3f} TFLOP/s, convolution 4 forward {convolution:.3f}")
    print(f"{'variant':34} {'s/step':>8} {'clips/s':>8} {'TFLOP/s':>8} {'of matrix':>10} {'vs plain':>9}")
    for variant, seen in times.items():
        middle = statistics.median(seen)
        top = reached[torch.bfloat16 if "bf16" in variant else torch.float32][0]
        ratio = f"{statistics.median(times['plain']) / middle:.2f}" if "plain" in times else ""
        share = f"{flops / middle / top:.0%}"
        rates = f"{middle:8.3f} {options.batch / middle:8.2f} {flops / middle / 1e12:8.3f}"
        print(f"{variant:34} {rates} {share:>10} {ratio:>9}")


if __name__ == "__main__":
    main()
