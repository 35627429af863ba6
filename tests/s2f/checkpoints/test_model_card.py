"""Model cards say what the files say, and leave nothing to be filled in."""

import json
import re

import pytest
import yaml

from s2f.checkpoints.model_card import CardFacts, compose, write_card
from s2f.errors import CheckpointError, UsageError
from s2f.weights.registry import load_any
from s2f.weights.verify import verify
from tests.s2f.conftest import LOG, START

TAGS = ["speech2face", "voice", "face"]

REPORT = {
    "protocol": "matching/1",
    "split_hash": "abc123",
    "rows": [
        {
            "metric": "accuracy",
            "direction": "v2f",
            "group": "U",
            "params": {"n_way": 2},
            "value": 0.7284,
            "ci_low": 0.7,
            "ci_high": 0.75,
            "ci_method": "people",
            "chance": 0.5,
            "n": 1000,
        },
        {
            "metric": "pearson_r",
            "direction": None,
            "group": "f",
            "params": {"measure": "nose_width"},
            "value": None,
            "ci_low": None,
            "ci_high": None,
            "ci_method": "too few",
            "chance": 0,
            "n": 2,
        },
    ],
    "notes": ["3 people without a face left out"],
}


@pytest.fixture
def report(tmp_path):
    path = tmp_path / "matching.json"
    path.write_text(json.dumps(REPORT))
    return path


def test_a_card_of_a_run_and_its_evaluation(tiny_checkpoint, finished_run, report):
    path = write_card(tiny_checkpoint, CardFacts("cc-by-nc-4.0", str(finished_run), [str(report)], "A voice"))
    text = path.read_text()
    assert yaml.safe_load(text.split("---")[1]) == {"license": "cc-by-nc-4.0", "library_name": "s2f", "tags": TAGS}
    for said in (
        "# A voice",
        "| voice_encoder | Speech2FaceVoiceEncoder |",
        "`sample_rate_hz` 16000",
        "`image_size_px` 32",
        "20 steps of 16 items; last loss 0.251",
        "`decoder_sha256` `d00d`",
        "| val_l1 | 0.3457 |",
        "| learning_rate | `0.001` |",
        "| seed | `0` |",
        "| teacher | `teacher` |",
        "Made from `decoder_sha256` `d00d`, `split_hash` `abc123`.",
        "Protocol `matching/1`; split hash `abc123`",
        "| accuracy | v2f | U | n_way 2 | 0.728 | 0.700 to 0.750 | 0.5 | 1000 |",
        "undefined (too few)",
        "* 3 people without a face left out",
        "## Limits",
    ):
        assert said in text, said
    for unsaid in ("use_ema", "keep_best", "somebody", "output_dir"):
        assert unsaid not in text
    count = sum(value.numel() for value in load_any(tiny_checkpoint / "voice_encoder").state_dict().values())
    assert f"{count:,}" in text
    assert verify(tiny_checkpoint).ok


def test_nothing_is_left_to_fill_in(tiny_checkpoint, finished_run, report):
    text = compose(tiny_checkpoint, CardFacts("other", str(finished_run), [str(report)]))
    assert f"# {tiny_checkpoint.name}" in text
    assert not re.search(r"\{\w*\}|\[More|TB[D]|\bNone\b|\bnull\b|<[a-z_]+>|\?\?", text), text
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") and "||" not in line for line in tables)


def test_a_run_that_did_not_end_and_one_that_was_changed(tiny_checkpoint, finished_run):
    rows = [START, LOG[1], START | {"step": 10, "changes": ["seed 3 then, 4 now"]}, LOG[3]]
    (finished_run / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = compose(tiny_checkpoint, CardFacts("other", str(finished_run)))
    assert "The run did not end" in text
    assert "* restarted at step 10 with seed 3 then, 4 now" in text
    assert "did not end" not in compose_whole(tiny_checkpoint, finished_run)


def compose_whole(folder, finished_run):
    (finished_run / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in LOG))
    return compose(folder, CardFacts("other", str(finished_run)))


def test_refusals(tiny_checkpoint, finished_run, report, tmp_path):
    with pytest.raises(UsageError, match=r"a licence identifier .*'My licence'"):
        write_card(tiny_checkpoint, CardFacts("My licence", str(finished_run)))
    with pytest.raises(UsageError, match=r"a training run behind .*neither"):
        write_card(tiny_checkpoint, CardFacts("other"))
    with pytest.raises(CheckpointError, match="one JSON object a line"):
        write_card(tiny_checkpoint, CardFacts("other", str(tmp_path)))
    (finished_run / "log.jsonl").write_text(json.dumps(START) + "\n")
    with pytest.raises(CheckpointError, match="a start and training steps"):
        write_card(tiny_checkpoint, CardFacts("other", str(finished_run)))
    (finished_run / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in LOG))
    report.write_text('{"rows": [{}], "protocol": "x"}')
    with pytest.raises(CheckpointError, match="what an evaluation's --json prints"):
        write_card(tiny_checkpoint, CardFacts("other", str(finished_run), [str(report)]))
    assert not (tiny_checkpoint / "README.md").exists()


def test_markdown_of_other_people_stays_in_its_cell(tiny_checkpoint, finished_run, report):
    rows = [{**REPORT["rows"][0], "metric": "a|b\nc"}]
    report.write_text(json.dumps(REPORT | {"rows": rows}))
    assert "| a\\|b c |" in compose(tiny_checkpoint, CardFacts("other", str(finished_run), [str(report)]))
