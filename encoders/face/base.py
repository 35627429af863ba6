"""What every face encoder offers: an input contract, a feature, and identity logits."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from diffusers.configuration_utils import ConfigMixin
from diffusers.models.modeling_utils import ModelMixin
from jaxtyping import Float
from torch import Tensor
from torchvision.transforms import v2

from encoders.inputs import require_picture_type, require_pictures


def require_square(image: Tensor) -> None:
    """Refuse what is no batch of square RGB images (B, 3, H, H).

    Raises:
        ValueError: it is not.
    """
    if image.ndim != 4 or image.shape[1] != 3 or image.shape[2] != image.shape[3]:
        raise ValueError(
            f"expected square RGB images (B, 3, H, H), got {tuple(image.shape)}; crop the face to a square first"
        )


class FaceEncoderOutput(NamedTuple):
    """`feature` (B, D) and `logits` (B, N) of one forward pass."""

    feature: Tensor
    logits: Tensor


class FaceEncoder(ModelMixin, ConfigMixin):
    """Base class: `prepare` to the input contract, `features`, `logits`.

    Whatever makes a feature of pictures refuses values that are not in [0, 1], see `encoders.inputs`. The contract
    lives in the config: `image_size_px`, `image_mean` and `image_std` (RGB, in units of `image_range`).

    Attributes:
        CLASSIFIER: first word of the names of the parameters that only `logits` uses.
    """

    CLASSIFIER: ClassVar[str] = "classifier"

    @property
    def image_size_px(self) -> int:
        """Side of the square input image in pixels."""
        return self.config.image_size_px

    @property
    def embedding_dim(self) -> int:
        """Size D of the feature."""
        raise NotImplementedError

    @property
    def num_identities(self) -> int:
        """Number N of identity logits."""
        return self.config.num_identities

    def prepare(self, image: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 P P"]:
        """Resize images to the contract size (antialiased bilinear; differentiable); a no-op at that size.

        Args:
            image: (B, 3, H, W) RGB in [0, 1], square.

        Returns:
            (B, 3, P, P) RGB in [0, 1], P = `image_size_px`.

        Raises:
            ValueError: not a batch of square RGB images, or not floats; whether they lie in [0, 1] `features` sees.
        """
        require_square(image)
        require_picture_type(image)
        return v2.functional.resize(image, [self.image_size_px, self.image_size_px], antialias=True)

    def _normalize(self, image: Float[Tensor, "B 3 P P"]) -> Float[Tensor, "B 3 P P"]:
        size = self.image_size_px
        if image.ndim != 4 or tuple(image.shape[1:]) != (3, size, size):
            raise ValueError(f"expected images (B, 3, {size}, {size}), got {tuple(image.shape)}; call `prepare` first")
        require_pictures(image)
        mean = torch.tensor(self.config.image_mean, device=image.device, dtype=image.dtype)[:, None, None]
        std = torch.tensor(self.config.image_std, device=image.device, dtype=image.dtype)[:, None, None]
        return (image * self.config.image_range - mean) / std

    def features(self, image: Float[Tensor, "B 3 P P"]) -> Float[Tensor, "B D"]:
        """Image (B, 3, P, P) RGB in [0, 1] at the contract size to feature (B, D)."""
        raise NotImplementedError

    def logits(self, feature: Float[Tensor, "B D"]) -> Float[Tensor, "B N"]:
        """Identity logits of a feature by the linear layer `CLASSIFIER`.

        Args:
            feature: (B, D).

        Returns:
            (B, N) logits before the softmax.

        Raises:
            ValueError: built with `num_identities` 0.
        """
        if not self.num_identities:
            raise ValueError("expected an encoder with identities, got num_identities 0; build it with more")
        return self.get_submodule(self.CLASSIFIER)(feature)

    def freeze_classifier(self) -> None:
        """Take the parameters that only `logits` uses out of training, for those who train `features` alone."""
        for name, parameter in self.named_parameters():
            if name.partition(".")[0] == self.CLASSIFIER:
                parameter.requires_grad_(False)

    def forward(self, image: Float[Tensor, "B 3 P P"]) -> FaceEncoderOutput:
        """Return `features(image)` and its `logits`."""
        feature = self.features(image)
        return FaceEncoderOutput(feature, self.logits(feature))
