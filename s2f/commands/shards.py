"""`s2f shards`: pack a dataset's voices and face features into tar files, or index such files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from s2f.commands.program import EXIT_OK, add_options, typed
from s2f.errors import UsageError

PACKING = ("samples_per_shard", "skip_bad", "device")  # options that indexing has no use for


@dataclass(frozen=True)
class ShardsConfig:
    """Arguments of `s2f shards`.

    Args:
        data: dataset folder to pack; needed unless `--index`.
        out: folder for the shards; the same command resumes an interrupted one. Needed unless `--index`.
        face_encoder: folder of the face encoder whose features are stored; needed unless `--index`.
        samples_per_shard: samples in one tar.
        skip_bad: leave out rows that cannot be used, and list them in skipped.csv.
        device: cpu, cuda, cuda:1, mps.
        index: instead of packing, write the tables of a folder whose tars were made elsewhere.
    """

    data: str | None = None
    out: str | None = None
    face_encoder: str | None = None
    samples_per_shard: int = 1000
    skip_bad: bool = False
    device: str = "cpu"
    index: str | None = None

    def __post_init__(self) -> None:
        """Refuse a command line that neither packs nor indexes.

        Raises:
            UsageError: what packing needs is missing, or stands beside `--index`.
        """
        given = {"DATA": self.data, "OUT": self.out, "--face_encoder": self.face_encoder}
        named = [name for name, value in given.items() if value is not None]
        named += [f"--{name}" for name in PACKING if getattr(self, name) != getattr(ShardsConfig, name)]
        if self.index == "":
            raise UsageError("a folder of tars to index", "an empty name", "name it, or . for this one")
        if self.index is not None and named:
            raise UsageError("`--index FOLDER` alone", f"{', '.join(named)} beside it", "leave the others out")
        if self.index is None and None in given.values():
            missing = ", ".join(name for name, value in given.items() if value is None)
            expected = "s2f shards DATA OUT --face_encoder DIR, or s2f shards --index FOLDER"
            raise UsageError(expected, f"no {missing}", "give what is missing")


def add_arguments(parser: ArgumentParser) -> None:
    """Add this command's options to its parser."""
    add_options(parser, ShardsConfig, ("data", "out"))


def run(arguments: Namespace) -> int:
    """Pack or index, and print what there is now; 0 done."""
    from s2f.checkpoints.encoders import load_face_encoder
    from s2f.datasets import DatasetFolder
    from s2f.runtime.processes import processes
    from s2f.shards.reading import index_shards
    from s2f.shards.writing import write_shards

    config = typed(ShardsConfig, arguments)
    if config.index is not None:
        print(f"{config.index}: {len(index_shards(Path(config.index)))} samples")
        return EXIT_OK
    data, out = DatasetFolder(str(config.data)), Path(str(config.out))
    encoder = load_face_encoder(str(config.face_encoder))
    done = write_shards(data, encoder, out, config.samples_per_shard, device=config.device, skip_bad=config.skip_bad)
    if not processes().is_main:
        return EXIT_OK
    left_out = f"{done['rows_without_split']} rows without a split and {done['rows_skipped']} unusable ones left out"
    print(f"{out}: {sum(done['samples'].values())} samples in {sum(done['shards'].values())} shards; {left_out}")
    return EXIT_OK
