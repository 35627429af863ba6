import numpy as np
import pytest
from scipy.special import comb
from scipy.stats import t as student

from eval.metrics import scores
from eval.metrics.n_way import n_way
from eval.metrics.scores import CrossScores, TableScores, VectorScores
from eval.metrics.two_way import WEIGHTINGS
from tests.eval.triplets import Case, accuracies, random_case


@pytest.mark.parametrize("negatives", WEIGHTINGS)
def test_equals_enumeration_of_every_tuple(negatives):
    """Ties, one sample a person, groups of one, N up to J."""
    random, compared = np.random.default_rng(0), 0
    for _ in range(200):
        case = random_case(random, most_people=4, most_samples=2, levels=int(random.integers(1, 8)))
        cells = random.integers(-1, 2, case.people) if random.random() < 0.5 else None
        if cells is not None and (cells < 0).all():
            continue
        found = n_way(case.cross, case.people, negatives, np.arange(case.people), cells)
        for k in range(case.people - 1):
            true = accuracies(case, k + 2, negatives, cells)
            for weighting in WEIGHTINGS:
                got = found.accuracy(weighting)[k]
                assert got == pytest.approx(true[weighting], abs=1e-12, nan_ok=True)
                compared += not np.isnan(got)
    assert compared > 320


@pytest.mark.parametrize("negatives", WEIGHTINGS)
@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_interval_is_the_jackknife_over_clusters(negatives, weighting):
    random = np.random.default_rng(3)
    case = random_case(random, most_people=9, most_samples=3, levels=30)
    while case.people < 9:
        case = random_case(random, most_people=9, most_samples=3, levels=30)
    clusters = np.array([0, 1, 1, 2, 3, 3, 3, 4, 5])
    found = n_way(case.cross, 4, negatives, clusters)
    low, high = found.interval(weighting)
    for k in range(3):
        parts = [
            n_way(
                case.without(set(np.flatnonzero(clusters == gone))).cross,
                4,
                negatives,
                np.arange(9)[: (clusters != gone).sum()],
            ).accuracy(weighting)[k]
            for gone in range(6)
        ]
        spread = student.ppf(0.975, 5) * np.sqrt(5 / 6 * ((parts - np.mean(parts)) ** 2).sum())
        value = found.accuracy(weighting)[k]
        assert low[k] == pytest.approx(max(value - spread, 0), abs=1e-10)
        assert high[k] == pytest.approx(min(value + spread, 1), abs=1e-10)


def test_interval_of_a_cell_leaves_out_its_own_clusters_only():
    random = np.random.default_rng(4)
    people = 12
    identity = np.repeat(np.arange(people), 2)
    case = Case(random.normal(size=(24, 24)), identity, identity, people)
    cells = np.repeat([0, 1], 6)
    found = n_way(case.cross, 3, "identities", np.arange(people), cells)
    alone = case.without(set(range(6, people)))
    small = n_way(alone.cross, 3, "identities", np.arange(6))
    np.testing.assert_allclose(found.accuracy("samples", 0), small.accuracy("samples"), atol=1e-13)
    np.testing.assert_allclose(found.interval("samples", 0), small.interval("samples"), atol=1e-12)


@pytest.mark.parametrize("negatives", WEIGHTINGS)
def test_leaving_out_a_rival_may_leave_too_few(negatives):
    """A cell of three: without one of them nobody there can be asked with three candidates."""
    random = np.random.default_rng(9)
    people = 30
    identity = np.arange(people)
    case, cells = Case(random.normal(size=(people, people)), identity, identity, people), np.repeat([0, 1], [3, 27])
    found = n_way(case.cross, 3, negatives, identity, cells)
    parts = [
        n_way(case.without({gone}).cross, 3, negatives, identity[:-1], np.delete(cells, gone)).accuracy("samples")[1]
        for gone in range(people)
    ]
    spread = student.ppf(0.975, people - 1) * np.sqrt((people - 1) / people * ((parts - np.mean(parts)) ** 2).sum())
    value = found.accuracy("samples")[1]
    assert spread < value < 1 - spread
    np.testing.assert_allclose([limit[1] for limit in found.interval("samples")], [value - spread, value + spread])


def test_everything_tied_is_chance():
    identity = np.repeat(np.arange(12), 3)
    cross = CrossScores(VectorScores(np.ones((36, 4)), np.ones((36, 4)), "cosine"), identity, identity, 12)
    for negatives in WEIGHTINGS:
        np.testing.assert_allclose(n_way(cross, 12, negatives, np.arange(12)).accuracy("samples"), 1 / np.arange(2, 13))


def test_uniform_negatives_follow_the_ratio_of_binomials():
    """One probe, r of its M negatives lower: C(r, N - 1) / C(M, N - 1)."""
    table = np.array([[7.0, 1, 2, 3, 4, 5, 6, 8, 9, 10]])
    cross = CrossScores(TableScores(table), np.array([0]), np.array([0] + [1] * 9), 2)
    expected = comb(6, np.arange(1, 6)) / comb(9, np.arange(1, 6))
    np.testing.assert_allclose(n_way(cross, 6, "samples", np.arange(2)).accuracy("samples"), expected, rtol=1e-12)


@pytest.mark.slow
def test_agrees_with_a_million_draws():
    random = np.random.default_rng(5)
    people, draws = 30, 1_000_000
    identity = np.repeat(np.arange(people), 4)
    centre = random.normal(size=(people, 8))
    probes, candidates = (centre[identity] + 1.5 * random.normal(size=(120, 8)) for _ in range(2))
    cross = CrossScores(VectorScores(probes, candidates, "cosine"), identity, identity, people)
    exact = n_way(cross, 4, "identities", np.arange(people)).accuracy("samples")
    keys = cross.scores.keys(slice(None), slice(None))
    probe = random.integers(0, 120, draws)
    person = probe // 4
    ahead = random.random((draws, people - 1)).argpartition(3, axis=1)[:, :3]
    rivals = (person[:, None] + 1 + ahead) % people
    own = keys[probe, person * 4 + random.integers(0, 4, draws)]
    others = keys[probe[:, None], rivals * 4 + random.integers(0, 4, (draws, 3))]
    for k in range(3):
        sampled = (own[:, None] > others[:, : k + 1]).all(1).mean()
        assert exact[k] == pytest.approx(sampled, abs=5 * 0.5 / np.sqrt(draws))


@pytest.mark.parametrize("negatives", WEIGHTINGS)
def test_small_blocks_change_nothing(negatives, monkeypatch):
    case = random_case(np.random.default_rng(6), most_people=5, most_samples=6, levels=9)
    whole = n_way(case.cross, 3, negatives, np.arange(case.people))
    monkeypatch.setattr(scores, "COLUMNS", 4)
    monkeypatch.setattr("eval.metrics.n_way.ROWS", 3)
    parts = n_way(case.cross, 3, negatives, np.arange(case.people))
    np.testing.assert_allclose(parts.accuracy("samples"), whole.accuracy("samples"), atol=1e-14)
    np.testing.assert_allclose(parts.interval("samples"), whole.interval("samples"), atol=1e-13)


def test_many_rivals_neither_overflow_nor_round_away():
    """C(600, 300) is beyond float64; the means are not."""
    people = 601
    table = np.zeros((people, people))
    table[np.arange(people), np.arange(people)] = 1.0
    table[0, 1:301] = 2.0
    identity = np.arange(people)
    found = n_way(Case(table, identity, identity, people).cross, people, "identities", identity)
    one = comb(300, 300, exact=True) / comb(600, 300, exact=True)
    value = found.accuracy("samples")
    assert value[299] == pytest.approx((people - 1 + one) / people, rel=1e-12)
    assert value[0] == pytest.approx((people - 1 + 0.5) / people, rel=1e-12)
    low, _ = found.interval("samples")
    assert np.isfinite(low[:300]).all()
    assert np.isnan(low[300:]).all()
