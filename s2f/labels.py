"""Gender, age class and ethnicity of people, as the tables of a dataset folder know them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from s2f.datasets import DatasetFolder
from s2f.errors import DatasetError

GENDERS = ("f", "m")
AGE_CLASSES = ("child", "adult", "elder")
ATTRIBUTES: Mapping[str, tuple[str, ...] | None] = {"gender": GENDERS, "age_class": AGE_CLASSES, "ethnicity": None}


def age_class(age_years: float) -> str:
    """One of `AGE_CLASSES`: child below 14 years, elder from 60, adult between.

    Meant for faces, whose age (`age` of people.csv) is anything from 5 to 85 years where they are simulated. Simulated
    voices have their class from `s2f.simulate.population.joint_law.AGE_YEARS` (child 5 to 13 years, adult 18 to 59,
    elder 62 to 85). Each of these ranges lies within the class of the same name here, so a voice and a face of the
    same age are of one class. No voice is of 14 to 17 years; a face may be, since its age scatters around the voice's,
    and then it counts as adult.

    Args:
        age_years: age, at least 0.

    Returns:
        Name of the class.
    """
    return AGE_CLASSES[int(age_years >= 14) + int(age_years >= 60)]


def labels_of(people: Sequence[Mapping[str, str]]) -> dict[str, np.ndarray]:
    """Gender, age class and ethnicity of people: (N,) each, "" where unknown.

    Args:
        people: rows with any of the columns gender, age (years) and ethnicity (any name).

    Raises:
        DatasetError: a gender that is not f, m or empty, or an age that is no number of at least 0.
    """
    for person in people:
        if (person.get("gender") or "") not in (*GENDERS, ""):
            got = f"{person['gender']!r} for {person['identity']}"
            raise DatasetError("gender f, m or none", got, "correct people.csv")
        try:
            valid = float(person.get("age") or 0) >= 0
        except ValueError:
            valid = False
        if not valid:
            got = f"{person['age']!r} for {person['identity']}"
            raise DatasetError("an age in years, or none", got, "correct people.csv")
    return {
        "gender": np.array([person.get("gender") or "" for person in people]),
        "age_class": np.array([age_class(float(person["age"])) if person.get("age") else "" for person in people]),
        "ethnicity": np.array([person.get("ethnicity") or "" for person in people]),
    }


def truth_by_identity(data: DatasetFolder) -> dict[str, dict[str, str]]:
    """Row of truth.csv by identity; empty where the folder has none."""
    known = data.truth(data.people) if (data.root / "truth.csv").is_file() else []
    return {row["identity"]: row for row in known}


def gender_of(person: Mapping[str, str]) -> str:
    """Gender of a row of people.csv or truth.csv that must have one.

    Raises:
        DatasetError: the gender is neither f nor m.
    """
    gender = person.get("gender")
    if gender not in GENDERS:
        got = f"{gender!r} for {person['identity']}"
        raise DatasetError("gender f or m for every person", got, "fill it in people.csv")
    return gender


def are_classes(names: object) -> bool:
    """Whether these are two or more different names, in a tuple or a list."""
    if not isinstance(names, tuple | list) or not all(isinstance(name, str) and name for name in names):
        return False
    return len(set(names)) == len(names) > 1
