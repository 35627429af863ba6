"""Faces of one dataset for the voices of another: the same people under different names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from s2f.datasets import Row
from s2f.errors import DatasetError
from s2f.prepare.adaptors.celebrity_folders import near
from s2f.prepare.sources.found import Sources, Tables
from s2f.prepare.sources.people_tables import ALL, Key, compatible, keys

SHOWN = 5  # names in a sentence


def join(voices: Sources, faces: Sources, tables: Tables) -> Sources:
    """Give the people of one dataset the faces of the same people in another.

    People are the same if they share their identity, an id of VoxCeleb or VGGFace2, or a name (`name_key`), directly
    or through a published table: vox1_meta.csv links ids of VoxCeleb1 with names, vox2_meta.csv ids of VoxCeleb2 with
    ids of VGGFace2, identity_meta.csv those with names, full_vox2_meta.csv all three. A name that stands for several
    people of one dataset or table links nobody, and neither do people whose ids differ.

    Args:
        voices: what was found of the dataset with the voices.
        faces: what was found of the dataset with the faces.
        tables: where the published tables are.

    Returns:
        The people with voices, their voices, and the faces of the second dataset, whose root is `faces_root` if it is
        another one. Empty columns of people are filled from the second dataset; the rest and the own split are the
        first one's. Sentences about whom the join leaves without a face, or out, are among `missing`.

    Raises:
        DatasetError: no faces of these people, or a table is damaged.
    """
    speaking = {voice.identity for voice in voices.voices}
    people = {identity: row for identity, row in voices.people.items() if identity in speaking}
    tables = near(near(tables, voices.root), faces.root)
    match = _match(people, faces.people, [table.find(tables) for table in ALL])
    found = [replace(face, identity=match.pairs[face.identity]) for face in faces.faces if face.identity in match.pairs]
    if not found:
        expected = f"people of {voices.root} in {faces.root}"
        got = f"none of {len(people):,} among {len(faces.people):,} by identity, id or name"
        fix = "name vox1_meta.csv, vox2_meta.csv or identity_meta.csv with --metadata: they say who is who"
        raise DatasetError(expected, got, fix)
    sentences = [*_differing_genders(people, faces.people, match.pairs), *match.sentences()]
    sentences += _left_out(voices, people, faces, match.pairs)
    root = faces.faces_root or faces.root
    return Sources(
        voices.root,
        _filled(people, faces.people, match.pairs),
        voices.voices,
        found,
        [*voices.missing, *(f"faces: {sentence}" for sentence in faces.missing), *sentences],
        [*voices.passed_over, *faces.passed_over],
        None if root == voices.root else root,
    )


@dataclass
class _Match:
    """Who is who; `pairs` is the identity with a voice by identity with a face."""

    pairs: dict[str, str] = field(default_factory=dict)
    ambiguous: list[str] = field(default_factory=list)

    def sentences(self) -> list[str]:
        if not self.ambiguous:
            return []
        shown = ", ".join(self.ambiguous[:SHOWN]) + (" and others" if len(self.ambiguous) > SHOWN else "")
        why = "their name or id fits several people, or another id contradicts it"
        return [f"{len(self.ambiguous):,} people with faces are not matched, for {why}: {shown}"]


class _Groups:
    """Keys that were found to belong to the same person (union-find)."""

    def __init__(self) -> None:
        self.parent: dict[Key, Key] = {}

    def find(self, key: Key) -> Key:
        """The key that stands for the group."""
        while (above := self.parent.setdefault(key, key)) != key:
            self.parent[key] = self.parent[above]
            key = above
        return key

    def link(self, linked: Sequence[Key]) -> None:
        """Make one group of those of these keys."""
        for key in linked[1:]:
            self.parent[self.find(key)] = self.find(linked[0])


def _match(voices: dict[str, Row], faces: dict[str, Row], tables: Iterable[list[Row]]) -> _Match:
    """Compare everybody with everybody, through the keys they share."""
    known = [list(rows) for rows in tables]
    several = [_several(rows) for rows in (voices.values(), faces.values(), *known)]
    shared = {key for found in several for key in found if key[0] == "name"}
    groups = _Groups()
    for rows, unsure in zip(known, several[2:], strict=True):
        for row in rows:
            groups.link([key for key in keys(row) if key not in shared | unsure])
    keys_of = {id(row): _keys(identity, row, shared) for rows in (voices, faces) for identity, row in rows.items()}
    for linked in keys_of.values():
        groups.link(linked)
    heard: dict[Key, list[str]] = defaultdict(list)
    for identity, row in voices.items():
        heard[groups.find(keys_of[id(row)][0])].append(identity)
    of_voices = [*voices.values(), *(row for rows in known for row in rows if groups.find(keys(row)[0]) in heard)]
    doubtful = {key for row in of_voices for key in keys(row) if key in shared}
    match = _Match()
    for identity, row in faces.items():
        candidates = heard.get(groups.find(keys_of[id(row)][0]), [])
        if len(candidates) == 1 and compatible(voices[candidates[0]], row):
            match.pairs[identity] = candidates[0]
        elif candidates or doubtful.intersection(keys(row)):
            match.ambiguous.append(identity)
    return match


def _keys(identity: str, row: Row, shared: set[Key]) -> list[Key]:
    return [("identity", identity), *(key for key in keys(row) if key not in shared)]


def _several(rows: Iterable[Row]) -> set[Key]:
    """Names and ids that several people of one dataset or table bear."""
    bearers: dict[Key, set[tuple[str, ...]]] = defaultdict(set)
    for row in rows:
        who = tuple(row.get(column, "") for column in ("identity", "voxceleb_id", "vggface2_id", "vggface_id"))
        for key in keys(row):
            bearers[key].add(who)
    return {key for key, people in bearers.items() if len(people) > 1}


def _filled(people: dict[str, Row], others: dict[str, Row], pairs: dict[str, str]) -> dict[str, Row]:
    """People with empty columns filled; not the split, which is the dataset's own."""
    rows = {identity: dict(row) for identity, row in people.items()}
    for other, identity in pairs.items():
        for column, value in others[other].items():
            if value and column != "split" and not rows[identity].get(column):
                rows[identity][column] = value
    return rows


def _differing_genders(people: dict[str, Row], others: dict[str, Row], pairs: dict[str, str]) -> Iterator[str]:
    both = [
        (identity, people[identity].get("gender"), others[other].get("gender")) for other, identity in pairs.items()
    ]
    if differing := [(identity, one, other) for identity, one, other in both if one and other and one != other]:
        identity, one, other = differing[0]
        first = f"{identity} ({one} with the voice, {other} with the face)"
        yield f"the gender of {len(differing):,} people differs, first {first}; that of the voice is kept"


def _left_out(voices: Sources, people: dict[str, Row], faces: Sources, pairs: dict[str, str]) -> Iterator[str]:
    """Sentences about people and files without a counterpart."""
    faceless = [identity for identity in people if identity not in set(pairs.values())]
    if faceless:
        yield f"{len(faceless):,} of {len(people):,} people with voices have no face, first {faceless[0]}"
    voiceless = [identity for identity in faces.people if identity not in pairs]
    if voiceless:
        yield f"{len(voiceless):,} of {len(faces.people):,} people with faces have no voice, first {voiceless[0]}"
    if voices.faces:
        yield f"{len(voices.faces):,} faces of the dataset with the voices are not used: they come from the other one"
