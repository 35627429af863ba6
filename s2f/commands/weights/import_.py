"""`s2f weights import`: a checkpoint folder from a published weights file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from jsonargparse import ArgumentParser, Namespace

from s2f.commands.program import EXIT_OK, add_options, typed


@dataclass(frozen=True)
class ImportConfig:
    """Arguments of `s2f weights import`.

    Args:
        kind: which published file it is:
        file: the published file.
        out: folder to make.
        channel_order: of the pictures that the file's network reads, for kinds about which sources disagree.
        reference: folder of the same network, imported from another file; every tensor must be equal.
        sha256: hash the file must have.
    """

    kind: str
    file: str
    out: str
    channel_order: Literal["rgb", "bgr"] | None = None
    reference: str | None = None
    sha256: str | None = None


def add_arguments(parser: ArgumentParser) -> None:
    """Add this command's options to its parser."""
    from s2f.weights.kinds import KINDS

    add_options(parser, ImportConfig, ("kind", "file"), {"kind": {name: kind.file for name, kind in KINDS.items()}})


def run(arguments: Namespace) -> int:
    """Import and say what was done; 0 done."""
    from s2f.weights.convert import import_weights
    from s2f.weights.verify import verify

    config = typed(ImportConfig, arguments)
    source = import_weights(config.kind, config.file, config.out, config.channel_order, config.reference, config.sha256)
    lines = [f"{source.file}: {source.bytes:,} bytes, sha256 {source.sha256}"]
    lines += [f"  changed: {change}" for change in source.changes]
    lines += [f"  left out: {name} ({why})" for name, why in source.left_out.items()]
    if source.reference_sha256:
        lines.append(f"  equal to {config.reference}; pictures of its network {source.channel_order}")
    print("\n".join([*lines, verify(config.out).table()]))
    return EXIT_OK
