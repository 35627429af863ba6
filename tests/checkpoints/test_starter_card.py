"""The card's figures come from logs and evaluation alone."""

import json

from checkpoints.starter_card import STAGES, card
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
    write(tmp_path / "data" / "dataset.json", dataset)
    sharing = {"correlations": {"a": 0.11, "b": 0.38}, "age_spread": 0.4, "mix_sharing": 0.1, "confusion": 0.05}
    write(tmp_path / "data" / "population.json", {"sharing": sharing, "ideal": []})
    ideal = [
        {"metric": "accuracy", "direction": "v2f", "group": group, "params": {"n_way": 2}, "value": value, "n": 44}
        for group, value in (("U", 0.8765), ("G", 0.7654))
    ]
    write(tmp_path / "test" / "population.json", {"ideal": ideal})
    write(tmp_path / "test" / "dataset.json", {"identities": 4321})
    for stage in STAGES:
        rows = [
            {"step": 5, "event": "train", "loss": 9.0},
            {"step": 7, "event": "train", "loss": 0.12345},
            {"step": 7, "event": "validation", "some_figure": 0.56789},
            {"step": 7, "event": "done", "exported": True},
        ]
        (tmp_path / stage).mkdir()
        (tmp_path / stage / "log.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    gender = figure("gender_agreement", "U", 0.875, {"condition": "telephone"}, 0.5)
    control = figure("gender_agreement", "U", 0.515, {"control": "shuffled"}, 0.5)
    kappa = figure("gender_kappa", "U", None, {}, 0.0)
    write(tmp_path / "demographics.json", {"protocol": "p-1", "rows": [gender, control, kappa]})
    known = {"shuffled": [0.31, 0.32, 0.33]}
    simulated = [
        figure("age_class_recall", "elder", 0.625, {}, 1 / 3),
        figure("age_class_recall", "elder", 0.321, {"control": "shuffled"}, 1 / 3) | {"ci_low": 0.31, "ci_high": 0.33},
        figure("pearson_r", "f", 0.25, known | {"measure": "nose_width", "p": 0.0012, "planted": 0.345}, 0.0),
        figure("pearson_r", "U", 0.99, known | {"measure": "nose_width", "p": 0.0, "planted": 0.345}, 0.0),
        figure("variance_within_gender", "U", 0.0432, {}, None),
    ]
    write(tmp_path / "simulated.json", {"protocol": "p-2", "rows": simulated})
    (tmp_path / "explained.txt").write_text("everybody 0.065\n")
    text = card(tmp_path, "checkpoints/x")
    assert "2 readers of LibriSpeech" in text
    assert "1 further readers\n  for validation; 16 more" in text
    assert "| 7 | 0.1235 | some_figure 0.568 |" in text
    assert "| gender_agreement | v2f | U | telephone | 0.875 | 0.700 to 0.950 | 0.50 | 16 |" in text
    assert "| gender_agreement | v2f | U | shuffled | 0.515 | 0.700 to 0.950 | 0.50 | 16 |" in text
    assert "gender_kappa" not in text
    assert "| age_class_recall | elder | 0.625 | 0.700 to 0.950 | 0.321 (0.310 to 0.330) |  |  | 16 |" in text
    assert text.count("| age_class_recall |") == 1
    row = "| pearson_r nose_width | f | 0.250 | 0.700 to 0.950 | 0.320 (0.310 to 0.330) | 0.345 | 0.001 | 16 |"
    assert row in text
    assert "0.99" not in text
    assert "| variance within gender | 0.043 | 0.700 to 0.950 |" in text
    assert "everybody 0.065" in text
    assert "0.876 overall and 0.765 within gender" in text.replace("\n", " ").replace("0.877", "0.876")
    assert "`s2f-eval demographics checkpoints/x DATA --voices VOICES --faces --conditions`" in text
    assert "(0.11 to 0.38)" in text
    assert "f" * 64 in text
    assert "{" not in text


def write(path, content):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))


def figure(metric, group, value, params, chance):
    row = {"metric": metric, "direction": "v2f", "group": group, "value": value, "ci_low": 0.7, "ci_high": 0.95}
    return row | {"ci_method": "wilson", "chance": chance, "n": 16, "params": params}
