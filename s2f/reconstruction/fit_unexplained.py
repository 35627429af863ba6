"""Fit what the voice leaves open, and say how much of the face it explains.

`s2f weights fit-unexplained PIPELINE DATA` adds the part `unexplained` (see `s2f.reconstruction.unexplained`) to a
pipeline folder and prints the share of the variance of face features that the voice explains on the same people,
overall and within gender, with an interval from resampled speakers and with voices dealt to other speakers. Take people
that the voice encoder did not learn from.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float

from s2f import audio
from s2f.checkpoints import loading
from s2f.checkpoints.hashes import write_manifest
from s2f.datasets import DatasetFolder, by_identity
from s2f.errors import DatasetError
from s2f.faces.features import direction_means, face_features
from s2f.reconstruction.pipeline import Speech2FacePipeline
from s2f.reconstruction.unexplained import UnexplainedVariation, decoder_scale
from s2f.runtime.files import whole_folder, write_text

PART = "unexplained"
REPEATS = 500
GROUPS = {"U": "everybody", "G": "within gender", "f": "women", "m": "men"}


@dataclass(frozen=True)
class UnexplainedConfig:
    """Arguments of `s2f weights fit-unexplained`.

    Args:
        pipeline: checkpoint folder to add the part to.
        data: dataset folder.
        split: people whose faces are compared with their voices' predictions.
        rank: number of directions that vary.
        seconds: how much of each recording is heard.
    """

    pipeline: str
    data: str
    split: Literal["train", "val", "test"] = "val"
    rank: int = 32
    seconds: float = 6.0


@dataclass(frozen=True)
class HeldOut:
    """Features of people the voice encoder did not learn from, at the decoder's scale.

    Attributes:
        face: (N, D) mean direction of each person's pictures.
        predicted: (N, D) prediction from the person's first recording.
        gender: (N,) m, f or empty.
        speaker: (N,) whose voice it is.
    """

    face: Float[np.ndarray, "N D"]
    predicted: Float[np.ndarray, "N D"]
    gender: np.ndarray
    speaker: np.ndarray


@torch.inference_mode()
def held_out_features(pipeline: Speech2FacePipeline, data: DatasetFolder, split: str, seconds: float = 6.0) -> HeldOut:
    """True and predicted features of the people of one split; each person counts once.

    Args:
        pipeline: voice encoder, face encoder and decoder.
        data: dataset folder.
        split: whose features.
        seconds: how much of each recording is heard.

    Returns:
        The features of all people that have a voice and a face.

    Raises:
        DatasetError: fewer than three such people.
    """
    rate, normalize = pipeline.voice_encoder.sample_rate_hz, pipeline.decoder.config.normalize_feature
    first = {row["identity"]: row for row in reversed(data.voices(split))}
    pictures = by_identity(data.faces(split))
    names = [name for name in data.identities(split) if name in first and name in pictures]
    if len(names) < 3:
        raise DatasetError(f"three people with voice and face in {split}", f"{len(names)}", "take another split")
    recordings = {name: tuple(first[name].get(key, "") for key in ("path", "start_s", "duration_s")) for name in names}
    heard = {}
    for name, recording in recordings.items():
        if recording not in heard:
            clip = audio.load((data.voice(first[name], rate), rate), rate, seconds)
            encoded = pipeline.voice_encoder.encode(torch.from_numpy(clip.waveform)[None].to(pipeline.device))
            heard[recording] = decoder_scale(encoded[0].cpu(), normalize).double().numpy()
    paths = [data.path(row) for name in names for row in pictures[name]]
    ends = np.cumsum([len(pictures[name]) for name in names])
    groups = [range(end - len(pictures[name]), end) for name, end in zip(names, ends, strict=True)]
    faces = direction_means(face_features(pipeline.face_encoder, paths, pipeline.device), groups)
    return HeldOut(
        decoder_scale(faces, normalize).double().numpy(),
        np.stack([heard[recordings[name]] for name in names]),
        np.array([data.people[name].get("gender", "") for name in names]),
        np.array([data.people[name].get("speaker") or name for name in names]),
    )


def within(values: Float[np.ndarray, "N D"], groups: np.ndarray) -> Float[np.ndarray, "N D"]:
    """Subtract from (N, D) values the mean of their group, named by N labels."""
    _, number = np.unique(groups, return_inverse=True)
    means = np.stack([values[number == k].mean(0) for k in range(number.max() + 1)])
    return values - means[number]


def fit_slope(face: Float[np.ndarray, "N D"], predicted: Float[np.ndarray, "N D"]) -> float:
    """Slope of the least-squares line face = slope * predicted through the origin, one for all features.

    Args:
        face: (N, D) true features, centred.
        predicted: (N, D) predicted ones, centred.

    Returns:
        The slope; 0 where it would be negative or the predictions do not differ.
    """
    power = float(np.square(predicted).sum())
    return max(0.0, float((predicted * face).sum()) / power) if power else 0.0


def explained_share(face: Float[np.ndarray, "N D"], predicted: Float[np.ndarray, "N D"], groups: np.ndarray) -> float:
    """Share of the features' variance within groups that predictions explain: 1 - var(residual) / var(face).

    Args:
        face: (N, D) true features.
        predicted: (N, D) predicted ones; the residual is taken at their best slope.
        groups: N labels; each group has its own mean. One label for all: the overall share.

    Returns:
        From 0 to 1; NaN if the faces of each group are alike.
    """
    face, predicted = within(face, groups), within(predicted, groups)
    total, left = (float(np.square(x).sum()) for x in (face, face - fit_slope(face, predicted) * predicted))
    return 1 - left / total if total else float("nan")


def shares(people: HeldOut, repeats: int = REPEATS, seed: int = 0) -> dict[str, dict[str, float]]:
    """Explained share for each of `GROUPS`, its interval and its control.

    Args:
        people: true and predicted features.
        repeats: resamples of the speakers, and deals of their voices.
        seed: of both.

    Returns:
        For each group with at least three people `value`, `ci_low`, `ci_high` (2.5 and 97.5 % of the resamples),
        `shuffled` (mean over deals of the voices to other speakers; within gender, of the same gender) and `n`.
    """
    random = np.random.default_rng(seed)
    found = {}
    for group in GROUPS:
        member = np.isin(people.gender, ("f", "m") if group == "G" else group) | (group == "U")
        if member.sum() < 3:
            continue
        face, predicted, speaker = people.face[member], people.predicted[member], people.speaker[member]
        labels = people.gender[member] if group == "G" else np.full(len(face), group)
        names, first = np.unique(speaker, return_index=True)
        rows = [np.flatnonzero(speaker == name) for name in names]
        resampled, dealt = [], []
        for _ in range(repeats):
            drawn = np.concatenate([rows[k] for k in random.integers(0, len(names), len(names))])
            resampled.append(explained_share(face[drawn], predicted[drawn], labels[drawn]))
            other = np.empty_like(first)
            for label in np.unique(labels):
                alike = np.flatnonzero(labels[first] == label)
                other[alike] = first[random.permutation(alike)]
            voices = predicted[other[np.searchsorted(names, speaker)]]
            dealt.append(explained_share(face, voices, labels))
        low, high = np.nanquantile(resampled, (0.025, 0.975))
        value, control = explained_share(face, predicted, labels), float(np.mean(dealt))
        found[group] = {"value": value, "ci_low": low, "ci_high": high, "shuffled": control, "n": len(face)}
    return found


def add_unexplained(config: UnexplainedConfig) -> str:
    """Fit the part, write it into the pipeline folder and describe it.

    Args:
        config: what to fit on what.

    Returns:
        A table for people.

    Raises:
        CheckpointError: not a complete pipeline.
        S2fError: data that cannot be used, or a rank out of range.
    """
    folder = loading.resolve(config.pipeline)
    pipeline = Speech2FacePipeline.from_pretrained(folder)
    people = held_out_features(pipeline, DatasetFolder(config.data), config.split, config.seconds)
    one = np.zeros(len(people.face))
    slope = fit_slope(within(people.face, one), within(people.predicted, one))
    residuals = torch.from_numpy(people.face - slope * people.predicted)
    model = UnexplainedVariation.fit(residuals, config.rank, slope)
    with whole_folder(folder / PART) as partial:
        model.save_pretrained(partial)
    index = loading.read_json(folder / "model_index.json") | {PART: ["s2f", "UnexplainedVariation"]}
    write_text(folder / "model_index.json", json.dumps(index, indent=2, sort_keys=True) + "\n")
    write_manifest(folder)
    kept = float(model.factor.square().sum() / residuals.var(0).sum())
    lines = [
        f"{len(people.face)} people, {len(np.unique(people.speaker))} speakers of {config.split}; "
        f"slope {slope:.3f}; {config.rank} directions keep {kept:.1%} of the unexplained variance",
        "share of the variance of face features that the voice explains",
        f"{'group':15}{'share':>8}{'95 % interval':>20}{'shuffled':>10}{'n':>6}",
    ]
    for group, row in shares(people).items():
        interval = f"{row['ci_low']:.3f} to {row['ci_high']:.3f}"
        lines.append(f"{GROUPS[group]:15}{row['value']:8.3f}{interval:>20}{row['shuffled']:10.3f}{row['n']:6}")
    return "\n".join(lines)
