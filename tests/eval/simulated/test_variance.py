"""Variance within cells, and its ratio to that of real faces, by hand and by simulation."""

import numpy as np
import pytest
import torch

from eval.simulated.variance import Faces, variance_rows, within_variance
from s2f.errors import DatasetError
from s2f.labels import AGE_CLASSES, GENDERS


def test_variance_within_cells_by_hand():
    features = torch.tensor([[2.0, 0], [0, 3], [0, 1], [0, 5]])
    value, _ = within_variance(features, np.array(["a", "a", "b", "b"]))
    assert value == pytest.approx((0.5 + 0.5) / 2)  # unit vectors (1, 0) and (0, 1); the other two are the same
    unit = torch.nn.functional.normalize(torch.randn(400, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
    value, error = within_variance(7 * unit, np.full(400, ""))
    assert value == pytest.approx(np.trace(np.cov(unit.T)), rel=1e-5)
    assert error < 0.05
    with pytest.raises(DatasetError, match="several people"):
        within_variance(features, np.arange(4).astype(str))


def test_class_means_have_no_variance_within():
    random = torch.Generator().manual_seed(1)
    gender, ages = np.array(GENDERS)[np.arange(300) % 2], np.array(AGE_CLASSES)[np.arange(300) % 3]
    centre = torch.randn(6, 8, generator=random)[torch.arange(300) % 6]
    real = centre + 0.5 * torch.randn(300, 8, generator=random)
    faces = Faces(real, gender, ages)

    def shares(predicted):
        return {row.metric: row for row in variance_rows(Faces(predicted, gender, ages), faces)}

    means, same, constant = shares(centre), shares(3 * real), shares(torch.ones(300, 8))
    assert means["variance"].value > 0.5
    assert 0.1 < means["variance_within_gender"].value < means["variance"].value
    assert means["variance_within_gender_and_age"].value == pytest.approx(0, abs=1e-12)
    assert [row.value for row in same.values()] == pytest.approx([1, 1, 1])
    assert all(row.ci_low < row.value < row.ci_high for row in same.values())
    assert [row.value for row in constant.values()] == pytest.approx([0, 0, 0])
    unknown = variance_rows(faces, Faces(real, gender, np.full(300, "")))
    assert [row.metric for row in unknown] == ["variance", "variance_within_gender"]


def test_delta_interval_covers_the_ratio():
    """Half the spread of isotropic noise around a far mean has a quarter of the variance; 95 % of intervals hold it."""
    random = torch.Generator().manual_seed(2)
    mean, hits = torch.tensor([20.0, 0, 0]), 0
    for _ in range(100):
        real, ours = (mean + s * torch.randn(80, 3, generator=random) for s in (1.0, 0.5))
        gender = np.repeat(GENDERS, 40)
        faces = Faces(real, gender, np.full(80, ""))
        row = variance_rows(Faces(ours, gender, np.full(80, "adult")), faces)[0]
        hits += row.ci_low < 0.25 < row.ci_high
    assert 88 <= hits <= 100
