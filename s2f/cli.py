"""The `s2f` command."""

import json
import os
import re
import sys
import warnings
from argparse import ArgumentError
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from jsonargparse import ArgumentParser, Namespace

from s2f import __version__
from s2f.errors import OutputError, S2fError, UsageError
from s2f.options import did_you_mean, unknown_option

if TYPE_CHECKING:
    from s2f.pipeline import Speech2FacePipeline

OTHER_IMAGES = (".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
QUIET_LIBRARIES = {"DIFFUSERS_VERBOSITY": "error", "TRANSFORMERS_VERBOSITY": "error", "HF_HUB_OFFLINE": "1"}
EXIT_OK, EXIT_NO, EXIT_BAD_INPUT, EXIT_INTERRUPTED = 0, 1, 2, 130

Arguments = TypeVar("Arguments")


@dataclass(frozen=True)
class ReconstructConfig:
    """Arguments of `s2f reconstruct`.

    Attributes:
        clips: audio files.
        out: a .png for one clip, or a folder.
        checkpoint: "starter" or a checkpoint folder.
        seconds: how much of each clip is heard.
        batch_size: clips per forward pass.
        samples: further faces per clip, each a draw of what the voice does not determine.
        seed: of these draws, the same for every clip.
        device: cpu, cuda, cuda:1, mps.
        quiet: print nothing but errors.
    """

    clips: list[str]
    out: str
    checkpoint: str = "starter"
    seconds: float = 6.0
    batch_size: int = 8
    samples: int = 0
    seed: int = 0
    device: str = "cpu"
    quiet: bool = False


@dataclass(frozen=True)
class DoctorConfig:
    """Arguments of `s2f doctor`.

    Attributes:
        json: print one JSON object instead of the table.
    """

    json: bool = False


@dataclass(frozen=True)
class ShardsConfig:
    """Arguments of `s2f shards`.

    Attributes:
        data: dataset folder to pack.
        out: folder for the shards.
        face_encoder: folder of the face encoder whose features are stored.
        samples_per_shard: samples in one tar.
        skip_bad: leave out rows that cannot be used.
        device: cpu, cuda, cuda:1, mps.
    """

    data: str
    out: str
    face_encoder: str
    samples_per_shard: int = 1000
    skip_bad: bool = False
    device: str = "cpu"


def _add_reconstruct(parser: ArgumentParser) -> None:
    parser.add_argument("clips", nargs="+", metavar="CLIP", help="audio file: wav, flac, mp3, ogg, m4a, webm")
    parser.add_argument("-o", "--out", required=True, help="a .png for one clip, or a folder: <stem>.png for each")
    parser.add_argument("--checkpoint", default="starter", help='"starter" or a checkpoint folder')
    parser.add_argument("--seconds", type=float, default=6.0, help="how much of each clip is heard")
    parser.add_argument("--batch_size", type=int, default=8, help="clips per forward pass")
    parser.add_argument("--samples", type=int, default=0, help="also draw N variants: <stem>_sample1.png, …")
    parser.add_argument("--seed", type=int, default=0, help="seed of the variants")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, mps")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")


def _add_doctor(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _add_simulate(parser: ArgumentParser) -> None:
    from s2f.simulate.writer import SimulateConfig

    parser.add_argument("out", help="folder for the dataset")
    parser.add_class_arguments(SimulateConfig, skip={"out"})


def _add_shards(parser: ArgumentParser) -> None:
    parser.add_argument("data", help="dataset folder to pack")
    parser.add_argument("out", help="folder for the shards; the same command resumes an interrupted one")
    parser.add_argument("--face_encoder", required=True, help="folder of the face encoder whose features are stored")
    parser.add_argument("--samples_per_shard", type=int, default=1000, help="samples in one tar")
    parser.add_argument("--skip_bad", action="store_true", help="leave out rows that cannot be used: skipped.csv")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, mps")


def _reconstruct(arguments: Namespace) -> int:
    config = _typed(ReconstructConfig, arguments)
    targets = _targets(config.clips, config.out)
    _check_samples(config, targets)
    from s2f import checkpoints
    from s2f.pipeline import Speech2FacePipeline
    from s2f.provenance import Provenance, weights_sha256

    folder = checkpoints.resolve(config.checkpoint)
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
    from s2f.provenance import save_png
    from s2f.variation import save_samples

    good, failures = [], 0
    for clip, path in targets:
        try:
            good.append((clip, path, audio.load(clip, pipeline.voice_encoder.sample_rate_hz, config.seconds)))
        except S2fError as error:
            failures += 1
            _complain(f"{clip}: {error}")
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


def _doctor(arguments: Namespace) -> int:
    from s2f import doctor

    found = doctor.report()
    print(json.dumps(found, indent=2) if _typed(DoctorConfig, arguments).json else doctor.table(found))
    return EXIT_OK if found["ok"] else EXIT_NO


def _simulate(arguments: Namespace) -> int:
    from s2f.simulate.truth import calibration
    from s2f.simulate.writer import SimulateConfig, simulate

    print(calibration(simulate(_typed(SimulateConfig, arguments))))
    return EXIT_OK


def _shards(arguments: Namespace) -> int:
    from s2f.datasets import DatasetFolder
    from s2f.features import load_face_encoder
    from s2f.shard_writer import write_shards

    config = _typed(ShardsConfig, arguments)
    data, encoder, out = DatasetFolder(config.data), load_face_encoder(config.face_encoder), Path(config.out)
    done = write_shards(data, encoder, out, config.samples_per_shard, device=config.device, skip_bad=config.skip_bad)
    left_out = f"{done['rows_without_split']} rows without a split and {done['rows_skipped']} unusable ones left out"
    print(f"{out}: {sum(done['samples'].values())} samples in {sum(done['shards'].values())} shards; {left_out}")
    return EXIT_OK


COMMANDS: dict[str, tuple[str, Callable[[ArgumentParser], None], Callable[[Namespace], int]]] = {
    "reconstruct": ("draw the average-looking face linked with a voice", _add_reconstruct, _reconstruct),
    "doctor": ("say what works here and what is missing", _add_doctor, _doctor),
    "simulate": ("make a dataset of synthetic people with real voices", _add_simulate, _simulate),
    "shards": ("pack a dataset's voices and face features into tar files", _add_shards, _shards),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: arguments without the program name; None takes the process's own.

    Returns:
        0 done, 1 the answer is no, 2 bad input or usage, 130 interrupted.
    """
    words = [_underscored(word) for word in (sys.argv[1:] if argv is None else argv)]
    for name, value in QUIET_LIBRARIES.items():
        os.environ.setdefault(name, value)
    try:
        parser = _parser(words)
        arguments = parser.parse_args(words)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return COMMANDS[arguments.command][2](arguments[arguments.command])
    except SystemExit as stop:  # --help, --version and --print_config end here
        return int(stop.code or 0)
    except ArgumentError as error:
        _complain(f"{error}{_nearest(str(error), words)}")
        return EXIT_BAD_INPUT
    except S2fError as error:
        _complain(str(error))
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        _complain("interrupted")
        return EXIT_INTERRUPTED


def _parser(words: Sequence[str]) -> ArgumentParser:
    """Build the parser; only the chosen command's options are added, because some need slow imports."""
    parser = ArgumentParser(
        prog="s2f", description="Hear a voice, see a face.", version=__version__, exit_on_error=False
    )
    commands = parser.add_subcommands(dest="command", required=True)
    for name, (about, add, _) in COMMANDS.items():
        command = ArgumentParser(description=about, exit_on_error=False)
        if name in words:
            command.add_argument("--config", action="config", help="YAML file with any of these options")
            add(command)
        commands.add_subcommand(name, command, help=about)
    return parser


def _nearest(message: str, words: Sequence[str]) -> str:
    """Say which option an unknown one, on the command line or in a file, was probably meant to be."""
    unknown = unknown_option(message)
    chosen = [name for name in COMMANDS if name in words]
    if not unknown or not chosen:
        return "; `s2f --help` lists the commands, `s2f COMMAND --help` their options"
    command = ArgumentParser(exit_on_error=False)
    COMMANDS[chosen[0]][1](command)
    options = re.findall(r"--(\w+)", command.format_help())
    return "; " + (did_you_mean(unknown, options) or f"`s2f {chosen[0]} --help` lists the options")


def _underscored(word: str) -> str:
    """Spell an option's name as its field: `--batch-size=4` becomes `--batch_size=4`."""
    name, equals, value = word.partition("=")
    return "--" + name[2:].replace("-", "_") + equals + value if re.match(r"--\w", word) else word


def _typed(kind: type[Arguments], arguments: Namespace) -> Arguments:
    return kind(**{field.name: arguments[field.name] for field in fields(kind)})  # type: ignore[arg-type]


def _complain(message: str) -> None:
    print("s2f: error: " + " ".join(message.split()), file=sys.stderr)
