"""Means of several samples, by hand; what is left over, and what stays on disk."""

import csv

import numpy as np
import pytest

from eval.embeddings import averaging
from eval.embeddings.averaging import averaged
from eval.embeddings.folder import Embeddings, KeptRows, Samples, read_embeddings
from eval.metrics.two_way import accuracy, win_table
from s2f.errors import DatasetError, UsageError


def embeddings(voices: list[str], faces: list[str], vectors: np.ndarray | None = None, metric="l2") -> Embeddings:
    """People by row; the vector of a row is its number, unless voices have other ones."""
    names, sides = sorted({*voices}), []
    for name, people in (("voice", voices), ("face", faces)):
        numbers = np.arange(1.0, len(people) + 1)[:, None]
        columns = {"identity": people, "gender": ["f"] * len(people), "path": [f"{n}.wav" for n in range(len(people))]}
        found = vectors if vectors is not None and name == "voice" else numbers
        sides.append(Samples(name, found, np.array([names.index(who) for who in people]), columns))
    return Embeddings(sides[0], sides[1], tuple(names), metric, "hash", {"model": "x"}, ("before",))


VOICES = ["b", "a", "a", "b", "a", "a", "a", "c", "b"]
FACES = ["a", "b", "c", "c"]


def test_every_row_is_in_one_mean_of_its_person_or_left_over():
    seen = set()
    for seed in range(20):
        found = averaged(embeddings(VOICES, FACES), voices=2, seed=seed)
        assert found.identities == ("a", "b")
        assert [found.identities[who] for who in found.voice.identity] == ["a", "a", "b"]
        rows = [[int(path.removesuffix(".wav")) for path in cell.split(";")] for cell in found.voice.columns["path"]]
        used = [row for pair in rows for row in pair]
        assert len(set(used)) == len(used) == 6
        for pair, who, mean in zip(rows, found.voice.columns["identity"], found.voice.vectors, strict=True):
            assert [VOICES[row] for row in pair] == [who, who]
            assert pair == sorted(pair)
            assert mean[0] == np.mean(pair) + 1
        seen.add(tuple(map(tuple, rows)))
    assert len(seen) > 10
    assert found.voice.columns["gender"] == ["f"] * 3
    assert (found.split_hash, found.about) == ("hash", {"model": "x"})


def test_notes_count_means_and_what_is_left():
    found = averaged(embeddings(VOICES, FACES), voices=2)
    assert found.notes == (
        "before",
        "1 people with fewer than 2 voice rows left out",
        "3 means of 2 voice rows each, 2 left-over rows not used",
    )
    assert isinstance(found.face.vectors, KeptRows)  # not loaded
    assert found.face.identity.tolist() == [0, 1]
    assert np.asarray(found.face.vectors)[:, 0].tolist() == [1, 2]


def test_same_seed_same_deal_and_voices_do_not_change_faces():
    people = embeddings(["a", "b"] * 8, ["a", "b"] * 8)
    first, again = averaged(people, 2, 4, seed=1), averaged(people, 1, 4, seed=1)
    np.testing.assert_array_equal(first.face.vectors, again.face.vectors)
    assert (first.face.vectors != averaged(people, 2, 4, seed=2).face.vectors).any()
    alike = averaged(people, 2, 2, seed=1)
    assert (alike.voice.vectors != alike.face.vectors).any()  # each modality has its own deal
    assert len(first.voice.vectors) == 8
    assert len(first.face.vectors) == 4


def test_under_the_cosine_a_long_vector_has_no_more_say():
    vectors = np.array([[3.0, 0], [0, 100], [1, 0], [0, 1]])
    people = embeddings(["a", "a", "b", "b"], ["a", "b"], vectors, metric="cosine")
    np.testing.assert_allclose(averaged(people, voices=2).voice.vectors, [[0.5, 0.5], [0.5, 0.5]])
    plain = embeddings(["a", "a", "b", "b"], ["a", "b"], vectors, metric="l2")
    np.testing.assert_allclose(averaged(plain, voices=2).voice.vectors, [[1.5, 50], [0.5, 0.5]])


def test_a_mean_without_direction_is_refused_under_the_cosine_only():
    vectors = np.array([[1.0, 0], [0, 1], [5, 0], [-2, 0]])
    people = embeddings(["a", "a", "b", "b"], ["a", "b"], vectors, metric="cosine")
    with pytest.raises(DatasetError, match="1 that are zero, first of b"):
        averaged(people, voices=2)
    opposite = np.array([[1.0, 0], [0, 1], [2, 0], [-2, 0]])
    plain = averaged(embeddings(["a", "a", "b", "b"], ["a", "b"], opposite), voices=2)
    assert plain.voice.vectors[1].tolist() == [0, 0]


def test_small_blocks_change_nothing(monkeypatch):
    people = embeddings(["a", "b"] * 30, ["a", "b"], np.random.default_rng(0).normal(size=(60, 3)), metric="cosine")
    whole = averaged(people, voices=4).voice.vectors
    monkeypatch.setattr(averaging, "BLOCK", 24)
    np.testing.assert_array_equal(averaged(people, voices=4).voice.vectors, whole)


def test_precision_follows_the_file():
    for given, expected in ((np.float16, np.float32), (np.float32, np.float32), (np.float64, np.float64)):
        people = embeddings(["a", "b"] * 2, ["a", "b"], np.full((4, 1), 0.1, given))
        assert averaged(people, voices=2).voice.vectors.dtype == expected


def test_one_sample_leaves_the_file_where_it_is(tmp_path):
    random = np.random.default_rng(0)
    for name, rows in (("voice", 6), ("face", 4)):
        np.save(tmp_path / f"{name}.npy", random.normal(size=(rows, 3)))
        with (tmp_path / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([["identity"], *([who] for who in (["a", "b"] * rows)[:rows])])
    read = read_embeddings(tmp_path)
    assert averaged(read) == read
    found = averaged(read, faces=2)
    assert found.voice.vectors is read.voice.vectors
    assert isinstance(found.voice.vectors, np.memmap)
    assert found.notes == ("2 means of 2 face rows each, 0 left-over rows not used",)


def test_means_of_noisy_samples_match_better():
    random = np.random.default_rng(1)
    people, names = np.repeat(np.arange(20), 8), [f"p{number:02}" for number in np.repeat(np.arange(20), 8)]
    true = random.normal(size=(20, 4))
    both = embeddings(names, names, true[people] + 2 * random.normal(size=(160, 4)))
    face = Samples("face", true[people] + 2 * random.normal(size=(160, 4)), people, both.face.columns)
    noisy = Embeddings(both.voice, face, both.identities, "cosine", "hash", {}, ())
    single, joint = (
        accuracy(win_table(found.cross("v2f")), "samples", "samples")[0] for found in (noisy, averaged(noisy, 8, 8))
    )
    assert joint > single + 0.1


def test_what_cannot_be_averaged():
    people = embeddings(VOICES, FACES)
    with pytest.raises(UsageError, match="one or more samples, got 0"):
        averaged(people, faces=0)
    with pytest.raises(DatasetError, match="two people to compare, got 1 of 3"):
        averaged(people, faces=2)
    with pytest.raises(DatasetError, match="joint scorer"):
        averaged(embeddings(VOICES, FACES, metric="joint"), voices=2)
