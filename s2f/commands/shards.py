"""`s2f shards`: pack a dataset's voices and face features into tar files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from s2f.commands.options import EXIT_OK, typed


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


def add_arguments(parser: ArgumentParser) -> None:
    """Add this command's options to its parser."""
    parser.add_argument("data", help="dataset folder to pack")
    parser.add_argument("out", help="folder for the shards; the same command resumes an interrupted one")
    parser.add_argument("--face_encoder", required=True, help="folder of the face encoder whose features are stored")
    parser.add_argument("--samples_per_shard", type=int, default=1000, help="samples in one tar")
    parser.add_argument("--skip_bad", action="store_true", help="leave out rows that cannot be used: skipped.csv")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, mps")


def run(arguments: Namespace) -> int:
    """Pack and print what was packed; 0 done."""
    from s2f.checkpoints.encoders import load_face_encoder
    from s2f.datasets import DatasetFolder
    from s2f.runtime.processes import processes
    from s2f.shards.writing import write_shards

    config = typed(ShardsConfig, arguments)
    data, encoder, out = DatasetFolder(config.data), load_face_encoder(config.face_encoder), Path(config.out)
    done = write_shards(data, encoder, out, config.samples_per_shard, device=config.device, skip_bad=config.skip_bad)
    if not processes().is_main:
        return EXIT_OK
    left_out = f"{done['rows_without_split']} rows without a split and {done['rows_skipped']} unusable ones left out"
    print(f"{out}: {sum(done['samples'].values())} samples in {sum(done['shards'].values())} shards; {left_out}")
    return EXIT_OK
