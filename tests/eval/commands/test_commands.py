"""The commands on embeddings folders, as somebody types them."""

import json

import numpy as np
import pytest

from eval.cli import COMMANDS, main
from tests.eval.folders import people_folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("folders")
    return {name: people_folder(root / name, people=16, noise=noise) for name, noise in (("a", 1.0), ("b", 2.0))}


def asked(capsys, *words):
    assert main([str(word) for word in (*words, "--json")]) == 0
    return json.loads(capsys.readouterr().out)


def test_matching(folders, capsys, tmp_path):
    plots = tmp_path / "new" / "plots"
    words = ["matching", folders["a"], "--group_by", "U", "G", "--n_way", "4", "--sizes", "6", "10", "--plots", plots]
    found = asked(capsys, *words)
    assert found["protocol"] == "matching/1"
    groups = {(row["direction"], row["group"]) for row in found["rows"]}
    assert groups == {(d, g) for d in ("v2f", "f2v") for g in ("U", "G", "G: f", "G: m")}
    names = {path.name for path in plots.iterdir()}
    assert names == {"one_to_n.png", "one_to_n.svg", "sizes.png", "sizes.svg"}
    first = found["rows"][0]
    swept = asked(capsys, "matching", folders["a"], "--sweep", "gender", "--n_way", "2", "--marginal", "0")
    assert [row["group"] for row in swept["rows"] if row["direction"] == "v2f"].count("gender") == 1
    assert swept["rows"][0]["value"] == first["value"]
    assert not any(row["metric"] == "marginal_accuracy" for row in swept["rows"])
    other = asked(capsys, "matching", folders["a"], "--metric", "l1", "--weighting", "identities", "--n_way", "2")
    assert other["rows"][0]["params"]["weighting"] == "identities"
    assert other["rows"][0]["value"] != first["value"]


def test_means_of_several(folders, capsys):
    found = asked(capsys, "matching", folders["b"], "--mean_faces", "3", "--n_way", "2", "--control", "false")
    single = asked(capsys, "matching", folders["b"], "--n_way", "2", "--control", "false")
    assert found["rows"][0]["value"] > single["rows"][0]["value"]
    assert any("means of 3 face rows" in note for note in found["notes"])


def test_verification(folders, capsys, tmp_path):
    found = asked(capsys, "verification", folders["a"], "--group_by", "U", "G", "--plots", tmp_path)
    rows = {(row["metric"], row["group"], row["params"].get("control")): row for row in found["rows"]}
    assert rows["auc", "U", None]["value"] > rows["auc", "G", None]["value"] - 0.2
    assert rows["auc", "U", None]["value"] > 0.75
    assert rows["auc", "U", "constant"]["value"] == 0.5
    assert rows["eer", "U", None]["value"] < 0.5
    assert {path.name for path in tmp_path.iterdir()} == {"roc.png", "roc.svg", "roc.csv"}


def test_retrieval(folders, capsys):
    found = asked(capsys, "retrieval", folders["a"], "--ks", "1", "7")
    full = [row for row in found["rows"] if row["params"]["gallery"] == "all" and "control" not in row["params"]]
    assert [(row["metric"], row["params"].get("k")) for row in full[:3]] == [
        ("map", None),
        ("recall", 1),
        ("recall", 7),
    ]
    assert all(row["chance"] < row["value"] for row in full)
    assert any("left out of gallery" in note for note in found["notes"])


def test_compare(folders, capsys):
    found = asked(capsys, "compare", folders["a"], folders["b"], "--group_by", "U")
    metrics = [row["metric"] for row in found["rows"] if row["direction"] == "v2f"]
    assert metrics == ["accuracy", "accuracy", "accuracy_difference", "mcnemar"]
    one, other, difference, _ = (row["value"] for row in found["rows"][:4])
    assert difference == pytest.approx(other - one)
    assert difference < 0


def test_lists(folders, capsys, tmp_path):
    lines = [f"voices/p{k:02d}/0.wav faces/p{k:02d}/1.png faces/p{(k + 1) % 16:02d}/2.png" for k in range(16)]
    (tmp_path / "match_v2f_2_test.txt").write_text("\n".join(lines))
    found = asked(capsys, "matching", folders["a"], "--list", tmp_path / "match_v2f_2_test.txt")
    listed = [row for row in found["rows"] if row["params"].get("list") == "match_v2f_2_test.txt"]
    vectors = [np.load(folders["a"] / f"{side}.npy").reshape(16, 3, 8) for side in ("voice", "face")]
    voice, face = (side / np.linalg.norm(side, axis=-1, keepdims=True) for side in vectors)
    right = (voice[:, 0] * face[:, 1]).sum(-1) > (voice[:, 0] * np.roll(face[:, 2], -1, axis=0)).sum(-1)
    assert listed[0]["value"] == pytest.approx(right.mean())
    assert any("list" not in row["params"] for row in found["rows"])
    (tmp_path / "more.txt").write_text("\n".join([*lines, "voices/p00/0.wav faces/p00/1.png faces/gone.png"]))
    assert main(["matching", str(folders["a"]), "--list", str(tmp_path / "more.txt")]) == 2
    assert "faces/gone.png" in capsys.readouterr().err


def test_tables_are_for_people(folders, capsys):
    assert main(["verification", str(folders["a"])]) == 0
    protocol, head, first, *_ = capsys.readouterr().out.splitlines()
    assert protocol.startswith("protocol verification/1, split ")
    assert head.split()[:4] == ["metric", "direction", "group", "value"]
    assert first.split()[:3] == ["auc", "both", "U"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["matching", "nowhere"], "an embeddings folder with voice.npy"),
        (["matching", "A", "--group_by", "shoe"], "a column 'shoe'"),
        (["matching", "A", "--weightng", "samples"], "did you mean weighting?"),
        (["matching", "A", "--weighting", "people"], "weighting"),
        (["retrieval", "A", "--ks", "0"], "K"),
        (["matching", "A", "--list", "l.txt", "--plots", "p"], "leave out --plots or --list"),
        (["verification", "A", "--list", "l.txt", "--plots", "p"], "leave out --plots or --list"),
        (["matching", "A", "--n_way", "1"], "at least 2 candidates"),
        (["matching", "A", "--marginal", "-1"], "0 or more people to be listed"),
        (["matching", "A", "--seed", "-1"], "a seed of 0 or more"),
        (["matching", "A", "--sizes", "1"], "a subset of 2 to 16 people"),
        (["matching", "A", "--mean_faces", "0"], "means of one or more"),
        (["compare", "A", "nowhere"], "an embeddings folder with voice.npy"),
        (["verify", "A"], "s2f-eval --help"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(folders, capsys, words, says):
    assert main([str(folders["a"]) if word == "A" else word for word in words]) == 2
    error = capsys.readouterr().err.rpartition("\r")[2]  # a slow machine shows a bar first
    assert error.startswith("s2f-eval: error: ")
    assert says in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, capsys):
    assert main([command, "--help"]) == 0
    assert "options:" in capsys.readouterr().out
