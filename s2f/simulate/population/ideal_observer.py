"""The ideal observer: how well matching can go at all in a population whose law is known.

Scores are log-likelihood ratios (`s2f.simulate.population.joint_law.Population.log_likelihood_ratio`) of every voice
with every face. Matching figures are exact: if r of a probe's M negatives score lower than its positive, the share of
N-way trials with N - 1 negatives drawn without replacement that it wins is C(r, N - 1) / C(M, N - 1).
"""

import numpy as np
from jaxtyping import Float
from scipy.special import gammaln
from sklearn.metrics import roc_auc_score

WAYS = (2, 5, 10)
RANKS = (1, 5, 10)


def ideal_figures(scores: Float[np.ndarray, "N N"], genders: np.ndarray) -> list[dict]:
    """Best reachable matching, verification and retrieval, for everybody and within gender.

    Args:
        scores: (N, N) of voice i with face j; the diagonal holds the true pairs.
        genders: (N,) gender of each voice.

    Returns:
        Rows of metric, direction, group ("U" everybody, "G" negatives of the voice's gender), params, value, chance, n.
    """
    rows = []
    same = genders[:, None] == genders[None]
    for group, allowed in (("U", np.ones_like(same)), ("G", same)):
        others = allowed & ~np.eye(len(scores), dtype=bool)
        for direction, table in (("v2f", scores), ("f2v", scores.T)):
            lower, count = _counts(table, others)
            for way in WAYS:
                use = count >= way - 1
                if use.any():
                    value = float(_share_won(lower[use], count[use], way).mean())
                    rows.append(_row("accuracy", direction, group, {"n_way": way}, value, 1 / way, int(use.sum())))
            for rank in RANKS:
                value = float((count - lower < rank).mean())
                chance = float(np.minimum(1, rank / (count + 1)).mean())
                rows.append(_row("recall", direction, group, {"k": rank}, value, chance, len(scores)))
            value, chance = float((1 / (1 + count - lower)).mean()), float(_chance_precision(count).mean())
            rows.append(_row("map", direction, group, {}, value, chance, len(scores)))
        if not others.any():
            continue
        wanted = others | np.eye(len(scores), dtype=bool)
        area = float(roc_auc_score(np.eye(len(scores))[wanted], scores[wanted]))
        rows.append(_row("auc", "both", group, {}, area, 0.5, int(wanted.sum())))
    return rows


def _row(metric: str, direction: str, group: str, params: dict, value: float, chance: float, n: int) -> dict:
    names = ("metric", "direction", "group", "params", "value", "chance", "n")
    return dict(zip(names, (metric, direction, group, params, value, chance, n), strict=True))


def _counts(table: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Negatives that score lower than each row's positive (ties half), and how many there are."""
    positive = np.diag(table)[:, None]
    lower = ((table < positive) + 0.5 * (table == positive)) * others
    return lower.sum(1), others.sum(1)


def _share_won(lower: np.ndarray, count: np.ndarray, way: int) -> np.ndarray:
    possible = lower >= way - 1
    r = np.where(possible, lower, way - 1)
    log_share = gammaln(r + 1) - gammaln(r - way + 2) - gammaln(count + 1) + gammaln(count - way + 2)
    return np.where(possible, np.exp(log_share), 0.0)


def _chance_precision(count: np.ndarray) -> np.ndarray:
    """Mean reciprocal rank of one positive at a random place among count + 1."""
    places = int(count.max()) + 1
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, places + 1))])
    return harmonic[count + 1] / (count + 1)
