"""Scores of every probe with every candidate, in blocks, as whole numbers that compare and tie exactly.

A score is put on a grid: cosine on steps of 2⁻²⁴, a negative distance on 2⁻²⁴ of the largest that the vectors allow.
So equal vectors tie whatever the order of a sum was, and a table of counts by score is small enough to be complete.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from os import cpu_count
from typing import Literal, Protocol, TypeVar

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.distance import cdist
from threadpoolctl import threadpool_limits
from tqdm import tqdm

Result = TypeVar("Result")
Metric = Literal["cosine", "l2", "l1"]
STEPS = 2**24
SCIPY_NAMES: dict[Metric, Literal["euclidean", "cityblock"]] = {"l2": "euclidean", "l1": "cityblock"}
NORM_ORDERS: dict[Metric, int] = {"cosine": 2, "l2": 2, "l1": 1}
ROWS, COLUMNS = 128, 32768  # probes and candidates of a block
IN_MEMORY = 2**29  # bytes of float64 below which the prepared vectors are kept


class Scores(Protocol):
    """Scores of P probes with G candidates, higher is more alike.

    Attributes:
        shape: (P, G).
        limit: no key is larger than this or smaller than its negative; below 2³¹.
    """

    shape: tuple[int, int]
    limit: int

    def keys(
        self, probes: Int[np.ndarray, " R"] | slice, candidates: Int[np.ndarray, " C"] | slice
    ) -> Int[np.ndarray, "R C"]:
        """Grid numbers (int32) of the scores of some probes with some candidates."""

    def value(self, key: float) -> float:
        """The score at a place of the grid."""


def unit(vectors: Float[np.ndarray, "... D"]) -> Float[np.ndarray, "... D"]:
    """Vectors, none of them zero, as float64 of length 1."""
    exact = np.asarray(vectors, np.float64)
    return exact / np.linalg.norm(exact, axis=-1, keepdims=True)


class VectorScores:
    """Scores of vectors by cosine, negative Euclidean (l2) or negative city-block distance (l1).

    Args:
        probes: (P, D) finite vectors, for the cosine not zero; may be memory-mapped.
        candidates: (G, D) likewise.
        metric: how two vectors are compared.
    """

    def __init__(self, probes: Float[np.ndarray, "P D"], candidates: Float[np.ndarray, "G D"], metric: Metric) -> None:
        self.shape, self.limit, self._metric = (len(probes), len(candidates)), STEPS, metric
        largest = 1.0 if metric == "cosine" else sum(_largest_norm(side, metric) for side in (probes, candidates))
        self._step = (largest or 1.0) / STEPS
        self._probes, self._candidates = self._kept(probes), self._kept(candidates)

    def _kept(self, vectors: np.ndarray) -> np.ndarray:
        """The prepared vectors if they fit, else the vectors themselves, to be prepared block by block."""
        return self._prepared(vectors) if vectors.size * 8 <= IN_MEMORY else vectors

    def _prepared(self, vectors: np.ndarray) -> Float[np.ndarray, "N D"]:
        """Vectors as float64, for the cosine of length 1."""
        return unit(vectors) if self._metric == "cosine" else np.asarray(vectors, np.float64)

    def _rows(self, vectors: np.ndarray, rows: Int[np.ndarray, " R"] | slice) -> Float[np.ndarray, "R D"]:
        part = vectors[rows]
        return part if vectors.size * 8 <= IN_MEMORY else self._prepared(part)

    def keys(
        self, probes: Int[np.ndarray, " R"] | slice, candidates: Int[np.ndarray, " C"] | slice
    ) -> Int[np.ndarray, "R C"]:
        """See `Scores.keys`."""
        a, b = self._rows(self._probes, probes), self._rows(self._candidates, candidates)
        scores = a @ b.T if self._metric == "cosine" else -cdist(a, b, SCIPY_NAMES[self._metric])
        scores /= self._step
        return np.rint(scores, out=scores).astype(np.int32)

    def value(self, key: float) -> float:
        """See `Scores.value`."""
        return key * self._step


class TableScores:
    """Scores that somebody computed: a table, compared exactly.

    Args:
        table: (P, G) finite scores, higher is more alike.
    """

    def __init__(self, table: Float[np.ndarray, "P G"]) -> None:
        self._values, places = np.unique(table, return_inverse=True)
        self._keys = places.reshape(table.shape).astype(np.int32)
        self.shape, self.limit = (table.shape[0], table.shape[1]), len(self._values)

    def keys(
        self, probes: Int[np.ndarray, " R"] | slice, candidates: Int[np.ndarray, " C"] | slice
    ) -> Int[np.ndarray, "R C"]:
        """See `Scores.keys`."""
        return self._keys[probes][:, candidates]

    def value(self, key: float) -> float:
        """See `Scores.value`; between two scores, on the line between them."""
        return float(np.interp(key, np.arange(len(self._values)), self._values))


@dataclass(frozen=True)
class CrossScores:
    """Scores with who is who: everything that matching, verification and retrieval need.

    Attributes:
        scores: of P probes with G candidates.
        probe_identity: (P,) int64, index of each probe's person among J people.
        candidate_identity: (G,) int64, likewise.
        people: number J of people; each has at least one probe and one candidate.
    """

    scores: Scores
    probe_identity: Int[np.ndarray, " P"]
    candidate_identity: Int[np.ndarray, " G"]
    people: int

    @cached_property
    def probe_counts(self) -> Int[np.ndarray, " J"]:
        """Number of probes of each person."""
        return np.bincount(self.probe_identity, minlength=self.people)

    @cached_property
    def candidate_counts(self) -> Int[np.ndarray, " J"]:
        """Number of candidates of each person."""
        return np.bincount(self.candidate_identity, minlength=self.people)

    def over_probes(
        self, work: Callable[[Int[np.ndarray, " R"]], Result], says: str, rows: int = ROWS
    ) -> Iterator[Result]:
        """Do some work for all probes, in parallel and with a progress bar.

        Args:
            work: takes the indices of at most `rows` probes; it should leave the interpreter free (numpy, numba nogil).
            says: label of the progress bar.
            rows: probes of a block.

        Returns:
            Results in a fixed order; probes of one person come together.
        """
        order = np.argsort(self.probe_identity, kind="stable")
        blocks = [order[first : first + rows] for first in range(0, len(order), rows)]
        with threadpool_limits(1), ThreadPoolExecutor(cpu_count()) as threads:
            try:
                yield from tqdm(threads.map(work, blocks), says, len(blocks), leave=False, delay=2, unit="blocks")
            finally:  # when interrupted, do not begin what is still waiting
                threads.shutdown(cancel_futures=True)

    def candidate_blocks(self) -> Iterator[slice]:
        """All candidates, in blocks."""
        for first in range(0, self.scores.shape[1], COLUMNS):
            yield slice(first, min(first + COLUMNS, self.scores.shape[1]))

    def packed_blocks(self, probes: Int[np.ndarray, " R"]) -> Iterator[Int[np.ndarray, "R C"]]:
        """Block by block all candidates of some probes, each row sorted by score, rising.

        Yields:
            (R, C) int64: the key in the upper 32 bits, the candidate's person in the lower; `x >> 32` is the key.
        """
        for block in self.candidate_blocks():
            packed = self.scores.keys(probes, block).astype(np.int64) << 32
            packed |= self.candidate_identity[block]
            packed.sort(axis=1)
            yield packed

    @cached_property
    def _candidates_of(self) -> list[Int[np.ndarray, " M"]]:
        order = np.argsort(self.candidate_identity, kind="stable")
        return np.split(order, np.cumsum(self.candidate_counts)[:-1])

    def own_keys(self, probes: Int[np.ndarray, " R"]) -> list[Int[np.ndarray, " M"]]:
        """Keys (int32) of the candidates of each probe's own person, rising; M differs from person to person."""
        found: dict[int, np.ndarray] = {}
        own = self.probe_identity[probes]
        for person in np.unique(own):
            places = np.flatnonzero(own == person)
            keys = np.sort(self.scores.keys(probes[places], self._candidates_of[person]), axis=1)
            found |= dict(zip(places.tolist(), keys, strict=True))
        return [found[place] for place in range(len(probes))]


def _largest_norm(vectors: Float[np.ndarray, "N D"], metric: Metric) -> float:
    blocks = range(0, len(vectors), COLUMNS)
    order = NORM_ORDERS[metric]
    norms = (np.linalg.norm(np.asarray(vectors[b : b + COLUMNS], np.float64), order, axis=1).max() for b in blocks)
    return float(max(norms))
