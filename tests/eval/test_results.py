import json

import pytest

from eval.results import Report, Row, number_text, range_text, read_report, report_of
from s2f.errors import DatasetError

ROWS = (
    Row("accuracy", "v2f", "U", 0.75, 0.7, 0.8, "bootstrap over people", 0.5, 20, {"n_way": 2, "weighting": "samples"}),
    Row("marginal_accuracy", "v2f", "U", 0.9, None, None, "none: one person", None, 1, {"weighting": "samples"}),
)
REPORT = Report("matching/1", "0123456789abcdef", ROWS, ["3 people left out"])


def test_json_has_every_row_and_note():
    content = json.loads(REPORT.json())
    assert content["protocol"] == "matching/1"
    assert content["notes"] == ["3 people left out"]
    assert content["rows"][0]["params"] == {"n_way": 2, "weighting": "samples"}
    assert content["rows"][1]["ci_low"] is None


def test_a_silent_not_a_number_is_no_json():
    with pytest.raises(ValueError, match="JSON"):
        Report("p", "h", [Row("a", "v2f", "U", float("nan"), None, None, "none", None, 1)]).json()


def test_table_says_common_settings_once_and_how_intervals_came():
    first, head, one, other, note = REPORT.table().splitlines()
    assert first == "protocol matching/1, split 0123456789ab, weighting=samples"
    assert head.endswith("interval by            parameters")
    assert "0.700..0.800" in one
    assert one.endswith("bootstrap over people  n_way=2")
    assert ".." not in other
    assert note == "note: 3 people left out"


def test_small_figures_keep_their_digits():
    row = Row("map", "v2f", "U", 0.0131, 0.0, 0.0159, "x", 0.0053, 20)
    assert Report("r", "h", [row]).table().splitlines()[2].split()[3:6] == ["0.0131", "0.000..0.0159", "0.0053"]


def test_settings_that_differ_stay_in_their_rows():
    rows = [ROWS[0], Row("accuracy", "v2f", "U", 0.7, 0.6, 0.8, "x", 0.5, 20, {"weighting": "identities"})]
    table = Report("m", "h", rows).table()
    assert table.splitlines()[0] == "protocol m, split h"
    assert "weighting=samples" in table
    assert "weighting=identities" in table


def test_a_written_report_reads_back(tmp_path):
    (tmp_path / "a.json").write_text(REPORT.json(), encoding="utf-8")
    found = read_report(tmp_path / "a.json")
    assert found == Report("matching/1", "0123456789abcdef", list(ROWS), ["3 people left out"])


def test_what_is_no_report_is_refused_with_its_name(tmp_path):
    (tmp_path / "a.json").write_text("{", encoding="utf-8")
    for name in ("a.json", "none.json"):
        with pytest.raises(DatasetError, match=rf"a report in .*{name}, got .*; write it with `s2f-eval"):
            read_report(tmp_path / name)
    whole = json.loads(REPORT.json())
    row = whole["rows"][0]
    faults = [{"rows": [row | {name: value}]} for name, value in BAD_CELLS]
    faults += [{"notes": None}, {"notes": "a note"}, {"notes": [1]}, {"protocol": 1}, {"rows": [1]}, {"rows": None}]
    for fault in faults:
        with pytest.raises(DatasetError, match="a report in here"):
            report_of(whole | fault, "here")
    for other in ([], None, "text", {name: whole[name] for name in ("protocol", "split_hash", "notes")}):
        with pytest.raises(DatasetError, match="a report in here"):
            report_of(other, "here")
    assert report_of(whole, "here").rows[0].value == 0.75


BAD_CELLS = [
    ("value", "0.5"),
    ("value", float("nan")),
    ("value", True),
    ("n", None),
    ("ci_low", None),
    ("metric", 3),
    ("ci_method", None),
    ("params", []),
    ("unknown", 1),
]


def test_numbers_in_text():
    assert [number_text(value) for value in (None, 0.0, 0.25, 1, 0.0999, -0.05, -0.00001)] == [
        "", "0.000", "0.250", "1.000", "0.0999", "-0.0500", "0.0000",
    ]  # fmt: skip
    assert (range_text(0.1, 0.25), range_text(None, None)) == ("0.100..0.250", "")
