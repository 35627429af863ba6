"""`s2f-eval demographics`: gender, age class and ethnicity of drawn faces against the speakers and the true faces."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from jsonargparse import ArgumentParser, Namespace

from eval.commands.options import new_folder, show
from s2f.commands.program import add_options, typed
from s2f.errors import UsageError

if TYPE_CHECKING:
    from eval.attributes.demographics import Drawn
    from s2f.datasets import DatasetFolder


@dataclass(frozen=True)
class DemographicsConfig:
    """Arguments of `s2f-eval demographics`.

    Args:
        checkpoint: "starter" or a checkpoint folder.
        data: dataset folder with the genders of its people.
        split: people to evaluate.
        seconds: how much of each recording is heard.
        faces: count faces with dlib's CNN detector (extra `dlib`).
        conditions: repeat the gender agreement with noise, telephone, reverberation, louder and quieter.
        voices: folder of original recordings, whose "dev" speakers are heard instead; DATA then only fits the probes.
        pictures: folder for the drawn faces.
        reconstructions: folder that `s2f-eval reconstruct` wrote from this checkpoint and data; adds what a classifier
            says of its true and drawn pictures.
        classifier: who is asked about them: a folder that `s2f-eval probes` wrote, or package.module:factory
            (eval/attributes/classifier.py says of what); without it probes fitted on DATA's training people.
        plots: folder for pictures of their confusion matrices.
        json: print one JSON object instead of the table.
    """

    checkpoint: str
    data: str
    split: Literal["val", "test"] = "test"
    seconds: float = 6.0
    faces: bool = False
    conditions: bool = False
    voices: str | None = None
    pictures: str | None = None
    reconstructions: str | None = None
    classifier: str | None = None
    plots: str | None = None
    json: bool = False


def add_arguments(parser: ArgumentParser) -> None:
    """Add this command's options to its parser."""
    add_options(parser, DemographicsConfig, ("checkpoint", "data"))


def run(arguments: Namespace) -> int:
    """Evaluate and print; 0 done."""
    from eval.attributes.demographics import evaluate
    from s2f.datasets import DatasetFolder
    from s2f.faces.detection import FaceDetector
    from s2f.reconstruction.pipeline import Speech2FacePipeline

    config = typed(DemographicsConfig, arguments)
    data = DatasetFolder(config.data)
    drawn = _drawn(config, data)
    detector = FaceDetector() if config.faces else None
    pipeline = Speech2FacePipeline.from_pretrained(config.checkpoint)
    pictures = Path(config.pictures) if config.pictures else None
    report = evaluate(
        pipeline, data, config.split, config.seconds, detector, pictures, config.conditions, config.voices, drawn
    )
    if config.plots is not None:
        from eval.attributes.plots import draw_confusions

        draw_confusions(report.rows, new_folder(config.plots))
    return show(report, config.json)


def _drawn(config: DemographicsConfig, data: DatasetFolder) -> Drawn | None:
    """The pictures to look at and who looks; None without a reconstructions folder.

    Raises:
        UsageError: options that mean nothing without one, or pictures of another checkpoint or data.
    """
    from eval.attributes.demographics import Drawn
    from eval.attributes.load import load_classifier
    from eval.attributes.picture_rows import require_same
    from eval.reconstructions.folder import read_reconstructions

    if config.reconstructions is None:
        for option in ("classifier", "plots"):
            if getattr(config, option) is not None:
                fix = "draw them with `s2f-eval reconstruct`"
                raise UsageError(f"--reconstructions with --{option}", "none", fix)
        return None
    folder = read_reconstructions(config.reconstructions)
    require_same(folder, config.checkpoint, data, config.split)
    return Drawn(folder, load_classifier(config.classifier) if config.classifier is not None else None)
