"""Correlation of the twelve craniofacial measures of two pictures of the same person, Speech2Face's Fig. 5c.

Paper: Oh et al., "Speech2Face: Learning the Face Behind a Voice" (CVPR 2019), section 5.1 and Fig. 5: Pearson's r, over
1,000 test people, of measures of the face decoded from the photo's feature (F2F) with those of the face drawn from the
voice (S2F), and one figure for random pairs (nasal index, .02). Deviations and additions: landmarks are not DEST's (see
`s2f.faces.landmarks`); the indices of the landmarks and nose area, which the paper does not define, are those of
`s2f.faces.craniofacial`; every figure has Fisher's interval and a p-value adjusted for twelve tests at once (Benjamini
and Hochberg, 1995), random pairs are given for every measure, and sizes also in units of the inter-ocular distance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from eval.craniofacial.pairs import PointPairs, point_pairs, with_speakers, write_tables
from eval.craniofacial.plots import draw_examples, draw_scatter
from eval.faces.pictures import Pairs
from eval.metrics.correlation import MIN_PEOPLE, correlation
from eval.metrics.correlation_families import family_rows, rank_rows, undefined
from eval.metrics.intervals import share_row
from eval.metrics.permutations import speaker_derangement
from eval.results import Report, Row
from s2f.datasets import DatasetFolder, numbers, split_hash
from s2f.errors import DatasetError, UsageError
from s2f.faces.craniofacial import (
    MEASURES,
    PUBLISHED_CORRELATIONS,
    alternative_measures,
    craniofacial_measures,
    normalised_measures,
)
from s2f.runtime.files import write_text, writing

PROTOCOL = "craniofacial/1"
MAIN, SHUFFLED = "main", "shuffled"  # names of sets of pairs that no control may have
INDICES_NOTE = "the five indices do not depend on a face's size and are not repeated with normalised=inter-ocular"
SPEAKERS_NOTE = "p, q and Fisher's interval take them for independent, by_speaker does not"
SENSITIVITY_NOTE = (
    "other readings (alternative) and rank correlations are not adjusted for several tests: they have no q"
)


class Truth(NamedTuple):
    """Of N simulated people: measures of the `mesh`, and logarithms `expected` from the voice; both (N,) by name."""

    mesh: Mapping[str, np.ndarray]
    expected: Mapping[str, np.ndarray]


def truth_speakers(data: DatasetFolder, pairs: Pairs) -> list[str]:
    """Speaker of each pair; where people.csv names none, the identity itself.

    Args:
        data: simulated dataset folder.
        pairs: named by identity.

    Returns:
        In the order of the pairs.

    Raises:
        DatasetError: somebody is not in the folder.
    """
    names = [pair.name for pair in pairs.pairs]
    if unknown := [name for name in names if name not in data.people]:
        got = f"{unknown[0]!r} and {len(unknown) - 1} others who are not"
        raise DatasetError(f"pairs named like people of {data.root}", got, "give the folder the pairs were drawn from")
    return [data.people[name].get("speaker") or name for name in names]


def read_truth(data: DatasetFolder, names: Sequence[str]) -> Truth:
    """Truth of simulated people.

    Args:
        data: simulated dataset folder.
        names: identities.

    Returns:
        In the order of the names.

    Raises:
        DatasetError: truth is missing, or of somebody.
    """
    rows = data.truth(names, *(f"mesh_{name}" for name in MEASURES))
    mesh = {name: numbers(rows, f"mesh_{name}", positive=True) for name in MEASURES}
    return Truth(
        mesh, {name: numbers(rows, f"expected_{name}") for name in MEASURES if rows[0].get(f"expected_{name}")}
    )


def planted(truth: Truth) -> dict[str, float]:
    """Correlation of the logarithm of each mesh measure with its expectation: about what the best answer reaches."""
    pairs = {name: (np.log(truth.mesh[name]), expected) for name, expected in truth.expected.items()}
    return {name: round(correlation(*sides).r, 3) for name, sides in pairs.items() if not undefined(*sides)}


def craniofacial_rows(
    a: Float[np.ndarray, "N 68 2"],
    b: Float[np.ndarray, "N 68 2"],
    speakers: np.ndarray,
    truth: Truth | None = None,
    sensitivity: bool = False,
    seed: int = 0,
) -> list[Row]:
    """Correlate the measures of N pairs of faces: as they are, by inter-ocular distance, and of random pairs.

    `params` have the measure, `normalised` ("no" or "inter-ocular"), p, q (p adjusted for the measures of the same
    family) and whether q is at most 5 %; `shuffled`, low, mean and high of the middle 95 % of 1,000 random pairings;
    where people share a speaker `by_speaker`, the 95 % interval when whole speakers are drawn anew (the row's own takes
    people for independent); in the first family `published`, the paper's r, and with a truth `planted`. The five
    indices do not depend on a face's size and so are not in the second family. Where a side has no variance the value
    is None and takes no part in the adjustment.

    Args:
        a: (N, 68, 2) landmarks of one side (F2F), N at least 4.
        b: (N, 68, 2) of the other (S2F), of the same people.
        speakers: (N,) real speaker of each person.
        truth: of the same people.
        sensitivity: add other readings of the measures (`alternative`) and, as `spearman_r`, rank correlations, which
            a few faces with misplaced landmarks do not move much. Neither takes part in an adjustment.
        seed: of random pairs and draws.

    Returns:
        By family and, within it, in the order of the paper's table.
    """
    x, y = _measures(a), _measures(b)
    beside: dict[str, dict[str, float]] = {name: {"published": PUBLISHED_CORRELATIONS[name]} for name in MEASURES}
    for name, value in ({} if truth is None else planted(truth)).items():
        beside[name]["planted"] = value
    rows = family_rows(x, y, {"normalised": "no"}, speakers, seed)
    rows = [replace(row, params={**row.params, **beside[row.params["measure"]]}) for row in rows]
    sizes = normalised_measures(a), normalised_measures(b)
    rows += family_rows(*sizes, {"normalised": "inter-ocular"}, speakers, seed)
    order = speaker_derangement(speakers, seed)
    other = {name: values[order] for name, values in y.items()}
    rows += family_rows(x, other, {"normalised": "no", "control": SHUFFLED}, None, seed)
    return rows + (sensitivity_rows(a, b, speakers, seed) if sensitivity else [])


def control_rows(
    a: Float[np.ndarray, "N 68 2"], b: Float[np.ndarray, "N 68 2"], speakers: np.ndarray, control: str, seed: int = 0
) -> list[Row]:
    """Correlate the measures of N faces with those of pictures that know nothing of the voice, or less.

    Args:
        a: (N, 68, 2) landmarks.
        b: (N, 68, 2) of the control's pictures.
        speakers: (N,) real speaker of each person.
        control: its name, in `params`.
        seed: of random pairs and draws.

    Returns:
        A row a measure, a family of their own; see `craniofacial_rows`.
    """
    return family_rows(_measures(a), _measures(b), {"normalised": "no", "control": control}, speakers, seed)


def sensitivity_rows(
    a: Float[np.ndarray, "N 68 2"], b: Float[np.ndarray, "N 68 2"], speakers: np.ndarray, seed: int = 0
) -> list[Row]:
    """Other readings of the measures, then rank correlations of the usual ones; see `craniofacial_rows`.

    Args:
        a: (N, 68, 2) landmarks.
        b: (N, 68, 2) of the same people.
        speakers: (N,) real speaker of each person.
        seed: of random pairs and draws.

    Returns:
        A row a reading, then a row a measure.
    """
    plain = {"normalised": "no"}
    rows = family_rows(alternative_measures(a), alternative_measures(b), plain, speakers, seed, adjust=False)
    return rows + rank_rows(_measures(a), _measures(b), plain, speakers, seed)


def _measures(points: Float[np.ndarray, "N 68 2"]) -> dict[str, Float[np.ndarray, " N"]]:
    values = craniofacial_measures(points)
    return {name: values[name] for name in MEASURES}


def evaluate(
    pairs: Pairs,
    landmarks: str = "starter",
    out: Path | None = None,
    controls: Mapping[str, Pairs] | None = None,
    truth: DatasetFolder | None = None,
    seed: int = 0,
    sensitivity: bool = False,
    examples: int = 12,
) -> Report:
    """Find landmarks in pairs of pictures and correlate their measures.

    Args:
        pairs: F2F as A, S2F as B, or any two pictures of the same people.
        landmarks: "starter", "dlib", "dlib-hog" or a folder, see `s2f.faces.landmarks.landmark_detector`.
        out: folder for `craniofacial.json` (the report), `measures.csv`, `pairs.csv`, the scatter plots, the examples
            and the landmarks found, so that an interrupted run goes on; None writes nothing.
        controls: pairs of the same A with a control's pictures, by the control's name.
        truth: simulated dataset folder whose identities are the names of the pairs; gives `planted` and the speakers.
        seed: of random pairs, draws and the choice of examples.
        sensitivity: add other readings of the measures and rank correlations.
        examples: number of pairs shown.

    Returns:
        See `craniofacial_rows`; before it `landmarks_found`, the share of pairs that could be used, and after it the
        controls. All that was left out or changed is counted in the notes; names without a partner are in no n.

    Raises:
        DatasetError: fewer than four pairs or speakers to compare; or truth is missing.
        UsageError: a control named like the shuffled pairs.
        S2fError: see `eval.faces.landmarks.find_landmarks`.
    """
    sets = {MAIN: pairs, **(controls or {})}
    if MAIN in (controls or {}) or SHUFFLED in sets:
        raise UsageError(f"controls not named {MAIN} or {SHUFFLED}", ", ".join(controls or {}), "rename the folder")
    if truth is not None:
        sets = {name: with_speakers(one, truth_speakers(truth, one)) for name, one in sets.items()}
    return report_on(point_pairs(sets, landmarks, out), landmarks, out, truth, seed, sensitivity, examples)


def report_on(
    seen: Mapping[str, PointPairs],
    landmarks: str,
    out: Path | None,
    truth: DatasetFolder | None = None,
    seed: int = 0,
    sensitivity: bool = False,
    examples: int = 12,
    people_hash: str | None = None,
    notes: Sequence[str] = (),
) -> Report:
    """What `evaluate` does once the landmarks are found.

    Args:
        seen: the pairs under the name `MAIN`, and the controls' by theirs.
        landmarks: what found them.
        out: see `evaluate`.
        truth: see `evaluate`.
        seed: see `evaluate`.
        sensitivity: see `evaluate`.
        examples: see `evaluate`.
        people_hash: split hash of the people, where it is known; None takes the truth's, else that of the names.
        notes: what was left out already.

    Returns:
        See `evaluate`.

    Raises:
        DatasetError: fewer than four pairs or speakers to compare; or truth is missing.
    """
    if out is not None:
        with writing(out):
            out.mkdir(parents=True, exist_ok=True)
            write_tables(out, seen)
    report = _report(seen, truth, seed, sensitivity)
    rows = [replace(row, params={**row.params, "landmarks": landmarks}) for row in report.rows]
    said = [*report.notes, *notes]
    report = replace(report, split_hash=people_hash or report.split_hash, rows=rows, notes=said)
    if out is not None:
        with writing(out):
            write_text(out / "craniofacial.json", report.json() + "\n")
            draw_scatter(report, seen[MAIN], out)
            draw_examples(seen[MAIN], out, examples, seed)
    return report


def _report(seen: Mapping[str, PointPairs], truth: DatasetFolder | None, seed: int, sensitivity: bool) -> Report:
    notes = []
    for name, one in seen.items():
        said = one.notes()
        notes += said if name == MAIN else [f"control {name}: {note}" for note in said]
        if len(np.unique(one.speakers)) < MIN_PEOPLE:
            got = f"{len(np.unique(one.speakers))} ({'; '.join(said)})"
            raise DatasetError(f"usable pairs of {MIN_PEOPLE} different speakers", got, "add pairs")
    main = seen[MAIN]
    used = np.isin([pair.name for pair in main.pairs.pairs], [pair.name for pair in main.used])
    known = None if truth is None else read_truth(truth, [pair.name for pair in main.used])
    rows = [share_row("landmarks_found", "f2s", "U", used, None, {})]
    rows += craniofacial_rows(main.points("a"), main.points("b"), main.speakers, known, sensitivity, seed)
    for name, one in seen.items():
        if name != MAIN:
            rows += control_rows(one.points("a"), one.points("b"), one.speakers, name, seed)
    notes.append(INDICES_NOTE)
    if (speakers := len(np.unique(main.speakers))) < len(main.speakers):
        notes.append(f"{len(main.speakers)} pairs of {speakers} speakers: {SPEAKERS_NOTE}")
    if sensitivity:
        notes.append(SENSITIVITY_NOTE)
    people = ({"identity": pair.name, "split": ""} for pair in main.pairs.pairs)
    return Report(PROTOCOL, split_hash(people) if truth is None else truth.split_hash, rows, notes)
