"""Ideal figures against counting every trial."""

from itertools import combinations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from s2f.simulate.population.ideal_observer import ideal_figures


def value(rows, metric, direction, group, **params):
    found = [
        row for row in rows if (row["metric"], row["direction"], row["group"]) == (metric, direction, group)
        and row["params"] == params
    ]  # fmt: skip
    assert len(found) == 1
    return found[0]


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    return rng.normal(size=(9, 9)) + 1.2 * np.eye(9), np.array(list("ffffmmmmm"))


def naive_accuracy(scores, genders, way, within):
    shares = []
    for i in range(len(scores)):
        others = [j for j in range(len(scores)) if j != i and (not within or genders[j] == genders[i])]
        trials = list(combinations(others, way - 1))
        if trials:
            shares.append(np.mean([all(scores[i, j] < scores[i, i] for j in trial) for trial in trials]))
    return np.mean(shares), len(shares)


@pytest.mark.parametrize("way", [2, 5])
@pytest.mark.parametrize("group", ["U", "G"])
@pytest.mark.parametrize("direction", ["v2f", "f2v"])
def test_accuracy_counts_every_trial(table, way, group, direction):
    scores, genders = table
    row = value(ideal_figures(scores, genders), "accuracy", direction, group, n_way=way)
    turned = scores if direction == "v2f" else scores.T
    share, count = naive_accuracy(turned, genders, way, group == "G")
    assert row["value"] == pytest.approx(share)
    assert (row["n"], row["chance"]) == (count, 1 / way)


def test_verification_and_retrieval_against_scikit_learn(table):
    scores, genders = table
    rows = ideal_figures(scores, genders)
    truth = np.eye(9)
    assert value(rows, "auc", "both", "U")["value"] == pytest.approx(roc_auc_score(truth.ravel(), scores.ravel()))
    wanted = np.mean([average_precision_score(truth[i], scores[i]) for i in range(9)])
    assert value(rows, "map", "v2f", "U")["value"] == pytest.approx(wanted)
    ranks = np.array([(scores[i] > scores[i, i]).sum() for i in range(9)])
    assert value(rows, "recall", "v2f", "U", k=1)["value"] == pytest.approx((ranks < 1).mean())
    assert value(rows, "recall", "v2f", "U", k=5)["value"] == pytest.approx((ranks < 5).mean())


def test_chance_is_what_random_scores_reach():
    rng = np.random.default_rng(1)
    genders = np.array(list("fm" * 100))
    found = [ideal_figures(rng.normal(size=(200, 200)), genders) for _ in range(10)]
    for k, row in enumerate(found[0]):
        mean = np.mean([rows[k]["value"] for rows in found])
        assert mean == pytest.approx(row["chance"], abs=0.02), row


def test_perfect_reversed_and_constant():
    genders = np.array(list("ffmm") * 5)
    for scores, first in ((np.eye(20), 1.0), (-np.eye(20), 0.0), (np.zeros((20, 20)), 0.5)):
        rows = ideal_figures(scores, genders)
        for group in ("U", "G"):
            assert value(rows, "accuracy", "v2f", group, n_way=2)["value"] == pytest.approx(first)
            assert value(rows, "auc", "both", group)["value"] == pytest.approx(first)
