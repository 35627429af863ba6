"""Training the normalised-face decoder on features of a frozen face encoder.

Paper: Cole et al., "Synthesizing Normalized Faces from Facial Identity Features" (CVPR 2017): landmark squared error,
texture absolute error in the mean landmark frame, and cosine between the feature of the rendered face and the input.
Random morphs of people and their neighbours are in `s2f.training.decoder.morphs`.
Ours, off in the paper's recipe: a perceptual term (LPIPS), a term on neighbour differences, a mask that plays down
background and clothes, noise on the feature and a share of features averaged over all views of the person.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.decomposition import PCA
from torch import Tensor, nn
from torch.nn import functional as F

from decoder.normalized import NormalizedFaceDecoder
from decoder.warp import warp_image
from s2f.checkpoints.encoders import load_face_encoder
from s2f.datasets import DatasetFolder
from s2f.errors import RecipeError
from s2f.faces.images import grid, spread
from s2f.faces.lpips import load_lpips, lpips_distance
from s2f.reconstruction.losses import feature_cosine, gradient_l1, landmark_mse, texture_l1
from s2f.runtime.files import file_sha256, whole_folder
from s2f.training.decoder.arguments import DecoderArguments
from s2f.training.decoder.data import Faces, Samples, add_noise, head_mask
from s2f.training.loop.arguments import build_network
from s2f.training.loop.checkpointing import run_sources
from s2f.training.loop.loop import SteadyTask, start, train

CHUNK = 16


class DecoderModule(nn.Module):
    """Decoder and the loss terms asked for."""

    def __init__(
        self,
        decoder: NormalizedFaceDecoder,
        frozen: dict[str, Any],
        weights: Mapping[str, float],
        feature_noise: float = 0.0,
    ) -> None:
        """Keep the parts.

        Args:
            decoder: the network to train, its mean landmarks set.
            frozen: `encoder`, the face encoder, and for the term `lpips` the metric of that name.
            weights: of the loss terms by name; a term of weight 0 is not computed where it costs much.
            feature_noise: see `DecoderArguments`; used for morphs of neighbours.
        """
        super().__init__()
        self.decoder = decoder
        self.wanted = {name for name, weight in weights.items() if weight}
        self.frozen = frozen  # a plain dict: neither trained nor stored with the decoder
        self.feature_noise = feature_noise
        self.mask: Tensor | None = None

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Loss terms: `landmarks` (px^2), `texture`, `gradient`, and `feature` and `lpips` where they are weighted."""
        if "morphed" in batch or "lpips" in self.wanted:
            batch = self.with_image(batch)
        if self.wanted & {"feature", "lpips"}:
            output = self.decoder(batch["feature"])
            texture, landmarks = output.texture, output.landmarks
        else:
            texture, landmarks = self.decoder.decode(batch["feature"])
        terms = {
            "landmarks": landmark_mse(landmarks, batch["landmarks"]),
            "texture": texture_l1(texture, batch["texture"], self.mask),
            "gradient": gradient_l1(texture, batch["texture"]),
        }
        if "feature" in self.wanted:
            terms["feature"] = feature_cosine(self.encode(output.image), batch["feature"])
        if "lpips" in self.wanted:
            terms["lpips"] = lpips_distance(self.frozen["lpips"], output.image, batch["image"]).mean()
        return terms

    def encode(self, image: Tensor) -> Tensor:
        """Feature (B, D) of pictures (B, 3, P, P) in [0, 1] by the frozen encoder."""
        encoder = self.frozen["encoder"]
        return encoder.features(encoder.prepare(image))

    @torch.no_grad()
    def with_image(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Add each item's picture as the decoder would render it, and give morphs the feature of that picture.

        A person's picture is thus warped to the mean landmarks and back: on 300 of the starter's simulated people an
        image L1 of .005 from the canonical picture, and a cosine of the features of .999.

        Args:
            batch: items of `Samples`: `texture` (B, 3, P, P), `landmarks` (B, L, 2), `feature` (B, D), and with morphs
                of neighbours `morphed` (B,) and `noise` (B, D).

        Returns:
            The batch with `image` (B, 3, P, P) in [0, 1], and with `morphed` the final `feature`.
        """
        texture, landmarks = batch["texture"], batch["landmarks"]
        mean = self.decoder.mean_landmarks.expand_as(landmarks)
        with torch.autocast(texture.device.type, enabled=False):
            image = warp_image(texture, mean, landmarks, self.decoder.config.warp_grid)
            batch = batch | {"image": image}
            if "morphed" in batch:
                clean = torch.where(batch["morphed"][:, None], self.encode(image), batch["feature"])
                batch["feature"] = add_noise(clean, batch["noise"], self.feature_noise)
        return batch


class DecoderTask(SteadyTask):
    """Task of the shared loop: see `s2f.training.loop.loop.Task`."""

    def __init__(self, data: DatasetFolder, arguments: DecoderArguments, device: torch.device) -> None:
        _require_sense(arguments)
        self.sources = run_sources(data, face_encoder=arguments.face_encoder)
        self.encoder = load_face_encoder(arguments.face_encoder).to(device).requires_grad_(False)
        frozen: dict[str, Any] = {"encoder": self.encoder}
        if arguments.lpips_backbone is not None:
            frozen["lpips"] = load_lpips(arguments.lpips_backbone)
            self.sources["lpips_sha256"] = file_sha256(arguments.lpips_backbone)
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
        self.module = DecoderModule(decoder, frozen, arguments.loss_weights, arguments.feature_noise)
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
        """Move the frozen networks and the mask."""
        self.device = device
        for network in self.module.frozen.values():
            network.to(device)
        if self.module.mask is not None:
            self.module.mask = self.module.mask.to(device)

    def validate(self, folder: Path) -> dict[str, float]:
        """Face to face (F2F): decode held-out people from one wild view and from the mean of their views.

        Args:
            folder: gets the F2F validation grid true_single_mean.png, one person a row: canonical picture, decoded from
                the view, decoded from the mean.

        Returns:
            For `single` and `mean`: `image_l1` and, with a backbone, `lpips` against the canonical picture,
            `landmark_rmse_px`, and `feature_cosine` between the feature of the decoded image and the one it was
            decoded from.
        """
        people = self.held_out
        single = torch.stack([people.features[views[-1]] for views in people.views])
        figures: dict[str, float] = {}
        columns = [people.images.float() / 255]
        for name, features in (("single", single), ("mean", people.means)):
            images, landmarks = self._decode(features)
            found = self._figures(features, images, landmarks)
            figures |= {f"{name}_{figure}": value for figure, value in found.items()}
            columns.append(images)
        chosen = spread(range(len(people)))
        grid([[column[i] for column in columns] for i in chosen]).save(folder / "true_single_mean.png")
        return figures

    def _decode(self, features: Tensor) -> tuple[Tensor, Tensor]:
        outputs = [self.module.decoder(part.to(self.device)) for part in features.split(CHUNK)]
        return torch.cat([o.image.cpu() for o in outputs]), torch.cat([o.landmarks.cpu() for o in outputs])

    def _figures(self, features: Tensor, images: Tensor, landmarks: Tensor) -> dict[str, float]:
        """Compare decoded images (N, 3, P, P) and landmarks of all held-out people with the truth."""
        truth = self.held_out.images.float() / 255
        cosines, distances = [], []
        for image, true, feature in zip(images.split(CHUNK), truth.split(CHUNK), features.split(CHUNK), strict=True):
            image, true = image.to(self.device), true.to(self.device)
            cosines.append(F.cosine_similarity(self.module.encode(image), feature.to(self.device), dim=-1))
            if "lpips" in self.module.frozen:
                distances.append(lpips_distance(self.module.frozen["lpips"], image, true))
        figures = {
            "image_l1": (images - truth).abs().mean().item(),
            "landmark_rmse_px": (landmarks - self.held_out.landmarks).square().mean().sqrt().item(),
            "feature_cosine": torch.cat(cosines).mean().item(),
        }
        return figures | ({"lpips": torch.cat(distances).mean().item()} if distances else {})

    def export(self, folder: Path) -> None:
        """Write `folder`/decoder."""
        with whole_folder(folder / "decoder") as new:
            self.module.decoder.save_pretrained(new)


def _require_sense(arguments: DecoderArguments) -> None:
    """Refuse options that contradict each other."""
    if arguments.morphs == "people" and arguments.morph_share and arguments.morph_people < 2:
        raise RecipeError("morph_people >= 2", str(arguments.morph_people), "or set morph_share: 0")
    if arguments.morph_neighbours < 1:
        raise RecipeError("morph_neighbours >= 1", str(arguments.morph_neighbours), "the paper has 200")
    if arguments.loss_weights.get("lpips") and arguments.lpips_backbone is None:
        fix = "give --lpips_backbone or set its weight to 0; a backbone of random weights is never scored with"
        raise RecipeError("lpips_backbone for the loss term lpips", "none", fix)


def train_decoder(arguments: DecoderArguments) -> None:
    """Train a normalised-face decoder and export it to `output_dir`/decoder."""
    accelerator = start(arguments)
    task = DecoderTask(DatasetFolder(arguments.data), arguments, accelerator.device)
    train(task, arguments, accelerator)
