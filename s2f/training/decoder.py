"""Training the normalised-face decoder on features of a frozen face encoder.

Paper: Cole et al., "Synthesizing Normalized Faces from Facial Identity Features" (CVPR 2017): landmark squared error,
texture absolute error in the mean landmark frame, and cosine between the feature of the rendered face and the input.
Ours, off in the paper's recipe: a term on neighbour differences, a mask that plays down background and clothes, noise
on the feature and a share of features averaged over all views of the person.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.decomposition import PCA
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from decoder.normalized import NormalizedFaceDecoder
from decoder.warp import warp_image
from encoders.face.base import FaceEncoder
from s2f.datasets import DatasetFolder, by_identity
from s2f.errors import DatasetError, RecipeError
from s2f.features import direction_means, face_features, load_face_encoder
from s2f.files import whole_folder
from s2f.images import grid, load_batch, to_bytes
from s2f.losses import feature_cosine, gradient_l1, landmark_mse, texture_l1
from s2f.training.arguments import TrainingArguments, build_network
from s2f.training.loop import start, train

SHOWN = 8


@dataclass(kw_only=True)
class DecoderArguments(TrainingArguments):
    """Flags of train_decoder.py, besides those every recipe shares.

    Args:
        face_encoder: folder of the trained face encoder.
        network: constructor arguments of the decoder; `feature_size` follows from the encoder.
        mean_share: share of training features that are averaged over the person's views.
        morph_share: share of training items that are morphs, random convex combinations of people.
        morph_people: largest number of people in a morph.
        feature_noise: standard deviation of noise on the feature, in units of its root mean square.
        background_weight: weight of the texture outside the head, 1 treats all pixels alike.
        inner_weight: weight between brows and chin, relative to the rest of the head. Both weights count in the texture
            term and in the principal components.
    """

    face_encoder: str
    network: dict[str, Any] = field(default_factory=dict)
    mean_share: float = 0.0
    morph_share: float = 0.0
    morph_people: int = 2
    feature_noise: float = 0.0
    background_weight: float = 1.0
    inner_weight: float = 1.0


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
    """Training items: a person, or a morph of several, with noise on the feature.

    A morph averages unit features, textures and landmarks with the same random weights and keeps the mean length of
    the features, so that a direction between people decodes to a face between them. Cole et al. morph landmarks and
    textures of nearest neighbours independently and extract the feature from the morphed picture; this is cheaper.
    """

    def __init__(self, faces: Faces, arguments: DecoderArguments) -> None:
        self.faces, self.arguments = faces, arguments

    def __len__(self) -> int:
        return len(self.faces)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        epoch, item = key
        arguments = self.arguments
        random = np.random.default_rng([arguments.seed, epoch, item])
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
            "feature": feature + arguments.feature_noise * feature.square().mean().sqrt() * noise,
            "texture": torch.einsum("k,kchw->chw", weights, textures),
            "landmarks": torch.einsum("k,kln->ln", weights, self.faces.landmarks[people]),
        }


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


class DecoderModule(nn.Module):
    """Decoder and the loss terms asked for."""

    def __init__(self, decoder: NormalizedFaceDecoder, encoder: FaceEncoder, weights: Mapping[str, float]) -> None:
        super().__init__()
        self.decoder = decoder
        self.wanted = {name for name, weight in weights.items() if weight}
        self.frozen = {"encoder": encoder}  # a plain dict: neither trained nor stored with the decoder
        self.mask: Tensor | None = None

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Loss terms: `landmarks` (px^2), `texture`, `gradient`, and `feature` where it is weighted."""
        target = batch["texture"]
        if "feature" in self.wanted:
            output = self.decoder(batch["feature"])
            texture, landmarks = output.texture, output.landmarks
        else:
            texture, landmarks = self.decoder.decode(batch["feature"])
        terms = {
            "landmarks": landmark_mse(landmarks, batch["landmarks"]),
            "texture": texture_l1(texture, target, self.mask),
            "gradient": gradient_l1(texture, target),
        }
        if "feature" in self.wanted:
            encoder = self.frozen["encoder"]
            terms["feature"] = feature_cosine(encoder.features(encoder.prepare(output.image)), batch["feature"])
        return terms


class DecoderTask:
    """Task of the shared loop: see `s2f.training.loop.Task`."""

    def __init__(self, data: DatasetFolder, arguments: DecoderArguments, device: torch.device) -> None:
        if arguments.morph_share and arguments.morph_people < 2:
            raise RecipeError("morph_people >= 2", str(arguments.morph_people), "or set morph_share: 0")
        self.split_hash = data.split_hash
        self.encoder = load_face_encoder(arguments.face_encoder).to(device).requires_grad_(False)
        options = arguments.network | {"feature_size": self.encoder.embedding_dim}
        decoder = build_network(NormalizedFaceDecoder, options)
        size = decoder.image_size_px
        faces = Faces(data, "train", self.encoder, size, device)
        mean = faces.landmarks.mean(0)
        faces.warp_textures(mean)
        self.dataset = Samples(faces, arguments)
        self.held_out = Faces(data, "val", self.encoder, size, device)
        mask = head_mask(mean, size, arguments.background_weight, arguments.inner_weight)
        decoder.set_statistics(mean, *self._statistics(decoder, mask))
        self.module = DecoderModule(decoder, self.encoder, arguments.loss_weights)
        if (arguments.background_weight, arguments.inner_weight) != (1.0, 1.0):
            self.module.mask = mask

    def _statistics(self, decoder: NormalizedFaceDecoder, mask: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Mean texture and principal components (of weighted pixels), as far as the configuration has them."""
        if not decoder.config.learn_mean:
            return None, None
        textures = self.dataset.faces.textures
        mean = textures.float().mean(0) / 255
        if not decoder.config.basis_size:
            return mean, None
        side = decoder.config.basis_size_px
        small = torch.cat([F.interpolate(part.float() / 255, (side, side), mode="area") for part in textures.split(64)])
        weight = F.interpolate(mask[None], (side, side), mode="area").expand(1, 3, side, side).reshape(1, -1).numpy()
        pca = PCA(decoder.config.basis_size, svd_solver="randomized", random_state=0)
        pca.fit(small.flatten(1).numpy() * weight)
        basis = pca.components_ * np.sqrt(pca.explained_variance_)[:, None] / weight
        return mean, torch.from_numpy(basis.astype(np.float32)).reshape(-1, 3, side, side)

    def to(self, device: torch.device) -> None:
        """Move the frozen encoder and the mask."""
        self.device = device
        self.encoder.to(device)
        if self.module.mask is not None:
            self.module.mask = self.module.mask.to(device)

    def validate(self, folder: Path) -> dict[str, float]:
        """Decode held-out people from one wild view and from the mean of their views; compare with the truth."""
        people = self.held_out
        single = torch.stack([people.features[views[-1]] for views in people.views])
        figures = {}
        for name, features in (("single", single), ("mean", people.means)):
            images, landmarks = self._decode(features)
            figures[f"{name}_image_l1"] = (images - people.images.float() / 255).abs().mean().item()
            figures[f"{name}_landmark_rmse_px"] = (landmarks - people.landmarks).square().mean().sqrt().item()
        chosen = range(0, len(people), max(1, len(people) // SHOWN))[:SHOWN]
        from_one, from_mean = self._decode(single[list(chosen)])[0], self._decode(people.means[list(chosen)])[0]
        rows = [[people.images[i].float() / 255, a, b] for i, a, b in zip(chosen, from_one, from_mean, strict=True)]
        grid(rows).save(folder / "true_single_mean.png")
        return figures

    def _decode(self, features: Tensor) -> tuple[Tensor, Tensor]:
        outputs = [self.module.decoder(part.to(self.device)) for part in features.split(16)]
        return torch.cat([o.image.cpu() for o in outputs]), torch.cat([o.landmarks.cpu() for o in outputs])

    def export(self, folder: Path) -> None:
        """Write `folder`/decoder."""
        with whole_folder(folder / "decoder") as new:
            self.module.decoder.save_pretrained(new)


def train_decoder(arguments: DecoderArguments) -> None:
    """Train a normalised-face decoder and export it to `output_dir`/decoder."""
    accelerator = start(arguments)
    task = DecoderTask(DatasetFolder(arguments.data), arguments, accelerator.device)
    train(task, arguments, accelerator)
