"""`s2f-eval probes`: an attribute classifier from a checkpoint's face features, with its own error beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jsonargparse import ArgumentParser, Namespace

from eval.commands.options import show
from s2f.commands.program import add_options, typed


@dataclass(frozen=True)
class ProbesConfig:
    """Arguments of `s2f-eval probes`.

    Args:
        checkpoint: "starter" or a checkpoint folder, for its face encoder.
        data: dataset folder with gender, age or ethnicity of its people.
        out: new folder for the classifier.
        split: people whose faces its own error is measured on.
        abstain_below: it gives no answer whose probability is below this; 0 never abstains.
        json: print one JSON object instead of the table.
    """

    checkpoint: str
    data: str
    out: str
    split: Literal["val", "test"] = "test"
    abstain_below: float = 0.0
    json: bool = False


def add_arguments(parser: ArgumentParser) -> None:
    """Add this command's options to its parser."""
    add_options(parser, ProbesConfig, ("checkpoint", "data"))


def run(arguments: Namespace) -> int:
    """Fit, write and print the classifier's own error; 0 done."""
    from eval.attributes.fit_probes import train_probes
    from eval.attributes.probes import require_new
    from s2f.datasets import DatasetFolder
    from s2f.reconstruction.pipeline import Speech2FacePipeline

    config = typed(ProbesConfig, arguments)
    require_new(Path(config.out))
    pipeline = Speech2FacePipeline.from_pretrained(config.checkpoint)
    data = DatasetFolder(config.data)
    classifier, report = train_probes(pipeline, config.checkpoint, data, config.split, config.abstain_below)
    classifier.save_pretrained(config.out)
    return show(report, config.json)
