"""Find a classifier: a folder of probes, or somebody's own factory."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from eval.attributes.classifier import AttributeClassifier
from s2f.errors import UsageError
from s2f.labels import ATTRIBUTES, are_classes

FACTORY = re.compile(r"([A-Za-z_][\w.]*):([A-Za-z_]\w*)")


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
