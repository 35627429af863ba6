"""Do planted correlations come back, and what does the ideal observer reach? Many populations drawn from one law.

    python benchmarks/planted_correlations.py DATA [--populations 20] [--people 3000]

DATA is a folder of `s2f simulate`; only the law in its population.json is used. Voices are drawn with normal latents,
so this shows the law without the accidents of the recordings. One population's r has a standard deviation of (1 - r^2)
/ sqrt(people) even if the law is exact; the last column says how often that leaves it within 0.03.
"""

from __future__ import annotations

import argparse

import numpy as np

from s2f.faces.craniofacial import MEASURES
from s2f.simulate.dataset.truth import load_population
from s2f.simulate.population.ideal_observer import ideal_figures
from s2f.simulate.population.joint_law import AGE_YEARS, CLASS_SHARES, Population, Voice
from s2f.simulate.population.solve import measure_matrix


def draw_voice(population: Population, rng: np.random.Generator) -> Voice:
    """A voice with normal latents."""
    age_class = str(rng.choice(list(CLASS_SHARES), p=list(CLASS_SHARES.values())))
    r = population.pitch_tract_correlation
    pitch, tract = rng.multivariate_normal((0, 0), ((1, r), (r, 1)))
    gender = "m" if rng.random() < population.men else "f"
    age = float(rng.uniform(*AGE_YEARS[age_class]))
    return Voice(gender, age_class, age, float(pitch), float(tract), float(rng.normal()))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--populations", type=int, default=20)
    parser.add_argument("--people", type=int, default=3000)
    options = parser.parse_args()
    population = load_population(options.data)
    wanted = population.sharing.resolved()
    found, reached = [], []
    for seed in range(options.populations):
        rng = np.random.default_rng(seed)
        voices = [draw_voice(population, rng) for _ in range(options.people)]
        faces = [population.draw_face(voice, rng) for voice in voices]
        expected = population.expected_log_measures(voices) @ measure_matrix().T
        drawn = np.stack([face.log_measures for face in faces]) @ measure_matrix().T
        found.append([np.corrcoef(expected[:, k], drawn[:, k])[0, 1] for k in range(len(MEASURES))])
        scores = population.log_likelihood_ratio(voices, faces)
        rows = ideal_figures(scores, np.array([voice.gender for voice in voices]))
        best = {r["group"]: r["value"] for r in rows if (r["direction"], r["params"]) == ("v2f", {"n_way": 2})}
        reached.append((best["U"], best["G"], np.exp(scores[~np.eye(len(scores), dtype=bool)]).mean()))
    found = np.array(found)
    print(f"{options.populations} populations of {options.people} people\n")
    print("| measure | planted | mean found | sd | within 0.03 |\n|---|---|---|---|---|")
    for k, name in enumerate(MEASURES):
        close = np.mean(np.abs(found[:, k] - wanted[name]) <= 0.03)
        print(f"| {name} | {wanted[name]:.2f} | {found[:, k].mean():.3f} | {found[:, k].std():.3f} | {close:.0%} |")
    overall, within, calibrated = np.mean(reached, 0)
    print(f"\nideal observer, 1:2 voice to face: {overall:.3f} overall, {within:.3f} within gender")
    print(f"mean likelihood ratio of wrong pairs: {calibrated:.3f} (1 if calibrated)")


if __name__ == "__main__":
    main()
