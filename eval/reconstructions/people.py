"""Whom the reconstructions folder shows: one voice and one picture a person, and reading them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import Image

from s2f import audio
from s2f.datasets import DatasetFolder, Row, by_identity, name_of
from s2f.errors import AudioError, BadFile, DatasetError, ImageError, UsageError
from s2f.faces.images import load_image, resize, to_pil, to_tensor

LeftOut = list[tuple[str, str]]  # identity and reason


@dataclass(frozen=True)
class Sight:
    """A person and their picture, a row of faces.csv."""

    identity: str
    face: Row


@dataclass(frozen=True)
class Person(Sight):
    """A person, their picture and their voice, a row of voices.csv."""

    voice: Row


class Material(NamedTuple):
    """A person's voice, a clip for each length, and the picture, as in its file and at the size that is shown."""

    clips: Sequence[audio.Clip]
    picture: Image.Image
    shown: Image.Image


Known = TypeVar("Known", bound=Sight)
Read = TypeVar("Read")


def choose_people(data: DatasetFolder, split: str, people: int | None, seed: int) -> tuple[list[Person], LeftOut]:
    """People of a split, each with their first voice and their first picture, a canonical one before others.

    Args:
        data: dataset folder.
        split: train, val or test.
        people: a random choice of so many of those who have both; None is all of them. A smaller choice with the same
            seed is part of a larger one.
        seed: of the choice.

    Returns:
        The people, by name, and who has no voice or no picture.

    Raises:
        DatasetError: no voices or pictures in the split, fewer than two people with both, or names that cannot be
            those of files.
        UsageError: a seed below 0, fewer than two people, or more than there are.
    """
    voices = {name: rows[0] for name, rows in by_identity(data.voices(split)).items()}
    faces = {sight.identity: sight.face for sight in _first_faces(data, split)}
    left_out, found = [], []
    for name in data.identities(split):
        lacks = [kind for kind, rows in (("voice", voices), ("picture", faces)) if name not in rows]
        if lacks:
            left_out.append((name, f"no {' and no '.join(lacks)}"))
        else:
            found.append(Person(name, faces[name], voices[name]))
    _check_names(found, data)
    if seed < 0 or not 2 <= (len(found) if people is None else people) <= len(found):
        expected = f"2 to {len(found)} people, who have a voice and a picture, and a seed of 0 or more"
        raise UsageError(expected, f"{people} and {seed}", "ask for fewer, or leave --people out to take everybody")
    order = np.random.default_rng(seed).permutation(len(found))[:people]
    return [found[place] for place in sorted(order)], left_out


def training_sights(data: DatasetFolder) -> tuple[list[Sight], LeftOut]:
    """Training people with one picture each, and those who have none.

    Raises:
        DatasetError: no training people with pictures.
    """
    try:
        sights = _first_faces(data, "train")
    except DatasetError as error:
        fix = "name a dataset folder that has them with --training"
        raise DatasetError(
            f"pictures of training people for the controls in {data.root}", f"none ({error})", fix
        ) from error
    seen = {sight.identity for sight in sights}
    return sights, [(name, "no picture") for name in data.identities("train") if name not in seen]


def readable(
    items: Sequence[Known], read: Callable[[Known], Read], skip_bad: bool
) -> tuple[list[Known], list[Read], LeftOut]:
    """Those whose files can be used, what was read of them, and the others.

    Args:
        items: people.
        read: reads a person's files; raises BadFile where they cannot be used.
        skip_bad: leave such people out instead of stopping.

    Raises:
        BadFile: without `skip_bad`.
    """
    kept, found, left_out = [], [], []
    for item in items:
        try:
            found.append(read(item))
            kept.append(item)
        except BadFile as error:
            if not skip_bad:
                raise
            left_out.append((item.identity, str(error)))
    return kept, found, left_out


def read_picture(data: DatasetFolder, row: Row) -> Image.Image:
    """A picture as it is in its file, RGB; an alpha channel is ignored, as in training.

    Raises:
        BadFile: it cannot be read, or is not square.
    """
    try:
        picture = to_pil(load_image(data.path(row)))
        if picture.width != picture.height:
            got = f"{picture.width} x {picture.height} px"
            raise ImageError("a square crop of one face", got, "crop the face to a square first")
    except ImageError as error:
        raise BadFile.of(row["path"], error) from error
    return picture


def at_size(picture: Image.Image, size_px: int) -> Image.Image:
    """A square picture at another size; unchanged if it has it."""
    return to_pil(resize(to_tensor(picture)[None], size_px)[0])


def read_person(
    data: DatasetFolder, person: Person, seconds: Sequence[float], sample_rate_hz: int, size_px: int
) -> Material:
    """Read a person's voice, at every length, and picture.

    Raises:
        BadFile: one of them cannot be used, or nothing is heard in one of the lengths.
    """
    try:
        waveform = data.voice(person.voice, sample_rate_hz)
        clips = [audio.load((waveform, sample_rate_hz), sample_rate_hz, value) for value in seconds]
    except (AudioError, DatasetError) as error:
        raise BadFile.of(name_of(person.voice), error) from error
    picture = read_picture(data, person.face)
    return Material(clips, picture, at_size(picture, size_px))


def _first_faces(data: DatasetFolder, split: str) -> list[Sight]:
    groups = sorted(by_identity(data.faces(split)).items())
    return [
        Sight(name, next((row for row in rows if row.get("view") == "canonical"), rows[0])) for name, rows in groups
    ]


def _check_names(people: Sequence[Person], data: DatasetFolder) -> None:
    if len(people) < 2:
        got = f"{len(people)} in {data.root}"
        raise DatasetError("two people with a voice and a picture", got, "take another split or another folder")
    for name in (person.identity for person in people):
        if Path(name).name != name or name == "..":
            fix = "give that person another name in people.csv, voices.csv and faces.csv"
            raise DatasetError("identities that can be names of files", repr(name), fix)
