"""What a classifier says of true and of drawn pictures of the same people: a reconstructions folder, looked at.

Paper: Speech2Face (CVPR 2019), section 5.1 and Fig. 4a: the answers on S2F pictures against those on the true pictures
(the supplement: F2F against true), by gender, age and ethnicity. Beyond the paper: the same against the people's known
labels, and the controls of `eval.attributes.rows` and of the folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from eval.attributes.classifier import AttributeClassifier, classified
from eval.attributes.rows import attribute_rows, controlled_rows, headline_rows
from eval.faces.pictures import read_picture
from eval.metrics.classification import Comparison, of_classes
from eval.reconstructions.folder import CONTROLS, PICTURES, Reconstructions
from eval.results import Row
from s2f.checkpoints import loading
from s2f.checkpoints.provenance import weights_sha256
from s2f.datasets import DatasetFolder
from s2f.errors import UsageError
from s2f.labels import labels_of

CHUNK = 32  # pictures open at a time


def require_same(folder: Reconstructions, checkpoint: str | Path, data: DatasetFolder, split: str) -> None:
    """Refuse pictures that another checkpoint drew, or of other people.

    Args:
        folder: the pictures.
        checkpoint: "starter" or a checkpoint folder.
        data: dataset folder.
        split: of its people.

    Raises:
        UsageError: they are, or the folder does not say.
        CheckpointError: no such checkpoint.
    """
    fix = "draw them with `s2f-eval reconstruct` from this checkpoint and data"
    for name, wanted in (("split", split), ("split_hash", data.split_hash)):
        if folder.about[name] != wanted:
            raise UsageError(f"reconstructions of {name} {wanted}", f"of {folder.about[name]} in {folder.root}", fix)
    made_by, root = folder.about.get("weights_sha256"), loading.resolve(checkpoint)
    if not isinstance(made_by, Mapping) or not made_by:
        raise UsageError(f"reconstructions that say which weights drew them, in {folder.root}", "none", fix)
    for name, known in made_by.items():
        if known != (found := weights_sha256(root / name)):
            raise UsageError(f"reconstructions drawn with the {name} {found} of {root}", f"one with {known}", fix)


def picture_rows(classifier: AttributeClassifier, folder: Reconstructions) -> tuple[list[Row], list[str]]:
    """Ask a classifier about every picture of a reconstructions folder and compare its answers.

    The labels are those of the folder's people.csv: gender, age as a class (see `s2f.labels.age_class`), ethnicity. Of
    simulated people gender is the voice's there, age and ethnicity are the face's. A label that the classifier does not
    know counts as unknown. The `mean` picture is the same for everybody, so its kappa is 0, or undefined.

    Args:
        classifier: see `eval.attributes.classifier`.
        folder: the pictures and people.

    Returns:
        For every attribute rows with these directions and parameters, and notes on what was left out:
        v2f, `reference` picture: answers on S2F against those on the true pictures, with the controls shuffled (answers
        dealt to other people), nearest and mean; f2f, `reference` picture: answers on F2F against them; v2f,
        `reference` label: answers on S2F against the labels, with the same controls; true, `reference` label: answers
        on the true pictures, which shows the classifier's own error.

    Raises:
        DatasetError: a gender or age in people.csv that is none.
        ImageError: a picture that cannot be read.
        UsageError: the classifier breaks its contract.
    """
    people = list(folder.people.values())
    labels, rows = labels_of(people), []
    answers = {kind: _answers(classifier, folder, kind) for kind in PICTURES}
    notes = [f"pictures classified by {classifier.name}"]
    if left_out := len(folder.about.get("left_out", ())):
        notes.append(f"{left_out} people left out by s2f-eval reconstruct")
    speakers = np.array([person.get("speaker") or person["identity"] for person in people])
    for attribute, classes in classifier.classes.items():
        known = of_classes(labels[attribute], classes)
        for reference, values in (("picture", answers["true"][attribute]), ("label", known)):
            notes += _missing(attribute, reference, values)
            if (values == "").all():
                continue
            compared = {
                kind: Comparison(attribute, classes, values, answers[kind][attribute], speakers) for kind in PICTURES
            }
            rows += _compared(compared, reference, folder)
    return rows, notes


def _answers(classifier: AttributeClassifier, folder: Reconstructions, kind: str) -> dict[str, np.ndarray]:
    """(N,) answers by attribute on one kind of picture, with a progress bar."""
    paths, parts = [folder.picture(kind, name) for name in folder.people], []
    with tqdm(total=len(paths), desc=f"{kind} pictures", unit="picture", disable=None) as progress:
        for first in range(0, len(paths), CHUNK):
            images = [Image.fromarray(read_picture(path)[0]) for path in paths[first : first + CHUNK]]
            parts.append(classified(classifier, images))
            progress.update(len(images))
    return {attribute: np.concatenate([part[attribute] for part in parts]) for attribute in classifier.classes}


def _missing(attribute: str, reference: str, values: Sequence[str] | np.ndarray) -> list[str]:
    """What has no reference."""
    count = int((np.asarray(values) == "").sum())
    if not count:
        return []
    what = (
        "true pictures the classifier abstains about" if reference == "picture" else "people without a label it knows"
    )
    end = "nothing is compared with them" if count == len(values) else "left out"
    return [f"{attribute}: {count} of {len(values)} {what}, {end}"]


def _compared(compared: Mapping[str, Comparison], reference: str, folder: Reconstructions) -> list[Row]:
    """Rows of one attribute against one reference, from the comparison of each kind of picture."""
    own = {"reference": reference, "split": folder.about["split"]}
    heard = own | {"seconds": folder.seconds[-1]}
    rows = controlled_rows(compared["s2f"], "v2f", heard)
    for control in CONTROLS:
        rows += headline_rows(compared[control], "v2f", {**own, "control": control})
    if reference == "picture":
        return rows + attribute_rows(compared["f2f"], "f2f", own)
    return rows + attribute_rows(compared["true"], "true", own)
