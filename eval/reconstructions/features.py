"""Predicted against true face features: how far apart they are, and whose face they find.

Paper: Oh et al., "Speech2Face" (CVPR 2019), section 5.1, Tables 2 and 3: cosine angle, L2 and L1 between the feature
predicted from 3 s or 6 s of a voice and that of the speaker's picture, mean ± standard deviation over 5,000 samples
(± 5.09 degrees is far too wide for an error of the mean); and R@K of the predicted feature among those of pictures.

What the paper leaves open:

- The scale of the features in Table 2. Unit vectors at 45.75 degrees are 0.78 apart; it prints 0.18. A vector at that
  angle to another is at least sin 45.75° = 0.72 of its length away, so if 0.18 is a Euclidean distance, features are at
  most about 0.25 long; the text does not say how they were scaled. Here L2 and L1 are of unit-length features (params
  `scale`): they compare across encoders, not with the paper's.
- The scale in Table 3. There L2 finds other faces than the cosine does (R@1 of 8.28 and 10.92 % at 6 s), which it could
  not if the pictures' features were of one length. So L2 and L1 are here of the features as they are ("raw").
- The gallery. It is said to hold 5,000 pictures, but chance is printed as K %: 100 in effect. R@K is given for the full
  gallery and, in closed form, for random galleries of 100.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from eval.embeddings.folder import read_embeddings
from eval.embeddings.human_baselines import SPEECH2FACE_ANGLE_DEG, SPEECH2FACE_RECALL
from eval.embeddings.ideal_observer import IDEAL, ideal_scores, recorded_recall
from eval.embeddings.retrieval import figure_rows, retrieve
from eval.metrics.clusters import Clusters, mean_row, people_clusters
from eval.metrics.permutations import speaker_derangement
from eval.metrics.random_galleries import NAMED_GALLERIES
from eval.metrics.scores import CrossScores, Metric, VectorScores, unit
from eval.reconstructions.folder import CONTROLS, FIX, Reconstructions, seconds_name
from eval.results import Report, Row
from s2f.datasets import DatasetFolder
from s2f.errors import DatasetError

PROTOCOL = "features/1"
KS = (1, 2, 5, 10)
METRICS: tuple[Metric, ...] = ("cosine", "l2", "l1")
ONE_LENGTH = 1e-3  # relative spread of lengths below which features are said to be of one length
HUNDRED = next(gallery for gallery in NAMED_GALLERIES if gallery.name == "Speech2Face 2019, 100")


class FeaturePairs(NamedTuple):
    """(J, D) float64 predicted and true features of J people, in the order of the folder's people."""

    predicted: Float[np.ndarray, "J D"]
    true: Float[np.ndarray, "J D"]


def read_pairs(folder: Reconstructions, name: str) -> FeaturePairs:
    """Read one of the folders of features.

    Args:
        folder: a reconstructions folder.
        name: which features, see `Reconstructions.features`.

    Returns:
        One pair a person.

    Raises:
        DatasetError: features that are missing or cannot be used, see `eval.embeddings.folder.read_embeddings`; or not
            exactly one predicted and one true feature of everybody.
    """
    path = folder.features(name)
    embeddings = read_embeddings(path, "cosine")
    sides = embeddings.voice, embeddings.face
    people = np.arange(len(folder.people))
    whole = all(np.array_equal(np.sort(side.identity), people) for side in sides)
    if embeddings.notes or embeddings.identities != tuple(folder.people) or not whole:
        counts = f"{len(sides[0].identity)} and {len(sides[1].identity)} of {len(embeddings.identities)} people"
        got = "; ".join([counts, *embeddings.notes])
        expected = f"one voice and one face of each of the {len(people)} people of people.csv in {path}"
        raise DatasetError(expected, got, FIX)
    predicted, true = (np.asarray(side.vectors, np.float64)[np.argsort(side.identity)] for side in sides)
    return FeaturePairs(predicted, true)


def distances(pairs: FeaturePairs) -> dict[str, Float[np.ndarray, " J"]]:
    """How far apart the two features of everybody are.

    Args:
        pairs: of J people, no feature zero.

    Returns:
        `cosine_angle_deg` in 0..180; `l2` in 0..2 and `l1` of the features made unit-length.
    """
    a, b = unit(pairs.predicted), unit(pairs.true)
    apart, together = np.linalg.norm(a - b, axis=1), np.linalg.norm(a + b, axis=1)
    angle = np.degrees(2 * np.arctan2(apart, together))  # exact for small angles too, unlike the arc cosine
    return {"cosine_angle_deg": angle, "l2": apart, "l1": np.abs(a - b).sum(1)}


def evaluate(
    folder: Reconstructions, truth: DatasetFolder | None = None, seed: int = 0, control: bool = True
) -> Report:
    """Tables 2 and 3 of Speech2Face for a reconstructions folder.

    Controls, all at the longest of the lengths: the predicted feature of another speaker ("shuffled"), one feature for
    everybody ("mean") and that of the nearest training face ("nearest").

    Args:
        folder: with features predicted from one or more lengths of voice.
        truth: simulated dataset folder of the people; adds the ideal observer's recall.
        seed: of the derangement of speakers, see `speaker_derangement`.
        control: also evaluate the controls.

    Returns:
        `cosine_angle_deg`, `l2`, `l1` by length and control, their differences between the longest and the shortest
        length (`..._difference`), and `recall` by length, way of comparing (`by`) and gallery.

    Raises:
        DatasetError: features that are missing or do not fit the people, or another dataset's truth.
    """
    who, longest = people_clusters(folder.people), folder.seconds[-1]
    heard = {seconds: read_pairs(folder, seconds_name(seconds)) for seconds in folder.seconds}
    others = _controls(folder, heard[longest], who, seed) if control else {}
    rows = [row for seconds, pairs in heard.items() for row in _distance_rows(pairs, who, {"seconds": seconds})]
    rows += _difference_rows(folder.seconds, heard, who)
    for name, pairs in others.items():
        rows += _distance_rows(pairs, who, {"seconds": longest, "control": name})
    for seconds, pairs in heard.items():
        for metric in METRICS:
            rows += _recall_rows(_cross(pairs, metric), who, _by(metric) | {"seconds": seconds})
    for name, pairs in others.items():
        rows += _recall_rows(_cross(pairs, "cosine"), who, _by("cosine") | {"seconds": longest, "control": name})
    if truth is not None:
        rows += _ideal_rows(folder, truth, who)
    return Report(PROTOCOL, folder.about["split_hash"], rows, _notes(folder, heard[longest], who))


def _controls(folder: Reconstructions, pairs: FeaturePairs, who: Clusters, seed: int) -> dict[str, FeaturePairs]:
    shuffled = pairs._replace(predicted=pairs.predicted[speaker_derangement(who.numbers, seed)])
    return {"shuffled": shuffled, **{name: read_pairs(folder, name) for name in CONTROLS[::-1]}}


def _distance_rows(pairs: FeaturePairs, who: Clusters, params: Mapping[str, Any]) -> Iterator[Row]:
    for metric, values in distances(pairs).items():
        more = dict(params) if metric == "cosine_angle_deg" else {**params, "scale": "unit"}
        if metric == "cosine_angle_deg" and "control" not in params and params["seconds"] in SPEECH2FACE_ANGLE_DEG:
            more["published"] = SPEECH2FACE_ANGLE_DEG[params["seconds"]]
        yield mean_row(metric, "v2f", values, who, more)


def _difference_rows(lengths: tuple[float, ...], heard: Mapping[float, FeaturePairs], who: Clusters) -> Iterator[Row]:
    """The longest length minus the shortest, for the same people; below 0 where hearing more helps."""
    if len(lengths) < 2:
        return
    short, long = (distances(heard[lengths[place]]) for place in (0, -1))
    for metric, values in long.items():
        params = {"seconds": f"{lengths[-1]:g} - {lengths[0]:g}"}
        params |= {} if metric == "cosine_angle_deg" else {"scale": "unit"}
        yield mean_row(f"{metric}_difference", "v2f", values - short[metric], who, params)


def _by(metric: Metric) -> dict[str, Any]:
    return {"by": metric} if metric == "cosine" else {"by": metric, "scale": "raw"}


def _cross(pairs: FeaturePairs, metric: Metric) -> CrossScores:
    people = np.arange(len(pairs.true))
    return CrossScores(VectorScores(pairs.predicted, pairs.true, metric), people, people, len(people))


def _recall_rows(cross: CrossScores, who: Clusters, more: Mapping[str, Any]) -> Iterator[Row]:
    """R@K in the full gallery and in galleries of 100, with the paper's figure where it is of the same kind."""
    galleries = (HUNDRED,) if cross.people >= HUNDRED.size else ()
    for row in figure_rows(cross, retrieve(cross, KS, galleries), "v2f", who, "identities", more):
        place = more.get("seconds"), more["by"], row.params.get("k")
        if row.metric != "recall":
            continue
        if row.params["gallery"] == HUNDRED.name and "control" not in more and place in SPEECH2FACE_RECALL:
            row = replace(row, params={**row.params, "published": SPEECH2FACE_RECALL[place]})
        yield row


def _ideal_rows(folder: Reconstructions, truth: DatasetFolder, who: Clusters) -> Iterator[Row]:
    """The ideal observer's recall, beside what population.json says of it."""
    cross = ideal_scores(truth, tuple(folder.people), folder.about["split_hash"])
    recorded = recorded_recall(truth, folder.about["split"], cross.people)
    for row in _recall_rows(cross, who, {"by": IDEAL}):
        known = row.params["gallery"] == "all" and row.params["k"] in recorded
        yield (
            replace(row, params={**row.params, "recorded": float(f"{recorded[row.params['k']]:.4g}")}) if known else row
        )


def _notes(folder: Reconstructions, pairs: FeaturePairs, who: Clusters) -> list[str]:
    notes = []
    if left_out := len(folder.about.get("left_out", ())):
        notes.append(f"{left_out} people left out when the folder was written, see reconstructions.json")
    lengths = [np.linalg.norm(side, axis=1) for side in pairs]
    ratio = float(np.median(lengths[0] / lengths[1]))
    one_length = np.ptp(lengths[1]) <= ONE_LENGTH * lengths[1].mean()
    notes.append(
        f"predicted features are {ratio:.3g} times as long as the true ones in the median ({folder.seconds[-1]:g} s); "
        + ("true ones are all of one length, so l2 finds what cosine finds" if one_length else "l2 and l1 depend on it")
    )
    if len(pairs.true) < HUNDRED.size:
        notes.append(f"no galleries of {HUNDRED.size}: there are {len(pairs.true)} people")
    if who.name == "speakers":
        notes.append(f"{len(pairs.true)} people of {who.count} speakers: intervals redraw speakers")
    return notes
