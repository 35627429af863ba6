"""Confusion, kappa, recalls, priors and controls against scikit-learn, by hand, and by what they must not depend on."""

import itertools
import json
import re

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score, confusion_matrix

from eval.attributes.plots import draw_confusions
from eval.attributes.rows import attribute_rows, controlled_rows, error_rows, headline_rows, shuffled_rows
from eval.metrics.classification import Comparison, balanced, kappa, of_classes, prior_only, prior_random
from eval.metrics.intervals import cluster_draws, share_interval
from eval.metrics.permutations import speaker_permutations
from eval.results import UNDEFINED, Report
from s2f.errors import UsageError

NAMES = ("child", "adult", "elder")


def compare(reference, answers, speakers=None, classes=NAMES):
    speakers = np.arange(len(reference)) if speakers is None else np.asarray(speakers)
    return Comparison("age_class", classes, np.array(reference), np.array(answers), speakers)


def random_answers(count=300, seed=0, shares=(0.1, 0.7, 0.2), right=0.6):
    random = np.random.default_rng(seed)
    reference = random.choice(NAMES, count, p=shares)
    return reference, np.where(random.random(count) < right, reference, random.choice(NAMES, count))


def found(rows, metric, group="U", **params):
    chosen = [row for row in rows if (row.metric, row.group) == (f"age_class_{metric}", group)]
    chosen = [row for row in chosen if params.items() <= row.params.items()]
    assert len(chosen) == 1
    return chosen[0]


@pytest.mark.parametrize("seed", range(3))
def test_figures_are_those_of_scikit_learn(seed):
    reference, answers = random_answers(seed=seed)
    rows = attribute_rows(compare(reference, answers), "v2f", {})
    assert found(rows, "agreement").value == pytest.approx((reference == answers).mean())
    assert found(rows, "kappa").value == pytest.approx(cohen_kappa_score(reference, answers))
    assert found(rows, "balanced").value == pytest.approx(balanced_accuracy_score(reference, answers))
    expected = confusion_matrix(reference, answers, labels=NAMES, normalize="true")
    for (k, true), (column, shown) in itertools.product(enumerate(NAMES), repeat=2):
        cell = found(rows, "confusion", true, shown=shown)
        assert (cell.value, cell.n) == (pytest.approx(expected[k, column]), (reference == true).sum())
        assert cell.chance == pytest.approx((answers == shown).mean())
    for k, true in enumerate(NAMES):
        assert found(rows, "recall", true).value == pytest.approx(expected[k, k])
    counts = confusion_matrix(reference, answers, labels=NAMES)
    np.testing.assert_array_equal(compare(reference, answers).counts, counts)


def test_everything_by_hand():
    reference = ["child", "child", "adult", "adult", "adult", "elder"]
    answers = ["child", "elder", "adult", "child", "adult", "adult"]
    compared = compare(reference, answers)
    np.testing.assert_array_equal(compared.counts, [[1, 0, 1], [1, 2, 0], [0, 1, 0]])
    rows = attribute_rows(compared, "v2f", {})
    agreed = found(rows, "agreement")
    assert (agreed.value, agreed.n, agreed.chance) == (3 / 6, 6, 3 / 6)
    assert agreed.ci_low < 0.5 < agreed.ci_high
    assert (found(rows, "balanced").value, found(rows, "balanced").n) == (pytest.approx((1 / 2 + 2 / 3 + 0) / 3), 6)
    for name, value, n, chance in (("child", 1 / 2, 2, 2 / 6), ("adult", 2 / 3, 3, 3 / 6), ("elder", 0, 1, 1 / 6)):
        row = found(rows, "recall", name)
        assert (row.value, row.n, row.chance) == (value, n, pytest.approx(chance))
        assert (row.ci_low, row.ci_high) == share_interval(round(value * n), n)
    assert len([row for row in rows if row.metric == "age_class_confusion"]) == 9
    assert found(rows, "confusion", "child", shown="elder").value == 1 / 2
    assert found(rows, "confusion", "adult", shown="elder").value == 0
    assert found(rows, "confusion", "elder", shown="adult").value == 1
    assert found(rows, "confusion", "elder", shown="adult").chance == pytest.approx(3 / 6)


def test_interval_of_the_mean_recall():
    """One class: Jeffreys' interval of a share; several: the mean lies within, even where every recall is 1."""
    row = found(headline_rows(compare(["adult"] * 50, ["adult"] * 40 + ["elder"] * 10), "v2f", {}), "balanced")
    assert (row.ci_low, row.ci_high) == pytest.approx(stats.beta.ppf([0.025, 0.975], 40.5, 10.5), abs=0.01)
    reference = ["child"] * 2 + ["adult"] * 4 + ["elder"] * 5
    answers = ["child", "adult"] + ["adult"] * 4 + ["adult"] * 4 + ["elder"]
    row = found(headline_rows(compare(reference, answers), "v2f", {}), "balanced")
    assert (row.value, row.n) == (pytest.approx((0.5 + 1 + 0.2) / 3), 11)
    assert row.ci_low < row.value < row.ci_high
    assert found(headline_rows(compare(reference, reference), "v2f", {}), "balanced").ci_high == 1.0
    some = attribute_rows(compare(reference[:6], answers[:6]), "v2f", {})
    assert [row.group for row in some if row.metric == "age_class_recall"] == ["child", "adult"]
    assert found(some, "balanced").value == (0.5 + 1) / 2


def test_some_of_the_people_are_compared_as_they_are_alone():
    reference, answers = random_answers(60)
    speakers, women = np.arange(60) % 7, np.arange(60) % 3 == 0
    rows = headline_rows(compare(reference, answers, speakers).among(women), "v2f", {}, "f")
    alone = headline_rows(compare(reference[women], answers[women], speakers[women]), "v2f", {}, "f")
    assert rows == alone
    assert {row.group for row in rows} == {"f"}
    assert {row.group for row in shuffled_rows(compare(reference, answers).among(women), "v2f", {}, "f")} == {"f"}
    assert of_classes(np.array(["child", "teen", ""]), NAMES).tolist() == ["child", "", ""]


def test_priors_by_hand():
    """6 of 10 adults and 3 elders; answered 2, 5 and 3 times."""
    reference = ["child"] + ["adult"] * 6 + ["elder"] * 3
    answers = ["child"] * 2 + ["adult"] * 5 + ["elder"] * 3
    row = found(headline_rows(compare(reference, answers), "v2f", {}), "agreement")
    assert row.chance == pytest.approx(6 / 10)
    assert row.params == {"prior_random": pytest.approx((1 * 2 + 6 * 5 + 3 * 3) / 100)}
    assert (row.ci_low, row.ci_high) == share_interval(9, 10)
    assert found(headline_rows(compare(reference, answers), "v2f", {}), "balanced").chance == pytest.approx(1 / 3)
    swapped = compare(answers, reference).counts
    assert prior_only(swapped) == 0.5
    assert prior_random(swapped) == pytest.approx(0.41)


def test_kappa_by_hand_and_at_its_edges():
    assert kappa(np.array([[20, 5], [10, 15]])) == pytest.approx(0.4)  # Cohen's usual example: 0.7 against 0.5
    assert kappa(np.array([[5, 0], [0, 3]])) == 1
    assert kappa(np.array([[0, 4], [4, 0]])) == -1
    assert kappa(np.array([[7, 0], [3, 0]])) == 0  # constant answers, not all right
    assert np.isnan(kappa(np.array([[7, 0], [0, 0]])))
    assert kappa(np.array([[0, 7], [0, 0]])) == 0  # constant on both sides, all wrong


def test_nothing_varies():
    """The same class on both sides throughout: agreement is 1, and worth nothing."""
    rows = attribute_rows(compare(["adult"] * 5, ["adult"] * 5), "v2f", {})
    row = found(rows, "kappa")
    assert (row.value, row.ci_low, row.ci_high, row.ci_method, row.n) == (None, None, None, UNDEFINED, 5)
    assert (found(rows, "agreement").value, found(rows, "agreement").chance) == (1, 1)
    assert found(rows, "balanced").chance == 1
    assert not [row for row in rows if row.group in ("child", "elder")]
    control = shuffled_rows(compare(["adult"] * 5, ["adult"] * 5), "v2f", {})
    assert {row.metric for row in control} == {"age_class_agreement", "age_class_balanced"}
    assert json.loads(Report("demographics/3", "0", rows + control).json())
    constant = headline_rows(compare(["adult", "adult", "child"], ["adult"] * 3), "v2f", {})
    assert (found(constant, "kappa").value, found(constant, "balanced").value) == (0, 0.5)


def test_uneven_classes_are_balanced():
    """Nine adults in ten: always "adult" agrees nine times in ten, which is chance, and is right about one class."""
    rows = headline_rows(compare(["adult"] * 90 + ["elder"] * 10, ["adult"] * 100), "v2f", {})
    assert found(rows, "agreement").value == found(rows, "agreement").chance == 0.9
    assert found(rows, "balanced").value == found(rows, "balanced").chance == 0.5


def test_unknown_and_abstained():
    reference = ["child", "", "adult", "adult", "elder", ""]
    answers = ["child", "child", "", "adult", "child", "elder"]
    rows = attribute_rows(compare(reference, answers), "f2f", {"seconds": 6.0})
    assert (found(rows, "agreement").value, found(rows, "agreement").n) == (2 / 3, 3)
    assert (found(rows, "abstained").value, found(rows, "abstained").n) == (1 / 6, 6)
    assert (found(rows, "recall", "adult").value, found(rows, "recall", "adult").n) == (1, 1)
    assert {row.direction for row in rows} == {"f2f"}
    assert all(row.params["seconds"] == 6 for row in rows)
    silent = compare(["child", "adult"], ["", ""])
    assert [row.metric for row in attribute_rows(silent, "v2f", {})] == ["age_class_abstained"]
    assert headline_rows(silent, "v2f", {}) == shuffled_rows(silent, "v2f", {}) == []
    assert [row.metric for row in controlled_rows(silent, "v2f", {})] == ["age_class_abstained"]


def test_names_and_order_of_people_and_classes_do_not_matter():
    reference, answers = random_answers()
    order = np.random.default_rng(1).permutation(len(reference))
    rows = headline_rows(compare(reference, answers), "v2f", {})
    for other in (
        compare(reference[order], answers[order]),
        compare(reference, answers, classes=NAMES[::-1]),
        compare(reference, answers, classes=(*NAMES, "ageless")),
    ):
        moved = headline_rows(other, "v2f", {})
        assert [row.value for row in moved] == pytest.approx([row.value for row in rows])
        assert [row.chance for row in moved] == pytest.approx([row.chance for row in rows])


def test_other_names_and_lengths_are_refused():
    with pytest.raises(UsageError, match="got 'teen'"):
        compare(["child", "teen"], ["child", "child"])
    with pytest.raises(UsageError, match="got 'old'"):
        compare(["child", "child"], ["child", "old"])
    with pytest.raises(UsageError, match="got 2, 3, 2"):
        compare(["child", "child"], ["child"] * 3)


def test_intervals_allow_for_speakers():
    """Ten speakers of 30 people each, answered all right or all wrong: only the speakers count."""
    speakers = np.repeat(np.arange(10), 30)
    reference = np.tile(["child", "adult", "elder"], 100)
    answers = np.where(speakers < 8, reference, np.roll(["child", "adult", "elder"] * 100, 1))
    rows = attribute_rows(compare(reference, answers, speakers), "v2f", {})
    alone = attribute_rows(compare(reference, answers), "v2f", {})
    draws = cluster_draws(speakers)[:, ::30][:, :8].sum(1) / 10
    limits = pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=1e-3)
    agreed = found(rows, "agreement")
    assert (agreed.value, agreed.params["by_speaker"]) == (0.8, limits)
    assert np.ptp(agreed.params["by_speaker"]) > 4 * (agreed.ci_high - agreed.ci_low)
    assert found(rows, "balanced").params["by_speaker"] == limits
    assert found(rows, "recall", "adult").params["by_speaker"] == limits
    assert found(rows, "confusion", "adult", shown="adult").params["by_speaker"] == limits
    wrong = found(rows, "confusion", "adult", shown="child")
    assert wrong.params["by_speaker"] == pytest.approx(1 - np.quantile(draws, [0.975, 0.025]), abs=1e-3)
    assert not any("by_speaker" in row.params for row in alone)
    ours, people = found(rows, "kappa"), found(alone, "kappa")
    assert (ours.ci_method, people.ci_method) == ("bootstrap over speakers", "bootstrap over people")
    assert ours.value == people.value == pytest.approx(0.7)
    assert ours.ci_high - ours.ci_low > 4 * (people.ci_high - people.ci_low)
    assert (ours.ci_low, ours.ci_high) == pytest.approx(1 - 1.5 * (1 - np.quantile(draws, [0.025, 0.975])))


def test_balanced_interval_over_speakers_by_its_definition():
    reference, answers = random_answers(60)
    speakers = np.random.default_rng(5).integers(12, size=60)
    row = found(headline_rows(compare(reference, answers, speakers), "v2f", {}), "balanced")
    means = []
    for weights in cluster_draws(speakers):
        classes = [(weights * (reference == name)) for name in NAMES]
        means.append(np.mean([(one * (answers == reference)).sum() / one.sum() for one in classes if one.any()]))
    assert row.params["by_speaker"] == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=1e-3)


def test_kappa_interval_covers_the_truth():
    """Cohen's kappa of 60 populations of 60 people, whose own is known: 95 % intervals hold it about so often."""
    inside = 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        reference = random.choice(NAMES[:2], 60)
        answers = np.where(random.random(60) < 0.8, reference, random.choice(NAMES[:2], 60))
        row = found(headline_rows(compare(reference, answers, classes=NAMES[:2]), "v2f", {}), "kappa")
        inside += row.ci_low <= 0.8 <= row.ci_high
    assert 53 <= inside <= 59


def test_shuffled_control_is_at_its_expectation():
    reference, answers = random_answers(400, right=1.0)
    compared = compare(reference, answers)
    rows = shuffled_rows(compared, "v2f", {"reference": "picture"})
    assert {row.params["control"] for row in rows} == {"shuffled"}
    assert found(rows, "agreement").value == pytest.approx(float(prior_random(compared.counts)), abs=0.005)
    assert found(rows, "kappa").value == pytest.approx(0, abs=0.01)
    assert found(rows, "balanced").value == pytest.approx(1 / 3, abs=0.01)
    for row in rows:
        assert row.ci_low < row.value < row.ci_high < found(headline_rows(compared, "v2f", {}), "kappa").value
    assert found(rows, "agreement").chance == found(headline_rows(compared, "v2f", {}), "agreement").chance


def test_shuffled_control_of_constant_and_of_uneven_answers():
    """A constant answer agrees as often with anybody; right answers about 30 and 10 people by the prior."""
    even, uneven = ["child", "adult"] * 20, ["child"] * 30 + ["adult"] * 10
    constant = found(shuffled_rows(compare(even, ["child"] * 40), "v2f", {}), "agreement")
    assert (constant.value, constant.ci_low, constant.ci_high) == (0.5, 0.5, 0.5)
    perfect = found(shuffled_rows(compare(even, even), "v2f", {}), "agreement")
    assert perfect.value == pytest.approx(0.5, abs=0.02)
    assert perfect.ci_low < perfect.ci_high
    control = shuffled_rows(compare(uneven, uneven), "v2f", {})
    assert found(control, "agreement").value == pytest.approx(0.75**2 + 0.25**2, abs=0.02)
    assert control == shuffled_rows(compare(uneven, uneven), "v2f", {})


def test_recalls_have_their_control():
    """On average a class is recalled as often as it is answered to anybody."""
    reference, answers = np.repeat(NAMES[:2], [30, 10]), np.repeat(NAMES[:2], [10, 30])
    compared = compare(reference, answers)
    rows, plain = controlled_rows(compared, "v2f", {"split": "x"}), attribute_rows(compared, "v2f", {"split": "x"})
    assert rows[: len(plain)] == plain
    shuffled = shuffled_rows(compared, "v2f", {"split": "x"})
    assert rows[len(plain) : len(plain) + len(shuffled)] == shuffled
    recalled = rows[len(plain) + len(shuffled) :]
    assert [(row.metric, row.group) for row in recalled] == [("age_class_recall", name) for name in NAMES[:2]]
    orders = speaker_permutations(compared.speakers, 1000)
    for row, name, n in zip(recalled, NAMES, (30, 10), strict=False):
        draws = [(answers[order][reference == name] == name).mean() for order in orders]
        assert (row.value, row.n) == (pytest.approx(np.mean(draws)), n)
        assert (row.ci_low, row.ci_high) == pytest.approx(np.quantile(draws, [0.025, 0.975]))
        assert row.value == pytest.approx((answers == name).mean(), abs=0.02)
        assert row.chance == (answers == name).mean()
        assert (row.ci_method, row.params) == ("permutation", {"split": "x", "control": "shuffled"})
    assert np.mean([row.value for row in recalled]) == pytest.approx(0.5, abs=0.02)
    constant = controlled_rows(compare(reference, ["child"] * 40), "v2f", {})
    assert [found(constant, "recall", name, control="shuffled").value for name in NAMES[:2]] == [1, 0]


def test_shared_speakers_widen_the_control():
    speakers = np.repeat(np.arange(8), 40)
    reference = np.where(speakers % 2 == 0, "child", "adult")
    together = found(shuffled_rows(compare(reference, reference, speakers), "v2f", {}), "agreement")
    apart = found(shuffled_rows(compare(reference, reference), "v2f", {}), "agreement")
    assert together.value == pytest.approx(0.5, abs=0.03)
    assert together.ci_high - together.ci_low > 4 * (apart.ci_high - apart.ci_low)


def test_balanced_draws_leave_absent_classes_out():
    counts = np.array([[[3, 1], [0, 0]], [[1, 1], [0, 4]]])
    np.testing.assert_allclose(balanced(counts), [3 / 4, (1 / 2 + 1) / 2])


def test_error_of_groups_by_hand():
    reference = ["child", "child", "adult", "adult", "elder", "", "", "adult"]
    answers = ["child", "adult", "adult", "adult", "child", "child", "child", ""]
    groups = np.array(["m asian", "m asian", "f asian", "", "f asian", "m african", "m asian", "f asian"])
    rows = error_rows(compare(reference, answers), groups, "rendered", {"split": "test"})
    assert [(row.metric, row.group, row.value, row.n) for row in rows] == [
        ("age_class_error", "f asian", 1 / 2, 2),
        ("age_class_error", "m asian", 1 / 2, 2),
    ]
    assert (rows[0].ci_low, rows[0].ci_high) == share_interval(1, 2)


def test_confusions_are_drawn_as_they_are(tmp_path):
    reference, answers = random_answers(60)
    compared = compare(reference, answers)
    rows = attribute_rows(compared, "f2f", {"reference": "picture"})
    (tmp_path / "again").mkdir()
    files = draw_confusions(rows + attribute_rows(compared, "v2f", {"reference": "label"}), tmp_path)
    stems = ("confusion_f2f_picture", "confusion_v2f_label")
    assert [path.name for path in files] == [f"{stem}.{kind}" for stem in stems for kind in ("png", "svg")]
    for path in draw_confusions(rows, tmp_path / "again"):
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()
    drawn = (tmp_path / "confusion_f2f_picture.svg").read_text()
    counts = confusion_matrix(reference, answers, labels=NAMES)
    assert re.findall(r"<!-- n = (\d+) -->", drawn) == [str(count) for count in counts.sum(1)]
    shares = (100 * counts / counts.sum(1, keepdims=True)).ravel()
    assert re.findall(r"<!-- (\d+) % -->", drawn) == [f"{share:.0f}" for share in shares]
    assert "(F2F)" in drawn
    assert draw_confusions([row for row in rows if "recall" in row.metric], tmp_path) == []
    assert draw_confusions(attribute_rows(compared, "v2f", {}), tmp_path) == []  # beside those of a folder: of voices
