"""The gender probe, its control, the interval and the report."""

import json

import numpy as np
import pytest
import torch

from eval.cli import main
from eval.demographics import agreement_rows, gender_probe, says_male, shuffled_agreement
from eval.intervals import share_interval
from eval.results import Report, Row
from s2f.errors import DatasetError


def test_wilson_interval_by_its_formula():
    for hits, count in ((0, 5), (37, 40), (40, 40)):
        z, share = 1.959963984540054, hits / count
        centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
        half = z / (1 + z**2 / count) * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
        assert share_interval(hits, count) == pytest.approx((centre - half, centre + half), abs=1e-9)


def test_probe_learns_a_direction_and_ignores_length():
    random = np.random.default_rng(0)
    is_male = random.random(200) < 0.5
    features = torch.from_numpy(random.normal(0, 1, (200, 6)) + 2.5 * is_male[:, None] * [1, 0, 0, 0, 0, 0]).float()
    probe = gender_probe(features, is_male)
    assert (says_male(probe, features) == is_male).mean() > 0.85
    assert (says_male(probe, 10 * features) == says_male(probe, features)).all()
    with pytest.raises(DatasetError, match="both genders"):
        gender_probe(features, np.ones(200, dtype=bool))


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


def test_report_as_json_and_table():
    row = Row("gender_agreement", "v2f", "U", 0.925, 0.801, 0.974, "wilson", 0.5, 40, {"seconds": 6.0})
    report = Report("demographics/gender-probe-1", "ab" * 32, [row])
    content = json.loads(report.json())
    assert content["split_hash"] == "ab" * 32
    assert content["rows"][0]["params"] == {"seconds": 6.0}
    assert content["rows"][0]["ci_method"] == "wilson"
    table = report.table().splitlines()
    assert "gender_agreement  v2f" in table[2]
    assert "0.801..0.974" in table[2]


def test_command_refuses_bad_input_in_one_sentence(tmp_path, capsys):
    assert main(["demographics", str(tmp_path / "none"), str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "expected" in error
    assert main(["demographics", "starter", str(tmp_path), "--secods", "3"]) == 2
    assert "did you mean seconds?" in capsys.readouterr().err
