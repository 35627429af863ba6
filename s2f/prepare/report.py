"""What `s2f prepare` tells people: which datasets there are, and what it made."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from s2f.datasets import SPLITS
from s2f.prepare.adaptors import ADAPTORS

WIDTH = 110


def datasets() -> str:
    """Every dataset: title, how it must lie on disk, licence, what else is needed."""
    blocks = []
    for adaptor in ADAPTORS.values():
        facts = [("licence", adaptor.licence), ("needs", adaptor.needs)]
        texts = [*(f"ROOT/{line}" for line in adaptor.layout), *(f"{name}: {value}" for name, value in facts)]
        blocks.append(
            "\n".join(
                [
                    f"{adaptor.name}: {adaptor.title}",
                    *(line for text in texts for line in _lines(text, "    ", "        ")),
                ]
            )
        )
    return "\n\n".join([*blocks, "s2f prepare DATASET ROOT OUT    copies may be partial; nothing is downloaded"])


def summary(out: str, made: dict[str, Any]) -> str:
    """What a dataset folder holds now, and what to do next.

    Args:
        out: the folder.
        made: the content of its dataset.json.

    Returns:
        A few lines.
    """
    counts, split = made["counts"], made["split"]
    lines = [
        f"{out}: {counts['people']:,} people, {counts['voices']:,} recordings ({counts['hours']:,} h), "
        f"{counts['faces']:,} faces, {counts['landmarks']:,} with landmarks"
    ]
    present = ", ".join(f"{name} {counts['splits'][name]:,}" for name in SPLITS)
    seed = "" if split["seed"] is None else f", seed {split['seed']}"
    lines.append(f"split {split['rule']}{seed}: {present}; hash {made['split_hash']}")
    lines += _sentences([*split["notes"], *made["missing"]])
    if counts["people_without_files"]:
        lines += _sentences([f"{counts['people_without_files']:,} people have no file that can be used"])
    if counts["people_without_voice_or_face"]:
        why = "have only a voice or only a face, and therefore no split"
        lines += _sentences([f"{counts['people_without_voice_or_face']:,} people {why}"])
    if counts["flags"]:
        found = ", ".join(f"{name} {count:,}" for name, count in counts["flags"].items())
        lines += _sentences([f"flagged and kept, see column quality: {found}"])
    if counts["errors"]:
        found = ", ".join(f"{name} {count:,}" for name, count in counts["errors"].items())
        lines += _sentences([f"not used, with reasons in {Path(out) / 'errors.csv'}: {found}"])
    return "\n".join([*lines, f"next: s2f data check {out}"])


def _sentences(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        yield from _lines(text, "  - ", "    ")


def _lines(text: str, first: str, others: str) -> list[str]:
    """Wrap a text; paths and names stay whole."""
    return textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=others, break_on_hyphens=False, break_long_words=False
    )
