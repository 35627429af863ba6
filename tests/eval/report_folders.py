"""A small reconstructions folder with faces of different shape, and a classifier of them."""

from pathlib import Path

import numpy as np
from PIL import Image

from eval.craniofacial import evaluate as craniofacial
from eval.report import collect
from tests.eval.reconstruction_folders import write_reconstructions

PEOPLE = 14
SPLIT = "5" * 64
RANDOM = np.random.default_rng(0)
TRUE = RANDOM.normal(size=(PEOPLE, 5))
NOISE = RANDOM.normal(size=(PEOPLE, 5))


class Brightness:
    """Says m of pictures that are brighter than mid-grey."""

    name = "brightness"
    classes = {"gender": ("f", "m")}  # noqa: RUF012

    def classify(self, images):
        return {"gender": np.array(["m" if np.asarray(image).mean() > 128 else "f" for image in images])}


def without_plots(patch) -> None:
    """Plots of one pixel each, by pytest's monkeypatch: drawing takes most of the time."""

    def draw(*arguments):
        folder = next(one for one in arguments if isinstance(one, Path))
        files = [folder / name for name in ("scatter.png", "examples.png", "confusion_v2f_label.png")]
        for file in files:
            Image.new("RGB", (1, 1)).save(file)
        return files[2:]

    for module, name in ((craniofacial, "draw_scatter"), (craniofacial, "draw_examples"), (collect, "draw_confusions")):
        patch.setattr(module, name, draw)


def pictures(seed: int) -> list[np.ndarray]:
    """A coarse pattern for everybody, bright and dark ones in turn."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 120, (PEOPLE, 4, 4, 3), dtype=np.uint8) + np.uint8([[[[120]]], [[[0]]]] * (PEOPLE // 2))
    return list(np.kron(coarse, np.ones((1, 16, 16, 1), np.uint8)))


def write_folder(root: Path, **about) -> Path:
    """People of whom p004 has "<b>x</b>" for an ethnicity, and p009 is heard as quite another."""
    heard = TRUE + 0.5 * NOISE
    heard[9] = -TRUE[9]
    people = {
        "gender": ["m", "f"] * (PEOPLE // 2),
        "age": [f"{20 + number}" for number in range(PEOPLE)],
        "ethnicity": ["<b>x</b>" if number == 4 else "" for number in range(PEOPLE)],
        "view": ["canonical"] * PEOPLE,
    }
    shown = {kind: pictures(seed) for seed, kind in enumerate(("true", "f2f", "s2f", "nearest"))}
    shown["mean"] = [np.full((64, 64, 3), 90, np.uint8)] * PEOPLE
    told = {"split_hash": SPLIT, "checkpoint": "/somewhere/mine", "weights_sha256": {"decoder": "cafe"}}
    told |= {"seed": 3, "repeated": {"3s": 0, "6s": 2}}
    predicted = {"3s": heard + NOISE, "6s": heard, "nearest": NOISE, "mean": np.ones((PEOPLE, 5))}
    return write_reconstructions(root, TRUE, predicted, shown, people, **(told | about))
