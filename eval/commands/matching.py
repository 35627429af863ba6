"""`s2f-eval matching`: exact 1:2 and 1:N matching of an embeddings folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from jsonargparse import ArgumentParser, Namespace

from eval.commands.options import EmbeddingsConfig, new_folder, refuse_plots, show
from eval.results import Report
from s2f.commands.program import add_options, typed
from s2f.errors import UsageError


@dataclass(frozen=True)
class MatchingConfig(EmbeddingsConfig):
    """Arguments of `s2f-eval matching`.

    Args:
        group_by: restrictions of who may be compared: U, G, E, G/E, G/E/F/A, N, A, GNA, or columns joined by a slash.
        sweep: columns; every subset of them is a restriction too.
        weighting: give every probe the same weight (samples), or every person (identities).
        negatives: draw people first (identities), or any candidates of other people (samples).
        n_way: largest number of candidates of a trial; all smaller ones come with it, but not for a joint scorer.
            If not given 10, for a joint scorer 2.
        sizes: numbers of people for repeated tests on random subsets.
        marginal: how many of the best and of the worst people are listed.
        checkpoint: of a joint scorer; if not given, as embeddings.json says.
        count: sampled trials of a joint scorer.
        plots: folder for the pictures, each as PNG and SVG.
    """

    group_by: Sequence[str] = ("U",)
    sweep: Sequence[str] = ()
    weighting: Literal["samples", "identities"] = "samples"
    negatives: Literal["identities", "samples"] = "identities"
    n_way: int | None = None
    sizes: Sequence[int] = (100, 189, 500, 1000)
    marginal: int = 5
    checkpoint: str | None = None
    count: int = 10_000
    plots: str | None = None


def add_arguments(parser: ArgumentParser) -> None:
    """Add this command's options to its parser."""
    add_options(parser, MatchingConfig, ("embeddings",))


def run(arguments: Namespace) -> int:
    """Evaluate and print; 0 done."""
    config = typed(MatchingConfig, arguments)
    report = evaluated(config)
    if config.plots is not None:
        from eval.embeddings.plots import draw_matching

        draw_matching(report, new_folder(config.plots))
    return show(report, config.json)


def evaluated(config: MatchingConfig) -> Report:
    """The report of a folder, of a list on it, or of a joint scorer."""
    from eval.embeddings.groups import clusters, groupings, sweep
    from eval.embeddings.matching import Protocol, evaluate
    from eval.trial_lists.evaluate import evaluate_list

    embeddings = config.read()
    units, _ = clusters(embeddings)
    if config.list:
        refuse_plots(config.plots)
        return evaluate_list(embeddings, "matching", config.list, config.skip_missing, units)
    swept = sweep(config.sweep) if config.sweep else []
    restrictions = list({one.name: one for one in groupings(embeddings, [*config.group_by, *swept])}.values())
    if embeddings.metric == "joint":
        if (config.weighting, config.negatives) != ("samples", "identities"):
            got = f"weighting {config.weighting} and negatives {config.negatives}"
            fix = "leave both out for a joint scorer"
            raise UsageError("probes drawn by samples and negatives by identities", got, fix)
        from eval.embeddings.checkpoint_heads import head_scorers
        from eval.embeddings.sampled_matching import evaluate_joint

        scorers = head_scorers(embeddings, config.checkpoint)
        directions = tuple(scorers.ask)
        return evaluate_joint(
            embeddings, scorers, directions, restrictions, units, config.n_way or 2, config.count, config.seed
        )
    protocol = Protocol(
        config.weighting, config.negatives, config.n_way or 10, config.sizes, config.marginal, config.control
    )
    return evaluate(embeddings, restrictions, protocol)
