"""What the copies of VoxCeleb and VGGFace have in common: folders of people, parts, and where their tables lie."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from s2f.datasets import Row
from s2f.prepare.sources.found import Sources, Tables, files
from s2f.prepare.sources.people_tables import PeopleTable

COLUMNS = ("identity", "gender", "nationality", "split", "name", "voxceleb_id", "vggface_id", "vggface2_id")
PLACES = ("meta", "metadata", "meta_info", "label", "vox1", "vox2")
VOXCELEB_LICENCE = (
    "lists and metadata: Creative Commons Attribution 4.0; the copyright of the films stays with their owners; "
    "see the dataset's page"
)
VGGFACE_LICENCE = (
    "for research, under the terms of the dataset's page; the copyright of the pictures stays with their owners"
)


def near(tables: Tables, root: Path) -> Tables:
    """The same tables, looked for also in and around a copy: beside it and in folders where they are often put."""
    places = (root, *(root / place for place in PLACES), root.absolute().parent)
    return replace(tables, folders=tuple(dict.fromkeys((*tables.folders, *places))))


def text_files(sources: Sources, suffixes: Sequence[str]) -> Iterator[str]:
    """Files of the copy, relative to its root; those whose names are not UTF-8 are passed over.

    Args:
        sources: where to look, and where to note what is passed over.
        suffixes: of the files.

    Yields:
        Paths with "/" between their parts.
    """
    for path in files(sources.root, sources.root, suffixes):
        if any("\ud800" <= letter <= "\udfff" for letter in path):  # so Python reads bytes that are not UTF-8
            sources.passed_over.append((repr(path), "the name is not UTF-8"))
        else:
            yield path


def person(folder: str, **known: str) -> Row:
    """Row of people.csv of somebody whose folder is called so: by an id of VoxCeleb or VGGFace2, or by a name.

    Args:
        folder: the folder; it becomes the identity.
        **known: further columns.
    """
    row = dict.fromkeys(COLUMNS, "") | {"identity": folder}
    if re.fullmatch(r"id\d{5}", folder, re.ASCII):
        row["voxceleb_id"] = folder
    elif re.fullmatch(r"n\d{6}", folder, re.ASCII):
        row["vggface2_id"] = folder
    else:
        row |= {"vggface_id": folder, "name": folder.replace("_", " ")}
    return row | known


def part(folders: Sequence[str]) -> str:
    """Own split of a file that lies in these folders: `dev`, `vox2_test_aac` and the like; empty if none says."""
    for folder in reversed(folders):
        words = re.split(r"[\W_]+", folder.lower())
        if "test" in words:
            return "test"
        if "dev" in words or "train" in words:
            return "train"
    return ""


def no_table(table: PeopleTable, *columns: str) -> str:
    """The sentence about a published table that is not there.

    Args:
        table: which.
        *columns: what stays empty without it.
    """
    stay = "stay" if len(columns) > 1 else "stays"
    return f"{table.files[0]} is not there, so {', '.join(columns)} {stay} empty; name it with --metadata"


def some_of(count: int, official: int, what: str) -> list[str]:
    """A sentence if there is less than was published.

    Args:
        count: how many are there.
        official: how many were published.
        what: people, recordings and so on.
    """
    return [f"{count:,} of {official:,} {what} are here"] if count < official else []
