"""Probes of several attributes and their face encoder as one classifier, kept in a folder of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from safetensors import SafetensorError
from safetensors.numpy import load, save
from sklearn.linear_model import LogisticRegression

from encoders.face.base import FaceEncoder
from eval.faces.features import image_features
from s2f.checkpoints.loading import load_network, read_json
from s2f.errors import CheckpointError, OutputError, UsageError
from s2f.labels import ATTRIBUTES, are_classes
from s2f.reconstruction.pipeline import COMPONENTS
from s2f.runtime.files import whole_folder, write_bytes, write_text

CLASS, ENCODER, WEIGHTS = "ProbeClassifier", "face_encoder", "probes.safetensors"
CPU = torch.device("cpu")
AGAIN = "write the folder again with `s2f-eval probes`"


@dataclass(frozen=True)
class Probe:
    """A linear classifier of unit-length features.

    Attributes:
        classes: K names.
        weight: (K, D) float64.
        bias: (K,) float64.
    """

    classes: tuple[str, ...]
    weight: Float[np.ndarray, "K D"]
    bias: Float[np.ndarray, " K"]

    @classmethod
    def of(cls, fitted: LogisticRegression, order: Sequence[str]) -> Probe:
        """Take over a fitted regression.

        Args:
            fitted: on names.
            order: all names that may occur, in the order that is wanted.
        """
        names = [str(name) for name in fitted.classes_]
        weight, bias = fitted.coef_, fitted.intercept_
        if len(names) == 2:  # one row of log odds of the second class
            weight, bias = np.concatenate([0 * weight, weight]), np.concatenate([0 * bias, bias])
        kept = [names.index(name) for name in order if name in names]
        return cls(tuple(names[place] for place in kept), weight[kept].astype(float), bias[kept].astype(float))

    def probabilities(self, features: Float[np.ndarray, "N D"]) -> Float[np.ndarray, "N K"]:
        """Probability of each class; features may have any length but zero."""
        features = np.asarray(features, dtype=np.float64)
        unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
        logits = unit @ self.weight.T + self.bias
        odds = np.exp(logits - logits.max(1, keepdims=True))
        return odds / odds.sum(1, keepdims=True)


@dataclass(frozen=True)
class ProbeClassifier:
    """Says what a face shows from the features of one face encoder: an `AttributeClassifier`.

    Attributes:
        face_encoder: takes pictures to features, in evaluation mode, on the CPU unless `device` says otherwise.
        probes: by attribute.
        abstain_below: no answer is given whose probability is below this.
        about: what it was fitted on and its own error, for the folder.
        device: of the face encoder.
    """

    face_encoder: FaceEncoder
    probes: Mapping[str, Probe]
    abstain_below: float = 0.0
    about: Mapping[str, Any] = field(default_factory=dict)
    device: torch.device = CPU

    def __post_init__(self) -> None:
        if not 0 <= self.abstain_below < 1:
            got = f"{self.abstain_below:g}"
            raise UsageError("abstain_below of at least 0 and less than 1", got, "0 never abstains")

    @property
    def name(self) -> str:
        """What reports call it."""
        limit = f", abstaining below {self.abstain_below:g}" if self.abstain_below else ""
        return f"probes on {type(self.face_encoder).__name__}{limit}"

    @property
    def classes(self) -> Mapping[str, tuple[str, ...]]:
        """Class names by attribute."""
        return {attribute: probe.classes for attribute, probe in self.probes.items()}

    def classify(self, images: Sequence[Image.Image]) -> dict[str, np.ndarray]:
        """Say what faces show, see `eval.attributes.classifier.AttributeClassifier.classify`.

        Raises:
            ImageError: a picture that is not square.
        """
        return self.answers(image_features(self.face_encoder, images, self.device).numpy())

    def answers(self, features: Float[np.ndarray, "N D"]) -> dict[str, np.ndarray]:
        """Say what faces of these features show: (N,) class names by attribute, "" below `abstain_below`."""
        found = {}
        for attribute, probe in self.probes.items():
            chances = probe.probabilities(features)
            names = np.array(probe.classes)[chances.argmax(1)]
            found[attribute] = np.where(chances.max(1) >= self.abstain_below, names, "")
        return found

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the folder: config.json, probes.safetensors and face_encoder/; the same probes give the same bytes.

        Args:
            folder: a folder that does not exist yet.

        Raises:
            OutputError: it exists, or cannot be written.
        """
        out = Path(folder)
        require_new(out)
        config = {
            "_class_name": CLASS,
            ENCODER: type(self.face_encoder).__name__,
            "abstain_below": self.abstain_below,
            "classes": {attribute: list(names) for attribute, names in self.classes.items()},
            **self.about,
        }
        tensors = {f"{attribute}.weight": probe.weight for attribute, probe in self.probes.items()}
        tensors |= {f"{attribute}.bias": probe.bias for attribute, probe in self.probes.items()}
        try:
            with whole_folder(out) as partial:
                self.face_encoder.save_pretrained(partial / ENCODER)
                write_bytes(partial / WEIGHTS, save({name: np.ascontiguousarray(tensors[name]) for name in tensors}))
                write_text(partial / "config.json", json.dumps(config, indent=2, allow_nan=False) + "\n")
        except OSError as error:
            got = f"{out} ({error.strerror or error})"
            raise OutputError("a place for the probes that can be written", got, "choose another") from error

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> ProbeClassifier:
        """Load a folder strictly.

        Args:
            folder: that `save_pretrained` wrote.

        Returns:
            The classifier, on the CPU.

        Raises:
            CheckpointError: something is missing, superfluous, damaged, misshapen or not finite.
        """
        root = Path(folder)
        config = read_json(root / "config.json")
        if config.get("_class_name") != CLASS:
            got = f"one for {config.get('_class_name')}"
            raise CheckpointError(f"{root / 'config.json'} for {CLASS}", got, AGAIN)
        classes, limit = _checked_classes(root, config.get("classes")), config.get("abstain_below")
        if isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 <= limit < 1:
            raise CheckpointError(f"abstain_below from 0 to below 1 in {root / 'config.json'}", repr(limit), AGAIN)
        encoders = {kind.__name__: kind for kind in COMPONENTS[ENCODER]}
        if config.get(ENCODER) not in encoders:
            expected = f"{ENCODER} of class {' or '.join(encoders)} in {root / 'config.json'}"
            raise CheckpointError(expected, repr(config.get(ENCODER)), AGAIN)
        encoder = load_network(encoders[config[ENCODER]], root / ENCODER)
        tensors = _read_tensors(root / WEIGHTS, classes, encoder.embedding_dim)
        probes = {
            attribute: Probe(tuple(names), tensors[f"{attribute}.weight"], tensors[f"{attribute}.bias"])
            for attribute, names in classes.items()
        }
        said = {"_class_name", ENCODER, "abstain_below", "classes"}
        about = {name: value for name, value in config.items() if name not in said}
        return cls(encoder, probes, float(limit), about)


def require_new(out: Path) -> None:
    """Refuse to write over something.

    Raises:
        OutputError: it exists.
    """
    if out.exists():
        raise OutputError(f"a new folder at {out}", "an existing one", "choose another name or remove it")


def _checked_classes(root: Path, classes: Any) -> dict[str, list[str]]:
    valid = isinstance(classes, dict) and classes and set(classes) <= set(ATTRIBUTES)
    for attribute, names in classes.items() if valid else ():
        known = ATTRIBUTES[attribute]
        valid = valid and are_classes(names) and (known is None or set(names) <= set(known))
    if not valid:
        expected = f"classes of {', '.join(ATTRIBUTES)}, each two names or more, in {root / 'config.json'}"
        raise CheckpointError(expected, repr(classes), AGAIN)
    return classes


def _read_tensors(path: Path, classes: Mapping[str, Sequence[str]], size: int) -> dict[str, np.ndarray]:
    """Weights (K, D) and biases (K,) of every attribute, and nothing else."""
    expected: dict[str, tuple[int, ...]]
    expected = {f"{attribute}.weight": (len(names), size) for attribute, names in classes.items()}
    expected |= {f"{attribute}.bias": (len(names),) for attribute, names in classes.items()}
    try:
        tensors = load(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise CheckpointError("a complete safetensors file", f"{path} ({error})", AGAIN) from error
    shapes = {name: tensor.shape if tensor.dtype == float else tensor.dtype for name, tensor in tensors.items()}
    if shapes != expected:
        names = sorted(name for name in {*shapes, *expected} if shapes.get(name) != expected.get(name))
        faults = (f"{name} {shapes.get(name, 'missing')} instead of {expected.get(name, 'none')}" for name in names)
        raise CheckpointError(f"the tensors of its config in {path}", "; ".join(faults), AGAIN)
    if broken := [name for name, tensor in tensors.items() if not np.isfinite(tensor).all()]:
        raise CheckpointError("finite weights", f"NaN or infinite values in {', '.join(broken)} of {path}", AGAIN)
    return tensors
