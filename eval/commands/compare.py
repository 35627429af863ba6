"""`s2f-eval compare`: two embeddings folders of the same people, triplet by triplet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from jsonargparse import ArgumentParser, Namespace

from eval.commands.options import show
from s2f.commands.program import add_options, typed


@dataclass(frozen=True)
class CompareConfig:
    """Arguments of `s2f-eval compare`.

    Args:
        a: embeddings folder of system A.
        b: embeddings folder of system B; each is compared as its embeddings.json says, by cosine without one.
        group_by: restrictions of who may be compared: U, G, E, G/E, G/E/F/A, N, A, GNA, or columns joined by a slash.
        weighting: give every probe the same weight (samples), or every person (identities).
        negatives: draw people first (identities), or any candidates of other people (samples).
        skip_bad: leave out rows that are not finite, zero or given twice, and count them.
        seed: of all random draws.
        json: print one JSON object instead of the table.
    """

    a: str
    b: str
    group_by: Sequence[str] = ("U",)
    weighting: Literal["samples", "identities"] = "samples"
    negatives: Literal["identities", "samples"] = "identities"
    skip_bad: bool = False
    seed: int = 0
    json: bool = False


def add_arguments(parser: ArgumentParser) -> None:
    """Add this command's options to its parser."""
    add_options(parser, CompareConfig, ("a", "b"))


def run(arguments: Namespace) -> int:
    """Compare and print; 0 done."""
    from eval.embeddings.compare import compare
    from eval.embeddings.folder import read_embeddings
    from eval.embeddings.groups import clusters, groupings

    config = typed(CompareConfig, arguments)
    a, b = (read_embeddings(folder, None, config.skip_bad) for folder in (config.a, config.b))
    units, _ = clusters(a)
    restrictions = groupings(a, config.group_by)
    report = compare(a, b, restrictions, units, config.weighting, config.negatives, seed=config.seed)
    return show(report, config.json)
