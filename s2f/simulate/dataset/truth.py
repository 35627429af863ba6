"""What is known about a simulated population: every latent of everybody, and what the law gives here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from s2f.errors import DatasetError
from s2f.faces.craniofacial import MEASURES, craniofacial_measures
from s2f.simulate.head.makehuman import POLES
from s2f.simulate.identity.identity import Identity, Plan, Source
from s2f.simulate.population.face_statistics import BASIS
from s2f.simulate.population.ideal_observer import ideal_figures
from s2f.simulate.population.joint_law import Face, Population, Sharing, Voice
from s2f.simulate.population.solve import measure_matrix

OBSERVED = 2000
_STREAM = 6


def expected_measures(population: Population, voices: Sequence[Voice]) -> dict[str, np.ndarray]:
    """Expectation of the log measures given the voice.

    Args:
        population: the joint law.
        voices: V voices.

    Returns:
        (V,) by name: the twelve measures, and face height as the sum of its three parts on the midline.
    """
    expected = population.expected_log_measures(voices)
    result = dict(zip(MEASURES, measure_matrix() @ expected.T, strict=True))
    result["nose_area"] = result["nose_area"] - np.log(2)
    parts = {name: np.exp(expected[:, i]) for i, name in enumerate(BASIS)}
    height = parts["nose_height"] + parts["upper_lip_height"] + parts["mandibular_index"] * parts["jaw_width"]
    return result | {"face_height": np.log(height)}


def truth_rows(
    plan: Plan, sources: Sequence[Source], identities: Sequence[Identity], landmarks: np.ndarray
) -> list[dict[str, object]]:
    """Everything that each identity was made from.

    Args:
        plan: what all identities are made from.
        sources: what each is made from.
        identities: N identities.
        landmarks: (N, 68, 2) canonical landmarks in pixels of a 224 px picture.

    Returns:
        One row per identity: `voice_*` what the voice carries, `change_*` what was done to the recording, the person's
        latents and sliders, `planted_*` wanted measures, `mesh_*` the same on the projected mesh (pixels at 224),
        `expected_*` the expected log measures given the voice.
    """
    mesh = craniofacial_measures(landmarks)
    expected = expected_measures(plan.population, [identity.new.voice for identity in identities])
    rows = []
    for k, (source, identity) in enumerate(zip(sources, identities, strict=True)):
        new = identity.new
        row: dict[str, object] = {"speaker": source.recording.speaker, "recording": Path(source.recording.path).name}
        row |= {f"voice_{key}": value for key, value in asdict(new.voice).items()}
        row |= {"voice_pole": POLES[new.voice.pole], "voice_f0_hz": new.f0_hz, "voice_tract_cm": new.tract_cm}
        row |= {f"change_{key}": value for key, value in asdict(new.change).items()}
        row |= identity.person.truth()
        row |= {f"planted_{key}": float(x) for key, x in zip(BASIS, np.exp(identity.face.log_measures), strict=True)}
        row |= {f"mesh_{key}": float(values[k]) for key, values in mesh.items()}
        row |= {f"expected_{key}": float(values[k]) for key, values in expected.items()}
        rows.append(row)
    return rows


def population_report(
    plan: Plan, identities: Sequence[Identity], landmarks: np.ndarray, splits: Sequence[str]
) -> dict[str, object]:
    """The law of a population and what it gives here.

    Args:
        plan: what all identities are made from.
        identities: N identities.
        landmarks: (N, 68, 2) canonical landmarks in pixels of a 224 px picture.
        splits: split of each identity.

    Returns:
        `correlations`: for each measure the planted correlation, and the one found in latents and on the mesh;
        `ideal`: the ideal observer's figures on at most `OBSERVED` identities of the largest split other than train, or
        of train where there is no other; `law`, `sharing` and `reference`, from which everything can be recomputed.
    """
    law = plan.population
    expected = expected_measures(law, [identity.new.voice for identity in identities])
    planted = np.stack([identity.face.log_measures for identity in identities]) @ measure_matrix().T
    mesh = craniofacial_measures(landmarks)
    wanted = law.sharing.resolved()
    correlations = [
        {
            "measure": name,
            "planted": wanted[name],
            "latents": _correlation(expected[name], planted[:, k]),
            "mesh": _correlation(expected[name], np.log(mesh[name])),
            "n": len(identities),
        }
        for k, name in enumerate(MEASURES)
    ]
    return {
        "correlations": correlations,
        "ideal": _observe(plan, identities, splits),
        "law": {key: np.asarray(value).tolist() for key, value in vars(law).items() if key != "sharing"},
        "sharing": asdict(law.sharing) | {"correlations": wanted},
        "reference": asdict(plan.reference),
    }


def _correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    """Pearson r; None where one of them does not vary, as an expectation does not if nothing is planted."""
    if min(first.std(), second.std()) < 1e-12:
        return None
    return float(np.corrcoef(first, second)[0, 1])


def _observe(plan: Plan, identities: Sequence[Identity], splits: Sequence[str]) -> list[dict]:
    sizes = {split: splits.count(split) for split in ("test", "val", "train") if split in splits}
    split = max((s for s in sizes if s != "train"), key=lambda s: sizes[s], default="train")
    members = [k for k, s in enumerate(splits) if s == split]
    chosen = np.random.default_rng([plan.seed, _STREAM]).permutation(members)[:OBSERVED]
    voices = [identities[k].new.voice for k in chosen]
    scores = plan.population.log_likelihood_ratio(voices, [identities[k].face for k in chosen])
    rows = ideal_figures(scores, np.array([voice.gender for voice in voices]))
    return [row | {"params": row["params"] | {"split": split}} for row in rows]


def load_population(folder: str | Path) -> Population:
    """The joint law of a written dataset folder, for its ideal observer or for drawing from it again.

    Args:
        folder: a simulated dataset folder.

    Returns:
        The population.

    Raises:
        DatasetError: no population.json of this version.
    """
    path = Path(folder) / "population.json"
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        law: dict[str, Any] = {
            key: np.array(value) if isinstance(value, list) else value for key, value in stored["law"].items()
        }
        return Population(sharing=Sharing(**stored["sharing"]), **law)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"the law of a population in {path}", f"{error!r}", "make the folder again") from error


def calibration(folder: Path) -> str:
    """What the ideal observer reaches in a written dataset folder, as one line.

    Args:
        folder: a simulated dataset folder.

    Returns:
        1:2 matching from voice to face, overall and within gender.
    """
    ideal = json.loads((folder / "population.json").read_text(encoding="utf-8"))["ideal"]
    rows = {
        row["group"]: row for row in ideal
        if (row["metric"], row["direction"], row["params"].get("n_way")) == ("accuracy", "v2f", 2)
    }  # fmt: skip
    shares = " and ".join(
        f"{rows[group]['value']:.3f} {name}"
        for group, name in (("U", "overall"), ("G", "within gender"))
        if group in rows
    )
    return f"ideal observer, 1:2 voice to face on {rows['U']['n']} people: {shares}"


def latents_of(rows: Sequence[Mapping[str, str]]) -> tuple[list[Voice], list[Face]]:
    """Voices and faces as the law knows them, for the ideal observer of a written dataset folder.

    Args:
        rows: N rows of truth.csv (`DatasetFolder.truth`).

    Returns:
        N voices and N faces.
    """
    voices, faces = [], []
    for row in rows:
        numbers = {name: float(row[f"voice_{name}"]) for name in ("age_years", "pitch", "tract", "timbre")}
        voices.append(Voice(row["voice_gender"], row["voice_age_class"], **numbers))
        shares = (float(row["ethnic_mix_0"]), float(row["ethnic_mix_1"]), float(row["ethnic_mix_2"]))
        measures = np.log([float(row[f"planted_{name}"]) for name in BASIS])
        faces.append(Face(row["gender"], float(row["age_years"]), shares, measures))
    return voices, faces
