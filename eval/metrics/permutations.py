"""Random orders of people for shuffled controls: permutations, derangements, and both for people who share speakers.

In every order entry n is the person whose answer or voice person n gets.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int


def permutations(people: int, shuffles: int, seed: int = 0) -> Iterator[Int[np.ndarray, " N"]]:
    """Plain permutations: every order is equally likely, and anybody may keep what is theirs.

    Args:
        people: number N.
        shuffles: how many orders.
        seed: of the orders.

    Returns:
        (N,) orders, one after the other.
    """
    random = np.random.default_rng(seed)
    return (random.permutation(people) for _ in range(shuffles))


def derangement(people: int, seed: int = 0) -> Int[np.ndarray, " N"]:
    """A permutation without fixed points: a random cycle through everybody, so nobody keeps what is theirs.

    Args:
        people: number N, at least two.
        seed: of the cycle; all cycles of length N are equally likely.

    Returns:
        (N,) order.
    """
    return _moved_on(np.random.default_rng(seed).permutation(people), 1)


def speaker_permutations(speakers: np.ndarray, shuffles: int, seed: int = 0) -> Int[np.ndarray, "R N"]:
    """Permutations in which people of one speaker go together, to another speaker's as far as numbers allow.

    Where nobody shares a speaker every order is equally likely. As in any permutation, a speaker may stay in place.

    Args:
        speakers: (N,) speaker of each person.
        shuffles: number R of orders.
        seed: of the orders.

    Returns:
        (R, N) orders.
    """
    random = np.random.default_rng(seed)
    _, index = np.unique(speakers, return_inverse=True)
    places = np.argsort(index, kind="stable")
    orders = np.empty((shuffles, len(index)), dtype=int)
    for order in orders:
        rank = random.permutation(index.max(initial=-1) + 1)
        order[places] = np.argsort(rank[index] + random.random(len(index)))
    return orders


def speaker_derangement(speakers: np.ndarray, seed: int = 0) -> Int[np.ndarray, " N"]:
    """A permutation in which nobody gets themselves, or one of their own speaker's people.

    The speakers stand in random order, each with their people in random order, and everybody gets who stands as many
    places before them, in a ring, as the largest speaker has people. So people of a speaker with more than half of all
    people may get one another, but never themselves.

    Args:
        speakers: (N,) name or number of each person's real speaker, at least two people.
        seed: of the order.

    Returns:
        (N,) order.
    """
    random = np.random.default_rng(seed)
    _, index, counts = np.unique(speakers, return_inverse=True, return_counts=True)
    line = np.lexsort((random.permutation(len(index)), random.permutation(len(counts))[index]))
    return _moved_on(line, counts.max() if len(counts) > 1 else 1)


def _moved_on(line: Int[np.ndarray, " N"], places: int) -> Int[np.ndarray, " N"]:
    """The order in which everybody gets who stands some places before them in a line, in a ring."""
    order = np.empty_like(line)
    order[line] = np.roll(line, places)
    return order
