"""MAV-Celeb: celebrities who speak two languages; sound and cropped faces of the training people.

The test people's files carry no names, so they cannot be used.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from s2f.datasets import Row
from s2f.prepare.adaptors.celebrity_folders import text_files
from s2f.prepare.sources.found import (
    AUDIO,
    PICTURES,
    Adaptor,
    FaceSource,
    Sources,
    Tables,
    VoiceSource,
    entries,
    require_root,
    require_some,
)
from s2f.prepare.sources.published_tables import bad_line, table_rows

TRAINING_PEOPLE = {"v1": 64, "v2": 78, "v3": 50}
GENDERS = {"male": "m", "female": "f"}
LAYOUT = (
    "[v1/]voices/id0001/<Language>/[<YouTube id>/]00000.wav; v2 and v3 likewise",
    "[v1/]faces/id0001/<Language>/[<YouTube id>/]0010125.jpg",
    "v1_meta.csv: ids,name,gender",
)
_KINDS = {"voices": AUDIO, "faces": PICTURES}
_VERSION = re.compile(r"(?<![a-z0-9])v([123])(?![0-9])", re.IGNORECASE)
_IDENTITY = re.compile(r"id\d{4,}")


class _File(NamedTuple):
    path: str
    kind: str  # voices or faces
    version: str  # v1, v2, v3 or nothing
    below: tuple[str, ...]  # the parts of the path below the folder voices or faces


def scan(root: Path, tables: Tables) -> Sources:
    """Find sound and faces of the training people.

    Args:
        root: the folder of one version, one above, or its folder `voices` or `faces`.
        tables: where `v1_meta.csv` and its like may be.

    Returns:
        Voices, and faces as the dataset has cropped them. The same id is another person in another version, so an
        identity is `v1_id0001`, or `id0001` where no folder names the version. `language` joins a person's languages
        with "/"; the split of everybody is train.

    Raises:
        DatasetError: nothing found, or a damaged table.
        UsageError: no such folder.
    """
    root = require_root(root).absolute()
    sources = Sources(root.parent if root.name.lower() in _KINDS else root)
    languages: dict[str, set[str]] = defaultdict(set)
    nameless: Counter[str] = Counter()
    for file in _files(sources):
        if len(file.below) >= 3 and _IDENTITY.fullmatch(file.below[0]):
            languages[_add(file, sources)].add(file.below[1])
        elif len(file.below) == 2:
            nameless[str(Path(file.path).parent.as_posix())] += 1
        else:
            sources.passed_over.append((file.path, "not <id>/<Language>/<YouTube id>/<file>"))
    places = [place for place in entries(sources.root) if place.is_dir()]
    tables = replace(tables, folders=(sources.root, *places, *tables.folders))
    _people(sources, languages, tables)
    sources.missing += [
        f"{count} files directly in {folder} are not used: the test set does not say whose they are"
        for folder, count in sorted(nameless.items())
    ]
    return require_some(sources, "MAV-Celeb", LAYOUT)


def _files(sources: Sources) -> Iterator[_File]:
    """Files below a folder `voices` or `faces` that are of its kind."""
    for path in text_files(sources, AUDIO + PICTURES):
        parts = Path(path).parts
        depth, kind = next(((i, part.lower()) for i, part in enumerate(parts[:-1]) if part.lower() in _KINDS), (0, ""))
        if kind and path.lower().endswith(_KINDS[kind]):
            named = _VERSION.findall(" ".join((sources.root.name, *parts[:depth])))
            yield _File(path, kind, f"v{named[-1]}" if named else "", parts[depth + 1 :])


def _add(file: _File, sources: Sources) -> str:
    identity = "_".join(filter(None, (file.version, file.below[0])))
    video, columns = "/".join(file.below[2:-1]), {"language": file.below[1]}
    if file.kind == "voices":
        sources.voices.append(VoiceSource(identity, file.path, video, columns=columns))
    else:
        sources.faces.append(FaceSource(identity, file.path, video, "crop", columns=columns))
    return identity


def _people(sources: Sources, languages: dict[str, set[str]], tables: Tables) -> None:
    """Fill people, and say what is missing in each version."""
    by_version: dict[str, list[str]] = defaultdict(list)
    for identity in sorted(languages):
        by_version[identity.partition("_")[0] if "_" in identity else ""].append(identity)
    for version, identities in by_version.items():
        table = tables.find(f"{version}_meta.csv") if version else None
        known = {} if table is None else _meta(table)
        for identity in identities:
            row = {"identity": identity, "language": "/".join(sorted(languages[identity])), "split": "train"}
            sources.people[identity] = row | known.get(identity.partition("_")[2], {})
        if not version:
            fix = "call the folder v1, v2 or v3 so that its table is found"
            sources.missing.append(f"the version is unknown, and with it genders and names: {fix}")
            continue
        if table is None:
            sources.missing.append(f"{version}_meta.csv is not there: genders and names of {version} stay empty")
        if len(identities) < TRAINING_PEOPLE[version]:
            count = f"{len(identities)} of {TRAINING_PEOPLE[version]}"
            sources.missing.append(f"{version}: {count} people of the training set are here")
    for kind, found in (("voices", sources.voices), ("faces", sources.faces)):
        without = set(languages) - {source.identity for source in found}
        if without:
            sources.missing.append(f"{len(without)} people have no {kind}, first {min(without)}")


def _meta(table: Path) -> dict[str, Row]:
    people = {}
    for number, row in table_rows(table, "ids", "name", "gender"):
        if row["gender"].lower() not in GENDERS:
            raise bad_line(table, number, "a gender of Male or Female", list(row.values()))
        people[row["ids"]] = {"name": row["name"], "gender": GENDERS[row["gender"].lower()]}
    return people


ADAPTOR = Adaptor(
    name="mav_celeb",
    title="MAV-Celeb (Nawaz et al., 2021; FAME challenges)",
    layout=LAYOUT,
    licence="for research, as far as known; the videos are from YouTube",
    needs="the training archives, each in a folder with v1 (English, Urdu), v2 (English, Hindi) or v3 (English, "
    "German) in its name; v1_meta.csv, v2_meta.csv, v3_meta.csv for genders. The test archives name nobody.",
    scan=scan,
)
