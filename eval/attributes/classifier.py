"""Attribute classifiers behind a small interface: probes from a folder, or somebody's own model.

Any object with `name`, `classes` and `classify` will do. In a file `mine.py` that Python can import:

    class Mine:
        name = "my model 2.1"
        classes = {"gender": ("f", "m"), "ethnicity": ("asian", "black", "indian", "white")}

        def classify(self, images):
            return {"gender": np.array(["f" for image in images]), "ethnicity": np.array(["" for image in images])}

`s2f-eval demographics … --classifier mine:Mine` asks it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from PIL import Image

from s2f.errors import UsageError


class AttributeClassifier(Protocol):
    """Anything that says what a face shows; `name` and `classes` may be plain attributes."""

    @property
    def name(self) -> str:
        """What reports call it."""

    @property
    def classes(self) -> Mapping[str, Sequence[str]]:
        """The class names of each attribute it answers.

        These are gender ("f", "m"), age_class (of "child", "adult" and "elder", see `s2f.labels.age_class`) and
        ethnicity (names as in people.csv, where they are compared with it).
        """

    def classify(self, images: Sequence[Image.Image]) -> Mapping[str, np.ndarray]:
        """Say what faces show.

        Args:
            images: N square RGB pictures of one face each.

        Returns:
            For every attribute (N,) class names, "" where the classifier abstains.
        """


def classified(classifier: AttributeClassifier, images: Sequence[Image.Image]) -> dict[str, np.ndarray]:
    """Ask a classifier and check what it says.

    Args:
        classifier: to ask.
        images: N square RGB pictures of one face each.

    Returns:
        For every attribute (N,) class names, "" where the classifier abstains.

    Raises:
        UsageError: it answers otherwise than `AttributeClassifier` says.
    """
    given = classifier.classify(images)
    if not isinstance(given, Mapping) or set(given) != set(classifier.classes):
        got = ", ".join(map(repr, given)) if isinstance(given, Mapping) else type(given).__name__
        raise _broken(classifier, f"answers for {', '.join(classifier.classes)}", got or "none")
    return {name: _checked(classifier, name, given[name], len(images)) for name in classifier.classes}


def _checked(classifier: AttributeClassifier, attribute: str, answers: object, count: int) -> np.ndarray:
    array = np.asarray(answers)
    if array.shape != (count,):
        raise _broken(classifier, f"{count} answers about {attribute}", f"an array of shape {array.shape}")
    if strange := [value for value in array.tolist() if not isinstance(value, str)]:
        raise _broken(classifier, f"names of {attribute}", f"{strange[0]!r} of type {type(strange[0]).__name__}")
    allowed = classifier.classes[attribute]
    if unknown := sorted(set(array.tolist()) - {"", *allowed}):
        expected = f"{attribute} of {', '.join(allowed)}, or an empty text"
        raise _broken(classifier, expected, ", ".join(map(repr, unknown)))
    return array.astype(str)


def _broken(classifier: AttributeClassifier, expected: str, got: str) -> UsageError:
    return UsageError(f"{expected} from the classifier {classifier.name!r}", got, "correct its `classify`")
