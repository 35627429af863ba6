"""Agreement, confusion and their controls by hand."""

import numpy as np
import pytest
import torch

from eval.attributes.agreement import agreement_rows, confusion, shuffled_agreement, shuffled_recalls
from eval.attributes.features import AGE_CLASSES
from eval.metrics.intervals import cluster_draws
from eval.simulated.evaluate import Population, Reconstruction, agreement


def people(is_male, age_class, speakers=None):
    count = len(is_male)
    speakers = np.arange(count) if speakers is None else speakers
    return Population([], np.array(is_male), np.array(age_class), np.asarray(speakers), {}, {})


def by_group(rows, metric):
    return {row.group: row for row in rows if row.metric == metric}


def test_agreement_by_hand():
    predicted = np.array([True, True, False, False, False])
    true = np.array([True, False, False, False, True])
    rows = {row.group: row for row in agreement_rows("v2f", predicted, true, {})}
    assert (rows["U"].value, rows["U"].n) == (3 / 5, 5)
    assert (rows["f"].value, rows["f"].n) == (2 / 3, 3)
    assert (rows["m"].value, rows["m"].n) == (1 / 2, 2)
    assert rows["U"].ci_low < 0.6 < rows["U"].ci_high
    assert rows["U"].chance == 0.5


def test_shuffled_control_is_at_its_expectation():
    """Dealt to others, a perfect predictor of a balanced set agrees half the time, and so does a constant one."""
    true = np.arange(40) % 2 == 0
    perfect = shuffled_agreement(true, true)
    assert perfect.mean() == pytest.approx(0.5, abs=0.02)
    assert perfect.std() > 0
    constant = shuffled_agreement(np.ones(40, dtype=bool), true)
    assert (constant == 0.5).all()
    uneven = np.arange(40) < 30
    assert shuffled_agreement(uneven, uneven).mean() == pytest.approx(0.75**2 + 0.25**2, abs=0.02)
    np.testing.assert_array_equal(shuffled_agreement(true, true, seed=3), shuffled_agreement(true, true, seed=3))


def test_confusion_by_hand():
    true = np.array(["child", "child", "adult", "adult", "adult", "elder"])
    shown = np.array(["child", "elder", "adult", "child", "adult", "adult"])
    np.testing.assert_array_equal(confusion(shown, true, AGE_CLASSES), [[1, 0, 1], [1, 2, 0], [0, 1, 0]])
    population = people([True, False] * 3, true)
    rows = agreement(population, Reconstruction(torch.zeros(6, 2), population.is_male, shown, np.zeros((6, 68, 2))))
    recalls = by_group(rows, "age_class_agreement")
    assert {group: (row.value, row.n) for group, row in recalls.items()} == {
        "U": (pytest.approx((1 / 2 + 2 / 3 + 0) / 3), 6),
        "child": (1 / 2, 2),
        "adult": (2 / 3, 3),
        "elder": (0, 1),
    }
    shares = {(row.group, row.params["shown"]): row for row in rows if row.metric == "age_class_confusion"}
    assert len(shares) == 9
    assert shares["child", "elder"].value == 1 / 2
    assert shares["adult", "elder"].value == 0
    assert shares["elder", "adult"].value == 1
    assert shares["elder", "adult"].chance == pytest.approx(3 / 6)
    assert {row.value for row in by_group(rows, "gender_agreement").values()} == {1.0}


def test_shuffled_recalls_are_the_shares_of_the_answers():
    true, shown = np.repeat(["a", "b"], [30, 10]), np.repeat(["a", "b"], [10, 30])
    control = shuffled_recalls(shown, true, ["a", "b"])
    np.testing.assert_allclose(control.mean(0), [10 / 40, 30 / 40], atol=0.02)
    assert control.mean() == pytest.approx(0.5, abs=0.02)
    np.testing.assert_allclose(shuffled_recalls(np.full(40, "a"), true, ["a", "b"])[0], [1, 0])
    order = np.random.default_rng(2).permutation(40)
    expected = [(shown[order][:30] == "a").mean(), (shown[order][30:] == "b").mean()]
    np.testing.assert_allclose(shuffled_recalls(shown, true, ["a", "b"], shuffles=1, seed=2), [expected])


def test_gender_by_class_with_its_control():
    is_male = np.arange(90) % 2 == 1
    ages = np.array(AGE_CLASSES)[np.arange(90) % 3]
    shown = np.where(ages == "child", False, is_male)  # every child drawn as a girl
    answer = Reconstruction(torch.zeros(90, 2), shown, None, np.zeros((90, 68, 2)))
    rows = by_group(agreement(people(is_male, ages, np.arange(90) % 9), answer), "gender_agreement")
    assert {group: row.value for group, row in rows.items()} == {
        "U": pytest.approx(5 / 6),
        "f": 1,
        "m": pytest.approx(2 / 3),
        "child": 1 / 2,
        "adult": 1,
        "elder": 1,
    }
    low, mean, high = rows["adult"].params["shuffled"]
    assert low < mean < high
    assert mean == pytest.approx(0.5, abs=0.02)
    assert rows["child"].params["shuffled"] == [0.5, 0.5, 0.5]
    assert rows["m"].params["shuffled"][1] == pytest.approx(1 / 3, abs=0.02)  # a third is shown as m
    assert rows["adult"].params["by_speaker"] == [1, 1]


def test_intervals_over_speakers_are_wider_where_a_speaker_is_all_right_or_all_wrong():
    speakers, is_male = np.repeat(np.arange(10), 50), np.arange(500) % 2 == 1
    shown = np.where(speakers < 8, is_male, ~is_male)
    answer = Reconstruction(torch.zeros(500, 2), shown, None, np.zeros((500, 68, 2)))
    row = agreement(people(is_male, np.full(500, "adult"), speakers), answer)[0]
    assert (row.group, row.value) == ("U", 0.8)
    low, high = row.params["by_speaker"]
    draws = cluster_draws(speakers)[:, ::50][:, :8].sum(1) / 10
    assert [low, high] == pytest.approx(np.quantile(draws, [0.025, 0.975]))
    assert high - low > 4 * (row.ci_high - row.ci_low)
