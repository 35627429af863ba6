"""Joint matching and retrieval: means of several voices, or of several faces, of a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float, Int

from eval.embeddings.folder import BLOCK, Embeddings, KeptRows, Samples
from eval.embeddings.groups import of_people
from eval.metrics.scores import unit
from s2f.errors import DatasetError, UsageError


def averaged(embeddings: Embeddings, voices: int = 1, faces: int = 1, seed: int = 0) -> Embeddings:
    """Deal each person's samples into groups at random and take the mean of each group.

    Under the cosine it is the mean of the unit vectors: a long vector has no more say than a short one.

    Paper: TriNet, sections 3.1 (mean embeddings) and 5.3. Reading: the paper does not say how samples are chosen; here
    no sample is in two means, left-over samples are not used, and whoever has fewer than a group is left out.

    Args:
        embeddings: compared by cosine, l2 or l1.
        voices: samples of a voice mean; 1 leaves the voices as they are, on disk if they were.
        faces: samples of a face mean; likewise.
        seed: of the deal.

    Returns:
        Embeddings of the means, in memory as float32 (float64 if they were); their cells are those of their rows,
        joined by ";" where they differ. The notes say how many means there are and what was left out.

    Raises:
        UsageError: a mean of fewer than one sample.
        DatasetError: features of a joint scorer, fewer than two people left, or, under the cosine, a mean that is zero.
    """
    sizes = {"voice": voices, "face": faces}
    if min(sizes.values()) < 1:
        raise UsageError("means of one or more samples", str(min(sizes.values())), "give 1 for no averaging")
    if embeddings.metric == "joint" and max(sizes.values()) > 1:
        fix = "embed with a model that compares vectors"
        raise DatasetError("embeddings compared by cosine, l2 or l1", "features of a joint scorer", fix)
    enough, notes = _enough(embeddings, sizes)
    chosen = of_people(embeddings, enough)
    sides = []
    for number, side in enumerate((chosen.voice, chosen.face)):
        size = sizes[side.name]
        groups = _dealt(side.identity, size, np.random.default_rng([seed, number])) if size > 1 else None
        sides.append(side if groups is None else _means(side, groups, embeddings.metric == "cosine"))
        if groups is not None:
            over = len(side.identity) - groups.size
            notes.append(f"{len(groups)} means of {size} {side.name} rows each, {over} left-over rows not used")
    return replace(chosen, voice=sides[0], face=sides[1], notes=(*embeddings.notes, *notes))


def _enough(embeddings: Embeddings, sizes: Mapping[str, int]) -> tuple[Bool[np.ndarray, " J"], list[str]]:
    """Who has enough samples of both modalities, and sentences on who has not."""
    people = len(embeddings.identities)
    enough, notes = np.ones(people, bool), []
    for side in (embeddings.voice, embeddings.face):
        has = np.bincount(side.identity, minlength=people) >= sizes[side.name]
        if not has.all():
            notes.append(f"{(~has).sum()} people with fewer than {sizes[side.name]} {side.name} rows left out")
        enough &= has
    return enough, notes


def _dealt(identity: Int[np.ndarray, " N"], size: int, random: np.random.Generator) -> Int[np.ndarray, "K M"]:
    """Rows of each group, rising; groups of one person come together."""
    order = random.permutation(len(identity))
    order = order[np.argsort(identity[order], kind="stable")]
    counts = np.bincount(identity)
    place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    used = place < np.repeat(counts // size * size, counts)
    return np.sort(order[used].reshape(-1, size), axis=1)


def _means(side: Samples, groups: Int[np.ndarray, "K M"], is_cosine: bool) -> Samples:
    vectors, size = side.vectors, groups.shape[1]
    means = np.empty((len(groups), vectors.shape[1]), np.promote_types(np.asarray(vectors[:1]).dtype, np.float32))
    step = max(1, BLOCK // max(size * vectors.shape[1], 1))
    for first in range(0, len(groups), step):
        means[first : first + step] = _mean(vectors, groups[first : first + step], is_cosine)
    identity = side.identity[groups[:, 0]]
    columns = {name: _joined(cells, groups) for name, cells in side.columns.items()}
    if is_cosine and not (some := means.any(1)).all():
        got = f"{(~some).sum()} that are zero, first of {columns['identity'][np.argmin(some)]}"
        raise DatasetError(f"{side.name} means with a direction", got, "take another seed or another number of samples")
    return Samples(side.name, means, identity, columns)


def _mean(vectors: np.ndarray | KeptRows, groups: Int[np.ndarray, "K M"], is_cosine: bool) -> Float[np.ndarray, "K D"]:
    rows = vectors[groups.ravel()]
    rows = unit(rows) if is_cosine else np.asarray(rows, np.float64)
    return rows.reshape(*groups.shape, -1).mean(1)


def _joined(cells: Sequence[str], groups: Int[np.ndarray, "K M"]) -> list[str]:
    found = ([cells[row] for row in group] for group in groups.tolist())
    return [values[0] if len(set(values)) == 1 else ";".join(values) for values in found]
