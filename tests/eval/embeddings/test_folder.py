import json

import numpy as np
import pytest

from eval.embeddings.folder import KeptRows, read_embeddings
from eval.metrics.two_way import accuracy, win_table
from s2f.errors import DatasetError
from tests.eval.folders import people_folder, write_side


def spoil(folder, name="face", rows=(4,), value=np.nan):
    vectors = np.load(folder / f"{name}.npy")
    vectors[list(rows)] = value
    np.save(folder / f"{name}.npy", vectors)


def columns_of(folder, name="face"):
    lines = [line.split(",") for line in (folder / f"{name}.csv").read_text().split()]
    return {column: [line[place] for line in lines[1:]] for place, column in enumerate(lines[0])}


def test_reads_what_is_there(tmp_path):
    found = read_embeddings(people_folder(tmp_path / "e", metric="l2", split_hash="abc"))
    assert found.identities == tuple(f"p{number:02d}" for number in range(12))
    assert found.metric == "l2"
    assert found.split_hash == "abc"
    assert found.notes == ()
    assert isinstance(found.voice.vectors, np.memmap)
    np.testing.assert_array_equal(found.face.identity, np.repeat(np.arange(12), 3))
    assert found.face.columns["gender"][0] == "f"
    assert read_embeddings(tmp_path / "e", "cosine").metric == "cosine"


def test_without_embeddings_json_cosine_and_the_hash_of_the_people(tmp_path):
    one, other = (read_embeddings(people_folder(tmp_path / name, seed=seed)) for name, seed in (("a", 0), ("b", 1)))
    assert one.metric == "cosine"
    assert one.split_hash == other.split_hash != read_embeddings(people_folder(tmp_path / "c", people=11)).split_hash


@pytest.mark.parametrize(("value", "kind"), [(np.nan, "not finite"), (np.inf, "not finite"), (0.0, "zero")])
def test_unusable_rows_are_refused_or_counted(tmp_path, value, kind):
    folder = people_folder(tmp_path / "e")
    spoil(folder, rows=(4, 7), value=value)
    with pytest.raises(DatasetError, match=rf"2 that are {kind}, first rows 4, 7 .*--skip_bad"):
        read_embeddings(folder)
    found = read_embeddings(folder, skip_bad=True)
    assert found.notes == (f"2 face rows that are {kind} left out",)
    assert len(found.face.identity) == 34
    assert found.face.columns["path"][4] == "faces/p01/2.png"
    np.testing.assert_array_equal(found.face.vectors[np.array([4])], np.load(folder / "face.npy")[[5]])
    np.testing.assert_array_equal(np.asarray(found.face.vectors), np.delete(np.load(folder / "face.npy"), [4, 7], 0))
    clean = people_folder(tmp_path / "clean")
    vectors, columns = np.load(clean / "face.npy"), columns_of(clean)
    write_side(
        clean, "face", np.delete(vectors, [4, 7], 0), {k: list(np.delete(v, [4, 7])) for k, v in columns.items()}
    )
    for direction in ("v2f", "f2v"):
        np.testing.assert_array_equal(
            win_table(found.cross(direction)).wins, win_table(read_embeddings(clean).cross(direction)).wins
        )


def test_zero_is_a_place_for_distances(tmp_path):
    folder = people_folder(tmp_path / "e")
    spoil(folder, value=0.0)
    assert read_embeddings(folder, "l2").notes == ()


def test_people_without_a_partner_are_counted(tmp_path):
    folder = people_folder(tmp_path / "e")
    vectors, columns = np.load(folder / "voice.npy"), columns_of(folder, "voice")
    columns["identity"][:3] = ["alone"] * 3
    write_side(folder, "voice", vectors, columns)
    found = read_embeddings(folder)
    assert found.notes == ("1 people without a face left out", "1 people without a voice left out")
    assert len(found.identities) == 11
    assert len(found.voice.identity) == len(found.face.identity) == 33
    assert np.isfinite(accuracy(win_table(found.cross("v2f")), "samples", "samples")).all()


def test_one_person_is_nothing_to_evaluate(tmp_path):
    with pytest.raises(DatasetError, match="two people with a voice and a face, got 1"):
        read_embeddings(people_folder(tmp_path / "e", people=1))


def test_sizes_must_agree(tmp_path):
    folder = people_folder(tmp_path / "e")
    np.save(folder / "face.npy", np.ones((36, 9), np.float32))
    with pytest.raises(DatasetError, match="space of one size D, got 8 and 9"):
        read_embeddings(folder)
    np.save(folder / "face.npy", np.ones((35, 8), np.float32))
    with pytest.raises(DatasetError, match="36 rows for 35 vectors"):
        read_embeddings(folder)


@pytest.mark.parametrize("content", [np.ones(36, np.float32), np.ones((36, 8), int), np.array([{}] * 36)])
def test_only_tables_of_floats(tmp_path, content):
    folder = people_folder(tmp_path / "e")
    np.save(folder / "face.npy", content, allow_pickle=True)
    with pytest.raises(DatasetError, match=r"face\.npy"):
        read_embeddings(folder)


def test_a_sample_given_twice(tmp_path):
    folder = people_folder(tmp_path / "e")
    vectors, columns = np.load(folder / "face.npy"), columns_of(folder)
    columns["path"][5] = columns["path"][4]
    write_side(folder, "face", vectors, columns)
    with pytest.raises(DatasetError, match="1 that are given twice, first rows 5 "):
        read_embeddings(folder)
    found = read_embeddings(folder, skip_bad=True)
    assert found.notes == ("1 face rows that are given twice left out",)
    assert len(found.face.identity) == 35


def test_a_sample_of_two_people_is_refused_even_with_skip_bad(tmp_path):
    folder = people_folder(tmp_path / "e")
    vectors, columns = np.load(folder / "face.npy"), columns_of(folder)
    columns["path"][5] = columns["path"][0]
    write_side(folder, "face", vectors, columns)
    with pytest.raises(DatasetError, match=r"faces/p00/0\.png of p00 and of p01"):
        read_embeddings(folder, skip_bad=True)


def test_parts_of_one_recording_are_different_samples(tmp_path):
    folder = people_folder(tmp_path / "e")
    vectors, columns = np.load(folder / "voice.npy"), columns_of(folder, "voice")
    columns["path"] = ["long.wav"] * 36
    columns["start_s"] = list(range(36))
    write_side(folder, "voice", vectors, columns)
    assert read_embeddings(folder).notes == ()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda folder: (folder / "voice.npy").unlink(), "voice.npy, got none"),
        (lambda folder: (folder / "face.csv").unlink(), "face.csv, got none"),
        (lambda folder: (folder / "face.csv").write_text("name\nx\n"), "a column identity"),
        (lambda folder: (folder / "face.csv").write_text("identity,path\n,x\n"), "an identity on every line"),
        (
            lambda folder: (folder / "face.csv").write_text("identity,path\nx\n"),
            "2 cells on every line .* got 1 on line 2",
        ),
        (
            lambda folder: (folder / "embeddings.json").write_text(json.dumps({"metric": "dot"})),
            "a metric cosine, l2, l1",
        ),
        (lambda folder: (folder / "embeddings.json").write_text("{"), "embeddings.json"),
        (lambda folder: (folder / "voice.npy").write_bytes(b"\x93NUMPY"), "unreadable"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, change, says):
    folder = people_folder(tmp_path / "e")
    change(folder)
    with pytest.raises(DatasetError, match=says):
        read_embeddings(folder)


def test_features_of_a_joint_scorer_have_no_scores(tmp_path):
    folder = people_folder(tmp_path / "e", metric="joint")
    np.save(folder / "face.npy", np.ones((36, 20), np.float32))
    with pytest.raises(DatasetError, match="joint scorer"):
        read_embeddings(folder).cross("v2f")


def test_s2f_embed_left_out_is_repeated(tmp_path):
    folder = people_folder(tmp_path / "e", voice={"left_out": ["a", "b"]}, face={"left_out": []})
    assert read_embeddings(folder).notes == ("2 voice files left out by s2f embed",)


def test_directions_are_each_other_turned(tmp_path):
    found = read_embeddings(people_folder(tmp_path / "e"))
    one, other = found.cross("v2f"), found.cross("f2v")
    np.testing.assert_array_equal(one.scores.keys([3], slice(None))[0], other.scores.keys(slice(None), [3])[:, 0])


def test_kept_rows_index_like_an_array():
    vectors = np.arange(20.0).reshape(10, 2)
    kept = KeptRows(vectors, np.array([1, 4, 9]))
    np.testing.assert_array_equal(kept[1:], vectors[[4, 9]])
    np.testing.assert_array_equal(kept[np.array([2, 0])], vectors[[9, 1]])
    assert (len(kept), kept.shape, kept.size) == (3, (3, 2), 6)
