"""Training a landmark regressor on pictures whose 68 iBUG points are known, as simulated people's are.

The pictures are moved, mirrored, coloured and blurred on the device; their points move along exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from encoders.face.landmarks import LandmarkRegressor
from s2f.datasets import DatasetFolder, Row
from s2f.errors import DatasetError
from s2f.faces.images import grid, load_batch, spread
from s2f.runtime.files import whole_folder
from s2f.training.loop.arguments import TrainingArguments, build_network
from s2f.training.loop.checkpointing import run_sources
from s2f.training.loop.loop import SteadyTask, start, train

REFERENCE_PX = 224  # losses and figures are in pixels of a picture of this side
FLIP = [
    *range(16, -1, -1),  # jaw
    *range(26, 16, -1),  # brows
    *range(27, 31),  # bridge of the nose
    *range(35, 30, -1),  # wings of the nose
    *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),  # eyes
    *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),  # outer lips
    *(64, 63, 62, 61, 60, 67, 66, 65),  # inner lips
]
DISTANCES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "nose_width": ((31,), (35,)),
    "nose_height": ((27,), (33,)),
    "jaw_width": ((4,), (12,)),
    "face_width": ((1,), (15,)),
    "face_height": ((27,), (8,)),
    "intercanthal": ((39,), (42,)),
    "mouth_width": ((48,), (54,)),
    "upper_lip_height": ((33,), (62, 66)),
}


@dataclass(kw_only=True)
class LandmarkArguments(TrainingArguments):
    """Flags of train_landmarks.py, besides those every recipe shares.

    Args:
        network: constructor arguments of the regressor.
        canonical_only: leave wild pictures out, which a regressor with a narrow window cannot use.
        degrees: largest rotation.
        shift: largest shift as a share of the side.
        scale: largest factor on the size, and its inverse the smallest.
        colour: largest change of brightness, contrast, saturation and each channel.
        blur_px: largest standard deviation of the blur in pixels of the network's picture; half of them stay sharp.
        noise: largest standard deviation of the noise, pictures being in [0, 1].
    """

    network: dict[str, Any] = field(default_factory=dict)
    canonical_only: bool = False
    degrees: float = 12.0
    shift: float = 0.1
    scale: float = 1.25
    colour: float = 0.25
    blur_px: float = 1.8
    noise: float = 0.03


def distances(points: Float[Tensor, "N 68 2"]) -> dict[str, Float[Tensor, " N"]]:
    """Lengths that validation correlates, by name; several points of one end are averaged first.

    Args:
        points: (N, 68, 2).

    Returns:
        (N,) by name, in the unit of the points.
    """
    return {
        name: (points[:, list(first)].mean(1) - points[:, list(last)].mean(1)).norm(dim=-1)
        for name, (first, last) in DISTANCES.items()
    }


class LandmarkImages(Dataset):
    """Windows of pictures in memory at the network's size, with points as shares of the window's side."""

    def __init__(self, data: DatasetFolder, split: str, network: LandmarkRegressor, canonical_only: bool) -> None:
        known = data.landmarks()
        faces = (row for row in data.faces(split) if row["path"] in known)
        self.rows: list[Row] = [row for row in faces if row.get("view") == "canonical" or not canonical_only]
        if not self.rows:
            got = f"none for the {split} split in {data.root}"
            raise DatasetError("faces with a row in landmarks.csv", got, "make them with `s2f simulate`")
        paths = [data.path(row) for row in self.rows]
        self.images = load_batch(paths, network.prepare, f"{split} faces")
        points = torch.stack([torch.from_numpy(known[row["path"]]) for row in self.rows])
        windows = torch.tensor([network.window_px(_side_px(path)) for path in paths])[:, None]
        self.points = (points + 0.5 - windows[..., :2]) / windows[..., 2:]
        self.canonical = torch.tensor([row.get("view") == "canonical" for row in self.rows])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        _, item = key
        return {"image": self.images[item], "points": self.points[item]}


def _side_px(path: Path) -> int:
    with Image.open(path) as image:
        return image.width


def random_maps(count: int, arguments: LandmarkArguments, device: torch.device) -> Float[Tensor, "B 2 3"]:
    """Random similarities with reflections: rotation, scale, shift, half of them mirrored.

    Args:
        count: how many, B.
        arguments: the ranges.
        device: where.

    Returns:
        (B, 2, 3) maps of points in [-1, 1] (the edges of the picture) from the original to the augmented picture.
    """
    uniform = torch.rand(5, count, device=device) * 2 - 1
    angle = uniform[0] * math.radians(arguments.degrees)
    scale = (uniform[1] * math.log(arguments.scale)).exp()
    mirror = torch.where(uniform[2] < 0, -1.0, 1.0)
    cosine, sine = scale * angle.cos(), scale * angle.sin()
    shift = 2 * arguments.shift * uniform[3:]
    return torch.stack(
        [torch.stack([cosine * mirror, -sine, shift[0]], -1), torch.stack([sine * mirror, cosine, shift[1]], -1)], 1
    )


def move_points(points: Float[Tensor, "B 68 2"], maps: Float[Tensor, "B 2 3"]) -> Float[Tensor, "B 68 2"]:
    """Apply maps to points; where a map mirrors, left and right points change their names.

    Args:
        points: (B, 68, 2) as shares of the side.
        maps: (B, 2, 3), see `random_maps`.

    Returns:
        (B, 68, 2) as shares of the side.
    """
    moved = ((points * 2 - 1) @ maps[:, :, :2].mT + maps[:, None, :, 2] + 1) / 2
    mirrored = torch.linalg.det(maps[:, :, :2].float()) < 0
    return torch.where(mirrored[:, None, None], moved[:, FLIP], moved)


def move_images(images: Float[Tensor, "B 3 P P"], maps: Float[Tensor, "B 2 3"]) -> Float[Tensor, "B 3 P P"]:
    """Apply maps to pictures (bilinear; the border's colour continues outside).

    Args:
        images: (B, 3, P, P).
        maps: (B, 2, 3), see `random_maps`.

    Returns:
        (B, 3, P, P).
    """
    linear = torch.linalg.inv(maps[:, :, :2])
    inverse = torch.cat([linear, -linear @ maps[:, :, 2:]], -1)
    where = F.affine_grid(inverse, list(images.shape), align_corners=False)
    return F.grid_sample(images, where, padding_mode="border", align_corners=False)


def recolour(images: Float[Tensor, "B 3 P P"], amount: float) -> Float[Tensor, "B 3 P P"]:
    """Random saturation, contrast, brightness and channel gains of up to 1 +- `amount`; clamped to [0, 1]."""
    factor = 1 + amount * (torch.rand(6, len(images), 1, 1, 1, device=images.device) * 2 - 1)
    grey = images.mean(1, keepdim=True)
    images = grey + factor[0] * (images - grey)
    images = (images - 0.5) * factor[1] + 0.5
    return (images * factor[2] * torch.cat(list(factor[3:]), 1) ** 0.5).clamp(0, 1)


def soften(images: Float[Tensor, "B 3 P P"], blur_px: float) -> Float[Tensor, "B 3 P P"]:
    """Blur half of the pictures with Gaussians of random standard deviation up to `blur_px`."""
    batch, channels = images.shape[:2]
    uniform = torch.rand(batch, device=images.device) * 2 - 1
    sigma = (uniform * blur_px).clamp(min=1e-3)
    reach = math.ceil(2.5 * blur_px)
    steps = torch.arange(-reach, reach + 1, device=images.device)
    kernel = (-0.5 * (steps / sigma[:, None]).square()).exp()
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(channels, 0)[:, None, None]
    flat = F.pad(images.flatten(0, 1)[None], [reach] * 4, mode="replicate")
    flat = F.conv2d(flat, kernel, groups=batch * channels)
    return F.conv2d(flat, kernel.mT, groups=batch * channels)[0].unflatten(0, (batch, channels))


def heat_loss(logits: Float[Tensor, "B N G G"], points: Float[Tensor, "B N 2"]) -> Float[Tensor, "B N"]:
    """Cross entropy between heat maps and Gaussians of one cell's standard deviation around the true points.

    Args:
        logits: (B, N, G, G), rows first.
        points: (B, N, 2) as shares of the side.

    Returns:
        (B, N) in nats; the target's own entropy is its least value.
    """
    side = logits.shape[-1]
    centres = torch.arange(side, device=points.device)
    far = (centres - (points * side - 0.5)[..., None]).square() / -2
    target = (far[:, :, 0, None, :] + far[:, :, 1, :, None]).flatten(2).softmax(-1)
    return -(target * logits.flatten(2).log_softmax(-1)).sum(-1)


class LandmarkModule(nn.Module):
    """Augmentation, regressor and loss."""

    def __init__(self, network: LandmarkRegressor, arguments: LandmarkArguments) -> None:
        super().__init__()
        self.network = network
        self.arguments = arguments

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Loss terms of the points inside the picture.

        `points` is the mean absolute error of their coordinates, `pairs` that of the coordinates' differences between
        all pairs of points, both in pixels at 224 px; `heat` is the cross entropy of the heat maps (`heat_loss`).
        """
        images, points = self._augment(batch["image"].float() / 255, batch["points"])
        cells, logits = self.network.locate(images)
        found = (cells + 0.5) / logits.shape[-1]
        inside = ((points > 0) & (points < 1)).all(-1, keepdim=True).to(found.dtype)
        error = (found - points) * REFERENCE_PX * self.network.config.window[2]
        both = inside[:, :, None] * inside[:, None]
        return {
            "points": (error.abs() * inside).sum() / (2 * inside.sum()).clamp(min=1),
            "pairs": ((error[:, :, None] - error[:, None]).abs() * both).sum() / (2 * both.sum()).clamp(min=1),
            "heat": (heat_loss(logits, points) * inside[..., 0]).sum() / inside.sum().clamp(min=1),
        }

    def _augment(self, images: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        settings = self.arguments
        maps = random_maps(len(images), settings, images.device)
        images = soften(recolour(move_images(images, maps), settings.colour), settings.blur_px)
        strength = settings.noise * torch.rand(len(images), 1, 1, 1, device=images.device)
        return images + strength * torch.randn_like(images), move_points(points, maps)


class LandmarkTask(SteadyTask):
    """Task of the shared loop: see `s2f.training.loop.loop.Task`."""

    def __init__(self, data: DatasetFolder, arguments: LandmarkArguments) -> None:
        self.sources = run_sources(data)
        network = build_network(LandmarkRegressor, arguments.network)
        self.dataset = LandmarkImages(data, "train", network, arguments.canonical_only)
        self.held_out = LandmarkImages(data, "val", network, arguments.canonical_only)
        self.module = LandmarkModule(network, arguments)

    def to(self, device: torch.device) -> None:
        """Everything that moves lives in the module."""
        self.device = device

    def validate(self, folder: Path) -> dict[str, float]:
        """Root mean squared coordinate error in pixels at 224 px, and Pearson r of lengths over canonical faces."""
        held_out = self.held_out
        network = self.module.network
        parts = [network.locate(part.to(self.device).float() / 255)[0].cpu() for part in held_out.images.split(64)]
        scale = REFERENCE_PX * network.config.window[2]
        found, true = (torch.cat(parts) + 0.5) * (4 / network.image_size_px) * scale, held_out.points * scale
        inside = ((true > 0) & (true < scale)).all(-1)
        figures = {}
        for name, chosen in (("canonical", held_out.canonical), ("wild", ~held_out.canonical)):
            seen = inside & chosen[:, None]
            if seen.any():
                figures[f"{name}_rmse_px"] = (found - true)[seen].square().mean().sqrt().item()
        if held_out.canonical.sum() > 2:
            lengths = distances(found[held_out.canonical]), distances(true[held_out.canonical])
            for name in DISTANCES:
                figures[f"r_{name}"] = torch.corrcoef(torch.stack([length[name] for length in lengths]))[0, 1].item()
        self._draw(folder, found / scale, true / scale)
        return figures

    def _draw(self, folder: Path, found: Tensor, true: Tensor) -> None:
        """Save some pictures with the true points in green and the predicted ones in red."""
        count = len(self.held_out)
        shown = []
        for item in spread(range(count)):
            image = F.interpolate(self.held_out.images[item][None].float() / 255, scale_factor=2.0)[0]
            for points, colour in ((true[item], (0.0, 1.0, 0.0)), (found[item], (1.0, 0.0, 0.0))):
                x, y = (points * image.shape[-1]).long().clamp(0, image.shape[-1] - 1).T
                image[:, y, x] = torch.tensor(colour)[:, None]
            shown.append(image)
        grid([shown]).save(folder / "true_green_found_red.png")

    def export(self, folder: Path) -> None:
        """Write `folder`/landmarks."""
        with whole_folder(folder / "landmarks") as partial:
            self.module.network.save_pretrained(partial)


def train_landmarks(arguments: LandmarkArguments) -> None:
    """Train a landmark regressor and export it to `output_dir`/landmarks."""
    accelerator = start(arguments)
    train(LandmarkTask(DatasetFolder(arguments.data), arguments), arguments, accelerator)
