"""Controls: what an evaluation must say of voices that belong to nobody, and of a model that says nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Int

from eval.embeddings.folder import Embeddings


def shuffled(embeddings: Embeddings, seed: int = 0) -> Embeddings:
    """Every person's voices dealt to another person, all of them to the same one.

    Args:
        embeddings: any; people stay in their order, so groupings of them still hold.
        seed: of the deal, a random cycle through all people: nobody keeps their own voices.

    Returns:
        The same vectors under other names.
    """
    order = np.random.default_rng(seed).permutation(len(embeddings.identities))
    dealt = np.empty_like(order)
    dealt[order] = np.roll(order, 1)
    return replace(embeddings, voice=replace(embeddings.voice, identity=dealt[embeddings.voice.identity]))


def constant(embeddings: Embeddings) -> Embeddings:
    """Every voice and every face the same vector; all scores tie, so every figure must be its chance level."""
    voice, face = (
        replace(side, vectors=np.ones((len(side.identity), 1), np.float32))
        for side in (embeddings.voice, embeddings.face)
    )
    metric = "cosine" if embeddings.metric == "joint" else embeddings.metric
    return replace(embeddings, voice=voice, face=face, metric=metric)


def other_speakers(speakers: np.ndarray, seed: int = 0) -> Int[np.ndarray, " N"]:
    """Deal everybody another person: nobody gets themselves, or one of their own speaker's people.

    The speakers stand in random order, each with their people in random order, and everybody gets who stands as many
    places further on as the largest speaker has people. So people of a speaker with more than half of all people may
    get one another, but never themselves.

    Args:
        speakers: (N,) name or number of each person's real speaker, at least two people.
        seed: of the order.

    Returns:
        (N,) index of the person that each gets, a permutation.
    """
    random = np.random.default_rng(seed)
    _, index, counts = np.unique(speakers, return_inverse=True, return_counts=True)
    order = np.lexsort((random.permutation(len(index)), random.permutation(len(counts))[index]))
    dealt = np.empty_like(order)
    dealt[order] = np.roll(order, counts.max() if len(counts) > 1 else 1)
    return dealt
