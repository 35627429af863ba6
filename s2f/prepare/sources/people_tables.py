"""The tables that VoxCeleb, VGGFace2 and HQ-VoxCeleb are published with: who is who, gender, nationality, part."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from s2f.datasets import Row
from s2f.prepare.sources.found import Tables
from s2f.prepare.sources.published_tables import bad_line, table_lines

Key = tuple[str, str]
IDS = ("voxceleb_id", "vggface2_id")
VOXCELEB1_IDS = range(10001, 11252)
GENDERS = {"m": "m", "male": "m", "f": "f", "female": "f", "": ""}
PARTS = {"dev": "train", "train": "train", "1": "train", "val": "val", "test": "test", "0": "test", "none": "", "": ""}


def name_key(name: str) -> str:
    """A name as it is compared: only its letters and digits count, and not their case.

    Lists write one name in several ways: `A.J._Buckley`, `A._J._Buckley`, and `Harry_Connick_Jr` where a file system
    took the last dot away.
    """
    plain = unicodedata.normalize("NFKC", name).casefold()
    return "".join(letter for letter in plain if unicodedata.category(letter)[0] in "LMN") or plain.strip()


def keys(person: Row) -> list[Key]:
    """By what a row of people.csv or of a published table can be recognised, the surest first."""
    found = [(column, person[column].lower()) for column in IDS if person.get(column)]
    for column, text in (("vggface_id", "vggface_id"), ("name", "vggface_id"), ("name", "name")):
        if person.get(text):
            found.append((column, name_key(person[text])))
    return list(dict.fromkeys(found))


def voxceleb1_id(text: str) -> bool:
    """Whether a text is the id of somebody in VoxCeleb1: id10001 to id11251."""
    return re.fullmatch(r"id\d{5}", text, re.ASCII) is not None and int(text[2:]) in VOXCELEB1_IDS


def compatible(one: Row, other: Row) -> bool:
    """Whether two rows may be of the same person: no id tells them apart.

    Some people of VoxCeleb2's test part are in VoxCeleb1 too, under another id, so ids of the two are not compared.
    """
    return not any(
        one.get(column) and other.get(column) and _contradict(one[column].lower(), other[column].lower())
        for column in IDS
    )


def _contradict(one: str, other: str) -> bool:
    return one != other and voxceleb1_id(one) == voxceleb1_id(other)


@dataclass(frozen=True)
class PeopleTable:
    """A published table with one line per person.

    The header may be written in any case, with blanks, underscores or neither; commas or tabs part the cells.

    Attributes:
        files: names that it goes by.
        needed: for a column of people.csv, the headers it is published under: letters and digits, lower case.
        optional: the same for columns that may be absent.
    """

    files: tuple[str, ...]
    needed: Mapping[str, tuple[str, ...]]
    optional: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def find(self, tables: Tables) -> list[Row]:
        """Rows of the table; none if it is neither named nor lying about.

        Args:
            tables: where to look.

        Raises:
            DatasetError: see `read`, or what was named does not exist.
        """
        path = tables.find(*self.files)
        return self.read(path) if path else []

    def read(self, path: Path) -> list[Row]:
        """Rows in the order of the table, with the names of people.csv: gender m, f or empty; split is the own one.

        Args:
            path: the table.

        Raises:
            DatasetError: not UTF-8, a column or an id is missing, a gender or part is unknown, or nobody is in it.
        """
        with path.open("rb") as file:
            delimiter = "\t" if b"\t" in file.readline() else ","
        places: dict[str, int] = {}
        rows: list[Row] = []
        for number, cells in table_lines(path, delimiter):
            if not places:
                places = self._places(path, number, cells)
                continue
            row = {column: cells[place].strip(' "') for column, place in places.items() if place < len(cells)}
            rows.append(self._row(path, number, row))
        if not rows:
            raise bad_line(path, 1, f"a header with {', '.join(self.needed)} and people below it", "nobody")
        return rows

    def _places(self, path: Path, number: int, cells: list[str]) -> dict[str, int]:
        """Where the columns are."""
        headers = [name_key(cell) for cell in cells]
        wanted = {**self.needed, **self.optional}
        places = {
            column: headers.index(name)
            for column, names in wanted.items()
            if (name := next((name for name in names if name in headers), None))
        }
        if missing := [column for column in self.needed if column not in places]:
            expected = "headers like " + ", ".join(self.needed[column][0] for column in missing)
            raise bad_line(path, number, expected, cells)
        return places

    def _row(self, path: Path, number: int, row: Row) -> Row:
        """One person, checked."""
        if missing := [column for column in self.needed if not row.get(column)]:
            raise bad_line(path, number, f"a value for {', '.join(missing)}", row)
        for column, known in (("gender", GENDERS), ("split", PARTS)):
            value = row.get(column, "").lower()
            if value not in known:
                raise bad_line(path, number, f"a {column} of {', '.join(filter(None, known))}", repr(value))
            row[column] = known[value]
        if name := row.get("name") or row.get("vggface_id"):
            row["name"] = name.replace("_", " ")
        return row


VOX1 = PeopleTable(
    ("vox1_meta.csv",),
    {"voxceleb_id": ("voxceleb1id",), "vggface_id": ("vggface1id",)},
    {"gender": ("gender",), "nationality": ("nationality",), "split": ("set",)},
)
VOX2 = PeopleTable(
    ("vox2_meta.csv", "full_vox2_meta.csv"),
    {"voxceleb_id": ("voxceleb2id",), "vggface2_id": ("vggface2id",)},
    {"name": ("name",), "gender": ("gender", "gendery"), "split": ("set",)},
)
HQ_VOX2 = PeopleTable(("full_vox2_meta.csv",), {**VOX2.needed, "name": ("name",)}, VOX2.optional)
VGGFACE2 = PeopleTable(
    ("identity_meta.csv",),
    {"vggface2_id": ("classid",), "name": ("name",)},
    {"gender": ("gender",), "split": ("flag",)},
)
ALL = (VOX1, VOX2, HQ_VOX2, VGGFACE2)


def complete(people: Iterable[Row], *tables: list[Row]) -> None:
    """Fill empty columns of people from the rows of tables that share an id or a name with them.

    A name that several rows of a table bear fills nothing.

    Args:
        people: rows to fill, in place.
        *tables: rows of `PeopleTable.find`; one may supply the id or name that a later one is searched for.
    """
    people = list(people)
    for rows in tables:
        known: dict[Key, Row | None] = {}
        for row in rows:
            for key in keys(row):
                known[key] = row if known.get(key, row) == row else None
        for person in people:
            found = next((known[key] for key in keys(person) if known.get(key)), None)
            if found and compatible(person, found):
                person.update({column: value for column, value in found.items() if value and not person.get(column)})
