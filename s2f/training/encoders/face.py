"""Training a face encoder: identity classification, with optional side tasks that simulated people give for free.

VGG-Face's own recipe (Parkhi et al., BMVC 2015) is identity softmax alone. The side tasks are ours, for the starter:
from the feature, linear heads predict the canonical landmarks, a thumbnail of the canonical face, gender and age.
They live beside the encoder during training and are not exported.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from encoders.face.base import FaceEncoder
from s2f.checkpoints.encoders import FACE_ENCODERS
from s2f.datasets import DatasetFolder, Row
from s2f.errors import DatasetError
from s2f.faces.images import grid, load_batch, spread
from s2f.runtime.files import whole_folder
from s2f.training.face_augmentation import face_augmentation
from s2f.training.loop.arguments import TrainingArguments, build_network
from s2f.training.loop.checkpointing import run_sources
from s2f.training.loop.loop import SteadyTask, start, train

THUMBNAIL_PX = 16


@dataclass(kw_only=True)
class FaceArguments(TrainingArguments):
    """Flags of train_face.py, besides those every recipe shares.

    Args:
        encoder: which face encoder.
        network: its constructor arguments; `num_identities` follows from the data.
        side_tasks: add the heads for landmarks, thumbnail, gender and age.
        augment: random shift, scale, colour and blur.
    """

    encoder: Literal["compact", "vgg_face", "vgg_m", "vgg16_pooled", "ir"] = "compact"
    network: dict[str, Any] = field(default_factory=dict)
    side_tasks: bool = False
    augment: bool = True


class FaceImages(Dataset):
    """All face images of some identities in memory, at the encoder's size."""

    def __init__(self, data: DatasetFolder, rows: list[Row], encoder: FaceEncoder) -> None:
        self.rows = rows
        self.identities = sorted({row["identity"] for row in rows})
        number = {identity: index for index, identity in enumerate(self.identities)}
        self.labels = torch.tensor([number[row["identity"]] for row in rows])
        self.images = load_batch([data.path(row) for row in rows], encoder.prepare, "faces")

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        _, item = key
        return {"image": self.images[item], "label": self.labels[item]}


@dataclass
class SideTargets:
    """What the side heads predict, by identity number.

    Attributes:
        landmarks: (N, 136), standardised over identities.
        thumbnail: (N, 768) canonical face, centred.
        gender: (N,) 1 for m, 0 for f.
        age: (N,) years / 20, centred.
    """

    landmarks: Tensor
    thumbnail: Tensor
    gender: Tensor
    age: Tensor

    @classmethod
    def read(cls, data: DatasetFolder, identities: list[str]) -> SideTargets:
        """Collect the targets of `identities`; raises DatasetError where gender or age is missing."""
        canonical = data.canonical_faces("train", "val")
        points = torch.from_numpy(data.landmarks_of(canonical[identity] for identity in identities)).flatten(1)
        paths = [data.path(canonical[identity]) for identity in identities]
        size = (THUMBNAIL_PX, THUMBNAIL_PX)
        small = load_batch(paths, lambda image: F.interpolate(image, size, mode="area"), "thumbnails")
        people = [data.people[identity] for identity in identities]
        if any(person.get("gender") not in ("m", "f") or not person.get("age") for person in people):
            raise DatasetError(
                "gender and age of every person for the side tasks", "an empty value", "set side_tasks: false"
            )
        thumbnail = small.flatten(1).float() / 255
        return cls(
            landmarks=(points - points.mean(0)) / (points - points.mean(0)).std(),
            thumbnail=(thumbnail - thumbnail.mean(0)) / 0.25,
            gender=torch.tensor([float(person["gender"] == "m") for person in people]),
            age=torch.tensor([float(person["age"]) / 20 - 2 for person in people]),
        )


class FaceModule(nn.Module):
    """Encoder, augmentation and side heads; returns the loss terms of a batch."""

    def __init__(self, encoder: FaceEncoder, augment: bool, side_tasks: bool) -> None:
        super().__init__()
        self.encoder = encoder
        self.augment = face_augmentation("light" if augment else "none", encoder.image_size_px)
        if side_tasks:
            size = encoder.embedding_dim
            sizes = {"landmarks": 136, "thumbnail": 3 * THUMBNAIL_PX**2, "gender": 1, "age": 1}
            self.heads = nn.ModuleDict({name: nn.Linear(size, width) for name, width in sizes.items()})
        self.targets: SideTargets | None = None

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Loss terms: `identity`, and one per side task."""
        feature, logits = self.encoder(self.augment(batch["image"].float() / 255))
        terms = {"identity": F.cross_entropy(logits, batch["label"])}
        if self.targets is not None:
            terms |= self._side_terms(feature, batch["label"])
        return terms

    def _side_terms(self, feature: Tensor, label: Tensor) -> dict[str, Tensor]:
        assert self.targets is not None, "called only with side tasks"
        unit = feature / feature.norm(dim=-1, keepdim=True) * self.encoder.embedding_dim**0.5
        predicted = {name: head(unit) for name, head in self.heads.items()}
        targets = self.targets
        return {
            "landmarks": F.mse_loss(predicted["landmarks"], targets.landmarks[label]),
            "thumbnail": F.mse_loss(predicted["thumbnail"], targets.thumbnail[label]),
            "gender": F.binary_cross_entropy_with_logits(predicted["gender"][:, 0], targets.gender[label]),
            "age": F.mse_loss(predicted["age"][:, 0], targets.age[label]),
        }


class FaceTask(SteadyTask):
    """Task of the shared loop: see `s2f.training.loop.loop.Task`."""

    def __init__(self, data: DatasetFolder, arguments: FaceArguments) -> None:
        self.sources = run_sources(data)
        rows = data.faces("train")
        options = arguments.network | {"num_identities": len({row["identity"] for row in rows})}
        encoder = build_network(FACE_ENCODERS[arguments.encoder], options)
        self.dataset = FaceImages(data, rows, encoder)
        self.held_out = FaceImages(data, data.faces("val"), encoder)
        self.module = FaceModule(encoder, arguments.augment, arguments.side_tasks)
        if arguments.side_tasks:
            self.module.targets = SideTargets.read(data, self.dataset.identities)

    def to(self, device: torch.device) -> None:
        """Move the side targets; everything else lives in the module."""
        self.device = device
        if (targets := self.module.targets) is not None:
            self.module.targets = SideTargets(**{name: value.to(device) for name, value in vars(targets).items()})

    def validate(self, folder: Path) -> dict[str, float]:
        """Rank-1 identification of held-out people: every other view against the gallery of canonical faces."""
        features = self._held_out_features()
        labels = self.held_out.labels
        gallery = torch.tensor([row.get("view") == "canonical" for row in self.held_out.rows])
        if not gallery.any() or gallery.all():
            return {}
        scores = features[~gallery] @ features[gallery].T
        found = labels[gallery][scores.argmax(1)]
        true = labels[~gallery]
        canonical = self.held_out.images[gallery]
        position = {int(label): index for index, label in enumerate(labels[gallery])}
        rows = []
        for probe in spread(range(len(true))):
            truth, guess = position[int(true[probe])], position[int(found[probe])]
            rows.append([self.held_out.images[~gallery][probe], canonical[truth], canonical[guess]])
        grid([[image.float() / 255 for image in row] for row in rows]).save(folder / "probe_truth_found.png")
        return {"rank1": (found == true).float().mean().item(), "gallery": float(gallery.sum())}

    def _held_out_features(self) -> Tensor:
        parts = [
            self.module.encoder.features(part.to(self.device).float() / 255).cpu()
            for part in self.held_out.images.split(64)
        ]
        return F.normalize(torch.cat(parts), dim=-1)

    def export(self, folder: Path) -> None:
        """Write `folder`/face_encoder."""
        with whole_folder(folder / "face_encoder") as partial:
            self.module.encoder.save_pretrained(partial)


def train_face(arguments: FaceArguments) -> None:
    """Train a face encoder and export it to `output_dir`/face_encoder."""
    accelerator = start(arguments)
    train(FaceTask(DatasetFolder(arguments.data), arguments), arguments, accelerator)
