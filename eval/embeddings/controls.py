"""Controls: what an evaluation must say of voices that belong to nobody, and of a model that says nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from eval.embeddings.folder import Embeddings
from eval.metrics.permutations import derangement


def shuffled(embeddings: Embeddings, seed: int = 0) -> Embeddings:
    """Every person's voices given to another person, all of them to the same one.

    Args:
        embeddings: any; people stay in their order, so groupings of them still hold.
        seed: of the derangement: nobody keeps their own voices.

    Returns:
        The same vectors under other names.
    """
    order = derangement(len(embeddings.identities), seed)
    return replace(embeddings, voice=replace(embeddings.voice, identity=order[embeddings.voice.identity]))


def constant(embeddings: Embeddings) -> Embeddings:
    """Every voice and every face the same vector; all scores tie, so every figure must be its chance level."""
    voice, face = (
        replace(side, vectors=np.ones((len(side.identity), 1), np.float32))
        for side in (embeddings.voice, embeddings.face)
    )
    metric = "cosine" if embeddings.metric == "joint" else embeddings.metric
    return replace(embeddings, voice=voice, face=face, metric=metric)
