"""Tables of a simulated population: people, voices, faces, landmarks and the truth about them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from s2f.datasets import SPLITS, split_hash
from s2f.runtime.files import write_csv, write_text
from s2f.simulate.dataset.truth import population_report, truth_rows
from s2f.simulate.identity.identity import Identity, Plan, Source
from s2f.version import __version__

if TYPE_CHECKING:
    from s2f.simulate.dataset.config import SimulateConfig

STATEMENT = (
    "All faces are synthetic: computer-drawn from MakeHuman's CC0 head; nobody's face is shown. Voices are the "
    "given recordings, most of them changed in pitch, vocal-tract length, tempo and level; children and elders among "
    "them are made from adult speakers. What voice and face share was planted with the strengths in config.json and is "
    "not a finding about people. The ethnicity column names the largest of MakeHuman's three coarse poles and is not a "
    "human category."
)


@dataclass(frozen=True)
class Made:
    """One identity as written: itself, and landmarks of its canonical and wild pictures in their own pixels."""

    identity: Identity
    canonical: np.ndarray
    wild: list[np.ndarray]


def identity_name(number: int) -> str:
    """Name of an identity by its number.

    Args:
        number: from 0.

    Returns:
        A name such as "id00001".
    """
    return f"id{number:05d}"


def write_tables(
    out: Path, config: SimulateConfig, plan: Plan, sources: list[Source], splits: list[str], made: list[Made]
) -> None:
    """Write the tables, and dataset.json last of all.

    Args:
        out: dataset folder.
        config: the simulation's.
        plan: its law.
        sources: N recordings with their numbers.
        splits: N splits.
        made: N identities, in the same order.
    """
    names = [identity_name(source.number) for source in sources]
    identities = [m.identity for m in made]
    people = [
        (name, source.recording.gender, f"{i.face.age_years:.2f}", i.person.ethnicity, split, source.recording.speaker)
        for name, source, split, i in zip(names, sources, splits, identities, strict=True)
    ]
    write_csv(out / "people.csv", ("identity", "gender", "age", "ethnicity", "split", "speaker"), people)
    voices = [
        (name, f"voices/{name}.flac", Path(source.recording.path).stem)
        for name, source in zip(names, sources, strict=True)
    ]
    write_csv(out / "voices.csv", ("identity", "path", "video"), voices)
    _write_faces(out, names if config.pictures else [], made)
    landmarks = (np.stack([m.canonical for m in made]) + 0.5) * (224 / config.canonical_size_px) - 0.5
    truth = truth_rows(plan, sources, identities, landmarks)
    rows = [(name, *row.values()) for name, row in zip(names, truth, strict=True)]
    write_csv(out / "truth.csv", ("identity", *truth[0]), rows)
    report = population_report(plan, identities, landmarks, splits)
    write_text(out / "population.json", json.dumps(report, indent=1))
    summary = {
        "s2f": __version__,
        "seed": config.seed,
        "identities": len(made),
        "views": config.views if config.pictures else 0,
        "splits": {split: splits.count(split) for split in SPLITS},
        "split_hash": split_hash({"identity": n, "split": s} for n, s in zip(names, splits, strict=True)),
        "statement": STATEMENT,
    }
    write_text(out / "dataset.json", json.dumps(summary, indent=2))


def _write_faces(out: Path, names: list[str], made: list[Made]) -> None:
    """Write faces.csv and landmarks.csv."""
    rows = [(name, f"canonical/{name}.png", "canonical") for name in names]
    points = [m.canonical for m in made][: len(names)]
    for name, m in zip(names, made, strict=False):
        rows += [(name, f"wild/{name}/{view}.jpg", "wild") for view in range(len(m.wild))]
        points += m.wild
    write_csv(out / "faces.csv", ("identity", "path", "view"), rows)
    header = ["path", *(f"{axis}{i}" for i in range(68) for axis in "xy")]
    lines = [(row[1], *(f"{x:.2f}" for x in p.ravel())) for row, p in zip(rows, points, strict=True)]
    write_csv(out / "landmarks.csv", header, lines)
