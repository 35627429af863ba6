"""Losses of Speech2Face and of the normalised-face decoder, one small function a term.

Papers: Oh et al., "Speech2Face" (CVPR 2019), Eq. 1; Cole et al., "Synthesizing Normalized Faces" (CVPR 2017), sections
on decoder training. Every function takes a batch and returns the mean over it.

Reductions. Eq. 1 does not say whether its norms are sums or means over units. The weights it prints (1, 0.025, 200)
were tuned so that the gradients of the three terms with respect to the voice feature are of similar size near step
1,000. `benchmarks/gradient_balance.py starter DATA` prints those gradients, weighted: 28 for the L1 term summed over
units or 0.11 averaged, 0.005 for the normalised term, 93 for the distillation. Only the sum puts L1 near the
distillation; the middle term is small in either reading, at the starter's feature length. So: L1 and squared L2 are
summed over units, distillation is the sum over identities as printed, and all are averaged over the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from s2f.errors import RecipeError


def decoder_layer_l1(prediction: Float[Tensor, "B H"], target: Float[Tensor, "B H"]) -> Float[Tensor, ""]:
    """First term of Eq. 1: |f_dec(v_f) - f_dec(v_s)|_1, summed over the H units.

    Args:
        prediction: (B, H) first decoder layer of the voice feature v_s.
        target: (B, H) the same of the face feature v_f.

    Returns:
        Scalar, mean over the batch.
    """
    return (prediction - target).abs().sum(-1).mean()


def normalized_l2(prediction: Float[Tensor, "B D"], target: Float[Tensor, "B D"]) -> Float[Tensor, ""]:
    """Second term of Eq. 1: squared distance between the features divided by their lengths.

    Args:
        prediction: (B, D) voice feature v_s.
        target: (B, D) face feature v_f.

    Returns:
        Scalar in [0, 4], mean over the batch; equals 2 - 2 cos.
    """
    return (F.normalize(prediction, dim=-1) - F.normalize(target, dim=-1)).square().sum(-1).mean()


def distillation(
    prediction: Float[Tensor, "B N"], target: Float[Tensor, "B N"], temperature: float = 2.0
) -> Float[Tensor, ""]:
    """Third term of Eq. 1: -sum_i p_i(a) log p_i(b), p the softmax at a temperature; a is the target.

    Args:
        prediction: (B, N) identity logits b of the voice feature.
        target: (B, N) identity logits a of the face feature.
        temperature: T of the softmax, 2 in the paper.

    Returns:
        Scalar, mean over the batch; at least the entropy of p(a).
    """
    teacher = F.softmax(target / temperature, dim=-1)
    return -(teacher * F.log_softmax(prediction / temperature, dim=-1)).sum(-1).mean()


def speech2face_terms(
    voice_feature: Float[Tensor, "B D"],
    face_feature: Float[Tensor, "B D"],
    first_layer: Callable[[Tensor], Tensor],
    logits: Callable[[Tensor], Tensor],
    temperature: float = 2.0,
) -> dict[str, Tensor]:
    """The three unweighted terms of Eq. 1.

    Args:
        voice_feature: (B, D) v_s, the prediction.
        face_feature: (B, D) v_f, the frozen face encoder's feature.
        first_layer: f_dec, the frozen decoder's first layer.
        logits: f_VGG, the frozen face encoder's identity layer.
        temperature: T of the distillation term.

    Returns:
        `decoder`, `normalized` and `distillation`, each a scalar.
    """
    with torch.no_grad():
        target_layer, target_logits = first_layer(face_feature), logits(face_feature)
    return {
        "decoder": decoder_layer_l1(first_layer(voice_feature), target_layer),
        "normalized": normalized_l2(voice_feature, face_feature),
        "distillation": distillation(logits(voice_feature), target_logits, temperature),
    }


def pixel_l1(prediction: Float[Tensor, "B C H W"], target: Float[Tensor, "B C H W"]) -> Float[Tensor, ""]:
    """Speech2Face's ablation (section 5.2, Fig. 8): L1 between decoded images, summed over pixels and channels.

    Args:
        prediction: (B, C, H, W) image of the voice feature.
        target: (B, C, H, W) image of the face feature.

    Returns:
        Scalar, mean over the batch.
    """
    return (prediction - target).abs().flatten(1).sum(-1).mean()


def landmark_mse(prediction: Float[Tensor, "B L 2"], target: Float[Tensor, "B L 2"]) -> Float[Tensor, ""]:
    """Cole et al.'s landmark loss: mean squared error of the coordinates, in px^2.

    Args:
        prediction: (B, L, 2) pixels.
        target: (B, L, 2) pixels.

    Returns:
        Scalar.
    """
    return (prediction - target).square().mean()


def texture_l1(
    prediction: Float[Tensor, "B C H W"], target: Float[Tensor, "B C H W"], mask: Float[Tensor, "1 H W"] | None = None
) -> Float[Tensor, ""]:
    """Cole et al.'s texture loss: mean absolute error, optionally weighted by a mask.

    Args:
        prediction: (B, C, H, W) in units of [0, 1].
        target: (B, C, H, W).
        mask: (1, H, W) weights >= 0; the mean is weighted by it.

    Returns:
        Scalar.
    """
    error = (prediction - target).abs()
    if mask is None:
        return error.mean()
    return (error * mask).sum() / mask.expand_as(error).sum()


def feature_cosine(prediction: Float[Tensor, "B D"], target: Float[Tensor, "B D"]) -> Float[Tensor, ""]:
    """Cole et al.'s face-feature loss: negative cosine similarity.

    Args:
        prediction: (B, D) feature of the decoded image.
        target: (B, D) feature it was decoded from.

    Returns:
        Scalar in [-1, 1].
    """
    return -F.cosine_similarity(prediction, target, dim=-1).mean()


def gradient_l1(prediction: Float[Tensor, "B C H W"], target: Float[Tensor, "B C H W"]) -> Float[Tensor, ""]:
    """Mean absolute error of horizontal and vertical neighbour differences (ours, not Cole et al.'s): keeps edges.

    Args:
        prediction: (B, C, H, W).
        target: (B, C, H, W).

    Returns:
        Scalar, the sum of the two directions' means.
    """
    error = prediction - target
    return error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()


def weighted_total(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Sum of weight * term over `weights`.

    Args:
        terms: unweighted scalars by name.
        weights: weight by name; a weight of 0 drops a term.

    Returns:
        Scalar.

    Raises:
        RecipeError: a weight names no term, a term has no weight, or all weights are 0.
    """
    dropped = {name for name, weight in weights.items() if not weight}
    if set(weights) - dropped != set(terms) - dropped or len(dropped) == len(weights):
        expected = f"loss_weights for {', '.join(sorted(terms))}, not all 0"
        raise RecipeError(expected, ", ".join(f"{name} {weights[name]}" for name in weights) or "none", "correct them")
    total = torch.zeros((), device=next(iter(terms.values())).device)
    for name, weight in weights.items():
        if weight:
            total = total + weight * terms[name]
    return total
