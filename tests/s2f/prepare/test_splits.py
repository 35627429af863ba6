"""Splits of the papers over all people of VoxCeleb1, and of people who are partly there."""

import hashlib
import random
from collections import Counter
from string import ascii_uppercase

import pytest

from s2f.errors import DatasetError, UsageError
from s2f.prepare.splits import DROPPED, RULES, assign

NUMBERS = range(10001, 11252)
IDS = [f"id{number}" for number in NUMBERS]
SIZES = {"svhf": (942, 116, 189), "wen": (924, 112, 189), "pins": (901, 100, 250), "kim": (1001, 0, 250)}
WEN_NONE = {10001, 10002, 10006, 10077, 10143, 10144, 10204, 10260, 10362, 10363, 10397, 10398, 10414, 10528, 10710}
WEN_NONE |= {10762, 10801, 10807, 10813, 10973, 11022, 11035, 11036, 11124, 11135, 11146}


def name_of(number: int) -> str:
    """Names in the order of the ids, with VoxCeleb1's numbers of A-B, C-E and F-Z; the real ones of the dropped."""
    if number in DROPPED:
        return DROPPED[number]
    letters = "AB" if number <= 10116 else "CDE" if number <= 10309 else ascii_uppercase[5:]
    return f"{letters[number % len(letters)]}body_No.{number}"


def by_id(numbers=NUMBERS):
    return {f"id{number}": {"identity": f"id{number}", "voxceleb_id": f"id{number}"} for number in numbers}


def by_id_with_names(numbers=NUMBERS):
    return {who: row | {"vggface_id": name_of(int(who[2:]))} for who, row in by_id(numbers).items()}


def by_name_with_ids(numbers=NUMBERS):
    return by_name(numbers, voxceleb_id=lambda number: f"id{number}")


def by_name(numbers=NUMBERS, **columns):
    return {
        name_of(number): {"identity": name_of(number), "vggface_id": name_of(number), "voxceleb_id": ""}
        | {column: value(number) for column, value in columns.items()}
        for number in numbers
    }


def sizes(assignment):
    counts = Counter(assignment.splits.values())
    return counts["train"], counts["val"], counts["test"]


@pytest.fixture
def pins_list(tmp_path):
    """A list of the published form: 901, 100 and 250 names, some of the 901 as seen-heard, blanks at the ends."""
    numbers = random.Random(4).sample(list(NUMBERS), len(NUMBERS))
    marks = ["1"] * 880 + ["3"] * 21 + ["2"] * 100 + ["4"] * 250
    path = tmp_path / "identity_splits.txt"
    path.write_text("".join(f"{name_of(n)} {mark} \n" for n, mark in zip(numbers, marks, strict=True)) + " \n")
    wanted = {"1": "train", "3": "train", "2": "val", "4": "test"}
    return path, {f"id{n}": wanted[mark] for n, mark in zip(numbers, marks, strict=True)}


@pytest.mark.parametrize("rule", list(SIZES))
def test_sizes_are_those_of_the_papers(rule):
    found = assign(by_id(), rule)
    assert sizes(found) == SIZES[rule]
    assert tuple(found.official.values()) == tuple(found.present.values()) == SIZES[rule]
    assert set(found.splits) == set(IDS)


@pytest.mark.parametrize(("rule", "none"), [("svhf", {10143, 10144, 10204, 10260}), ("wen", WEN_NONE)])
def test_the_letter_decides_and_published_gaps_stay_empty(rule, none):
    found = assign(by_id(), rule).splits
    assert len(WEN_NONE) == 26
    for number in NUMBERS:
        letter = "val" if number < 10117 else "test" if number < 10310 else "train"
        assert found[f"id{number}"] == ("" if number in none else letter)


@pytest.mark.parametrize("rule", ["svhf", "wen"])
def test_names_and_ids_give_the_same(rule):
    ids = assign(by_id(), rule).splits
    names = assign(by_name(), rule)
    assert [names.splits[name_of(number)] for number in NUMBERS] == [ids[f"id{number}"] for number in NUMBERS]
    assert any("1,251 people are placed by their names alone" in note for note in names.notes)
    both = assign(by_name_with_ids(), rule)
    assert both.splits == names.splits
    assert not any("names alone" in note for note in both.notes)


def test_a_dropped_name_is_known_in_other_spellings():
    people = {name: {"vggface_id": name} for name in ("harry connick jr", "Dr._Dre", "Édith_Piaf", "50_Cent", "bo")}
    splits = assign(people, "wen").splits
    assert splits == {"harry connick jr": "", "Dr._Dre": "", "Édith_Piaf": "test", "50_Cent": "train", "bo": "val"}


def test_people_of_other_datasets_are_outside():
    others = {
        "id00012": {"voxceleb_id": "id00012", "vggface_id": "Bert"},
        "Zed": {"vggface_id": "Zed", "name": "Zed"},
        "id11252": {},
        "1001": {"name": "Ann"},
    }
    for rule in SIZES:
        found = assign(by_id([10003, 10310]) | others, rule)
        assert {who for who, split in found.splits.items() if not split} == set(others)
        assert any("4 of 6 people are outside" in note and "first id00012" in note for note in found.notes)
    assert assign({"id00012": others["id00012"], "Zed": others["Zed"]}, "svhf").splits == {
        "id00012": "",
        "Zed": "train",
    }
    with pytest.raises(DatasetError, match="nobody among 1; name vox1_meta"):
        assign({"1001": {"name": "Ann"}}, "svhf")
    with pytest.raises(DatasetError, match="nobody"):
        assign(by_name(), "pins")


def test_drawn_splits_follow_the_hash_of_seed_and_id():
    order = sorted(IDS, key=lambda who: hashlib.sha256(f"7:{who}".encode()).hexdigest())
    pins, kim = assign(by_id(), "pins", seed=7), assign(by_id(), "kim", seed=7)
    for count, split in ((901, "train"), (100, "val"), (250, "test")):
        part, order_left = order[:count], order[count:]
        assert {pins.splits[who] for who in part} == {split}
        order = order_left
    assert order == []
    assert pins.seed == kim.seed == 7
    ranked = sorted(IDS, key=lambda who: hashlib.sha256(f"7:{who}".encode()).hexdigest())
    assert [kim.splits[who] for who in ranked] == ["train"] * 1001 + ["test"] * 250
    assert any("nobody for validation" in note for note in kim.notes)


@pytest.mark.parametrize("rule", ["pins", "kim", "random"])
def test_seeds_matter_and_the_order_of_people_does_not(rule):
    people = by_id()
    backwards = dict(reversed(people.items()))
    first, again, other = (assign(who, rule, seed=seed) for who, seed in ((people, 0), (backwards, 0), (people, 1)))
    assert first.splits == again.splits
    moved = sum(first.splits[who] != other.splits[who] for who in people)
    assert moved > 100


@pytest.mark.parametrize("form", [by_id_with_names, by_name_with_ids])
@pytest.mark.parametrize("rule", [*SIZES, "pins list", "kim list"])
def test_a_partial_copy_keeps_everybodys_split(rule, form, pins_list, tmp_path):
    numbers = random.Random(1).sample(list(NUMBERS), 60)
    rule, _, listed = rule.partition(" ")
    path = None
    if listed:
        path = pins_list[0]
        if rule == "kim":
            path = tmp_path / "kim.csv"
            rows = [f"id{number},{'test' if number % 5 == 0 else 'train'}" for number in NUMBERS]
            path.write_text("\n".join(["identity,split", *rows]))
    whole, part = (assign(form(which), rule, path) for which in (NUMBERS, numbers))
    assert len(part.splits) == 60
    assert len(set(part.splits.values())) >= 2
    assert part.splits == {who: whole.splits[who] for who in part.splits}


@pytest.mark.parametrize("form", ["ids with names", "ids with a name", "names"])
def test_a_pins_list_names_people_however_their_folders_are_called(form, pins_list):
    path, wanted = pins_list
    if form == "names":
        found = assign(by_name(), "pins", path)
        splits = {f"id{number}": found.splits[name_of(number)] for number in NUMBERS}
    else:
        column = {"ids with names": "vggface_id", "ids with a name": "name"}[form]
        spell = (lambda name: name) if column == "vggface_id" else (lambda name: f" {name.replace('_', ' ').upper()} ")
        people = {f"id{number}": {"voxceleb_id": f"id{number}", column: spell(name_of(number))} for number in NUMBERS}
        found = assign(people, "pins", path)
        splits = found.splits
    assert sizes(found) == SIZES["pins"]
    assert splits == wanted
    assert found.list_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.seed is None
    assert found.notes == ["split pins: train 901 of 901, val 100 of 100, test 250 of 250 people"]


def test_what_a_list_and_a_copy_do_not_share_is_counted(pins_list):
    path, _ = pins_list
    people = by_name([10003, 10004]) | {"Nobody_Known": {"name": "Nobody_Known"}}
    notes = assign(people, "pins", path).notes
    assert "1,249 of 1,251 people in the list are not there" in notes
    assert "1 of 3 people are outside the split pins, first Nobody_Known" in notes
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:1200]))
    assert "the list has other sizes than the paper: train 901, val 100, test 199" in assign(people, "pins", path).notes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id10003 1\nid10004 4\n", ["train", "test"]),
        ("\ufeffname;set\r\nid10003;train\r\nid10004;test\r\n", ["train", "test"]),
        ("ID10003\tTRAIN\n\nid10004\t4", ["train", "test"]),
        ('"id10003", train\n"id10004", test', ["train", "test"]),
    ],
)
def test_forms_of_a_list(tmp_path, text, expected):
    path = tmp_path / "kim.txt"
    path.write_bytes(text.encode())
    assert list(assign(by_id([10003, 10004]), "kim", path).splits.values()) == expected


@pytest.mark.parametrize(
    ("rule", "text", "message"),
    [
        ("pins", "A 1\nB 5\n", "'B 5' in line 2 of"),
        ("pins", "A 1\nname set\n", "'name set' in line 2 of"),
        ("pins", "A 1\nB\n", "'B' in line 2 of"),
        ("kim", "A 1\nB 2\n", "expected a name and one of train, test, 1, 3, 4, got 'B 2' in line 2 of"),
        ("pins", "A_B 1\nC 2\nA B 4\n", "A B in a second one in line 3 of"),
        ("pins", "", "nobody among 1"),
        ("pins", b"\xff\xfe 1\n", "line 1 of"),
        ("list", "name,split\nA,train\n", "none named identity in line 1 of"),
        ("list", "identity,split\nA,train\nB,dev\n", "line 3 of"),
        ("list", "identity,split\nA,train\na,test\n", "a in a second one in line 3"),
        ("list", "", "line 1 of"),
    ],
)
def test_a_damaged_list_is_refused_with_its_line(tmp_path, rule, text, message):
    path = tmp_path / "a list.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DatasetError) as caught:
        assign({"A": {}}, rule, path)
    assert message in str(caught.value)


def test_a_list_that_puts_one_person_into_two_splits_by_two_names_is_refused(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("id10003 1\nAamir_Khan 4\n")
    with pytest.raises(DatasetError, match=r"one split for x in .*, got test, train"):
        assign({"x": {"voxceleb_id": "id10003", "vggface_id": "Aamir_Khan"}}, "pins", path)


def test_an_own_list_may_hold_any_name(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text('identity,split,note\n"Fay, Fir",train,x\n花子,val,\nnobody,,\n', encoding="utf-8")
    found = assign({"Fay, Fir": {}, "花子": {}, "nobody": {}, "other": {}}, "list", path)
    assert found.splits == {"Fay, Fir": "train", "花子": "val", "nobody": "", "other": ""}
    assert found.official == {}


@pytest.mark.parametrize(
    ("count", "expected"), [(3, (1, 1, 1)), (10, (8, 1, 1)), (15, (11, 2, 2)), (1251, (1001, 125, 125))]
)
def test_random_shares(count, expected):
    people = {f"p{number}": {} for number in range(count)}
    found = assign(people, "random", seed=3)
    assert sizes(found) == expected
    order = sorted(people, key=lambda who: hashlib.sha256(f"3:{who}".encode()).hexdigest())
    assert [found.splits[who] for who in order] == sorted(found.splits.values(), key=["train", "val", "test"].index)


def test_random_keeps_a_speakers_people_together():
    people = {f"p{number}": {"speaker": f"s{number % 12}"} for number in range(60)} | {"alone": {"speaker": ""}}
    found = assign(people, "random")
    for speaker in range(12):
        assert len({found.splits[f"p{number}"] for number in range(60) if number % 12 == speaker}) == 1
    assert set(found.splits.values()) == {"train", "val", "test"}
    with pytest.raises(DatasetError, match="at least 3 people for a random split, got 2"):
        assign({f"p{number}": {"speaker": f"s{number % 2}"} for number in range(60)}, "random")


def test_a_speaker_in_two_splits_is_refused(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("identity,split\na,train\nb,test\nc,\n")
    people = {"a": {"speaker": "s"}, "b": {"speaker": "s"}, "c": {"speaker": "s"}}
    with pytest.raises(DatasetError, match="speaker s in test, train"):
        assign(people, "list", path)
    path.write_text("identity,split\na,train\nb,train\nc,\n")
    assert assign(people, "list", path).splits == {"a": "train", "b": "train", "c": ""}


def test_own_and_none():
    people = {"a": {"split": "test"}, "b": {"split": ""}, "c": {}}
    own = assign(people, "own")
    assert own.splits == {"a": "test", "b": "", "c": ""}
    assert own.notes == ["2 of 3 people are outside the split own, first b"]
    none = assign(people, "none")
    assert none.splits == {"a": "", "b": "", "c": ""}
    assert none.notes == []
    with pytest.raises(DatasetError, match="people for --split own, got nobody among 1"):
        assign({"c": {}}, "own")


def test_misuse_is_refused(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("a 1\n")
    for rule in sorted(set(RULES) - {"pins", "kim", "list"}):
        with pytest.raises(UsageError, match="--split_list with --split pins, kim, list"):
            assign(by_id(), rule, path)
    with pytest.raises(UsageError, match="--split_list FILE"):
        assign(by_id(), "list")
    with pytest.raises(UsageError, match="an existing file"):
        assign(by_id(), "pins", tmp_path / "nowhere.txt")
    with pytest.raises(UsageError, match="svhf"):
        assign(by_id(), "svfh")


@pytest.mark.parametrize("rule", ["svhf", "wen", "pins", "kim", "random", "none"])
def test_what_is_kept_of_a_split(rule):
    facts = assign(by_id(range(10100, 10400)), rule).facts()
    assert facts["rule"] == rule
    assert facts["seed"] == (0 if rule in ("pins", "kim", "random") else None)
    assert bool(facts["official"]) == (rule not in ("random", "none"))
    assert set(facts) == {"rule", "seed", "list_sha256", "official", "notes"}
