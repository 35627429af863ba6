"""`s2f-eval verification`: exact AUC and equal error rate of an embeddings folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jsonargparse import ArgumentParser, Namespace

from eval.commands.options import EmbeddingsConfig, new_folder, refuse_plots, show
from s2f.commands.program import add_options, typed


@dataclass(frozen=True)
class VerificationConfig(EmbeddingsConfig):
    """Arguments of `s2f-eval verification`.

    Args:
        group_by: restrictions of who may be compared: U, G, E, G/E, G/E/F/A, N, A, GNA, or columns joined by a slash.
        plots: folder for ROC and DET curve, as PNG and SVG, and their points as roc.csv.
    """

    group_by: Sequence[str] = ("U",)
    plots: str | None = None


def add_arguments(parser: ArgumentParser) -> None:
    """Add this command's options to its parser."""
    add_options(parser, VerificationConfig, ("embeddings",))


def run(arguments: Namespace) -> int:
    """Evaluate and print; 0 done."""
    from eval.embeddings.groups import clusters, groupings
    from eval.embeddings.verification import evaluate
    from eval.trial_lists.evaluate import evaluate_list

    config = typed(VerificationConfig, arguments)
    embeddings = config.read()
    units, _ = clusters(embeddings)
    if config.list:
        refuse_plots(config.plots)
        return show(evaluate_list(embeddings, "verification", config.list, config.skip_missing, units), config.json)
    restrictions = groupings(embeddings, config.group_by)
    report = evaluate(embeddings, restrictions, units, config.control)
    if config.plots is not None:
        from eval.embeddings.plots import draw_verification

        draw_verification(embeddings, restrictions, new_folder(config.plots))
    return show(report, config.json)
