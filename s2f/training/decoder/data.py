"""What the decoder is trained on: people and morphs, each a pure function of (seed, epoch, item), and a pixel mask."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from decoder.warp import warp_image
from encoders.face.base import FaceEncoder
from s2f.datasets import DatasetFolder, by_identity
from s2f.errors import DatasetError
from s2f.faces.features import direction_means, face_features
from s2f.faces.images import load_batch, to_bytes
from s2f.training.decoder.morphs import draw_morph, mix_morph, nearest_people

if TYPE_CHECKING:
    from s2f.training.decoder.arguments import DecoderArguments


class Faces:
    """Features of every view with the person's canonical texture and landmarks."""

    def __init__(
        self, data: DatasetFolder, split: str, encoder: FaceEncoder, size_px: int, device: torch.device
    ) -> None:
        canonical = data.canonical_faces(split)
        self.identities = sorted(canonical)
        self.landmarks = torch.from_numpy(data.landmarks_of(canonical[identity] for identity in self.identities))
        paths = [data.path(canonical[identity]) for identity in self.identities]
        self.images = load_batch(paths, partial(require_size, size_px=size_px), "canonical")
        rows = data.faces(split)
        groups = by_identity({**row, "number": str(number)} for number, row in enumerate(rows))
        self.views = [[int(row["number"]) for row in groups[identity]] for identity in self.identities]
        self.features = face_features(encoder, [data.path(row) for row in rows], device)
        self.means = direction_means(self.features, self.views)
        self.textures = self.images

    def warp_textures(self, mean_landmarks: Tensor) -> None:
        """Warp every canonical image to the mean landmarks."""
        parts = []
        for image, points in zip(self.images.split(32), self.landmarks.split(32), strict=True):
            target = mean_landmarks.expand_as(points)
            parts.append(to_bytes(warp_image(image.float() / 255, points, target)))
        self.textures = torch.cat(parts)

    def __len__(self) -> int:
        return len(self.identities)

    def feature(self, person: int, mean_share: float, random: np.random.Generator) -> Tensor:
        """A person's feature: the mean over the views with probability `mean_share`, else that of a random view."""
        if random.random() < mean_share:
            return self.means[person]
        return self.features[random.choice(self.views[person])]


class Samples(Dataset):
    """Training items, each a person or a morph.

    `morphs: people` (ours, cheap): a morph averages unit features, textures and landmarks with the same random weights
    and keeps the mean length of the features, so that a direction between people decodes to a face between them.
    `morphs: neighbours` (Cole et al.): see `s2f.training.decoder.morphs`. The feature of such a morph is that of the
    morphed picture; an item says whether it is one (`morphed`) and brings the `noise` to add once the feature is known.
    """

    def __init__(self, faces: Faces, arguments: DecoderArguments) -> None:
        self.faces, self.arguments = faces, arguments
        self.neighbours: Tensor | None = None
        if arguments.morphs == "neighbours":
            self.neighbours = nearest_people(faces.landmarks, faces.textures, arguments.morph_neighbours)

    def __len__(self) -> int:
        return len(self.faces)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        epoch, item = key
        random = np.random.default_rng([self.arguments.seed, epoch, item])
        if self.neighbours is None:
            return self._mixture(item, random)
        return self._neighbour_morph(item, self.neighbours[item], random)

    def _mixture(self, item: int, random: np.random.Generator) -> dict[str, Tensor]:
        arguments = self.arguments
        people = [item]
        if random.random() < arguments.morph_share:
            others = int(random.integers(1, arguments.morph_people))
            people += [int(person) for person in random.integers(0, len(self.faces), others)]
        weights = torch.from_numpy(random.dirichlet(np.ones(len(people)))).float()
        features = torch.stack([self.faces.feature(person, arguments.mean_share, random) for person in people])
        direction = F.normalize(weights @ F.normalize(features, dim=-1), dim=0)
        feature = direction * (weights @ features.norm(dim=-1))
        noise = torch.from_numpy(random.standard_normal(feature.shape)).float()
        textures = self.faces.textures[people].float() / 255
        return {
            "feature": add_noise(feature, noise, arguments.feature_noise),
            "texture": torch.einsum("k,kchw->chw", weights, textures),
            "landmarks": torch.einsum("k,kln->ln", weights, self.faces.landmarks[people]),
        }

    def _neighbour_morph(self, item: int, neighbours: Tensor, random: np.random.Generator) -> dict[str, Tensor]:
        faces = self.faces
        feature = faces.feature(item, self.arguments.mean_share, random)
        noise = torch.from_numpy(random.standard_normal(feature.shape)).float()
        landmarks, texture = faces.landmarks[item], faces.textures[item].float() / 255
        if morphed := random.random() < self.arguments.morph_share:
            morph = draw_morph(neighbours, random)
            landmarks, texture = mix_morph(item, morph, faces.landmarks, faces.textures)
        return {
            "feature": feature,
            "texture": texture,
            "landmarks": landmarks,
            "morphed": torch.tensor(morphed),
            "noise": noise,
        }


def add_noise(feature: Float[Tensor, "... D"], noise: Float[Tensor, "... D"], size: float) -> Float[Tensor, "... D"]:
    """Feature with noise of `size` times its root mean square.

    Args:
        feature: (..., D).
        noise: (..., D) standard normal.
        size: standard deviation, 0 changes nothing.

    Returns:
        (..., D).
    """
    return feature + size * feature.square().mean(-1, keepdim=True).sqrt() * noise


def require_size(image: Tensor, size_px: int) -> Tensor:
    """Return (1, 3, P, P) images as they are.

    Raises:
        DatasetError: P is not `size_px`; landmarks.csv would be at another scale.
    """
    if tuple(image.shape[2:]) != (size_px, size_px):
        got = f"{image.shape[3]} x {image.shape[2]} px"
        raise DatasetError(f"canonical faces of {size_px} x {size_px} px", got, "render or align them at that size")
    return image


def head_mask(landmarks: Tensor, size_px: int, background: float, inner: float = 1.0) -> Tensor:
    """Weight 1 inside an ellipse round the head (hair included), `background` outside, `inner` on the face, soft edges.

    Args:
        landmarks: (68, 2) mean landmarks in pixels.
        size_px: side P.
        background: weight far outside.
        inner: weight between brows and chin.

    Returns:
        (1, P, P).
    """
    chin, brow = landmarks[8, 1], landmarks[17:27, 1].mean()
    width, height = landmarks[16, 0] - landmarks[0, 0], chin - brow
    centre = landmarks[:, 0].mean()
    head = _ellipse(size_px, centre, brow + 0.2 * height, 0.85 * width, 1.1 * height)
    face = _ellipse(size_px, centre, brow + 0.42 * height, 0.42 * width, 0.62 * height)
    return (background + (1 - background) * head + (inner - 1) * face)[None]


def _ellipse(size_px: int, x: Tensor, y: Tensor, half_width: Tensor, half_height: Tensor) -> Tensor:
    """(P, P), 1 inside and 0 outside of an upright ellipse."""
    rows, columns = torch.meshgrid(torch.arange(size_px), torch.arange(size_px), indexing="ij")
    radius = (((columns - x) / half_width) ** 2 + ((rows - y) / half_height) ** 2).sqrt()
    return torch.sigmoid((1 - radius) / 0.06)
