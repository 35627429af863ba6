"""How far do small twins of the matching systems get, compared with the ideal observer of a simulated population?

    python benchmarks/matching_twins.py DATA OUT

trains, where OUT does not have them yet, the small encoders and the four small systems (s2f/recipes/small) on the
training people of DATA, and prints for its test people the exact two-way accuracy of each system, everybody and within
gender, with the share of the ideal observer's advantage over chance. One voice a person, the first 10 s; one face,
canonical or the first wild view. Intervals: 95 %, readers drawn anew 1,000 times with all people made from them.
`shuffled`: the same system with voices dealt to other people. `heard`: an observer who knows the faces and the law
perfectly, but of the voices only what linear probes, fitted on training people, find in the system's voice features:
gender, age class, pitch, tract, timbre.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.preprocessing import StandardScaler

from eval.metrics.bootstrap import bootstrap_accuracy
from eval.metrics.two_way import WinTable
from s2f.datasets import DatasetFolder, Row, by_identity
from s2f.faces.images import load_image
from s2f.matching.model import MatchingModel, directions
from s2f.matching.two_way import accuracy, win_shares, wins_of
from s2f.simulate.dataset.truth import latents_of, load_population
from s2f.simulate.population.joint_law import AGE_YEARS, Voice

CHECKOUT = Path(__file__).resolve().parents[1]
TWINS = {
    "svhf": ("voice_vgg_m", "face_vgg_m"),
    "kim2018": ("voice_soundnet", "face_vgg16"),
    "trinet": ("voice_thin_resnet", "face_ir"),
    "wen2021": ("voice_thin_resnet", "face_ir"),
}
SCRIPTS = {"voice": "train_voice", "face": "train_face"}


def train(stage: str, data: Path, out: Path, weights: Mapping[str, Path]) -> float:
    """Train a stage unless it is there; returns its seconds, validation included."""
    kind = stage.partition("_")[0]
    result = out / stage / ("model" if stage in TWINS else f"{kind}_encoder")
    if not result.is_dir():
        words = [sys.executable, str(CHECKOUT / f"{SCRIPTS.get(kind, 'train_matching')}.py"), "--cpu", "true"]
        words += ["--config", str(CHECKOUT / "s2f/recipes/small" / f"{stage}.yaml")]
        words += ["--data", str(data), "--output_dir", str(out / stage)]
        words += [word for name, folder in weights.items() for word in (f"--{name}_weights", str(folder))]
        with (out / f"{stage}.log").open("w") as log:
            subprocess.run(words, check=True, stdout=log, stderr=log)
    logs = [out / stage / "log.jsonl", out / stage / "weighting" / "log.jsonl"]
    rows = [[json.loads(line) for line in log.read_text().splitlines()] for log in logs if log.is_file()]
    return sum(max(row.get("seconds", 0.0) for row in found) for found in rows)


def features(
    model: MatchingModel, data: DatasetFolder, people: list[str]
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Voice features of people, and their face features by view."""
    faces = by_identity(data.faces("test"))
    with torch.inference_mode():
        seen = {
            view: torch.cat(
                [_feature(model, data, next(row for row in faces[name] if row["view"] == view)) for name in people]
            )
            for view in ("canonical", "wild")
        }
    return _voices(model, data, people), seen


@torch.inference_mode()
def _voices(model: MatchingModel, data: DatasetFolder, people: list[str]) -> torch.Tensor:
    rate, voices = model.voice_encoder.sample_rate_hz, by_identity(data.voices("train", "test"))
    return torch.cat(
        [model.voice_features(model.heard(data.voice(voices[name][0], rate)), rate) for name in people]
    ).clone()


def _feature(model: MatchingModel, data: DatasetFolder, row: Row) -> torch.Tensor:
    return model.face_features(model.face_encoder.prepare(load_image(data.path(row))[None]))


def interval(wins: torch.Tensor, allowed: torch.Tensor, speakers: np.ndarray) -> tuple[float, float]:
    """95 % of the accuracy when speakers, and with them people as probes and candidates, are drawn anew."""
    table = wins.double().numpy().copy()
    np.fill_diagonal(table, 0.0)
    ones = np.ones(len(table), np.int64)
    found = WinTable(table, ones, ones)
    return bootstrap_accuracy(found, "identities", "identities", allowed.numpy(), speakers)


def heard_scores(model: MatchingModel, data: DatasetFolder, people: list[str], voice: torch.Tensor) -> np.ndarray:
    """Log-likelihood ratio of every true face given what linear probes find in the voice features."""
    training = data.identities("train")
    known, (_, faces) = data.truth(training), latents_of(data.truth(people))
    scaler = StandardScaler().fit(heard := _voices(model, data, training).numpy())
    seen, asked = scaler.transform(heard), scaler.transform(voice.numpy())
    latents = {}
    for name in ("pitch", "tract", "timbre"):
        probe = RidgeCV(np.logspace(1, 5, 9)).fit(seen, [float(row[f"voice_{name}"]) for row in known])
        latents[name] = probe.predict(asked)
    gender, age = (
        LogisticRegression(C=0.05, max_iter=500).fit(seen, [row[f"voice_{name}"] for row in known])
        for name in ("gender", "age_class")
    )
    chances = gender.predict_proba(asked), age.predict_proba(asked)
    population, likelihood = load_population(data.root), np.zeros((len(people), len(people)))
    for k, one in enumerate(gender.classes_):
        for j, other in enumerate(age.classes_):
            middle = sum(AGE_YEARS[other]) / 2
            voices = [
                Voice(one, other, middle, *(float(latents[name][i]) for name in latents)) for i in range(len(people))
            ]
            ratio = np.exp(population.log_likelihood_ratio(voices, faces))
            likelihood += ratio * (chances[0][:, k] * chances[1][:, j])[:, None]
    return np.log(likelihood)


def observer_wins(scores: np.ndarray) -> dict[str, torch.Tensor]:
    """Share of won trials of an observer, by direction, from the scores of every voice with every face."""
    table = torch.from_numpy(scores)
    return {"v2f": wins_of(table), "f2v": wins_of(table.T)}


def lines(twin: str, model: MatchingModel, data: DatasetFolder, people: list[str]) -> Iterator[str]:
    """Rows of the table for one system."""
    genders = np.array([row["voice_gender"] for row in data.truth(people)])
    speakers = np.unique([data.people[name]["speaker"] for name in people], return_inverse=True)[1]
    groups = {"U": torch.ones(len(people), len(people), dtype=torch.bool)}
    groups["G"] = torch.from_numpy(genders[:, None] == genders)
    ideal = observer_wins(load_population(data.root).log_likelihood_ratio(*latents_of(data.truth(people))))
    shuffled = torch.from_numpy(np.random.default_rng(1).permutation(len(people)))
    voice, faces = features(model, data, people)
    heard = observer_wins(heard_scores(model, data, people, voice))
    for view, face in faces.items():
        for direction in directions(model):
            wins = win_shares(model.head, voice, face, direction)
            control = win_shares(model.head, voice[shuffled], face, direction)
            for group, allowed in groups.items():
                tables = (wins, ideal[direction], heard[direction], control)
                value, best, probed, chance = (accuracy(table, allowed)[0] for table in tables)
                low, high = interval(wins, allowed, speakers)
                cells = (twin, direction, group, view, f"{value:.3f}", f"{low:.3f} to {high:.3f}", f"{best:.3f}")
                cells += (f"{(value - 0.5) / (best - 0.5):.0%}", f"{probed:.3f}", f"{chance:.3f}")
                yield "| " + " | ".join(cells) + " |"


def main() -> None:
    """Train what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="simulated dataset folder")
    parser.add_argument("out", type=Path, help="folder for the runs")
    parser.add_argument("--twins", nargs="+", default=list(TWINS), choices=list(TWINS))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    data = DatasetFolder(options.data)
    people = data.identities("test")
    print(f"{len(people)} test people of {len({row['speaker'] for row in data.truth(people)})} readers")
    print("| system | direction | group | face | accuracy | 95 % | ideal | of its advantage | heard | shuffled |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    minutes = {}
    for twin in options.twins:
        stages = {stage.partition("_")[0]: stage for stage in TWINS[twin]}
        spent = {stage: train(stage, options.data, options.out, {}) for stage in stages.values()}
        folders = {side: options.out / stage / f"{side}_encoder" for side, stage in stages.items()}
        spent[twin] = train(twin, options.data, options.out, folders)
        minutes[twin] = spent
        model = MatchingModel.from_pretrained(options.out / twin / "model")
        for line in lines(twin, model, data, people):
            print(line, flush=True)
    for twin, spent in minutes.items():
        parts = ", ".join(f"{stage} {seconds / 60:.1f}" for stage, seconds in spent.items())
        print(f"{twin}: {sum(spent.values()) / 60:.1f} min of training one after the other ({parts})")


if __name__ == "__main__":
    main()
