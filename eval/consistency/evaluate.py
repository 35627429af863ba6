"""How stable is the face predicted from a voice, over parts of a clip, over clips of a person, with the length heard?

Paper: Speech2Face (CVPR 2019), section 5.2, "Additional observations" with Fig. 10 (segments of one video, and of
different videos) and Fig. 6 (length); it shows pictures and gives no figures. All figures here are on predicted
features brought to unit length: that is what the decoder sees, up to a fixed factor, where it normalises its input.
A prediction may agree with itself because it is the same for everybody; so every agreement stands beside that between
people, and the variance between people beside that of real faces.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from eval.attributes.fit_probes import fit_classifier
from eval.attributes.pictured import pictured_faces
from eval.attributes.probes import ProbeClassifier
from eval.consistency.group_rows import CLIPS, SEGMENTS, Level, averaging_rows, compared, control_rows, group_rows
from eval.consistency.length_rows import Sweep, sweep_rows
from eval.consistency.segments import Parts, Window, durations, predicted_features
from eval.faces.recordings import Recording
from eval.metrics.clusters import Clusters, measured_row
from eval.metrics.variance_components import ROUNDING, components, grouped
from eval.results import Report, Row
from s2f.audio import MIN_SECONDS
from s2f.datasets import DatasetFolder
from s2f.errors import DatasetError, UsageError
from s2f.reconstruction.pipeline import Speech2FacePipeline

PROTOCOL = "consistency/2"

Features = Mapping[Window, np.ndarray]


@dataclass(frozen=True)
class Reference:
    """Real faces of the training people.

    Attributes:
        row: variance between them.
        mean: (D,) their mean, of unit vectors.
        probe: of gender; None if it cannot be fitted.
        notes: why not, or on what the probe was not fitted.
    """

    row: Row
    mean: np.ndarray
    probe: ProbeClassifier | None
    notes: tuple[str, ...]


def evaluate(
    pipeline: Speech2FacePipeline,
    data: DatasetFolder,
    recordings: Sequence[Recording],
    seconds: float,
    lengths: Sequence[float],
    params: Mapping[str, Any],
    notes: Sequence[str] = (),
) -> Report:
    """Predict faces from parts of recordings and say how far they agree.

    Args:
        pipeline: the checkpoint.
        data: dataset folder; the faces of its training people are the reference, and the gender probe learns on them.
        recordings: whom to hear, see `eval.faces.recordings`.
        seconds: length of a segment, and of the beginning that is heard where clips of a person are compared.
        lengths: of the sweep, in seconds.
        params: of every row about voices, such as the split.
        notes: what was left out already.

    Returns:
        Rows of segments of a clip, of clips of a person, each with averaging and controls, of the length sweep, and the
        reference. Part of them is absent where nobody has several segments or clips; a note says so.

    Raises:
        UsageError: lengths that cannot be heard, or fewer than two.
        DatasetError: fewer than two speakers, too few long recordings, or no training faces.
    """
    lengths = tuple(sorted({float(length) for length in lengths}))
    if len(lengths) < 2 or not all(MIN_SECONDS <= one < float("inf") for one in (seconds, *lengths)):
        got = f"seconds {seconds:g} and lengths {', '.join(f'{one:g}' for one in lengths) or 'none'}"
        raise UsageError(f"two or more lengths, all of at least {MIN_SECONDS:g} s", got, "correct them")
    rate = pipeline.voice_encoder.sample_rate_hz
    parts = Parts(recordings, durations(recordings, rate), rate)
    if len({one.speaker for one, size in zip(recordings, parts.sizes, strict=True) if size}) < 2:
        raise DatasetError("recordings with sound of at least two speakers", "fewer", "evaluate other recordings")
    plans = {"segments": parts.segments(seconds), "clips": parts.clips(seconds), "sweep": parts.sweep(lengths)}
    reference = _reference(pipeline, data)
    windows = [window for plan in plans.values() for group in plan for window in group]
    features = predicted_features(pipeline, recordings, windows)
    rows: list[Row] = []
    notes, about = [*notes, *_left_out(parts, plans, features, seconds, lengths)], {**params, "seconds": seconds}
    for level, plan in ((SEGMENTS, plans["segments"]), (CLIPS, plans["clips"])):
        made, said = _level_rows(recordings, plan, features, level, reference, about)
        rows, notes = rows + made, notes + said
    sweep = _sweep(recordings, plans["sweep"], features, lengths)
    rows += sweep_rows(sweep, pipeline, reference.probe, reference.mean, params)
    notes += [*reference.notes, *_said(pipeline, lengths)]
    return Report(PROTOCOL, data.split_hash, [*rows, reference.row], notes)


def _level_rows(
    recordings: Sequence[Recording],
    plan: Sequence[Sequence[Window]],
    features: Features,
    level: Level,
    reference: Reference,
    params: Mapping[str, Any],
) -> tuple[list[Row], list[str]]:
    """Figures of the groups in which at least two parts were heard, or a note why there are none."""
    heard = [[window for window in group if window in features] for group in plan]
    heard = [group for group in heard if len(group) > 1]
    owners = [recordings[group[0].recording] for group in heard]
    if len({owner.speaker for owner in owners}) < 2:
        return [], [f"no {level.within} and what goes with it: two speakers with several {level.count} are needed"]
    members = [[features[window] for window in group] for group in heard]
    groups = grouped(members, [one.speaker for one in owners], [one.gender for one in owners])
    params, faces = {**params, "of": level.count}, [one.face for one in owners]
    variance, notes = float(reference.row.value or 0.0), []
    rows = group_rows(groups, level, variance, params) + averaging_rows(groups, faces, level, params)
    if "G" not in compared(groups, Clusters(groups.speakers)):
        notes.append(f"{level.count}: no pair of people of one known gender, so no group G")
    return rows + control_rows(groups, level, reference.mean, variance, params), notes


def _sweep(
    recordings: Sequence[Recording], plan: Sequence[Sequence[Window]], features: Features, lengths: Sequence[float]
) -> Sweep:
    """The recordings of which every length was heard.

    Raises:
        DatasetError: fewer than two speakers.
    """
    heard = [windows for windows in plan if all(window in features for window in windows)]
    owners = [recordings[windows[0].recording] for windows in heard]
    if len({owner.speaker for owner in owners}) < 2:
        got = f"{len(heard)}, the others begin with silence"
        raise DatasetError("recordings of two speakers with sound from the start", got, "drop the shortest --lengths")
    by_length = {
        length: np.stack([features[windows[place]] for windows in heard]) for place, length in enumerate(lengths)
    }
    return Sweep(
        by_length, [one.speaker for one in owners], [one.gender for one in owners], [one.face for one in owners]
    )


def _left_out(
    parts: Parts,
    plans: Mapping[str, Sequence[Sequence[Window]]],
    features: Features,
    seconds: float,
    lengths: Sequence[float],
) -> list[str]:
    """A sentence for everything that was not used."""
    silent = {name: [sum(window not in features for window in group) for group in plan] for name, plan in plans.items()}
    segments = zip(plans["segments"], silent["segments"], strict=True)
    sources: dict[str, set[str]] = defaultdict(set)
    for one in parts.recordings:
        sources[one.person].add(one.source)
    several, count = sum(len(found) > 1 for found in sources.values()), len(parts.recordings)
    numbered = [
        (parts.sizes.count(0), f"recordings left out: silent, or shorter than {MIN_SECONDS:g} s"),
        (count - len(plans["segments"]), f"recordings with fewer than two segments of {seconds:g} s not in them"),
        (sum(silent["segments"]), "silent segments left out"),
        (sum(len(group) - lost < 2 for group, lost in segments), "recordings with fewer than two audible segments"),
        (sum(silent["clips"]), "silent clips left out where clips of a person are compared"),
        (count - len(plans["sweep"]), f"recordings shorter than {lengths[-1]:g} s not in the length sweep"),
        (sum(map(bool, silent["sweep"])), "recordings that begin with silence not in the length sweep"),
        (sum(not one.gender for one in parts.recordings), "recordings of unknown gender not in figures about gender"),
    ]
    people = f"{several} of {len(sources)} people have recordings of several sources, {len(plans['clips'])} of them"
    return [f"{people} with {seconds:g} s of each", *(f"{number} {what}" for number, what in numbered if number)]


def _reference(pipeline: Speech2FacePipeline, data: DatasetFolder) -> Reference:
    """Faces of the training people, canonical ones where there are any, and the gender probe.

    Raises:
        DatasetError: no faces of two training people, or all alike.
    """
    rows, training = data.faces("train"), pictured_faces(pipeline, data, "train", canonical_only=False)
    canonical = any(row.get("view") == "canonical" for row in rows)
    people: dict[str, list[np.ndarray]] = defaultdict(list)
    for face, vector in zip(rows, training.features.numpy(), strict=True):
        if not canonical or face.get("view") == "canonical":
            people[face["identity"]].append(vector)
    speakers = [data.people[name].get("speaker") or name for name in people]
    groups = grouped(list(people.values()), speakers)
    about = {"split": "train", "of": "faces", "faces": len(groups.features)}
    direction, who = "rendered" if canonical else "photo", Clusters(speakers)
    row = measured_row(
        who, "variance_between", lambda draws: components(groups, draws).between, about, direction=direction
    )
    if row.value is None or row.value <= ROUNDING:
        fix = "give a folder whose training people have faces"
        raise DatasetError("faces of several training people that differ", f"{len(people)} people", fix)
    try:
        probe, notes = fit_classifier(pipeline.face_encoder, pipeline.device, training, attributes=["gender"])
    except DatasetError as error:
        return Reference(row, groups.features.mean(0), None, (f"no gender_agreement: {error}",))
    return Reference(row, groups.features.mean(0), probe, tuple(notes))


def _said(pipeline: Speech2FacePipeline, lengths: Sequence[float]) -> list[str]:
    """How the figures are to be read."""
    shortest_s = pipeline.voice_encoder.min_seconds
    said = ["features are compared at unit length, which is what the decoder sees of them, up to a fixed factor"]
    if not pipeline.decoder.config.normalize_feature:
        said = ["features are compared at unit length; this decoder also sees their lengths"]
    if short := [f"{length:g}" for length in lengths if length < shortest_s]:
        said.append(f"parts of {', '.join(short)} s are repeated to {shortest_s:.3f} s, the encoder's shortest input")
    return said
