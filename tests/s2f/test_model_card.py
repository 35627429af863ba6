"""The card's figures come from logs and evaluation alone."""

import json

from s2f.model_card import card
from tests.s2f.tiny_data import write_csv


def test_figures_are_read_not_typed(tmp_path):
    (tmp_path / "data").mkdir()
    people = [
        {"identity": f"id{k}", "split": split, "speaker": speaker}
        for k, (split, speaker) in enumerate(
            [("train", "a"), ("train", "a"), ("train", "b"), ("val", "c"), ("test", "d")]
        )
    ]
    write_csv(tmp_path / "data" / "people.csv", people)
    dataset = {"identities": 5, "splits": {"train": 3, "val": 1, "test": 1}, "split_hash": "f" * 64}
    (tmp_path / "data" / "dataset.json").write_text(json.dumps(dataset))
    for stage in ("face", "decoder", "s2f"):
        (tmp_path / stage).mkdir()
        rows = [
            {"step": 5, "event": "train", "loss": 9.0},
            {"step": 7, "event": "train", "loss": 0.12345},
            {"step": 7, "event": "validation", "some_figure": 0.56789},
            {"step": 7, "event": "done", "exported": True},
        ]
        (tmp_path / stage / "log.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    row = {
        "metric": "gender_agreement",
        "direction": "v2f",
        "group": "U",
        "value": 0.875,
        "ci_low": 0.7,
        "ci_high": 0.95,
    }
    row |= {"ci_method": "wilson", "chance": 0.5, "n": 16, "params": {}}
    (tmp_path / "evaluation.json").write_text(json.dumps({"protocol": "p-1", "rows": [row]}))
    text = card(tmp_path, "checkpoints/x")
    assert "2 readers of LibriSpeech" in text
    assert "1 further readers\n  for validation; 16 more" in text
    assert "| 7 | 0.1235 | some_figure 0.568 |" in text
    assert "| gender_agreement | v2f | U | 0.875 | 0.700 to 0.950 | 0.50 | 16 |" in text
    assert "`s2f-eval demographics checkpoints/x DATA --faces`" in text
    assert "f" * 64 in text
    assert "{" not in text
