"""Who is independent, by hand, and what sharing a speaker does to intervals."""

import numpy as np
import pytest

from eval.metrics.clusters import NOBODY, Clusters, clusters_of, mean_row, measured_row, people_clusters
from eval.metrics.intervals import cluster_draws
from eval.results import NO_METHOD, UNDEFINED


def test_clusters_by_hand():
    who = Clusters(["t", "s", "t", "u"])
    assert who.numbers.tolist() == [1, 0, 1, 2]
    assert (who.count, who.shared, who.name) == (3, True, "speakers")
    assert who.different.tolist() == [
        [False, True, False, True],
        [True, False, True, True],
        [False, True, False, True],
        [True, True, True, False],
    ]
    np.testing.assert_array_equal(who.draws, cluster_draws(np.array(["t", "s", "t", "u"])))
    assert (who.draws[:, 0] == who.draws[:, 2]).all()
    assert (who.draws[:, [0, 1, 3]].sum(1) == 3).all()


def test_some_of_the_people_may_share_no_speaker():
    who = Clusters(["t", "s", "t", "u"])
    for kept in (np.array([True, True, False, True]), np.array([0, 1, 3])):
        some = who.of(kept)
        assert (some.numbers.tolist(), some.shared, some.name) == ([1, 0, 2], False, "people")
    assert clusters_of("abc", ["s", "s", ""]).of(np.array([0, 2])).name == "speakers"  # as the table called them


def test_mean_row_without_some():
    row = mean_row("m", "v2f", np.array([1.0, np.nan, 3.0, np.nan]), Clusters(range(4)), {"a": 1})
    assert (row.value, row.n, row.params["a"]) == (2, 2, 1)
    alone = mean_row("m", "v2f", np.array([1.0, np.nan, 3.0, np.nan]), Clusters(np.zeros(4)), {})
    assert (alone.value, alone.ci_low, alone.ci_high, alone.ci_method) == (2, None, None, NO_METHOD)
    nobody = mean_row("m", "v2f", np.full(4, np.nan), Clusters(range(4)), {})
    assert (nobody.value, nobody.n, nobody.ci_method) == (None, 0, NOBODY)


def test_clusters_are_speakers_where_they_are_known():
    people = {"a": {"speaker": "x"}, "b": {"speaker": ""}, "c": {"speaker": "x"}, "d": {}}
    units = people_clusters(people)
    assert units.name == "speakers"
    assert units.numbers[0] == units.numbers[2]
    assert len(set(units.numbers)) == 3
    assert people_clusters({"a": {}, "b": {"speaker": " "}}).name == "people"


def test_interval_of_a_mean_redraws_speakers():
    """Of people who come in threes and resemble each other, the interval is wider than of as many single ones."""
    values = np.repeat([0.0, 1, 2, 3], 3)
    wide = mean_row("m", "v2f", values, Clusters(np.repeat(np.arange(4), 3)), {})
    narrow = mean_row("m", "v2f", values, Clusters(np.arange(12)), {})
    assert [row.ci_method for row in (wide, narrow)] == ["bootstrap over speakers", "bootstrap over people"]
    assert wide.value == narrow.value == 1.5
    assert wide.ci_high - wide.ci_low > 1.4 * (narrow.ci_high - narrow.ci_low)
    assert wide.params["std"] == pytest.approx(np.std(values, ddof=1), rel=1e-3)


def test_shared_speakers_widen_the_interval():
    values = np.repeat(np.random.default_rng(0).normal(size=20), 10)
    rows = [
        measured_row(Clusters(names), "m", lambda draws: draws @ values / draws.sum(1), {})
        for names in (np.arange(200), np.repeat(np.arange(20), 10))
    ]
    assert rows[1].ci_high - rows[1].ci_low > 2.5 * (rows[0].ci_high - rows[0].ci_low)
    assert [row.ci_method for row in rows] == ["bootstrap over people", "bootstrap over speakers"]
    assert [row.params for row in rows] == [{}, {"speakers": 20}]


def test_an_undefined_measure_has_no_interval():
    row = measured_row(Clusters(list("aab")), "m", lambda draws: np.full(len(draws), np.nan), {"k": 1}, chance=0.5)
    assert (row.value, row.ci_low, row.ci_high, row.ci_method) == (None, None, None, UNDEFINED)
    assert (row.n, row.chance, row.params) == (3, 0.5, {"k": 1, "speakers": 2})
