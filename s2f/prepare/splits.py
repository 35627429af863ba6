"""Who is for training, who for validation, who for the test: the splits of the papers, own lists and seeded ones."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from s2f.datasets import SPLITS, Row
from s2f.errors import DatasetError, UsageError, check_names
from s2f.prepare.sources.people_tables import VOXCELEB1_IDS, name_key, voxceleb1_id
from s2f.prepare.split_lists import read_lines, read_table
from s2f.runtime.files import file_sha256

People = dict[str, Row]
OFFICIAL = {
    "svhf": {"train": 942, "val": 116, "test": 189},
    "wen": {"train": 924, "val": 112, "test": 189},
    "pins": {"train": 901, "val": 100, "test": 250},
    "kim": {"train": 1001, "val": 0, "test": 250},
}
LISTED = ("pins", "kim", "list")  # rules that take a list
FIRST_TEST_ID, FIRST_TRAIN_ID = 10117, 10310  # the ids follow the names: A and B, C to E, F to Z
DROPPED_TEST = {10143: "Charles_S._Dutton", 10144: "Charlie_Day", 10204: "David_Cassidy", 10260: "Dr._Dre"}
DROPPED = DROPPED_TEST | {
    10001: "A.J._Buckley",
    10002: "A.R._Rahman",
    10006: "Abbie_Cornish",
    10077: "B.J._Novak",
    10362: "Harry_Connick_Jr.",
    10363: "Harry_Shum_Jr.",
    10397: "J.J._Abrams",
    10398: "J.K._Simmons",
    10414: "Jake_T._Austin",
    10528: "John_Gallagher_Jr.",
    10710: "Louis_C.K.",
    10762: "Martin_Shaw",
    10801: "Michael_C._Hall",
    10807: "Michael_K._Williams",
    10813: "Michael_Socha",
    10973: "Richard_E._Grant",
    11022: "S._Epatha_Merkerson",
    11035: "Sammy_Davis_Jr.",
    11036: "Samuel_L._Jackson",
    11124: "Steven_R._McQueen",
    11135: "T.J._Miller",
    11146: "Taraji_P._Henson",
}


@dataclass
class Assignment:
    """Who is in which split, and by what rule.

    Attributes:
        rule: see `assign`.
        seed: of a rule that draws; None for the others.
        list_sha256: of the file with the list; empty without one.
        splits: train, val, test or an empty text, by identity.
        notes: sentences for the user.
    """

    rule: str
    seed: int | None = None
    list_sha256: str = ""
    splits: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def official(self) -> dict[str, int]:
        """People of each split as the paper has it; empty for a rule of no paper."""
        return OFFICIAL.get(self.rule, {})

    @property
    def present(self) -> dict[str, int]:
        """People of each split that are there."""
        counts = Counter(self.splits.values())
        return {split: counts[split] for split in SPLITS}

    def facts(self) -> dict[str, Any]:
        """What dataset.json keeps of it; who is in which split, people.csv says."""
        names = ("rule", "seed", "list_sha256", "official", "notes")
        return {name: getattr(self, name) for name in names}


def assign(people: People, rule: str, list_path: Path | None = None, seed: int = 0) -> Assignment:
    """Give every person a split; people outside the rule have an empty one, and a sentence counts them.

    Identities may be ids or names: `voxceleb_id`, `vggface_id`, `vggface2_id` and `name` of a row are understood too.
    All rules but `random` give a person the same split in every copy, however partial.

    * `svhf`: by the first letter of the name in VGGFace: A and B val, C to E test, the others train. The paper has 189
      people for the test, the letters give 193. Which four are missing is not published; our reading: the four whom
      the lists of Wen et al. mark "none" (`DROPPED_TEST`). A person with an id of VoxCeleb1 is placed by that.
    * `wen`: the same letters without the 26 people whom those lists mark "none" (`DROPPED`).
    * `pins`: from the published list, a name and 1 train, 2 val, 3 seen-heard, 4 unseen-unheard (test) in each line;
      without a list drawn from VoxCeleb1's 1,251 ids: the order of SHA-256 of "seed:id" decides.
    * `kim`: likewise, train and test only. The paper's list is not public; a list has an identity, id or name and
      `train` or `test` (or the numbers of `pins`) in each line.
    * `random`: 80 %, 10 % and 10 % of those who are there, at least one each, in the order of SHA-256 of
      "seed:identity". People with one `speaker` stay together.
    * `own`: column `split` of the dataset; `list`: a CSV of the user's with the columns identity and split; `none`.

    Paper: Nagrani et al. 2018 (SVHF, PINs), Kim et al. 2018, Wen et al. 2021; see `OFFICIAL` for their sizes.

    Args:
        people: row of people.csv by identity.
        rule: one of the above.
        list_path: the list, for `pins`, `kim` and `list`.
        seed: of `random`, and of `pins` and `kim` without a list.

    Raises:
        UsageError: an unknown rule, a list for a rule that takes none, or none for `list`.
        DatasetError: the rule fits nobody, too few people, a damaged list, or a speaker in several splits.
    """
    check_names([rule], RULES, "split")
    if list_path and rule not in LISTED:
        raise UsageError(f"--split_list with --split {', '.join(LISTED)}", f"--split {rule}", "leave it out")
    if not list_path and rule == "list":
        raise UsageError("--split_list FILE with --split list", "none", "name the file with columns identity and split")
    result = Assignment(rule)
    splits = _by_list(people, list_path, result) if list_path else RULES[rule](people, seed, result)
    result.splits = {identity: splits.get(identity, "") for identity in people}
    if rule != "none" and not any(result.splits.values()):
        fix = "name vox1_meta.csv with --metadata if these are people of VoxCeleb1, or take --split random"
        raise DatasetError(f"people for --split {rule}", f"nobody among {len(people):,}", fix)
    _require_whole_speakers(people, result.splits)
    _report(result)
    return result


def _report(result: Assignment) -> None:
    """Add the sentences about sizes and people without a split."""
    present = result.present
    if result.official:
        sizes = ", ".join(f"{split} {present[split]:,} of {count:,}" for split, count in result.official.items())
        result.notes.insert(0, f"split {result.rule}: {sizes} people")
    outside = [identity for identity, split in result.splits.items() if not split]
    if outside and result.rule != "none":
        count = f"{len(outside):,} of {len(result.splits):,}"
        result.notes.append(f"{count} people are outside the split {result.rule}, first {outside[0]}")


def _by_letter(people: People, dropped: dict[int, str], result: Assignment) -> dict[str, str]:
    """Split by the first letter of the name; people with an id of VoxCeleb1 by their id.

    Where there are such ids, people without one are not of VoxCeleb1.
    """
    ids = {identity: number for identity, row in people.items() if (number := _voxceleb1_number(identity, row))}
    names = {} if ids else {identity: row.get("vggface_id", "").strip() for identity, row in people.items()}
    left_out = {name_key(name) for name in dropped.values()}
    by_name = {identity: name for identity, name in names.items() if name and not people[identity].get("voxceleb_id")}
    if by_name:
        why = "without vox1_meta.csv nobody knows who of them is in VoxCeleb1"
        result.notes.append(f"{len(by_name):,} people are placed by their names alone: {why}")
    splits = {identity: _split_of_number(number) for identity, number in ids.items() if number not in dropped}
    return splits | {who: _split_of_letter(name) for who, name in by_name.items() if name_key(name) not in left_out}


def _voxceleb1_number(identity: str, row: Row) -> int:
    """Number in the person's id of VoxCeleb1; 0 if there is none."""
    text = row.get("voxceleb_id") or identity
    return int(text[2:]) if voxceleb1_id(text) else 0


def _split_of_number(number: int) -> str:
    return "val" if number < FIRST_TEST_ID else "test" if number < FIRST_TRAIN_ID else "train"


def _split_of_letter(name: str) -> str:
    letter = unicodedata.normalize("NFKD", name)[0].upper()
    return "val" if letter in "AB" else "test" if letter in "CDE" else "train"


def _ranked(names: Iterable[str], seed: int) -> list[str]:
    """Names in an order that depends on the seed and each name alone."""
    return sorted(names, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())


def _drawn(people: People, seed: int, result: Assignment) -> dict[str, str]:
    """Split of the official sizes, drawn from all people of VoxCeleb1."""
    result.seed = seed
    result.notes.append(f"drawn with seed {seed}: of the same sizes as in the paper, but not the people of the paper")
    order = _ranked((f"id{number}" for number in VOXCELEB1_IDS), seed)
    sizes = result.official
    split_of: dict[str, str] = dict(zip(order, (split for split in SPLITS for _ in range(sizes[split])), strict=True))
    numbers = {identity: _voxceleb1_number(identity, row) for identity, row in people.items()}
    return {identity: split_of[f"id{number}"] for identity, number in numbers.items() if number}


def _drawn_kim(people: People, seed: int, result: Assignment) -> dict[str, str]:
    result.notes.append(NO_VALIDATION)
    return _drawn(people, seed, result)


def _random(people: People, seed: int, result: Assignment) -> dict[str, str]:
    """80, 10 and 10 % of the speakers who are there; without the column everybody is a speaker."""
    result.seed = seed
    groups: dict[str, list[str]] = defaultdict(list)
    for identity, row in people.items():
        groups[row.get("speaker") or identity].append(identity)
    if len(groups) < len(SPLITS):
        got = f"{len(groups)}"
        raise DatasetError("at least 3 people for a random split", got, "prepare more people, or take --split none")
    held_out = max(1, (len(groups) + 5) // 10)
    sizes = {"train": len(groups) - 2 * held_out, "val": held_out, "test": held_out}
    drawn = zip(_ranked(groups, seed), (split for split in SPLITS for _ in range(sizes[split])), strict=True)
    return {identity: split for speaker, split in drawn for identity in groups[speaker]}


def _own(people: People, _: int, __: Assignment) -> dict[str, str]:
    return {identity: row.get("split", "") for identity, row in people.items()}


def _by_list(people: People, path: Path, result: Assignment) -> dict[str, str]:
    """Split by a list of identities, ids or names."""
    if not path.is_file():
        raise UsageError("an existing file as --split_list", f"none at {path}", "check the spelling")
    allowed = [split for split in SPLITS if result.official.get(split)]
    listed = read_table(path) if result.rule == "list" else read_lines(path, allowed)
    result.list_sha256 = file_sha256(path)
    if result.rule == "kim":
        result.notes.append(NO_VALIDATION)
    sizes = Counter(listed.values())
    if result.official and dict(sizes) != {split: count for split, count in result.official.items() if count}:
        counts = ", ".join(f"{split} {sizes[split]:,}" for split in SPLITS)
        result.notes.append(f"the list has other sizes than the paper: {counts}")
    splits, used = {}, set()
    for identity, row in people.items():
        texts = (identity, *(row.get(column, "") for column in ("voxceleb_id", "vggface_id", "vggface2_id", "name")))
        found = {key: listed[key] for key in map(name_key, filter(None, texts)) if key in listed}
        if len(set(found.values())) > 1:
            fix = "correct the list"
            raise DatasetError(f"one split for {identity} in {path}", f"{', '.join(sorted(found.values()))}", fix)
        splits[identity] = next(iter(found.values()), "")
        used |= set(found)
    if unknown := len(listed) - len(used):
        result.notes.append(f"{unknown:,} of {len(listed):,} people in the list are not there")
    return splits


def _require_whole_speakers(people: People, splits: dict[str, str]) -> None:
    """Refuse a split that has one speaker's voice on both sides."""
    of_speaker: dict[str, set[str]] = defaultdict(set)
    for identity, row in people.items():
        if row.get("speaker") and splits[identity]:
            of_speaker[row["speaker"]].add(splits[identity])
    if torn := next((speaker for speaker, found in of_speaker.items() if len(found) > 1), None):
        got = f"speaker {torn} in {', '.join(sorted(of_speaker[torn]))}"
        raise DatasetError("splits with different speakers", got, "take --split random, or correct the list")


NO_VALIDATION = "the split of Kim et al. has nobody for validation: take people of the training for it"
Rule = Callable[[People, int, Assignment], dict[str, str]]
RULES: dict[str, Rule] = {
    "random": _random,
    "own": _own,
    "svhf": lambda people, _, result: _by_letter(people, DROPPED_TEST, result),
    "wen": lambda people, _, result: _by_letter(people, DROPPED, result),
    "pins": _drawn,
    "kim": _drawn_kim,
    "list": lambda *_: {},  # always with a list
    "none": lambda *_: {},
}
