"""Everything that can be said from a reconstructions folder; `eval.report.page` makes one page of it.

Landmarks, measures and plots are kept below the folder, in `evaluation/`, so that an interrupted call goes on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from eval.attributes import demographics
from eval.attributes.classifier import AttributeClassifier
from eval.attributes.load import load_classifier
from eval.attributes.picture_rows import picture_rows
from eval.attributes.plots import draw_confusions
from eval.craniofacial import evaluate as craniofacial
from eval.craniofacial.evaluate import MAIN, craniofacial_rows, read_truth, truth_speakers
from eval.craniofacial.pairs import LANDMARKS, PointPairs, point_pairs
from eval.faces.pictures import Pairs, PicturePair
from eval.metrics.correlation import MIN_PEOPLE
from eval.reconstructions import decoder, features
from eval.reconstructions.folder import CONTROLS, Reconstructions, seconds_name
from eval.results import Report, read_report, report_of
from s2f.datasets import DatasetFolder
from s2f.errors import DatasetError, UsageError
from s2f.runtime.files import writing

TRUE = "true"  # name of the set of true pictures against S2F
NOT_CANONICAL = (
    "the true pictures are not all canonical (frontal, neutral, even light), so their measures mean pose too"
)


@dataclass(frozen=True)
class Options:
    """What a report is made with.

    Attributes:
        classifier: see `eval.attributes.load.load_classifier`; None leaves demographics out.
        truth: simulated dataset folder that was reconstructed.
        landmarks: see `eval.faces.landmarks.find_landmarks`.
        lpips: safetensors file of a trained backbone.
        examples: number of people who are shown; half as many of the worst are shown too.
        seed: of all random draws and choices.

    Raises:
        UsageError: a seed or a number below 0.
    """

    classifier: str | None = None
    truth: str | None = None
    landmarks: str = "starter"
    lpips: str | None = None
    examples: int = 12
    seed: int = 0

    def __post_init__(self) -> None:
        if self.seed < 0 or self.examples < 0:
            raise UsageError("a seed and a number of 0 or more", f"{self.seed} and {self.examples}", "give another")


@dataclass(frozen=True)
class Part:
    """A report and its pictures, or the reason why there is none.

    Attributes:
        report: the figures.
        reason: why there are none.
        pictures: PNG files by what they show.
    """

    report: Report | None
    reason: str = ""
    pictures: Mapping[str, Path] | None = None


@dataclass(frozen=True)
class Findings:
    """What the page shows.

    Attributes:
        folder: the reconstructions.
        options: what was asked for.
        statement: what the simulated dataset says of its people, "" without one.
        classifier: what the classifier calls itself, "" without one.
        features: of `eval.reconstructions.features`.
        decoder: of `eval.reconstructions.decoder`.
        parts: by name: craniofacial, true (true pictures against S2F), demographics, and with it classifier (its own
            error).
        others: further reports by the name of their file.
        trouble: kind of picture, identity and reason, where no landmarks were found.
        examples: people chosen at random, sorted.
        worst: people with the angle between predicted and true feature in degrees, largest first.
    """

    folder: Reconstructions
    options: Options
    statement: str
    classifier: str
    features: Report
    decoder: Report
    parts: Mapping[str, Part]
    others: Mapping[str, Report]
    trouble: tuple[tuple[str, str, str], ...]
    examples: tuple[str, ...]
    worst: tuple[tuple[str, float], ...]


def find_out(folder: Reconstructions, options: Options) -> Findings:
    """Evaluate a reconstructions folder in every way there is.

    Args:
        folder: the folder; `evaluation/` in it is made, or gone on with.
        options: what with.

    Returns:
        All figures and what to show.

    Raises:
        S2fError: see `eval.reconstructions.features.evaluate`, `eval.reconstructions.decoder.evaluate`,
            `eval.faces.landmarks.find_landmarks`, `eval.attributes.load.load_classifier` and
            `eval.results.read_report`.
    """
    truth = DatasetFolder(options.truth) if options.truth is not None else None
    others = {path.name: read_report(path) for path in sorted((folder.root / "reports").glob("*.json"))}
    statement = _statement(truth)
    feature_report = features.evaluate(folder, truth, options.seed)
    evaluation = folder.root / "evaluation"
    out = evaluation / _last(options.landmarks)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    classifier = load_classifier(options.classifier) if options.classifier is not None else None
    seen = _points(folder, truth, options.landmarks, out)
    lpips = Path(options.lpips) if options.lpips is not None else None
    drawing = decoder.evaluate(folder, lpips, options.landmarks, out / LANDMARKS)
    return Findings(
        folder=folder,
        options=options,
        statement=statement,
        classifier=classifier.name if classifier is not None else "",
        features=feature_report,
        decoder=_named(drawing, options.landmarks),
        parts=_craniofacial(folder, truth, options, out, seen) | _demographics(folder, classifier, evaluation),
        others=others,
        trouble=_trouble(seen),
        examples=chosen(folder, options.examples, options.seed),
        worst=worst(folder, options.examples // 2),
    )


def chosen(folder: Reconstructions, count: int, seed: int) -> tuple[str, ...]:
    """People chosen at random, sorted: the first of a seeded permutation of all; all if there are fewer."""
    names = list(folder.people)
    return tuple(names[place] for place in np.sort(np.random.default_rng(seed).permutation(len(names))[:count]))


def worst(folder: Reconstructions, count: int) -> tuple[tuple[str, float], ...]:
    """People whose feature, predicted from the longest part, is at the largest angle to the true one; with degrees."""
    pairs = features.read_pairs(folder, seconds_name(folder.seconds[-1]))
    angles = features.distances(pairs)["cosine_angle_deg"]
    names = list(folder.people)
    return tuple((names[place], float(angles[place])) for place in np.argsort(-angles, kind="stable")[:count])


def _demographics(folder: Reconstructions, classifier: AttributeClassifier | None, evaluation: Path) -> dict[str, Part]:
    """What a classifier says of the pictures, and its own error."""
    if classifier is None:
        return {"demographics": Part(None, "no classifier was given; `s2f-eval probes` makes one, see --classifier")}
    rows, notes = picture_rows(classifier, folder)
    report = Report(demographics.PROTOCOL, folder.about["split_hash"], rows, notes)
    with writing(evaluation):
        files = [path for path in draw_confusions(rows, evaluation) if path.suffix == ".png"]
    pictures = {f"confusion matrices, {path.stem.partition('_')[2].replace('_', ', ')}": path for path in files}
    own: Mapping[str, Any] = getattr(classifier, "about", {})
    error = Part(None, "this classifier does not say how often it errs")
    if "report" in own:
        error = Part(report_of(own["report"], f"the folder of {classifier.name}"))
    return {"demographics": Part(report, pictures=pictures), "classifier": error}


def _points(folder: Reconstructions, truth: DatasetFolder | None, landmarks: str, out: Path) -> dict[str, PointPairs]:
    """Landmarks of all pictures, found once: F2F against S2F, mean and nearest, and the true pictures against S2F."""
    sides = {MAIN: ("f2f", "s2f"), **{name: ("f2f", name) for name in CONTROLS[::-1]}, TRUE: ("true", "s2f")}
    return point_pairs({name: _pairs(folder, truth, *kinds) for name, kinds in sides.items()}, landmarks, out)


def _pairs(folder: Reconstructions, truth: DatasetFolder | None, a: str, b: str) -> Pairs:
    pairs = tuple(
        PicturePair(name, folder.picture(a, name), folder.picture(b, name), person.get("speaker") or name)
        for name, person in folder.people.items()
    )
    if truth is not None:
        speakers = truth_speakers(truth, Pairs(pairs, ()))
        pairs = tuple(replace(pair, speaker=speaker) for pair, speaker in zip(pairs, speakers, strict=True))
    return Pairs(pairs, ())


def _craniofacial(
    folder: Reconstructions, truth: DatasetFolder | None, options: Options, out: Path, seen: Mapping[str, PointPairs]
) -> dict[str, Part]:
    few = {name: _too_few(one) for name, one in seen.items()}
    true = Part(None, few[TRUE] or NOT_CANONICAL)
    if not few[TRUE] and all(person.get("view") == "canonical" for person in folder.people.values()):
        true = Part(_true_pictures(folder, truth, options.seed, seen[TRUE]))
    if few[MAIN]:
        return {"craniofacial": Part(None, few[MAIN]), TRUE: true}
    controls = {name: seen[name] for name in CONTROLS[::-1] if not few[name]}
    left_out = [f"control {name} left out: {few[name]}" for name in CONTROLS[::-1] if few[name]]
    report = craniofacial.report_on(
        {MAIN: seen[MAIN], **controls},
        options.landmarks,
        out,
        truth,
        options.seed,
        examples=options.examples,
        people_hash=folder.about["split_hash"],
        notes=left_out,
    )
    pictures = {"every measure of F2F (A) against S2F (B)": out / "scatter.png"}
    if options.examples:
        pictures["examples with landmarks and measured lines, F2F left, S2F right"] = out / "examples.png"
    return {"craniofacial": Part(_named(report, options.landmarks), pictures=pictures), TRUE: true}


def _too_few(seen: PointPairs) -> str:
    """Why these pairs cannot be correlated; "" if they can."""
    speakers = len(np.unique(seen.speakers))
    if speakers >= MIN_PEOPLE:
        return ""
    return f"{MIN_PEOPLE} different speakers are needed, there are {speakers} ({'; '.join(seen.notes())})"


def _true_pictures(folder: Reconstructions, truth: DatasetFolder | None, seed: int, seen: PointPairs) -> Report:
    """Measures of the true pictures against S2F; the paper has no such figures."""
    known = None if truth is None else read_truth(truth, [pair.name for pair in seen.used])
    rows = []
    for row in craniofacial_rows(seen.points("a"), seen.points("b"), seen.speakers, known, seed=seed):
        params = {name: value for name, value in row.params.items() if name != "published"}
        rows.append(replace(row, direction="v2f", params=params))
    return Report(craniofacial.PROTOCOL, folder.about["split_hash"], rows, seen.notes())


def _trouble(seen: Mapping[str, PointPairs]) -> tuple[tuple[str, str, str], ...]:
    trouble = next(iter(seen.values())).found.trouble
    listed = {(path.parent.name, path.stem, reason) for path, reason in trouble.items()}
    return tuple(sorted(listed))


def _named(report: Report, landmarks: str) -> Report:
    """The report with a detector's folder named by its last part only."""
    named = {"landmarks": _last(landmarks)}
    rows = [replace(row, params={**row.params, **named}) if "landmarks" in row.params else row for row in report.rows]
    return replace(report, rows=rows)


def _last(name: str) -> str:
    return Path(name).resolve().name


def _statement(truth: DatasetFolder | None) -> str:
    if truth is None or not (truth.root / "dataset.json").is_file():
        return ""
    path = truth.root / "dataset.json"
    try:
        return str(json.loads(path.read_text(encoding="utf-8")).get("statement", ""))
    except (OSError, ValueError, AttributeError) as error:
        raise DatasetError(f"one JSON object in {path}", str(error), "simulate the dataset again") from error
