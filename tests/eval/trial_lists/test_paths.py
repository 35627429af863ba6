"""Paths of lists find their row, whatever release of VoxCeleb1 they were written for, and never a wrong one."""

import numpy as np
import pytest

from eval.embeddings.folder import Samples
from eval.trial_lists.paths import PathIndex, missing
from s2f.errors import DatasetError


def index(rows, column="path", **more):
    """Rows are (path, identity)."""
    paths, names = zip(*rows, strict=True)
    identities = sorted(set(names))
    person = np.array([identities.index(name) for name in names])
    return PathIndex(Samples("voice", np.ones((len(rows), 2)), person, {column: paths, **more}), identities)


def found(rows, *paths, **more):
    return index(rows, **more).rows(paths).tolist()


CLIPS = [("wav/id10001/aaaa_aaa-aa/00001.wav", "A"), ("wav/id10001/bbbbbbbbbbb/00001.wav", "A")]


def test_the_same_name_comes_first_then_the_same_end():
    rows = [("c/x.wav", "A"), ("b/c/x.wav", "A"), ("a/b/c/y.wav", "B")]
    assert found(rows, "c/x.wav", "b/c/x.wav", "./b//c/y.wav") == [0, 1, 2]
    assert found(rows, "/elsewhere/a/b/c/y.wav") == [2]
    assert found(rows, "z.wav", "bc/y.wav", "b/c") == [-1, -1, -1]


def test_ends_are_whole_folders_and_the_source_is_what_counts():
    assert found([("id1/x.wav", "A"), ("aid1/x.wav", "B")], "root/id1/x.wav", "root/aid1/x.wav") == [0, 1]
    assert found([("id11/x.wav", "A")], "1/x.wav") == [-1]
    rows = [("voices/0.flac", "A"), ("voices/1.flac", "B")]
    assert found(rows, "a/y.wav", source=("in/b/x.wav", "in/a/y.wav")) == [1]
    assert found(rows, "voices/1.flac", source=("in/b/x.wav", "in/a/y.wav")) == [-1]


def test_older_voices_and_faces():
    assert found(CLIPS, "Ann/aaaa_aaa-aa_0000001.wav", "Ann/bbbbbbbbbbb_0000001.wav") == [0, 1]
    assert found(CLIPS, "Ann/aaaa_aaa-aa_0000002.wav", "Ann/ccccccccccc_0000001.wav") == [-1, -1]
    faces = [("unzippedFaces/Ann/1.6/aaaa_aaa-aa/0007400.jpg", "id10001")]
    assert found(faces, "Ann/aaaa_aaa-aa/0007400.jpg", "Bo/aaaa_aaa-aa/0007400.jpg") == [0, -1]
    older = [("Ann/aaaa_aaa-aa_0000012.wav", "Ann")]
    assert found(older, "id10001/aaaa_aaa-aa/00012.wav") == [0]


def test_two_people_in_one_video():
    rows = [("wav/id10001/aaaaaaaaaaa/00001.wav", "Ann"), ("wav/id10002/aaaaaaaaaaa/00001.wav", "Bo")]
    assert found(rows, "Bo/aaaaaaaaaaa_0000001.wav", "Ann/aaaaaaaaaaa_0000001.wav") == [1, 0]
    ids = [(path, path.split("/")[1]) for path, _ in rows]
    assert found(ids, "id10002/aaaaaaaaaaa_0000001.wav") == [1]
    assert found(ids, "Bo/aaaaaaaaaaa_0000001.wav", name=("Ann", "Bo")) == [1]
    with pytest.raises(DatasetError, match=r"one row of voice.csv for Bo/.*got 2: wav/id10001"):
        found(ids, "Bo/aaaaaaaaaaa_0000001.wav")


def test_somebody_elses_clip_is_not_taken_for_one_that_is_missing():
    rows = [("id10002/aaaaaaaaaaa/00001.wav", "id10002"), ("id10002/bbbbbbbbbbb/00001.wav", "id10002")]
    assert found(rows, "id10001/aaaaaaaaaaa/00001.wav") == [-1]
    assert found(rows, "Ann/aaaaaaaaaaa_0000001.wav") == [0]
    with pytest.raises(DatasetError, match="id10002 together with Ann and with Bo"):
        found(rows, "Ann/aaaaaaaaaaa_0000001.wav", "Bo/bbbbbbbbbbb_0000001.wav")
    both = [("id10001/aaaaaaaaaaa/00001.wav", "id10001"), ("id10002/bbbbbbbbbbb/00001.wav", "id10002")]
    with pytest.raises(DatasetError, match="Ann together with id10001 and with id10002"):
        found(both, "Ann/aaaaaaaaaaa_0000001.wav", "Ann/bbbbbbbbbbb_0000001.wav")


def test_names_of_eleven_letters_are_no_videos():
    rows = [("faces/CCH_Pounder/00000295.jpg", "id10117"), ("faces/Jack_Griffo/00000295.jpg", "id10400")]
    assert found(rows, "CCH_Pounder/00000295.jpg", "Jack_Griffo/00000295.jpg") == [0, 1]


def test_what_cannot_be_told_apart_is_refused():
    with pytest.raises(DatasetError, match=r"one row of voice.csv for x.wav, got 2: a/x.wav, b/x.wav"):
        found([("a/x.wav", "A"), ("b/x.wav", "B")], "x.wav")
    with pytest.raises(DatasetError, match=r"a/x.wav and b/x.wav for x.wav"):
        found([("x.wav", "A")], "a/x.wav", "b/x.wav")
    assert found([("x.wav", "A")], "a/x.wav", "./a/x.wav", "a/x.wav") == [0, 0, 0]
    with pytest.raises(DatasetError, match=r"a column source or path in voice.csv, got file"):
        index([("x.wav", "A")], column="file")


def test_missing_paths_in_words():
    assert missing("voice", ["a", "b"], np.array([0, 1])) == ""
    paths = ["a", "b", "b", "c", "d", "e"]
    assert missing("face", paths, np.array([0, -1, -1, -1, -1, -1])) == "4 face paths, first b, c, d"
