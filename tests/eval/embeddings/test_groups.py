"""Groupings against hand-sorted people; what tables may and may not say of a person."""

import numpy as np
import pytest

from eval.embeddings.folder import Embeddings, Samples
from eval.embeddings.groups import (
    PRESETS,
    Grouping,
    clusters,
    grouping,
    groupings,
    left_out,
    of_people,
    person_column,
    sweep,
)
from s2f.errors import DatasetError


def embeddings(voices: dict[str, list[str]], faces: dict[str, list[str]]) -> Embeddings:
    """Rows with their number as vector; both tables need a column identity."""
    names = sorted({*voices["identity"]})
    sides = []
    for name, columns in (("voice", voices), ("face", faces)):
        identity = np.array([names.index(who) for who in columns["identity"]])
        sides.append(Samples(name, np.arange(1.0, len(identity) + 1)[:, None], identity, columns))
    return Embeddings(sides[0], sides[1], tuple(names), "l2", "hash", {}, ())


PEOPLE = embeddings(
    {
        "identity": ["d", "a", "b", "c", "e", "a"],
        "gender": ["f", "m", "", "m", "f", ""],
        "age": ["29.9", "34", "30", "7", "", "36"],
        "speaker": ["s", "t", "s", "", "c", "t"],
    },
    {
        "identity": ["a", "b", "c", "d", "e"],
        "gender": ["m", "f", "m", "f", "f"],
        "language": ["Urdu", "English", "Urdu", " English", ""],
        "age": ["", "30s", "", "", "103"],
    },
)


def test_a_person_is_known_from_either_table():
    assert person_column(PEOPLE, "gender") == ["m", "f", "m", "f", "f"]
    assert person_column(PEOPLE, "language") == ["Urdu", "English", "Urdu", "English", ""]


def test_years_become_decades_and_words_stay():
    assert person_column(PEOPLE, "age") == ["30s", "30s", "0s", "20s", "100s"]
    words = {"identity": ["a", "b"], "age": ["adult", "-1"]}
    assert person_column(embeddings(words, words), "age") == ["adult", "-1"]
    other = {"identity": ["a", "b"], "age_class": ["34", "36"]}
    assert person_column(embeddings(other, other), "age_class") == ["34", "36"]


def test_two_values_for_one_person_are_refused():
    within = {"identity": ["a", "a", "b"], "gender": ["m", "f", "f"]}
    with pytest.raises(DatasetError, match="one gender for every person, got f and m for a"):
        person_column(embeddings(within, {"identity": ["a", "b"]}), "gender")
    voices, faces = {"identity": ["a", "b"], "age": ["30", "51"]}, {"identity": ["a", "b"], "age": ["39", "49"]}
    with pytest.raises(DatasetError, match="got 50s and 40s for b"):
        person_column(embeddings(voices, faces), "age")


def test_an_absent_column_lists_those_there_are():
    with pytest.raises(DatasetError, match=r"a column 'ethnicity' .* got the columns age, gender, language, speaker;"):
        grouping(PEOPLE, "E")


def test_cells_by_hand():
    both = grouping(PEOPLE, ("gender", "language"))
    assert (both.name, both.columns) == ("gender/language", ("gender", "language"))
    assert both.labels == ("f/English", "m/Urdu")
    assert both.cells.tolist() == [1, 0, 1, 0, -1]
    together = [[0, 2], [1, 3]]
    expected = np.zeros((5, 5), bool)
    for cell in together:
        expected[np.ix_(cell, cell)] = True
    np.testing.assert_array_equal(both.allowed, expected)
    assert grouping(PEOPLE, "gender/language").cells.tolist() == both.cells.tolist()


def test_presets():
    everybody, gender = groupings(PEOPLE, ["U", "G"])
    assert everybody.allowed.all()
    assert everybody.labels == ("",)
    assert (grouping(PEOPLE, ()).name, grouping(PEOPLE, ()).labels) == ("U", ("",))
    assert (gender.name, gender.labels, gender.cells.tolist()) == ("G", ("f", "m"), [1, 0, 1, 0, 0])
    columns = {"identity": ["a", "b"], **{name: ["x", "y"] for names in PRESETS.values() for name in names}}
    strict = grouping(embeddings(columns, columns), "G/E/F/A")
    assert strict.columns == ("gender", "ethnicity", "language", "age")
    assert strict.labels == ("x/x/x/x", "y/y/y/y")
    assert grouping(embeddings(columns, columns), "GNA").columns == ("gender", "nationality", "age")


def test_sweep_is_every_subset_smallest_first():
    assert sweep(("a", "b", "c")) == [(), ("a",), ("b",), ("c",), ("a", "b"), ("a", "c"), ("b", "c"), ("a", "b", "c")]


def test_who_is_left_out():
    by_age = grouping(PEOPLE, ("age", "language"))
    assert by_age.labels == ("0s/Urdu", "20s/English", "30s/English", "30s/Urdu")
    assert left_out(by_age) == [
        "age/language: 1 people of unknown age or language left out",
        "age/language: 4 people left out, alone in their cell",
        "age/language: nobody can be compared, no figures",
    ]
    assert left_out(grouping(PEOPLE, "G")) == []
    unknown = embeddings({"identity": ["a", "b"], "gender": ["", ""]}, {"identity": ["a", "b"]})
    assert left_out(grouping(unknown, "G")) == [
        "G: 2 people of unknown gender left out",
        "G: nobody can be compared, no figures",
    ]
    some = Grouping("A", ("age",), np.array([0, 2, -1, 2]), ("x", "y", "z"))
    np.testing.assert_array_equal(some.compared, [-1, 2, -1, 2])
    assert not grouping(unknown, "G").allowed.any()


def test_people_of_one_speaker_are_one_unit():
    found = clusters(PEOPLE)
    units = found.numbers
    assert (found.name, found.shared, found.count) == ("speakers", True, 3)
    assert units[1] == units[3]  # b and d speak with the voice of s
    assert units[2] == units[4]  # c is their own speaker, and e speaks with the voice of c
    plain = {"identity": ["a", "b"], "speaker": ["", ""]}
    assert clusters(embeddings(plain, {"identity": ["a", "b"]})).name == "people"
    nobody = clusters(embeddings({"identity": ["b", "a"]}, {"identity": ["a", "b"]}))
    assert (sorted(nobody.numbers.tolist()), nobody.name) == ([0, 1], "people")


def test_some_people_keep_their_rows():
    chosen = of_people(PEOPLE, np.array([True, False, False, True, True]))
    assert chosen.identities == ("a", "d", "e")
    assert np.asarray(chosen.voice.vectors)[:, 0].tolist() == [1, 2, 5, 6]
    assert chosen.voice.identity.tolist() == [1, 0, 2, 0]
    assert list(chosen.voice.columns["age"]) == ["29.9", "34", "", "36"]
    assert chosen.face.identity.tolist() == [0, 1, 2]
    assert of_people(PEOPLE, np.ones(5, bool)) is PEOPLE
    with pytest.raises(DatasetError, match="1 of 5"):
        of_people(PEOPLE, np.arange(5) == 2)
