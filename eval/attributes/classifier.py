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

import re
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from s2f.errors import UsageError
from s2f.labels import AGE_CLASSES, GENDERS

ATTRIBUTES: Mapping[str, tuple[str, ...] | None] = {"gender": GENDERS, "age_class": AGE_CLASSES, "ethnicity": None}
FACTORY = re.compile(r"([A-Za-z_][\w.]*):([A-Za-z_]\w*)")


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


def load_classifier(name: str) -> AttributeClassifier:
    """Find a classifier.

    Args:
        name: a folder that `s2f-eval probes` wrote; or `package.module:factory`, which is imported (so its folder must
            be on PYTHONPATH, or installed) and called without arguments.

    Returns:
        The classifier, its name and classes checked.

    Raises:
        CheckpointError: a folder of probes that is damaged or something else.
        UsageError: no such folder or module, or what the factory makes is no classifier.
    """
    from eval.attributes.probes import ProbeClassifier

    if Path(name).is_dir():
        return ProbeClassifier.from_pretrained(name)
    found = FACTORY.fullmatch(name)
    expected = "a folder that `s2f-eval probes` wrote, or package.module:factory"
    if not found:
        raise UsageError(expected, f"{name!r}", "check the spelling")
    module, factory = found.groups()
    try:
        make = getattr(import_module(module), factory)
    except (ImportError, AttributeError) as error:
        raise UsageError(expected, f"{name!r} ({error})", "put the module's folder on PYTHONPATH") from error
    if not callable(make):
        raise UsageError(f"a factory at {name}", type(make).__name__, "name a class or a function without arguments")
    return _of_protocol(make(), name)


def _of_protocol(made: AttributeClassifier, source: str) -> AttributeClassifier:
    """Refuse what is no classifier.

    Raises:
        UsageError: it lacks something, or has attributes or classes that mean nothing here.
    """
    fix = "see the first lines of eval/attributes/classifier.py"
    title, classes = getattr(made, "name", None), getattr(made, "classes", None)
    if not isinstance(title, str) or not title or not callable(getattr(made, "classify", None)):
        raise UsageError(f"a classifier with `name` and `classify` from {source}", type(made).__name__, fix)
    if not isinstance(classes, Mapping) or not classes:
        raise UsageError(f"`classes` of every attribute from {source}", repr(classes), fix)
    for attribute, names in classes.items():
        if attribute not in ATTRIBUTES:
            raise UsageError(f"attributes of {', '.join(ATTRIBUTES)} from {source}", repr(attribute), fix)
        known = ATTRIBUTES[attribute]
        if not are_classes(names) or (known and not set(names) <= set(known)):
            expected = f"{attribute} of {', '.join(known)}" if known else f"two or more different names of {attribute}"
            raise UsageError(f"{expected} from {source}", repr(names), fix)
    return made


def are_classes(names: object) -> bool:
    """Whether these are two or more different names, in a tuple or a list."""
    if not isinstance(names, tuple | list) or not all(isinstance(name, str) and name for name in names):
        return False
    return len(set(names)) == len(names) > 1
