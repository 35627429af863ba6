"""Losses of voice-face matching, one small function each: Kim et al., TriNet and Wen et al.

Papers: Kim et al., "On Learning Associations of Faces and Voices" (ACCV 2018), section 4; "TriNet" (ICLR 2021
submission, arXiv 1911.09338), section 4; Wen et al., "Seeking the Shape of Sound" (CVPR 2021), section 3.

Except for the triplets of a sphere, every function returns one value per example, so that identity weights and the
choice of hard examples stay outside. Embeddings and distances in half precision are computed in float32, also under
autocast; float64 stays float64. Negatives are those of the tensors given: of one process.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from jaxtyping import Bool, Float, Int
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.reducers import MeanReducer
from pytorch_metric_learning.utils.loss_and_miner_utils import get_all_triplets_indices
from torch import Tensor
from torch.nn import functional as F

from s2f.errors import RecipeError


def softmax_distance(positive: Float[Tensor, " B"], negative: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
    """Kim et al., Eq. 1: |softmax([d+, d-]) - [0, 1]|_2^2.

    With p+ = sigmoid(d+ - d-) the vector inside is (p+, -p+), so the loss is 2 p+^2; that form is computed, because it
    cannot overflow.

    Args:
        positive: (B,) distances d+ between voice and face of one person.
        negative: (B,) distances d- between voice and face of two people.

    Returns:
        (B,) in [0, 2]; 0.5 where the distances are equal.
    """
    return 2 * torch.sigmoid(_wide(positive) - _wide(negative)).square()


def hardest(losses: Float[Tensor, " B"], keep: int) -> Float[Tensor, " K"]:
    """Kim et al., section 4.3: of the tuples of a batch (16), only those with the highest losses (8) are used.

    Args:
        losses: (B,), one per tuple.
        keep: how many are used.

    Returns:
        (K,) the `keep` largest, largest first; the others get no gradient.

    Raises:
        RecipeError: `keep` is not in 1..B.
    """
    if not 1 <= keep <= len(losses):
        raise RecipeError(f"1 to {len(losses)} hard examples of a batch of {len(losses)}", str(keep), "correct it")
    return losses.topk(keep).values


def contrastive(distance: Float[Tensor, " B"], match: Bool[Tensor, " B"], margin: float) -> Float[Tensor, " B"]:
    """Contrastive loss: d^2 / 2 for a pair of one person, max(0, margin - d)^2 / 2 for one of two people.

    Hadsell et al., "Dimensionality Reduction by Learning an Invariant Mapping" (CVPR 2006), Eq. 4. Reading: Kim et
    al.'s Siamese alternative (Table 7) cites the earlier paper of the same authors (CVPR 2005), whose second term is
    an exponential; "contrastive loss" has since meant the later form, and Kim et al. print neither it nor a margin.

    Args:
        distance: (B,) Euclidean distances d >= 0.
        match: (B,) whether both sides are one person.
        margin: distance from which on two people cost nothing.

    Returns:
        (B,), none negative.
    """
    distance = _wide(distance)
    return torch.where(match, distance, (margin - distance).clamp_min(0)).square() / 2


def on_sphere(x: Float[Tensor, "B D"], radius: float) -> Float[Tensor, "B D"]:
    """TriNet, section 4.2: embeddings divided by their length, times the scale s (128).

    A vector of length 0 has no direction: it stays 0, and its gradient is as if its length were 1.

    Args:
        x: (B, D) embeddings.
        radius: s, length of the result.

    Returns:
        (B, D) of length `radius`.
    """
    x = _wide(x)
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return radius * x / torch.where(length > 0, length, 1.0)


def sphere_triplet(
    voice: Float[Tensor, "V D"],
    face: Float[Tensor, "F D"],
    voice_label: Int[Tensor, " V"],
    face_label: Int[Tensor, " F"],
    margin: float,
) -> tuple[Float[Tensor, ""], int]:
    """TriNet, Eq. 1: max(0, d(v, f+) - d(v, f-) + margin) over all triplets that the identities of a batch make.

    Every voice is an anchor, every face of its identity a positive, every face of another one a negative. The paper
    prints the sum. Reading: the mean over all triplets, those that cost nothing included, so that the learning rate
    does not depend on the composition of the batch.

    Args:
        voice: (V, D) embeddings on the sphere: see `on_sphere`.
        face: (F, D) the same.
        voice_label: (V,) identity numbers.
        face_label: (F,) identity numbers.
        margin: m, in the unit of the distances (1 at radius 128).

    Returns:
        The mean, and the number of triplets. Without any (one identity in the batch) a 0 whose gradients are 0.
    """
    # a copy: given one tensor twice, the library takes it for one modality and leaves out the pairs (i, i)
    triplets = get_all_triplets_indices(voice_label, face_label.clone())
    count = len(triplets[0])
    if not count:
        return 0 * (_wide(voice).sum() + _wide(face).sum()), 0
    return _triplet_loss(margin)(_wide(voice), indices_tuple=triplets, ref_emb=_wide(face)), count


class _ExactDistance(LpDistance):
    """Euclidean distances without the shortcut |x|^2 + |y|^2 - 2 x.y.

    `torch.cdist` takes it from 26 rows on. On a sphere of radius 128, in float32, it is then wrong by up to 0.1 between
    near neighbours (tests/s2f/matching/test_losses.py), for a margin of 1.
    """

    def compute_mat(self, query_emb: Tensor, ref_emb: Tensor) -> Tensor:
        return torch.cdist(query_emb, ref_emb, compute_mode="donot_use_mm_for_euclid_dist")


@cache
def _triplet_loss(margin: float) -> TripletMarginLoss:
    return TripletMarginLoss(margin, distance=_ExactDistance(normalize_embeddings=False), reducer=MeanReducer())


def identity_cross_entropy(
    embedding: Float[Tensor, "B D"], classifier: Float[Tensor, "M D"], label: Int[Tensor, " B"]
) -> Float[Tensor, " B"]:
    """Wen et al., Eq. 1 (faces) and Eq. 2 (voices): -log of the softmax of w_j.x at the true identity.

    Raw dot products: no bias, and neither side is normalised. Both modalities share one classifier, which is what
    aligns them.

    Args:
        embedding: (B, D) voices v or faces x.
        classifier: (M, D) the rows w_j, one per training identity.
        label: (B,) identity numbers in 0..M-1.

    Returns:
        (B,), none negative.
    """
    with torch.autocast(embedding.device.type, enabled=False):
        return F.cross_entropy(_wide(embedding) @ _wide(classifier).T, label, reduction="none")


def focal(cross_entropy: Float[Tensor, " B"], gamma: float = 2.0) -> Float[Tensor, " B"]:
    """Focal loss, Wen et al.'s alternative to identity weights (Table 2): (1 - p)^gamma times the cross entropy.

    Lin et al., "Focal Loss for Dense Object Detection" (ICCV 2017), Eq. 4, with p = exp(-cross entropy), the
    probability of the true class. Wen et al. print no gamma; 2 is Lin et al.'s.

    Args:
        cross_entropy: (B,), none negative.
        gamma: exponent; 0 changes nothing.

    Returns:
        (B,), none negative.
    """
    error = -torch.expm1(-cross_entropy)
    # a root has no gradient at 0, which an example classified perfectly reaches
    return error.clamp_min(torch.finfo(error.dtype).tiny) ** gamma * cross_entropy


def n_pair(
    anchor: Float[Tensor, "B D"], candidate: Float[Tensor, "B D"], label: Int[Tensor, " B"], constant: float
) -> Float[Tensor, " B"]:
    """Wen et al., Eq. 4, one direction: log(m + sum over y_j != y_i of exp(a_i.c_j - a_i.c_i)).

    The candidates c are divided by their length, the anchors a are not; the other direction is a second call with the
    two exchanged. An identity that is twice in the batch is no negative of itself.

    The authors' code adds 1 + 3.4 and sums over all j, where j = i contributes exp(0) = 1: its constant is 5.4, not
    the printed 3.4. The caller chooses. Its sum also runs over second examples of the anchor's identity, but its
    batches have none.

    Args:
        anchor: (B, D) voices, or faces.
        candidate: (B, D) the other modality; row i is the identity of anchor i.
        label: (B,) identity numbers.
        constant: m > 0.

    Returns:
        (B,), at least log m, which an anchor without negatives gets exactly.

    Raises:
        RecipeError: `constant` is not positive.
    """
    if constant <= 0:
        raise RecipeError("a constant m > 0 in the N-pair loss", str(constant), "3.4 is printed, 5.4 the code's")
    with torch.autocast(anchor.device.type, enabled=False):
        scores = _wide(anchor) @ on_sphere(candidate, 1.0).T
        above = scores - scores.diagonal()[:, None]
        above = above.masked_fill(label[:, None] == label, -torch.inf)
        return torch.logsumexp(F.pad(above, (0, 1), value=math.log(constant)), dim=-1)


def _wide(x: Tensor) -> Tensor:
    """In float32, or float64 where it is that already."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
