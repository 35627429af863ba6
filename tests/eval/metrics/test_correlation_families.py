"""Correlations tested together, against scipy and the definition of the adjusted p-values."""

import numpy as np
import pytest
from scipy import stats

from eval.metrics.correlation_families import family_rows, rank_rows, undefined
from eval.results import UNDEFINED

RANDOM = np.random.default_rng(0)
NAMES = [f"m{k}" for k in range(6)]
A = {name: RANDOM.normal(10, 1, 80) for name in NAMES}
B = {name: 0.12 * k * A[name] * (-1) ** k + RANDOM.normal(0, 1, 80) for k, name in enumerate(NAMES)}
CONSTANT = {**B, "m2": np.full(80, 3.0)}


def test_r_p_and_interval_of_every_measure_are_those_of_scipy():
    rows = family_rows(A, B, {"normalised": "no"}, None)
    assert [row.params["measure"] for row in rows] == NAMES
    for row in rows:
        name = row.params["measure"]
        found = stats.pearsonr(A[name], B[name])
        assert row.value == pytest.approx(found.statistic)
        assert (row.ci_low, row.ci_high) == pytest.approx(tuple(found.confidence_interval()))
        assert row.params["p"] == pytest.approx(found.pvalue, rel=0.05)
        assert row.params["shuffled"][0] < -0.15 < 0.15 < row.params["shuffled"][2]
        assert (row.chance, row.n, row.params["normalised"]) == (0.0, 80, "no")
    assert rows[5].value < -0.3 < 0.3 < rows[4].value


def test_q_by_the_definition_of_benjamini_and_hochberg():
    rows = family_rows(A, CONSTANT, {}, None)
    ps = {name: stats.pearsonr(A[name], B[name]).pvalue for name in NAMES if name != "m2"}
    for row in (row for row in rows if row.params["measure"] != "m2"):
        larger = [p for p in ps.values() if p >= ps[row.params["measure"]]]
        expected = min(5 * p / sum(other <= p for other in ps.values()) for p in larger)
        assert row.params["q"] == pytest.approx(expected, rel=0.05)
        assert row.params["significant"] == (expected <= 0.05)
    decided = [row.params["significant"] for row in rows if row.value is not None]
    assert 0 < sum(decided) < len(decided)


def test_q_of_four_p_values_by_hand(monkeypatch):
    ps = iter([0.01, 0.04, 0.03, 0.5])
    found = stats.pearsonr(A["m0"], B["m0"])
    monkeypatch.setattr(
        "eval.metrics.correlation_families.correlation",
        lambda a, b: type("C", (), {"r": found.statistic, "low": 0, "high": 0, "p": next(ps)}),
    )
    rows = family_rows(dict(list(A.items())[:4]), dict(list(B.items())[:4]), {}, None)
    assert [row.params["q"] for row in rows] == [0.04, 0.053, 0.053, 0.5]  # 4 x .01, 4/3 x .04 twice, .5
    assert [row.params["significant"] for row in rows] == [True, False, False, False]


@pytest.mark.parametrize("sides", [(A, CONSTANT), (CONSTANT, A)])
def test_without_variance_nothing_is_claimed(sides):
    row = family_rows(*sides, {"control": "mean"}, np.arange(80) // 2)[2]
    assert (row.value, row.ci_low, row.ci_high, row.ci_method) == (None, None, None, UNDEFINED)
    assert row.params == {"measure": "m2", "control": "mean"}
    assert rank_rows(*sides, {}, None)[2].value is None


def test_variance_of_rounding_is_none():
    still = np.full(80, 50.0)
    assert undefined(still + 1e-4 * RANDOM.random(80), A["m0"])
    assert not undefined(still + 0.1 * RANDOM.random(80), A["m0"])


def test_nothing_but_constants_is_no_error():
    still = {name: np.ones(80) for name in NAMES}
    assert {row.ci_method for row in family_rows(A, still, {}, None)} == {UNDEFINED}


def test_rank_correlation_is_scipys_and_does_not_mind_one_misplaced_face():
    broken = {name: np.where(np.arange(80) == 3, 400.0, values) for name, values in B.items()}
    plain, ranks = family_rows(A, broken, {}, None)[4], rank_rows(A, broken, {}, None)
    for row in ranks:
        name = row.params["measure"]
        found = stats.spearmanr(A[name], broken[name])
        assert (row.metric, row.value) == ("spearman_r", pytest.approx(found.statistic))
        assert row.params["p"] == pytest.approx(found.pvalue, rel=0.05)
        assert "q" not in row.params
        middle, half = np.arctanh(row.value), 1.959964 * np.sqrt((1 + row.value**2 / 2) / 77)
        assert (row.ci_low, row.ci_high) == pytest.approx((np.tanh(middle - half), np.tanh(middle + half)), abs=1e-6)
    assert abs(plain.value) < 0.25 < 0.3 < ranks[4].value


def test_people_of_one_speaker_count_once():
    clones = np.repeat(np.arange(20), 4)
    a, b = ({name: values[clones] for name, values in side.items()} for side in (A, B))
    row = family_rows(a, b, {}, clones)[4]
    low, high = row.params["by_speaker"]
    assert high - low > 1.5 * (row.ci_high - row.ci_low)
    assert low < row.value < high
    assert "by_speaker" not in family_rows(a, b, {}, np.arange(80))[4].params
    assert "by_speaker" not in family_rows(a, b, {}, None)[4].params
