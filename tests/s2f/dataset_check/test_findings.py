"""What `s2f data check` prints: the same for any order of rows, JSON without NaN, a table that fits."""

import hashlib
import json
import random
import shutil
from pathlib import Path

import pytest

from s2f.dataset_check.findings import WIDTH, Finding, Findings
from s2f.dataset_check.folder import check
from tests.s2f.dataset_check.damaged_data import change, damage, put


@pytest.fixture
def folder(tiny_dataset, tmp_path) -> Path:
    """A copy of the tiny dataset that a test may damage."""
    return Path(shutil.copytree(tiny_dataset, tmp_path / "data"))


def test_order_of_rows_changes_nothing(folder):
    damage(folder)
    for number, seconds in enumerate(("1e15", "0.3", "0.3", "0.3", "0.3", "0.3")):
        put(folder, "voices.csv", number, duration_s=seconds)  # a plain sum depends on the order
    first = check(folder)
    assert len(first.findings) > 8
    for name in ("people.csv", "voices.csv", "faces.csv", "landmarks.csv"):
        change(folder, name, random.Random(1).shuffle)
    second = check(folder)
    assert second.json() == first.json()
    assert second.table() == first.table()


def test_json_says_all_and_has_no_nan(folder):
    damage(folder)
    found = check(folder)

    def refuse(name: str):
        raise AssertionError(name)

    content = json.loads(found.json(), parse_constant=refuse)
    assert set(content) == {
        *("folder", "sharded", "counts", "people", "quality", "left_out", "missing", "opened", "split_hash"),
        *("stored_split_hash", "notes", "findings", "usable_for", "not_usable_for", "usable", "verdict"),
    }
    assert set(content["findings"][0]) == {"kind", "severity", "count", "message", "examples", "fix"}
    assert content["verdict"] == found.verdict
    assert content["usable"] is False
    fields = {name: value for name, value in content.items() if name not in ("usable", "verdict", "findings")}
    again = Findings(**fields, findings=[Finding(**one) for one in content["findings"]])
    assert again == found
    grades = [finding["severity"] for finding in content["findings"]]
    assert grades == sorted(grades)  # errors first


def test_table_fits_and_ends_with_the_verdict(folder):
    damage(folder)
    found = check(folder)
    lines = found.table().splitlines()
    assert max(map(len, lines)) <= WIDTH == 100
    assert all(line.isprintable() for line in lines)
    assert lines[-1] == found.verdict
    text = " ".join(found.table().split())
    for finding in found.findings:
        assert f"{finding.message}: {finding.count} [{finding.kind}]" in text
        assert finding.fix in text
    assert lines.index("errors") < lines.index("warnings")
    assert "Côte d'Ivoire, or so" in text
    assert r"\x1b[31m.wav" in text.replace(" ", "")


def test_the_folder_stays_as_it_is(folder):
    def state() -> dict[str, str]:
        return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()}

    before = state()
    check(folder)
    assert state() == before
