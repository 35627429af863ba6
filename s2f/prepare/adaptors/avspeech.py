"""AVSpeech: a list of parts of YouTube videos, and the clips that the user has downloaded.

The list names no people. The clips of one video are taken as one person's, which is right for most talks and
lectures and wrong where several people speak in turn.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from s2f.errors import DatasetError
from s2f.prepare.adaptors.celebrity_folders import text_files
from s2f.prepare.sources.found import (
    AUDIO,
    VIDEO,
    Adaptor,
    FaceSource,
    Sources,
    Tables,
    VoiceSource,
    is_film,
    require_root,
    require_some,
)
from s2f.prepare.sources.published_tables import bad_line, table_lines

LISTS = {"train": "avspeech_train.csv", "test": "avspeech_test.csv"}
LAYOUT = (
    "avspeech_train.csv, avspeech_test.csv: YouTube id, start s, end s, x, y of the face's centre (no header)",
    "**/<YouTube id>_<start>_<end>.mp4 (or .wav, .m4a …): one clip, already cut",
    "**/<YouTube id>.mp4 (or .wav, .m4a …): a whole video, of which the listed parts are taken",
)
_TIME = r"(\d+(?:\.\d+)?)"
_NAME = re.compile(rf"([\w-]{{11}})(?:[_-]{_TIME}[_-]{_TIME})?", re.ASCII)
_ROUNDED_S = 1e-3  # names are never taken as finer than this


@dataclass(frozen=True)
class _File:
    """A file of the copy; without `part_s` it is a whole video. Names round times to `precision_s`, or cut them off."""

    path: str
    part_s: tuple[float, float] | None
    precision_s: float

    @property
    def rank(self) -> tuple[bool, bool]:
        """Order of preference for the sound: cut clips, then sound files."""
        return self.part_s is None, is_film(self.path)


@dataclass
class _Part:
    """A line of the list for which there are files."""

    identity: str
    start_s: float
    end_s: float
    centre: tuple[float, float]
    split: str
    files: list[_File] = field(default_factory=list)


def scan(root: Path, tables: Tables) -> Sources:
    """Find the downloaded clips that the list names.

    Args:
        root: folder of the clips.
        tables: where the lists are.

    Returns:
        A voice per part with sound, and a face per part with a film. `video` is `<YouTube id>_<start>`.

    Raises:
        DatasetError: no list, a damaged one, or no clip that it names.
        UsageError: no such folder.
    """
    sources = Sources(require_root(root))
    tables = replace(tables, folders=(root, *tables.folders))
    lists = {split: path for split, name in LISTS.items() if (path := tables.find(name))}
    if not lists:
        expected = f"{' or '.join(LISTS.values())} in {root}, or named with --metadata"
        raise DatasetError(expected, "neither", "the clips' parts and the faces' places are read there; fetch it")
    sources.missing += [f"{name} is not there" for split, name in LISTS.items() if split not in lists]
    on_disk = _files(sources)
    parts, listed = _listed(lists, on_disk)
    _assign(parts, on_disk, sources)
    used = [part for part in parts if part.files]
    taken = {path for part in used for path in _add(part, sources)}
    spare = {file.path for part in used for file in part.files} - taken
    sources.passed_over += [(path, "another file of the same clip is taken") for path in sorted(spare)]
    if len(used) < listed:
        sources.missing.append(f"{len(used):,} of {listed:,} listed clips are on disk")
    return require_some(sources, "AVSpeech", LAYOUT)


def _files(sources: Sources) -> dict[str, list[_File]]:
    """Files by YouTube id."""
    found: dict[str, list[_File]] = defaultdict(list)
    for path in text_files(sources, AUDIO + VIDEO):
        match = _NAME.fullmatch(Path(path).stem)
        if not match:
            sources.passed_over.append((path, "its name is not <YouTube id>_<start>_<end> or <YouTube id>"))
            continue
        identity, *times = match.groups()
        part = None if times[0] is None else (float(times[0]), float(times[1]))
        precision = max(max((10.0 ** -len(time.partition(".")[2]) for time in times if time), default=0), _ROUNDED_S)
        found[identity].append(_File(path, part, precision))
    return found


def _listed(lists: dict[str, Path], on_disk: dict[str, list[_File]]) -> tuple[list[_Part], int]:
    """Parts of the videos of which there are files, and how many parts are listed in all."""
    known: dict[tuple[str, float, float], _Part] = {}
    count = 0
    for split, path in lists.items():
        for part in _parts(path, split):
            key = (part.identity, part.start_s, part.end_s)
            count += key not in known
            if part.identity in on_disk:
                known.setdefault(key, part)
    return list(known.values()), count


def _parts(path: Path, split: str) -> Iterator[_Part]:
    for number, cells in table_lines(path):
        try:
            start, end, x, y = (float(cell) for cell in cells[1:])
        except ValueError as error:
            if number == 1 and not any(letter.isdigit() for cell in cells[1:] for letter in cell):
                continue  # somebody added a header
            raise bad_line(path, number, "YouTube id, start s, end s, x, y", cells) from error
        if not (cells[0] and 0 <= start < end < math.inf and math.isfinite(x) and math.isfinite(y)):
            raise bad_line(path, number, "YouTube id, a start before the end, and the place of the face", cells)
        yield _Part(cells[0], start, end, (x, y), split)


def _assign(parts: list[_Part], on_disk: dict[str, list[_File]], sources: Sources) -> None:
    """Give every file to the parts it holds: a cut clip to the nearest one, a whole video to all of its parts."""
    by_video: dict[str, list[_Part]] = defaultdict(list)
    for part in parts:
        by_video[part.identity].append(part)
    for identity, found in on_disk.items():
        for file in found:
            near = by_video[identity]
            if file.part_s is not None:
                near = sorted(near, key=lambda part: _distance_s(part, file))[:1]
                near = [part for part in near if _distance_s(part, file) < file.precision_s]
            for part in near:
                part.files.append(file)
            if not near:
                sources.passed_over.append((file.path, "no list names this clip"))


def _distance_s(part: _Part, file: _File) -> float:
    start, end = file.part_s or (part.start_s, part.end_s)
    return max(abs(part.start_s - start), abs(part.end_s - end))


def _add(part: _Part, sources: Sources) -> set[str]:
    """Add a part's voice and face; return the files they come from."""
    video = f"{part.identity}_{_short(part.start_s)}"
    sources.people.setdefault(part.identity, {"identity": part.identity, "split": part.split})
    ranked = sorted(part.files, key=lambda file: file.rank)
    sound, films = ranked[0], [file for file in ranked if is_film(file.path)]
    sources.voices.append(VoiceSource(part.identity, sound.path, video, *_span(sound, part)))
    if films:
        start, end = _span(films[0], part)
        sources.faces.append(FaceSource(part.identity, films[0].path, video, "scene", start, end, part.centre))
    return {file.path for file in (sound, *films[:1])}


def _span(file: _File, part: _Part) -> tuple[float, float | None]:
    return (part.start_s, part.end_s) if file.part_s is None else (0.0, None)


def _short(seconds: float) -> str:
    return f"{seconds:.6f}".rstrip("0").rstrip(".")


ADAPTOR = Adaptor(
    name="avspeech",
    title="AVSpeech (Ephrat et al., 2018)",
    layout=LAYOUT,
    licence="lists: CC BY 4.0, Google; the videos are their uploaders', under YouTube's terms",
    needs="avspeech_train.csv or avspeech_test.csv, and clips that you have downloaded yourself. "
    "It names no people: the clips of one video are taken as one person's. It has no genders.",
    scan=scan,
)
