"""`s2f-eval craniofacial`: correlation of face measures of two folders of pictures of the same people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

from eval.commands.options import show
from s2f.commands.program import add_options, typed
from s2f.errors import UsageError

if TYPE_CHECKING:
    from eval.faces.pictures import Pairs


@dataclass(frozen=True)
class CraniofacialConfig:
    """Arguments of `s2f-eval craniofacial`.

    Args:
        a: folder of pictures (F2F), or a table (CSV) with columns a, b and, optionally, name and speaker.
        b: folder of pictures (S2F) with the same file names; none with a table.
        landmarks: starter, dlib, dlib-hog (a faster face detector), or the folder of a network.
        out: folder for craniofacial.json, measures.csv, pairs.csv, plots, examples and the landmarks found; an
            interrupted run that had one goes on.
        controls: folders of pictures with the same file names, each compared with A like B.
        truth: simulated dataset folder whose identities are the file names; gives the planted correlations and the
            speakers.
        sensitivity: add other readings of the measures and rank correlations.
        examples: number of pairs, chosen at random, that are shown with their landmarks.
        seed: of all random draws.
        json: print one JSON object instead of the table.
    """

    a: str
    b: str | None = None
    landmarks: str = "starter"
    out: str | None = None
    controls: Sequence[str] = ()
    truth: str | None = None
    sensitivity: bool = False
    examples: int = 12
    seed: int = 0
    json: bool = False


def add_arguments(parser: ArgumentParser) -> None:
    """Add this command's options to its parser."""
    add_options(parser, CraniofacialConfig, ("a", "b"))


def run(arguments: Namespace) -> int:
    """Evaluate and print; 0 done."""
    from eval.craniofacial.evaluate import evaluate
    from s2f.datasets import DatasetFolder

    config = typed(CraniofacialConfig, arguments)
    if config.seed < 0 or config.examples < 0:
        raise UsageError("a seed and a number of 0 or more", f"{config.seed} and {config.examples}", "give another")
    pairs, controls = paired(config)
    out = Path(config.out) if config.out else None
    truth = DatasetFolder(config.truth) if config.truth else None
    report = evaluate(pairs, config.landmarks, out, controls, truth, config.seed, config.sensitivity, config.examples)
    return show(report, config.json)


def paired(config: CraniofacialConfig) -> tuple[Pairs, dict[str, Pairs]]:
    """The pairs, and those of A with each control, by its folder's name.

    Args:
        config: arguments.

    Returns:
        The pairs and the controls' pairs.

    Raises:
        DatasetError: a folder or table that cannot be paired.
        UsageError: one folder, two tables, controls beside a table, or two controls of one name.
    """
    from eval.faces.pictures import pair_folders, pair_table

    if config.b is None:
        if Path(config.a).is_dir():
            raise UsageError("two folders, or a table of pairs", f"one folder, {config.a}", "name the second folder")
        if config.controls:
            raise UsageError("two folders of pictures beside controls", "a table", "give A and B as folders")
        return pair_table(config.a), {}
    if Path(config.a).is_file():
        raise UsageError("two folders, or one table of pairs", f"the file {config.a} and {config.b}", "leave B out")
    named = {Path(folder).resolve().name: folder for folder in config.controls}
    if len(named) < len(config.controls):
        raise UsageError("controls in folders of different names", ", ".join(config.controls), "rename one of them")
    controls = {name: pair_folders(config.a, folder) for name, folder in named.items()}
    return pair_folders(config.a, config.b), controls
