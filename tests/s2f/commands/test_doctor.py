"""`s2f doctor` tells what works from what does not."""

import json
import shutil
import sys

import pytest
import torch

from s2f import cli
from s2f.checkpoints import loading
from s2f.commands import doctor
from s2f.faces import detection


@pytest.fixture
def installed(tiny_checkpoint, monkeypatch):
    """An installation whose packaged starter is the tiny checkpoint; returns the starter's folder."""
    starter = tiny_checkpoint.parent / "site" / "checkpoints" / "starter"
    shutil.copytree(tiny_checkpoint, starter)
    monkeypatch.setattr(loading, "PACKAGED", starter.parent)
    return starter


def asset(found, name):
    (row,) = (row for row in found["assets"] if row["name"] == name)
    return row


def test_healthy_installation(installed):
    found = doctor.report()
    assert found["ok"]
    assert found["packages"]["torch"] == torch.__version__.split("+")[0]
    assert {found["codecs"][name] for name in ("wav", "flac", "mp3", "ogg")} == {"ok"}
    starter = asset(found, "starter checkpoint")
    assert starter["found"]
    assert starter["expected_at"] == str(installed)
    assert starter["detail"].startswith("loads strictly, 0.")
    assert found["devices"][0].startswith("cpu")


def test_damaged_starter(installed, capsys):
    (path,) = (installed / "voice_encoder").glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:-8])
    assert cli.main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "starter checkpoint      MISSING: expected a complete safetensors file" in out
    assert "to get it: install s2f again" in out
    assert "does NOT work" in out


def test_json_is_one_object_and_the_table_says_the_same(installed, capsys):
    assert cli.main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert cli.main(["doctor"]) == 0
    table = capsys.readouterr().out
    for row in found["assets"]:
        assert row.keys() == {"name", "expected_at", "found", "detail", "needed_by", "how_to_get"}
        assert row["expected_at"] in table
        assert row["needed_by"] in table
    assert all(name in table for name in [*found["packages"], *found["codecs"]])
    assert table.rstrip().endswith("the core works")


def test_missing_extras_are_named_and_do_not_break_the_core(installed, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.setattr(detection, "find_spec", lambda name: None)
    found = doctor.report()
    assert found["ok"]
    assert "s2f[codecs]" in found["codecs"]["m4a"]
    row = asset(found, "dlib face detector")
    assert not row["found"]
    assert "s2f[dlib]" in row["how_to_get"]
    assert "MISSING" in doctor.table(found)


def test_a_codec_that_decodes_wrongly_is_caught(installed, monkeypatch):
    load = doctor.audio.load
    monkeypatch.setattr(doctor.audio, "load", lambda data, rate: load(data, rate, seconds=0.5))
    found = doctor.report()
    assert not found["ok"]
    assert found["codecs"]["wav"].startswith("wrong: a 1 s tone of rms 0.354 came back as 0.50 s")


def test_dlib_file():
    pytest.importorskip("dlib")
    found = doctor.report()
    row = asset(found, "dlib face detector")
    assert row["found"] == (detection.packaged_model("") is not None)
    if row["found"]:
        assert row["detail"].endswith(" MB")
