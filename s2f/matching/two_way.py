"""Exact two-way matching of a head: every probe, its own positive, every negative; nothing is sampled.

For heads that see pairs, while they are trained; for embeddings there is `eval.metrics.two_way`.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from s2f.faces.dynamic_images import matched_stride
from s2f.matching.heads import Direction, MatchingHead, PairHead


@torch.inference_mode()
def track_probabilities(
    head: MatchingHead, anchor: Float[Tensor, " D"], tracks: tuple[Float[Tensor, "T D"], Float[Tensor, "U D"]]
) -> Float[Tensor, " 2"]:
    """Which of two face tracks belongs to a voice: answers for aligned sights of both, averaged (SVHF, section 5.1).

    Args:
        head: `StaticScorer` or `NWayScorer` for v2f, in evaluation mode.
        anchor: (D,) voice feature.
        tracks: (T, D) and (U, D) features of the sights of either track; of the longer one every s-th is taken, s by
            `s2f.faces.dynamic_images.matched_stride`, and as many pairs are compared as both have.

    Returns:
        (2,) mean probabilities.
    """
    first, second = tracks
    stride = matched_stride(len(first), len(second))
    first, second = (first[::stride], second) if len(first) > len(second) else (first, second[::stride])
    pairs = torch.stack([torch.stack(pair) for pair in zip(first, second, strict=False)])
    return head.scores(anchor.expand(len(pairs), 1, -1), pairs).exp().mean(0)


@torch.inference_mode()
def win_shares(
    head: MatchingHead, voice: Float[Tensor, "N Dv"], face: Float[Tensor, "N Df"], direction: Direction
) -> Float[Tensor, "N N"]:
    """How often each probe's own partner beats each other candidate.

    Args:
        head: in evaluation mode. One that sees both candidates is asked with the positive in either place.
        voice: (N, Dv) one voice feature a person.
        face: (N, Df) one face feature a person, in the same order.
        direction: v2f has voices as probes, f2v faces.

    Returns:
        (N, N): at (i, j), 1 if probe i prefers candidate i to candidate j, 0 if j, 0.5 at a tie; the diagonal is 0.5.
        With two places, the mean over both.
    """
    if isinstance(head, PairHead):
        table = head.pair_scores(voice, face)
        return wins_of(table if direction == "v2f" else table.T)
    probes, candidates = (voice, face) if direction == "v2f" else (face, voice)
    return torch.stack([_row(head, probes[i], candidates, i, direction) for i in range(len(probes))])


def wins_of(table: Float[Tensor, "N N"]) -> Float[Tensor, "N N"]:
    """`win_shares` of scores: each row a probe, its own candidate on the diagonal."""
    own = table.diagonal()[:, None]
    return (table < own).float() + 0.5 * (table == own).float()


def _row(head: MatchingHead, probe: Tensor, candidates: Tensor, own: int, direction: Direction) -> Tensor:
    """One row of `win_shares` by a head that sees both candidates."""
    count = len(candidates)
    pairs = torch.stack([candidates[own].expand_as(candidates), candidates], dim=1)
    places = torch.cat([pairs, pairs.flip(1)])
    anchor = probe.expand(2 * count, 1, -1)
    scores = head.scores(anchor, places) if direction == "v2f" else head.scores(places, anchor)
    lead = scores[:, 0] - scores[:, 1]
    wins = (lead > 0).float() + 0.5 * (lead == 0).float()
    shares = (wins[:count] + 1 - wins[count:]) / 2
    shares[own] = 0.5
    return shares


def accuracy(wins: Float[Tensor, "N N"], allowed: Bool[Tensor, "N N"] | None = None) -> tuple[float, int]:
    """Mean share of won two-way trials over the probes.

    Args:
        wins: see `win_shares`.
        allowed: which candidates may be a probe's negatives; None for all. The diagonal does not count.

    Returns:
        Accuracy in [0, 1] over the probes that have a negative, and their number; NaN and 0 if none has.
    """
    others = ~torch.eye(len(wins), dtype=torch.bool, device=wins.device)
    if allowed is not None:
        others &= allowed
    count = others.sum(1)
    has = count > 0
    if not has.any():
        return float("nan"), 0
    shares = (wins.double() * others).sum(1)[has] / count[has]
    return shares.mean().item(), int(has.sum())
