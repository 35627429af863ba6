"""Age classes by their edges."""

import numpy as np
import pytest

from s2f.labels import AGE_CLASSES, age_class
from s2f.simulate.population.joint_law import AGE_YEARS as VOICE_AGES_YEARS


def test_age_classes_by_their_edges():
    ages = (0, 13.99, 14, 59.9, 60, 90)
    assert [age_class(age) for age in ages] == ["child", "child", "adult", "adult", "elder", "elder"]


@pytest.mark.parametrize("name", VOICE_AGES_YEARS)
def test_voices_lie_within_the_age_class_of_their_name(name):
    assert name in AGE_CLASSES
    assert {age_class(age) for age in np.linspace(*VOICE_AGES_YEARS[name], 100)} == {name}
