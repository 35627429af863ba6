"""Draw people from their voices and from their pictures, and the controls that belong to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from eval.faces.features import picture_features
from eval.reconstructions.chunks import gathered, in_chunks
from eval.reconstructions.folder import PICTURES, seconds_name
from eval.reconstructions.people import LeftOut, Person, Sight, at_size, read_person, read_picture, readable
from s2f.checkpoints.provenance import FACE_NOTE, NOTE, Provenance, save_png
from s2f.datasets import DatasetFolder
from s2f.errors import DatasetError
from s2f.faces.features import direction_means
from s2f.faces.images import to_pil
from s2f.reconstruction.pipeline import Speech2FacePipeline

NOTES = {
    "f2f": FACE_NOTE,
    "s2f": NOTE,
    "mean": "The mean face of the people a machine was trained on, drawn by the machine; nobody's likeness.",
}


class Training(NamedTuple):
    """What the controls need of N training people, one picture each.

    Attributes:
        data: their dataset folder.
        sights: who they are.
        features: (N, D).
        mean: (1, D) mean direction of the features, at their mean length.
        face: picture decoded from it.
        left_out: who could not be used.
    """

    data: DatasetFolder
    sights: Sequence[Sight]
    features: Float[Tensor, "N D"]
    mean: Float[Tensor, "1 D"]
    face: Image.Image
    left_out: LeftOut


@torch.inference_mode()
def read_training(
    pipeline: Speech2FacePipeline, data: DatasetFolder, sights: Sequence[Sight], chunks: Path, skip_bad: bool
) -> Training:
    """Features of training people and the face of their mean.

    Args:
        pipeline: the checkpoint.
        data: their dataset folder.
        sights: the people.
        chunks: folder that keeps what is done.
        skip_bad: leave out whose picture cannot be used.

    Raises:
        BadFile: a picture that cannot be used, without `skip_bad`.
        DatasetError: no picture can be used.
    """

    def work(some: Sequence[Sight]) -> dict[str, np.ndarray]:
        kept, pictures, left_out = readable(some, lambda sight: read_picture(data, sight.face), skip_bad)
        return told(kept, left_out) | ({"true": picture_features(pipeline, pictures).numpy()} if kept else {})

    paths = in_chunks(sights, chunks, "training", work)
    usable = set(gathered(paths, "identity").tolist())
    if not usable:
        raise DatasetError(f"pictures of training people in {data.root} that can be used", "none", "repair the data")
    features = torch.from_numpy(gathered(paths, "true"))
    mean = direction_means(features, [range(len(features))])
    face = to_pil(pipeline.decoder(mean.to(pipeline.device)).image[0])
    kept = [sight for sight in sights if sight.identity in usable]
    return Training(data, kept, features, mean, face, left_out_of(paths))


def nearest_rows(features: Float[Tensor, "B D"], known: Float[Tensor, "N D"]) -> Int[np.ndarray, " B"]:
    """For each of B features the row of the known one with the largest cosine, the first of equals."""
    return (F.normalize(features, dim=-1) @ F.normalize(known, dim=-1).T).argmax(1).numpy()


def told(kept: Sequence[Sight], left_out: LeftOut) -> dict[str, np.ndarray]:
    """Who was used and who was left out, as arrays for a chunk's file: `identity` (k,), `left_out` (l, 2)."""
    return {
        "identity": np.array([item.identity for item in kept], str),
        "left_out": np.array(left_out, str).reshape(-1, 2),
    }


def left_out_of(paths: Sequence[Path]) -> LeftOut:
    """Who was left out in the chunks, with the reasons."""
    return [(str(name), str(reason)) for name, reason in gathered(paths, "left_out")]


@dataclass(frozen=True)
class Painter:
    """Draws people.

    Attributes:
        pipeline: the checkpoint.
        data: their dataset folder.
        seconds: how much of the voices is heard, increasing.
        training: for the controls.
        out: folder of the folders of pictures.
        checkpoint: name of the checkpoint, and SHA-256 of its weights, for the pictures' text.
        skip_bad: leave out who cannot be drawn.
    """

    pipeline: Speech2FacePipeline
    data: DatasetFolder
    seconds: Sequence[float]
    training: Training
    out: Path
    checkpoint: tuple[str, str]
    skip_bad: bool

    def draw(self, people: Sequence[Person]) -> dict[str, np.ndarray]:
        """Write the pictures of some people.

        Args:
            people: K of them, of whom k can be drawn.

        Returns:
            `identity` (k,), `left_out` (K - k, 2) and `repeated` (1, lengths), how many voices were too short; if k > 0
            also (k, D) features `true`, `f2f`, `s2f` and one for each length (`6s`), and `nearest` (k,), rows of the
            training features.
        """
        rate, size_px = self.pipeline.voice_encoder.sample_rate_hz, self.pipeline.decoder.image_size_px
        kept, read, left_out = readable(
            people, lambda person: read_person(self.data, person, self.seconds, rate, size_px), self.skip_bad
        )
        clips = [[material.clips[place] for material in read] for place in range(len(self.seconds))]
        repeated = [
            sum(clip.source_seconds < value for clip in some) for value, some in zip(self.seconds, clips, strict=True)
        ]
        result = told(kept, left_out) | {"repeated": np.array([repeated])}
        if not kept:
            return result
        heard = [self.pipeline(some, seconds=value) for value, some in zip(self.seconds, clips, strict=True)]
        seen = self.pipeline.reconstruct_from_face([material.picture for material in read])
        nearest = nearest_rows(heard[-1].face_features, self.training.features)
        neighbours = [read_picture(self.training.data, self.training.sights[row].face) for row in nearest]
        self._save(
            kept,
            {
                "true": [material.shown for material in read],
                "f2f": seen.images,
                "s2f": heard[-1].images,
                "nearest": [at_size(picture, size_px) for picture in neighbours],
                "mean": [self.training.face] * len(kept),
            },
        )
        features = {seconds_name(value): one.face_features for value, one in zip(self.seconds, heard, strict=True)}
        features["true"] = seen.face_features
        features["f2f"] = picture_features(self.pipeline, seen.images)
        features["s2f"] = picture_features(self.pipeline, heard[-1].images)
        return result | {"nearest": nearest} | {name: value.float().numpy() for name, value in features.items()}

    def _save(self, people: Sequence[Person], pictures: Mapping[str, Sequence[Image.Image]]) -> None:
        """Write pictures by kind; what the checkpoint drew says so."""
        for kind in PICTURES:
            (self.out / kind).mkdir(exist_ok=True)
            for person, picture in zip(people, pictures[kind], strict=True):
                path = self.out / kind / f"{person.identity}.png"
                if kind in NOTES:
                    save_png(picture, path, Provenance(*self.checkpoint, note=NOTES[kind]))
                else:
                    picture.save(path)
