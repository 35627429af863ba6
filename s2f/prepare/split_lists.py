"""Lists that say who is in which split."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from s2f.datasets import SPLITS
from s2f.prepare.sources.people_tables import name_key
from s2f.prepare.sources.published_tables import bad_line, table_rows, text_lines

NUMBERS = {"1": "train", "2": "val", "3": "train", "4": "test"}  # of PINs; 3: other files of people of the training
_LINE = re.compile(r"(.*?\S)[\s,;]+(\S+)")


def read_lines(path: Path, allowed: Sequence[str]) -> dict[str, str]:
    """Split by `name_key` of a text with a name or id and a split in each line, blanks or commas between.

    Args:
        path: the list, like identity_splits.txt of PINs. A first line that ends in "split" or "set" is a header.
        allowed: splits there may be, as words or as the numbers of PINs.

    Raises:
        DatasetError: not UTF-8, another line, or somebody in two splits.
    """
    listed: dict[str, str] = {}
    for number, line in enumerate(text_lines(path), 1):
        match = _LINE.fullmatch(line.strip())
        word = match[2].lower() if match else ""
        if not line.strip() or (number == 1 and word in ("split", "set")):
            continue
        split = NUMBERS.get(word, word)
        if not match or split not in allowed:
            numbers = ", ".join(name for name, split in NUMBERS.items() if split in allowed)
            raise bad_line(path, number, f"a name and one of {', '.join(allowed)}, {numbers}", repr(line.strip()))
        _enter(listed, match[1].strip(' "'), split, path, number)
    return listed


def read_table(path: Path) -> dict[str, str]:
    """Split by `name_key` of a CSV table with the columns identity and split.

    Args:
        path: the table.

    Raises:
        DatasetError: a column is missing, a split is none of train, val, test or empty, or somebody is in two splits.
    """
    listed: dict[str, str] = {}
    for number, row in table_rows(path, "identity", "split"):
        if row["split"] not in (*SPLITS, "") or not row["identity"]:
            raise bad_line(path, number, f"an identity and one of {', '.join(SPLITS)}", row)
        _enter(listed, row["identity"], row["split"], path, number)
    return listed


def _enter(listed: dict[str, str], name: str, split: str, path: Path, number: int) -> None:
    """Enter somebody into a list, once."""
    if listed.setdefault(name_key(name), split) != split:
        raise bad_line(path, number, "everybody in one split", f"{name} in a second one")
