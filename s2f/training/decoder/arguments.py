"""Arguments of train_decoder.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from s2f.training.loop.arguments import TrainingArguments, free


@dataclass(kw_only=True)
class DecoderArguments(TrainingArguments):
    """Flags of train_decoder.py, besides those every recipe shares.

    Args:
        face_encoder: folder of the trained face encoder.
        network: constructor arguments of the decoder; `feature_size` follows from the encoder.
        mean_share: share of training features that are averaged over the person's views.
        morphs: people: random convex combinations of people and their features. neighbours: a person and one of the
            people nearest to them, with the encoder's feature of the morphed picture, as in Cole et al.
        morph_share: share of training items that are morphs.
        morph_people: largest number of people in a morph of `people`.
        morph_neighbours: number of nearest people from which `neighbours` draws.
        lpips_backbone: safetensors file of torchvision's alexnet, vgg16 or squeezenet1_1, trained; needed for the loss
            term `lpips` and for the validation figures of that name.
        feature_noise: standard deviation of noise on the feature, in units of its root mean square.
        background_weight: weight of the texture outside the head, 1 treats all pixels alike.
        inner_weight: weight between brows and chin, relative to the rest of the head. Both weights count in the texture
            term and in the principal components.
    """

    face_encoder: str = free()
    network: dict[str, Any] = field(default_factory=dict)
    mean_share: float = 0.0
    morphs: Literal["people", "neighbours"] = "people"
    morph_share: float = 0.0
    morph_people: int = 2
    morph_neighbours: int = 200
    lpips_backbone: str | None = free(default=None)
    feature_noise: float = 0.0
    background_weight: float = 1.0
    inner_weight: float = 1.0
