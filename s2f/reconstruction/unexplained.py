"""The part of a face that the voice does not determine: a Gaussian on face features, to draw from.

A voice encoder predicts about the mean of all faces that go with a voice. What is left over is measured on people it
did not learn from: residual = true feature - slope * predicted feature, both at the scale the decoder uses. The slope
is that of least squares, because a prediction may have full length while a mean of unit vectors is shorter. A draw is
slope * prediction + residual. Not from a paper: the residual is taken as Gaussian and as the same for all voices.
`s2f weights fit-unexplained` fits it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from s2f.errors import UsageError


class UnexplainedVariation(ModelMixin, ConfigMixin):
    """Gaussian of the residuals of predicted face features: N(mean, factor factor^T)."""

    @register_to_config
    def __init__(self, feature_size: int = 4096, rank: int = 32, slope: float = 1.0) -> None:
        """Build the model, without any variation until it is fitted.

        Args:
            feature_size: size D of the face feature.
            rank: number K of directions that vary.
            slope: factor on the predicted feature, see the module's text.
        """
        super().__init__()
        self.register_buffer("mean", torch.zeros(feature_size))
        self.register_buffer("factor", torch.zeros(feature_size, rank))

    @property
    def embedding_dim(self) -> int:
        """Size D of the face feature."""
        return self.config.feature_size

    @classmethod
    def fit(cls, residuals: Float[Tensor, "N D"], rank: int, slope: float = 1.0) -> UnexplainedVariation:
        """Mean and leading principal directions of residuals.

        Args:
            residuals: (N, D) true minus `slope` times predicted features of held-out people.
            rank: number K of directions kept, at most N - 1 and at most D.
            slope: stored beside them.

        Returns:
            The fitted model.

        Raises:
            UsageError: `rank` is not in that range.
        """
        people, size = residuals.shape
        most = min(people - 1, size)
        if not 1 <= rank <= most:
            raise UsageError(f"a rank of 1 to {most} for {people} people", str(rank), "lower it or take more people")
        model = cls(size, rank, slope)
        mean = residuals.double().mean(0)
        _, lengths, directions = torch.linalg.svd(residuals.double() - mean, full_matrices=False)
        factor = directions[:rank].T * (lengths[:rank] / math.sqrt(people - 1))
        factor = factor * factor.gather(0, factor.abs().argmax(0, keepdim=True)).sign()  # the same sign everywhere
        model.mean.copy_(mean)
        model.factor.copy_(factor)
        return model.eval()

    def forward(
        self, predicted: Float[Tensor, "B D"], count: int, generators: Sequence[torch.Generator | None]
    ) -> Float[Tensor, "B C D"]:
        """Draw features that go with predicted ones.

        Args:
            predicted: (B, D) predicted features at the decoder's scale.
            count: draws C for each; the first draws do not depend on it.
            generators: one for each of the B features; None is PyTorch's own.

        Returns:
            (B, C, D), before any renormalisation.
        """
        noise = torch.stack(
            [
                torch.stack([_standard_normal(self.config.rank, generator) for _ in range(count)])
                for generator in generators
            ]
        )
        return (self.config.slope * predicted + self.mean)[:, None] + noise.to(self.factor) @ self.factor.T


def _standard_normal(size: int, generator: torch.Generator | None) -> Tensor:
    return torch.randn(size, generator=generator, device=generator.device if generator else "cpu").cpu()


def decoder_scale(feature: Float[Tensor, "... D"], normalize_feature: bool) -> Float[Tensor, "... D"]:
    """Features as the decoder sees them: of norm sqrt(D) where it normalises its input, else unchanged."""
    return F.normalize(feature, dim=-1) * math.sqrt(feature.shape[-1]) if normalize_feature else feature
