"""`s2f-eval craniofacial` on pictures, with the starter's landmarks, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonargparse import ArgumentParser
from PIL import Image

from eval.commands import craniofacial as command
from s2f.errors import UsageError
from s2f.runtime.files import write_csv


def answer(capsys, *words: str) -> dict[str, Any]:
    parser = ArgumentParser(exit_on_error=False)
    command.add_arguments(parser)
    assert command.run(parser.parse_args([str(word) for word in words])) == 0
    return json.loads(capsys.readouterr().out)


def noise_pictures(root: Path, kinds: dict[str, str]) -> None:
    random = np.random.default_rng(0)
    for side in "ab":
        (root / side).mkdir()
        for name, mode in kinds.items():
            picture = Image.fromarray(random.integers(0, 256, (32, 32, 3), dtype=np.uint8)).resize((224, 224))
            picture.convert(mode).save(root / side / f"{name}.png")
    (root / "b" / "bad.png").write_bytes(b"no picture")
    (root / "a" / "alone.png").write_bytes((root / "a" / "one.png").read_bytes())


def test_command_on_pictures_and_on_a_table(tmp_path, capsys, monkeypatch):
    noise_pictures(tmp_path, dict.fromkeys(("one", "two", "four", "five", "bad"), "RGB") | {"grey": "L"})
    monkeypatch.setattr("eval.craniofacial.evaluate.draw_scatter", lambda *_: None)
    words = (tmp_path / "a", tmp_path / "b", "--json", "-o", tmp_path / "out", "--examples", "1")
    found = answer(capsys, *words, "--controls", tmp_path / "b", "--sensitivity")
    assert found["protocol"] == "craniofacial/1"
    assert {"6 pairs given, 5 used", "1 of B left out: unreadable", "1 of A changed: greyscale"} <= set(found["notes"])
    assert len(found["rows"]) == 1 + 12 + 7 + 12 + 9 + 12 + 12
    main, control = ([row["value"] for row in found["rows"][k:][:12]] for k in (1, -12))
    assert main == control
    kept = (tmp_path / "out" / "landmarks" / "landmarks.csv").read_bytes()
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("landmarks", "craniofacial.json", "pairs.csv", "measures.csv", "examples.png")
    }
    assert answer(capsys, *words, "--controls", tmp_path / "b", "--sensitivity") == found
    assert (tmp_path / "out" / "landmarks" / "landmarks.csv").read_bytes() == kept
    lines = [(f"a/{name}.png", f"b/{name}.png", name) for name in ("one", "two", "four", "five", "grey", "none")]
    write_csv(tmp_path / "pairs.csv", ("a", "b", "name"), lines)
    listed = answer(capsys, tmp_path / "pairs.csv", "--json")
    assert [row["value"] for row in listed["rows"][1:13]] == pytest.approx(main)
    assert "1 without a partner: no file" in "; ".join(listed["notes"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a"], "two folders"),
        (["pairs.csv", "b"], "leave B out"),
        (["pairs.csv", "--controls", "b"], "give A and B as folders"),
        (["a", "b", "--controls", "b", "c/b"], "rename one"),
        (["a", "b", "--examples", "-1"], "0 or more"),
        (["a", "b", "--seed", "-1"], "0 or more"),
    ],
)
def test_command_refuses_what_makes_no_sense(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("a", "b", "c/b"):
        Path(folder).mkdir(parents=True)
    write_csv(Path("pairs.csv"), ("a", "b"), [])
    parser = ArgumentParser(exit_on_error=False)
    command.add_arguments(parser)
    with pytest.raises(UsageError, match=message):
        command.run(parser.parse_args(words))
