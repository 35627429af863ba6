"""LibriSpeech: people read audiobooks aloud; voices only."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from s2f.datasets import Row
from s2f.prepare.adaptors.celebrity_folders import text_files
from s2f.prepare.sources.found import AUDIO, Adaptor, Sources, Tables, VoiceSource, require_root, require_some
from s2f.prepare.sources.published_tables import bad_line, text_lines

TABLE = "SPEAKERS.TXT"
SUBSETS = (
    *("train-clean-100", "train-clean-360", "train-other-500"),
    *("dev-clean", "dev-other", "test-clean", "test-other"),
)
SPLITS = {"train": "train", "dev": "val", "test": "test"}
LAYOUT = (
    "[LibriSpeech/]train-clean-100/<speaker>/<chapter>/<speaker>-<chapter>-0000.flac, the other subsets likewise",
    "[LibriSpeech/]SPEAKERS.TXT: id | sex | subset | minutes | name",
)
_NAME = re.compile(r"(\d+)-(\d+)-\d+")
_SUBSET = re.compile(r"(train|dev|test)-(clean|other)(-\d+)?")


def scan(root: Path, tables: Tables) -> Sources:
    """Find the utterances.

    Args:
        root: the folder above LibriSpeech, LibriSpeech itself, or one of its subsets.
        tables: where `SPEAKERS.TXT` may be.

    Returns:
        A voice per utterance; `video` is the chapter. A speaker's split is that of the subset: dev is val.

    Raises:
        DatasetError: nothing found, or a damaged `SPEAKERS.TXT`.
        UsageError: no such folder.
    """
    root = require_root(root).absolute()
    sources = Sources(root)
    table = replace(tables, folders=(root, root / "LibriSpeech", root.parent, *tables.folders)).find(TABLE)
    known = {} if table is None else _speakers(table)
    subsets = set()
    for path in text_files(sources, AUDIO):
        match = _NAME.fullmatch(Path(path).stem)
        if not match:
            sources.passed_over.append((path, "its name is not <speaker>-<chapter>-<number>"))
            continue
        speaker, chapter = match.groups()
        row = known.get(speaker, {"identity": speaker, "language": "English"})
        subset = _subset(root, path) or row.get("subset", "")
        subsets.add(subset)
        sources.people.setdefault(speaker, row | {"subset": subset, "split": SPLITS.get(subset.partition("-")[0], "")})
        sources.voices.append(VoiceSource(speaker, path, chapter))
    _say_what_is_missing(sources, subsets, known, table)
    return require_some(sources, "LibriSpeech", LAYOUT)


def _subset(root: Path, path: str) -> str:
    """Name of the subset's folder, or nothing."""
    names = (root.name, *Path(path).parts)
    return next((name for name in reversed(names) if _SUBSET.fullmatch(name)), "")


def _speakers(table: Path) -> dict[str, Row]:
    people = {}
    for number, line in enumerate(text_lines(table), 1):
        if not line.strip() or line.startswith(";"):
            continue
        cells = [cell.strip() for cell in line.split("|", 4)]  # a name may have the mark in it
        if len(cells) != 5 or not cells[0].isdigit() or cells[1] not in ("F", "M"):
            raise bad_line(table, number, "id | F or M | subset | minutes | name", repr(line.strip()))
        speaker, sex, subset, _, name = cells
        row = {"identity": speaker, "gender": sex.lower(), "language": "English", "name": name, "subset": subset}
        people[speaker] = row
    return people


def _say_what_is_missing(sources: Sources, subsets: set[str], known: dict[str, Row], table: Path | None) -> None:
    if absent := [name for name in SUBSETS if name not in subsets]:
        sources.missing.append(f"without the subsets {', '.join(absent)}")
    unknown = [speaker for speaker in sources.people if speaker not in known]
    if table is None:
        sources.missing.append(f"{TABLE} is not there: genders and names stay empty")
    elif unknown:
        sources.missing.append(f"{TABLE} does not name {len(unknown)} of the speakers, first {unknown[0]}")


ADAPTOR = Adaptor(
    name="librispeech",
    title="LibriSpeech (Panayotov et al., 2015)",
    layout=LAYOUT,
    licence="CC BY 4.0",
    needs="SPEAKERS.TXT for genders. It has voices only: name faces of the same people with --faces and --faces_root.",
    scan=scan,
)
