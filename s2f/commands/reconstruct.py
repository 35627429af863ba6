"""`s2f reconstruct`: draw the average-looking face linked with a voice."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

from s2f.commands.program import EXIT_BAD_INPUT, EXIT_OK, add_options, complain, typed
from s2f.errors import OutputError, S2fError, UsageError

if TYPE_CHECKING:
    from s2f.reconstruction.pipeline import Speech2FacePipeline

OTHER_IMAGES = (".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True)
class ReconstructConfig:
    """Arguments of `s2f reconstruct`.

    Args:
        clips: audio files: wav, flac, mp3, ogg, m4a, webm.
        out: a .png for one clip, or a folder: <stem>.png for each.
        checkpoint: "starter" or a checkpoint folder.
        seconds: how much of each clip is heard.
        batch_size: clips per forward pass.
        samples: further faces per clip, each a draw of what the voice does not determine: <stem>_sample1.png, …
        seed: of these draws, the same for every clip.
        device: cpu, cuda, cuda:1, mps.
        quiet: print nothing but errors.
    """

    clips: Sequence[str]
    out: str
    checkpoint: str = "starter"
    seconds: float = 6.0
    batch_size: int = 8
    samples: int = 0
    seed: int = 0
    device: str = "cpu"
    quiet: bool = False


def add_arguments(parser: ArgumentParser) -> None:
    """Add this command's options to its parser."""
    add_options(parser, ReconstructConfig, ("clips",))


def run(arguments: Namespace) -> int:
    """Draw the faces; 0 done, 2 a clip that cannot be used."""
    config = typed(ReconstructConfig, arguments)
    targets = _targets(config.clips, config.out)
    _check_samples(config, targets)
    from s2f.checkpoints import loading
    from s2f.checkpoints.provenance import Provenance, weights_sha256
    from s2f.reconstruction.pipeline import Speech2FacePipeline

    folder = loading.resolve(config.checkpoint)
    pipeline = Speech2FacePipeline.from_pretrained(folder, config.device)
    provenance = Provenance(folder.resolve().name, weights_sha256(folder))
    failures = 0
    step = max(1, config.batch_size)
    for start in range(0, len(targets), step):
        failures += _reconstruct_batch(pipeline, targets[start : start + step], config, provenance)
    return EXIT_BAD_INPUT if failures else EXIT_OK


def _reconstruct_batch(
    pipeline: "Speech2FacePipeline", targets: list[tuple[str, Path]], config: ReconstructConfig, provenance: Any
) -> int:
    """Draw and write the faces of some clips; a clip that cannot be used is reported and counted."""
    import torch

    from s2f import audio
    from s2f.checkpoints.provenance import save_png, save_samples

    good, failures = [], 0
    for clip, path in targets:
        try:
            good.append((clip, path, audio.load(clip, pipeline.voice_encoder.sample_rate_hz, config.seconds)))
        except S2fError as error:
            failures += 1
            complain(f"{clip}: {error}")
    if not good:
        return failures
    loaded, generators = [clip for _, _, clip in good], [torch.Generator().manual_seed(config.seed) for _ in good]
    output = pipeline(loaded, config.seconds, config.batch_size, config.samples, generators)
    for (clip, path, _), image, samples, notes in zip(
        good, output.images, output.samples, output.warnings, strict=True
    ):
        save_png(image, path, provenance)
        written = _sample_paths(path, config.samples)
        save_samples(samples, written, config.seed, provenance)
        if not config.quiet:
            print(path, *written, sep="\n")
            for note in notes:
                print(f"s2f: {clip}: {note}", file=sys.stderr)
    return failures


def _sample_paths(path: Path, samples: int) -> list[Path]:
    return [path.with_name(f"{path.stem}_sample{number}.png") for number in range(1, samples + 1)]


def _check_samples(config: ReconstructConfig, targets: Sequence[tuple[str, Path]]) -> None:
    """Refuse numbers out of range, and names that a sample and another clip's face would share."""
    if config.samples < 0 or not 0 <= config.seed < 2**63:
        got = f"{config.samples} and {config.seed}"
        raise UsageError("samples of at least 0 and a seed of 0 to 2^63 - 1", got, "correct them")
    faces = {path.name.lower() for _, path in targets}
    names = [sample.name for _, path in targets for sample in _sample_paths(path, config.samples)]
    if shared := [name for name in names if name.lower() in faces]:
        got = f"{shared[0]} for a clip and for a sample of another"
        raise UsageError("clips with different names", got, "rename one, or run s2f twice with two folders")


def _targets(clips: Sequence[str], out: str) -> list[tuple[str, Path]]:
    """Pair every clip with the file its face goes to."""
    path = Path(out)
    if path.suffix.lower() in OTHER_IMAGES:
        raise UsageError("-o with a .png name or a folder", out, "end the name in .png")
    if path.suffix.lower() == ".png" and not path.is_dir():
        if len(clips) > 1:
            raise UsageError("a folder as -o for several clips", out, "give a folder name without .png")
        return [(clips[0], path)]
    if path.exists() and not path.is_dir():
        raise OutputError("-o with a .png name or a folder", f"the file {out}", "choose another name")
    stems: dict[str, str] = {}
    for clip in clips:
        stem = Path(clip).stem.lower()
        if stem in stems:
            got = f"{stems[stem]} and {clip}, which would both become {Path(clip).stem}.png"
            raise UsageError("clips with different names", got, "rename one, or run s2f twice with two folders")
        stems[stem] = clip
    return [(clip, path / f"{Path(clip).stem}.png") for clip in clips]
