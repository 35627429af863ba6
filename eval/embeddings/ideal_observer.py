"""The ideal observer of simulated people: scores that nothing beats in the long run, for exactly those evaluated.

It knows the law that the people were drawn from and the latents of every voice, which a system has to hear from the
recording. Its score is the log-likelihood ratio log p(face | voice) - log p(face) of
`s2f.simulate.population.joint_law.Population`, which ranks the faces of independent people best. On a finite number of
people a system may do better by luck.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from eval.metrics.scores import CrossScores, TableScores
from s2f.datasets import DatasetFolder
from s2f.errors import DatasetError
from s2f.simulate.dataset.truth import latents_of, load_population
from s2f.simulate.population.face_statistics import BASIS

IDEAL = "ideal observer"
LATENTS = (
    *(f"voice_{name}" for name in ("gender", "age_class", "age_years", "pitch", "tract", "timbre")),
    *("gender", "age_years", "ethnic_mix_0", "ethnic_mix_1", "ethnic_mix_2"),
    *(f"planted_{name}" for name in BASIS),
)
"""Columns of truth.csv that `s2f.simulate.dataset.truth.latents_of` reads."""


def ideal_scores(data: DatasetFolder, identities: Sequence[str], split_hash: str) -> CrossScores:
    """Scores of every voice with every face of some simulated people; one of each a person.

    Args:
        data: the simulated dataset folder that the people come from.
        identities: J people.
        split_hash: of the dataset that was evaluated.

    Returns:
        Log-likelihood ratios, voices as probes.

    Raises:
        DatasetError: another dataset, or one without the truth or the law of these people.
    """
    if data.split_hash != split_hash:
        got = f"split hash {data.split_hash[:12]} in {data.root} and {split_hash[:12]}"
        raise DatasetError("the truth of the people evaluated", got, "give the dataset folder that was reconstructed")
    voices, faces = latents_of(data.truth(identities, *LATENTS))
    people = np.arange(len(identities))
    table = load_population(data.root).log_likelihood_ratio(voices, faces)
    return CrossScores(TableScores(table), people, people, len(people))


def recorded_recall(data: DatasetFolder, split: str, people: int) -> dict[int, float]:
    """What population.json says of the ideal observer's R@K from voice to face, if it is of as many people of a split.

    `s2f simulate` observes at most 2,000 people of the largest split; with fewer it must agree with `ideal_scores`.

    Args:
        data: a simulated dataset folder whose population.json could be read.
        split: of the people.
        people: how many there are.

    Returns:
        Recall by K, empty where it is of other people.
    """
    recorded = json.loads((data.root / "population.json").read_text(encoding="utf-8")).get("ideal", ())
    return {
        row["params"]["k"]: row["value"]
        for row in recorded
        if (row["metric"], row["direction"], row["group"]) == ("recall", "v2f", "U")
        and (row["params"].get("split"), row["n"]) == (split, people)
    }
