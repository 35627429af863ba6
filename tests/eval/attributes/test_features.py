"""The gender and age probes, age classes by their edges, and recalls with their intervals."""

import numpy as np
import pytest
import torch
from scipy import stats

from eval.attributes.features import age_probe, gender_probe, recall_rows, says
from s2f.errors import DatasetError
from s2f.labels import AGE_CLASSES, age_class
from s2f.simulate.population.joint_law import AGE_CLASSES as VOICE_AGES_YEARS


def test_probe_learns_a_direction_and_ignores_length():
    random = np.random.default_rng(0)
    is_male = random.random(200) < 0.5
    features = torch.from_numpy(random.normal(0, 1, (200, 6)) + 2.5 * is_male[:, None] * [1, 0, 0, 0, 0, 0]).float()
    probe = gender_probe(features, is_male)
    assert (says(probe, features) == is_male).mean() > 0.85
    assert (says(probe, 10 * features) == says(probe, features)).all()
    with pytest.raises(DatasetError, match="both genders"):
        gender_probe(features, np.ones(200, dtype=bool))


def test_age_classes_by_their_edges():
    ages = (0, 13.99, 14, 59.9, 60, 90)
    assert [age_class(age) for age in ages] == ["child", "child", "adult", "adult", "elder", "elder"]


@pytest.mark.parametrize("name", VOICE_AGES_YEARS)
def test_voices_lie_within_the_age_class_of_their_name(name):
    assert name in AGE_CLASSES
    assert {age_class(age) for age in np.linspace(*VOICE_AGES_YEARS[name], 100)} == {name}


def test_age_probe_gives_rare_classes_their_weight():
    """Where half-overlapping classes are rare, a probe without class weights would rather say adult."""
    random = np.random.default_rng(0)
    classes = np.repeat(AGE_CLASSES, [40, 900, 40])
    place = np.select([classes == "child", classes == "adult"], [-1.0, 0.0], 1.0)
    features = torch.from_numpy(np.stack([place + random.normal(0, 0.4, 980), np.ones(980)], axis=1)).float()
    probe = age_probe(features, classes)
    shown = says(probe, features)
    assert min((shown[classes == name] == name).mean() for name in AGE_CLASSES) > 0.6
    assert (says(probe, 5 * features) == shown).all()
    with pytest.raises(DatasetError, match="every age class"):
        age_probe(features[40:], classes[40:])


def test_recalls_by_hand():
    true = np.array(["child"] * 2 + ["adult"] * 4 + ["elder"] * 5)
    shown = np.array(["child", "adult"] + ["adult"] * 4 + ["adult"] * 4 + ["elder"])
    rows = {row.group: row for row in recall_rows("v2f", shown, true, {})}
    assert [rows[name].value for name in AGE_CLASSES] == [0.5, 1.0, 0.2]
    assert (rows["U"].value, rows["U"].n) == (pytest.approx((0.5 + 1 + 0.2) / 3), 11)
    assert rows["U"].ci_low < rows["U"].value < rows["U"].ci_high
    alone = recall_rows("v2f", shown[:6], true[:6], {})
    assert [row.group for row in alone] == ["U", "child", "adult"]
    assert recall_rows("v2f", true, true, {})[0].ci_high == 1.0


def test_interval_of_one_recall_is_jeffreys():
    true, shown = np.full(50, "adult"), np.array(["adult"] * 40 + ["elder"] * 10)
    row = recall_rows("v2f", shown, true, {})[0]
    assert (row.ci_low, row.ci_high) == pytest.approx(stats.beta.ppf([0.025, 0.975], 40.5, 10.5), abs=0.01)
