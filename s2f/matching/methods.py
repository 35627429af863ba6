"""The loss of each published system on one batch, from the features of its voices and faces.

A batch has P voices and Q faces an item with their identity numbers: triplets one of one kind and two or more of the
other, pairs one of each, identity batches several of one identity. `Method.terms` gives unweighted scalars by name.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from s2f.matching.heads import EmbeddingHead, MatchingHead
from s2f.matching.losses import (
    contrastive,
    focal,
    hardest,
    identity_cross_entropy,
    n_pair,
    softmax_distance,
    sphere_triplet,
)
from s2f.matching.reweighting import IdentityWeights

PAPER_CONSTANT, CODE_CONSTANT = 3.4, 5.4


class Method(nn.Module):
    """Base class: what a system learns from a batch.

    Attributes:
        step: the 0-based training step.
    """

    def __init__(self) -> None:
        super().__init__()
        self.step = 0

    @property
    def items(self) -> int | None:
        """How many items of a batch this step needs, the first ones; None for all."""
        return None

    def terms(
        self,
        head: MatchingHead,
        voice: Float[Tensor, "B P Dv"],
        face: Float[Tensor, "B Q Df"],
        voice_label: Int[Tensor, "B P"],
        face_label: Int[Tensor, "B Q"],
    ) -> dict[str, Tensor]:
        """Unweighted loss terms of a batch.

        Args:
            head: the system's head.
            voice: (B, P, Dv) features.
            face: (B, Q, Df) features.
            voice_label: (B, P) identity numbers.
            face_label: (B, Q) identity numbers.

        Returns:
            Scalars by name.
        """
        raise NotImplementedError


class CandidateClassification(Method):
    """SVHF, section 3: cross-entropy of the place of the positive among the candidates."""

    def terms(self, head, voice, face, voice_label, face_label):
        """`place`; see `Method.terms`."""
        place = (voice_label == face_label).float().argmax(1)
        return {"place": F.nll_loss(head.scores(voice, face), place)}


class SoftmaxDistanceTriplet(Method):
    """Kim et al., section 4.1, Eq. 1, and section 4.3: from a step on only the hardest triplets of a batch are used.

    The paper draws 8 triplets a batch, and 16 from step 120,000 on. Here a batch always has 16; before that step the
    first 8 are used, which are as random as any.
    """

    def __init__(self, used: int | None = None, hardest_from_step: int | None = None) -> None:
        """Set the schedule.

        Args:
            used: triplets of a batch that the loss averages; None for all.
            hardest_from_step: step from which these are the hardest; None for never.
        """
        super().__init__()
        self.used, self.hardest_from_step = used, hardest_from_step

    @property
    def items(self) -> int | None:
        """`used` before the hardest are chosen, then all: see `Method.items`."""
        return None if self.hardest_from_step is not None and self.step >= self.hardest_from_step else self.used

    def terms(self, head, voice, face, voice_label, face_label):
        """`triplet`; see `Method.terms`."""
        distance, match = distances(head, voice, face), voice_label == face_label
        losses = softmax_distance(distance[match], distance[~match])
        if self.used is not None and len(losses) > self.used:
            losses = hardest(losses, self.used)
        return {"triplet": losses.mean()}


class ContrastivePairs(Method):
    """Kim et al., section 4.6, "Siamese net with same subnets": contrastive loss on matched and unmatched pairs."""

    def __init__(self, margin: float) -> None:
        """Set the margin; the paper does not print it."""
        super().__init__()
        self.margin = margin

    def terms(self, head, voice, face, voice_label, face_label):
        """`contrastive`; see `Method.terms`."""
        match = (voice_label == face_label)[:, 0]
        return {"contrastive": contrastive(distances(head, voice, face)[:, 0], match, self.margin).mean()}


class PairClassification(Method):
    """Kim et al., section 4.6, "Classification network": does this voice belong to this face?"""

    def terms(self, head, voice, face, voice_label, face_label):
        """`match`; see `Method.terms`."""
        logits = head.scores(voice, face)[:, 0]
        return {"match": F.binary_cross_entropy_with_logits(logits, (voice_label == face_label)[:, 0].float())}


class SphereTriplets(Method):
    """TriNet, section 4.2, Eq. 1: hinge over all triplets of the identities in the batch, voices as anchors."""

    def __init__(self, margin: float) -> None:
        """Set the margin (1 in the paper)."""
        super().__init__()
        self.margin = margin

    def terms(self, head, voice, face, voice_label, face_label):
        """`triplet`; see `Method.terms`."""
        voices, faces = head.embed_voice(voice.flatten(0, 1)), head.embed_face(face.flatten(0, 1))
        loss, _ = sphere_triplet(voices, faces, voice_label.flatten(), face_label.flatten(), self.margin)
        return {"triplet": loss}


class TwoLevelAlignment(Method):
    """Wen et al., CVPR 2021: identity classification by one classifier for both modalities, and N-pair alignment.

    `paper` follows section 3, `code` the authors' published code where it differs: the constant in the logarithm is
    5.4 in effect, the two directions are averaged and not summed, and the identity terms are weighted by the mean
    weight of the batch, because they were averaged first.

    Attributes:
        observes: whether the weights follow the hardness of the batches (stages one and two of Alg. 1).
    """

    def __init__(
        self,
        weights: IdentityWeights,
        embedding_dim: int,
        mode: Literal["paper", "code"],
        focal_gamma: float | None,
    ) -> None:
        """Build the classifier, shared by both modalities, without bias (Xavier).

        Args:
            weights: one weight an identity.
            embedding_dim: size E of the embeddings.
            mode: paper or code.
            focal_gamma: exponent of the focal loss in place of re-weighting (section 4.4, "focal"); None without.
        """
        super().__init__()
        self.weights, self.mode, self.focal_gamma = weights, mode, focal_gamma
        self.observes = False
        self.classifier = nn.Parameter(torch.empty(len(weights.weight), embedding_dim))
        nn.init.xavier_uniform_(self.classifier)

    def terms(self, head, voice, face, voice_label, face_label):
        """`identity` (Eq. 3 or 8 and 9) and `explicit` (Eq. 4 or 10); see `Method.terms`."""
        label = voice_label[:, 0]
        v, x = head.embed_voice(voice[:, 0]), head.embed_face(face[:, 0])
        seen, heard = (identity_cross_entropy(embedding, self.classifier, label) for embedding in (x, v))
        if self.observes:
            self.weights.observe(label, (seen + heard).detach())
        if self.focal_gamma is not None:
            seen, heard = focal(seen, self.focal_gamma), focal(heard, self.focal_gamma)
        identity = seen + heard
        constant = PAPER_CONSTANT if self.mode == "paper" else CODE_CONSTANT
        explicit = n_pair(v, x, label, constant) + n_pair(x, v, label, constant)
        weight = self.weights.of(label)
        if self.mode == "paper":
            return {"identity": (weight * identity).sum(), "explicit": (weight * explicit).sum()}
        return {"identity": identity.mean() * weight.mean(), "explicit": (weight * explicit).mean() / 2}


def distances(
    head: MatchingHead, voice: Float[Tensor, "B P Dv"], face: Float[Tensor, "B Q Df"]
) -> Float[Tensor, "B N"]:
    """Euclidean distance of every candidate from the anchor of its item; P or Q is 1."""
    assert isinstance(head, EmbeddingHead), "only embeddings have distances"
    voices = head.embed_voice(voice.flatten(0, 1)).unflatten(0, voice.shape[:2])
    faces = head.embed_face(face.flatten(0, 1)).unflatten(0, face.shape[:2])
    return (voices - faces).norm(dim=-1)
