"""What makes scores of voice and face features: embeddings in one space, or a network that sees all candidates.

Every head has `scores(voice, face)`: with one voice and N faces a query asks which face, with N voices and one face
which voice. A higher score is a better match. `EmbeddingHead` and `PairClassifier` score a pair by itself; the two
SVHF heads (Nagrani et al., "Seeing Voices and Hearing Faces", CVPR 2018) score a candidate among the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from s2f.errors import UsageError, check_names
from s2f.matching.losses import on_sphere

Direction = Literal["v2f", "f2v"]
GAUSSIAN_STD = 0.01
FORM_OPTIONS = {"mlp": "hidden_size", "sphere": "radius", "normalized": "dropout"}  # what only this form uses


class MatchingHead(ModelMixin, ConfigMixin):
    """Base class of the heads."""

    def scores(self, voice: Float[Tensor, "B P Dv"], face: Float[Tensor, "B Q Df"]) -> Float[Tensor, "B N"]:
        """Score of every candidate of B queries.

        Args:
            voice: (B, P, Dv) features of the voice encoder.
            face: (B, Q, Df) features of the face encoder; P or Q is 1.

        Returns:
            (B, N) scores of the candidates, N the larger of P and Q.

        Raises:
            UsageError: several of both, or a query of a kind this head was not trained for.
        """
        raise NotImplementedError


class PairHead(MatchingHead):
    """A head that scores a voice and a face by themselves, whatever else is asked."""

    def pair_scores(self, voice: Float[Tensor, "V Dv"], face: Float[Tensor, "F Df"]) -> Float[Tensor, "V F"]:
        """Score of every voice (V, Dv) with every face (F, Df)."""
        raise NotImplementedError

    def scores(self, voice: Float[Tensor, "B P Dv"], face: Float[Tensor, "B Q Df"]) -> Float[Tensor, "B N"]:
        """See `MatchingHead.scores`; each candidate by `pair_scores`."""
        query_direction(voice, face)
        return torch.stack([self.pair_scores(*pair).flatten() for pair in zip(voice, face, strict=True)])


class EmbeddingHead(PairHead):
    """Both features into one space; the score is the cosine or the negative Euclidean distance.

    Three published forms, each with its own weights for voice and face:

    * `mlp` (Kim et al., ACCV 2018, section 4.1): linear, ReLU, linear; Euclidean;
    * `sphere` (TriNet, section 4.2): linear, divided by the norm, times a radius of 128; Euclidean. The paper does not
      say how wide the layer is;
    * `normalized` (Wen et al., CVPR 2021, published code): batch norm, ReLU, linear without bias, and dropout on the
      embedding itself; cosine. The paper says only that the embedding has 128 dimensions.
    """

    @register_to_config
    def __init__(
        self,
        voice_size: int,
        face_size: int,
        form: Literal["mlp", "sphere", "normalized"] = "mlp",
        embedding_dim: int = 128,
        hidden_size: int = 128,
        radius: float = 128.0,
        dropout: float = 0.0,
    ) -> None:
        """Build the layers.

        Args:
            voice_size: size Dv of the voice encoder's feature.
            face_size: size Df of the face encoder's feature.
            form: which layers.
            embedding_dim: size E of the common space.
            hidden_size: units between the two layers of `mlp`.
            radius: of `sphere`.
            dropout: probability of `normalized`, in training only.

        Raises:
            UsageError: an unknown form.
        """
        super().__init__()
        check_names([form], FORM_OPTIONS, "form of an EmbeddingHead")
        self.voice = self._branch(voice_size)
        self.face = self._branch(face_size)

    def _branch(self, size: int) -> nn.Sequential:
        options = self.config
        if options.form == "mlp":
            return nn.Sequential(
                nn.Linear(size, options.hidden_size), nn.ReLU(), nn.Linear(options.hidden_size, options.embedding_dim)
            )
        if options.form == "sphere":
            return nn.Sequential(nn.Linear(size, options.embedding_dim))
        linear = nn.Linear(size, options.embedding_dim, bias=False)
        return nn.Sequential(nn.BatchNorm1d(size), nn.ReLU(), linear, nn.Dropout(options.dropout))

    @property
    def embedding_dim(self) -> int:
        """Size E of the common space."""
        return self.config.embedding_dim

    @property
    def metric(self) -> Literal["cosine", "l2"]:
        """How two embeddings are compared."""
        return "cosine" if self.config.form == "normalized" else "l2"

    def embed_voice(self, feature: Float[Tensor, "N Dv"]) -> Float[Tensor, "N E"]:
        """Voice features to embeddings."""
        return self._placed(self.voice(feature))

    def embed_face(self, feature: Float[Tensor, "N Df"]) -> Float[Tensor, "N E"]:
        """Face features to embeddings."""
        return self._placed(self.face(feature))

    def _placed(self, embedding: Tensor) -> Tensor:
        return on_sphere(embedding, self.config.radius) if self.config.form == "sphere" else embedding

    def pair_scores(self, voice: Float[Tensor, "V Dv"], face: Float[Tensor, "F Df"]) -> Float[Tensor, "V F"]:
        """Cosine, or negative Euclidean distance, of every pair of embeddings."""
        voices, faces = self.embed_voice(voice), self.embed_face(face)
        if self.metric == "cosine":
            return F.normalize(voices, dim=-1) @ F.normalize(faces, dim=-1).T
        return -torch.cdist(voices, faces, compute_mode="donot_use_mm_for_euclid_dist")


class PairClassifier(PairHead):
    """Kim et al.'s classification network (section 4.6): both features joined, and does the pair match?

    Inspired by Arandjelovic and Zisserman's L3 network, says the paper, and no sizes: here linear (128), ReLU, linear.
    """

    @register_to_config
    def __init__(self, voice_size: int, face_size: int, hidden_size: int = 128) -> None:
        """Build the layers.

        Args:
            voice_size: size Dv of the voice encoder's feature.
            face_size: size Df of the face encoder's feature.
            hidden_size: units of the hidden layer.
        """
        super().__init__()
        self.hidden = nn.Linear(voice_size + face_size, hidden_size)
        self.out = nn.Linear(hidden_size, 1)

    def pair_scores(self, voice: Float[Tensor, "V Dv"], face: Float[Tensor, "F Df"]) -> Float[Tensor, "V F"]:
        """Logit of every pair; its sigmoid is the probability that they belong together."""
        from_voice, from_face = self.hidden.weight.split([voice.shape[-1], face.shape[-1]], dim=1)
        hidden = F.linear(voice, from_voice)[:, None] + F.linear(face, from_face) + self.hidden.bias
        return self.out(torch.relu(hidden))[..., 0]


class StaticScorer(MatchingHead):
    """SVHF's modality-shared layers (section 3.2, architectures 1 and 2): two candidates and an anchor, joined.

    The order is the paper's: candidate 1, candidate 2, anchor (3,072 values at paper size), then 1,024, 512 and 2. The
    text has a layer of 1,024 that Fig. 8 leaves out; the text is followed. Batch norm and ReLU follow the hidden
    layers ("stochastic gradient descent with batch normalisation", section 4.1). Weights start Gaussian, as printed;
    the standard deviation, 0.01, is ours. The features must have one size.
    """

    @register_to_config
    def __init__(self, feature_size: int = 1024, sizes: Sequence[int] = (1024, 512), direction: Direction = "v2f"):
        """Build the layers.

        Args:
            feature_size: size D of either feature.
            sizes: units of the hidden layers.
            direction: v2f has a voice as anchor and two faces, f2v a face and two voices.
        """
        super().__init__()
        self.layers = _shared_layers(3 * feature_size, sizes, 2)

    def scores(self, voice: Float[Tensor, "B P D"], face: Float[Tensor, "B Q D"]) -> Float[Tensor, "B 2"]:
        """See `MatchingHead.scores`; (B, 2) logarithms of the probabilities of the two places."""
        anchor, candidates = _query(voice, face, self.config.direction)
        if candidates.shape[1] != 2:
            fix = "use the N-way architecture (query_pooling) for other numbers"
            raise UsageError("two candidates", str(candidates.shape[1]), fix)
        return F.log_softmax(self.layers(torch.cat([candidates.flatten(1), anchor], dim=1)), dim=1)


class NWayScorer(MatchingHead):
    """SVHF's N-way architecture (section 3.2, architecture 3) with query pooling: any number of candidates.

    Each candidate is seen with the mean of all candidates of its query and with the anchor. The paper does not print
    the size after joining; candidate, mean, anchor (3 D) is the natural reading. One logit a candidate, softmax over
    the query.
    """

    @register_to_config
    def __init__(self, feature_size: int = 1024, sizes: Sequence[int] = (1024, 512), direction: Direction = "v2f"):
        """Build the layers.

        Args:
            feature_size: size D of either feature.
            sizes: units of the hidden layers.
            direction: v2f has a voice as anchor and N faces, f2v a face and N voices.
        """
        super().__init__()
        self.layers = _shared_layers(3 * feature_size, sizes, 1)

    def scores(self, voice: Float[Tensor, "B P D"], face: Float[Tensor, "B Q D"]) -> Float[Tensor, "B N"]:
        """See `MatchingHead.scores`; (B, N) logarithms of probabilities."""
        anchor, candidates = _query(voice, face, self.config.direction)
        mean = candidates.mean(1, keepdim=True)
        joined = torch.cat([candidates, mean.expand_as(candidates), anchor[:, None].expand_as(candidates)], dim=2)
        logits = self.layers(joined.flatten(0, 1)).view(candidates.shape[:2])
        return F.log_softmax(logits, dim=1)


def _shared_layers(size: int, sizes: Sequence[int], out: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in sizes:
        layers += [nn.Linear(size, width), nn.BatchNorm1d(width), nn.ReLU()]
        size = width
    layers.append(nn.Linear(size, out))
    for layer in layers:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=GAUSSIAN_STD)
            nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers)


def query_direction(voice: Tensor, face: Tensor) -> Direction:
    """Direction of queries (B, P, Dv) and (B, Q, Df).

    Raises:
        UsageError: several voices and several faces.
    """
    if voice.shape[1] > 1 and face.shape[1] > 1:
        got = f"{voice.shape[1]} voices and {face.shape[1]} faces"
        raise UsageError("one voice or one face in a query", got, "ask in one direction")
    return "f2v" if voice.shape[1] > 1 else "v2f"


def _query(voice: Tensor, face: Tensor, direction: Direction) -> tuple[Tensor, Tensor]:
    """Anchor (B, D) and candidates (B, N, D)."""
    found = query_direction(voice, face)
    if found != direction:
        raise UsageError(f"queries {direction}, for which this head was trained", found, "train one for the other way")
    return (voice[:, 0], face) if direction == "v2f" else (face[:, 0], voice)


HEADS: dict[str, type[MatchingHead]] = {
    found.__name__: found for found in (EmbeddingHead, PairClassifier, StaticScorer, NWayScorer)
}
