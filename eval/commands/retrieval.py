"""`s2f-eval retrieval`: mean average precision and recall of an embeddings folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from jsonargparse import ArgumentParser, Namespace

from eval.commands.options import EmbeddingsConfig, show
from s2f.commands.program import add_options, typed


@dataclass(frozen=True)
class RetrievalConfig(EmbeddingsConfig):
    """Arguments of `s2f-eval retrieval`.

    Args:
        weighting: give every probe the same weight (samples), or every person (identities).
        ks: numbers K of first places for the recall in the full gallery.
    """

    weighting: Literal["samples", "identities"] = "samples"
    ks: Sequence[int] = (1, 5, 10, 50, 100)


def add_arguments(parser: ArgumentParser) -> None:
    """Add this command's options to its parser."""
    add_options(parser, RetrievalConfig, ("embeddings",))


def run(arguments: Namespace) -> int:
    """Evaluate and print; 0 done."""
    from eval.embeddings.groups import clusters
    from eval.embeddings.retrieval import evaluate
    from eval.trial_lists.evaluate import evaluate_list

    config = typed(RetrievalConfig, arguments)
    embeddings = config.read()
    units, _ = clusters(embeddings)
    if config.list:
        return show(evaluate_list(embeddings, "retrieval", config.list, config.skip_missing, units), config.json)
    return show(evaluate(embeddings, units, config.weighting, config.ks, control=config.control), config.json)
