"""Random orders of people for shuffled controls."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int


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
