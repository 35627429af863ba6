"""From what an adaptor found to jobs: one file to read each, and the names of what it will become."""

from __future__ import annotations

import hashlib
import json
import math
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from posixpath import splitext
from typing import Generic, Literal, NamedTuple, TypeVar

from s2f.prepare.sources.found import FaceSource, Sources, VoiceSource, is_film

BUCKET_DIGITS = 3
LONGEST_NAME = 200  # bytes; file systems take 255, and marks and temporary names need some
Kind = Literal["voice", "face", "scan"]
Source = TypeVar("Source", VoiceSource, FaceSource)


class Unused(NamedTuple):
    """A row of errors.csv.

    Attributes:
        source: the file, relative to the root.
        kind: voice, face, or scan for files that no job was made of.
        reason: why it is not used.
    """

    source: str
    kind: Kind
    reason: str


@dataclass(frozen=True)
class Job(Generic[Source]):
    """One file to read.

    Attributes:
        kind: voice or face.
        source: the file, and which part of it.
        stem: of the files to write, relative to the dataset folder, "/" between its parts.
        key: text of everything that decides the result, besides the settings of the whole folder.
    """

    kind: Kind
    source: Source
    stem: str
    key: str

    @property
    def bucket(self) -> str:
        """Group of jobs whose results lie in one file: it depends on the key alone."""
        return hashlib.sha256(self.key.encode()).hexdigest()[:BUCKET_DIGITS]


def plan_jobs(sources: Sources, frames_per_clip: int) -> tuple[list[Job], list[Unused]]:
    """Make jobs; neither the order of the sources nor anything but the sources decides them.

    What is written is called like its source. Where two would be called alike, also if only upper and lower case tell
    them apart, parts of one file get the millisecond of their start, files their suffix, and what is left a hash.

    Args:
        sources: what an adaptor found.
        frames_per_clip: pictures taken from each film.

    Returns:
        The jobs, sorted by what they write; and what cannot become one: names that are not UTF-8, longer than 200
        bytes, or outside the root.
    """
    voices, bad_voices = _usable("voice", sources.voices)
    faces, bad_faces = _usable("face", sources.faces)
    jobs = _named("voice", voices, frames_per_clip) + _named("face", faces, frames_per_clip)
    scanned = [Unused(printable(path), "scan", printable(reason)) for path, reason in sources.passed_over]
    return sorted(jobs, key=lambda job: job.stem), [*bad_voices, *bad_faces, *scanned]


def output_names(job: Job, frames_per_clip: int) -> list[str]:
    """Names of the files a job writes, relative to the dataset folder."""
    return [job.stem + ending for ending in _endings(job.source, frames_per_clip)]


def printable(text: str) -> str:
    """The text; bytes of a file name that are not UTF-8 are spelt as a backslash, an x and two digits."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half a character, from a damaged table
        return text.encode("utf-8", "backslashreplace").decode()


def _usable(kind: Kind, sources: Sequence[Source]) -> tuple[dict[str, Source], list[Unused]]:
    """Sources by a text that tells each from all others, and those that are refused."""
    usable, refused = {}, []
    for source in sources:
        text = json.dumps(vars(source), sort_keys=True, ensure_ascii=False)
        if reason := _refusal(source, text):
            refused.append(Unused(printable(source.path), kind, reason))
        else:
            usable[text] = source
    return usable, refused


def _refusal(source: VoiceSource | FaceSource, text: str) -> str:
    parts = source.path.split("/")
    if printable(text) != text:
        return "expected a name in UTF-8, got other bytes; rename the file or folder"
    if not all(parts) or {".", ".."} & set(parts):
        return "expected a path below the root, got one outside; correct the list that names it"
    if any(len(part.encode()) > LONGEST_NAME for part in parts):
        return f"expected names of at most {LONGEST_NAME} bytes, got a longer one; rename the file or folder"
    end_s = math.inf if source.end_s is None else source.end_s
    if not 0 <= source.start_s < end_s:
        got = f"{source.start_s} s to {source.end_s} s"
        return f"expected a part that starts at 0 s or later and ends after its start, got {got}; correct the list"
    return ""


def _named(kind: Kind, sources: dict[str, Source], frames_per_clip: int) -> list[Job]:
    """Jobs whose files have names of their own."""
    listed = list(sources.values())
    starts = defaultdict(set)
    for source in listed:
        starts[source.path].add(source.start_s)
    stems = []
    for source in listed:
        part = f"_{round(1000 * source.start_s)}" if len(starts[source.path]) > 1 else ""
        stems.append(f"{kind}s/{splitext(source.path)[0]}{part}")
    endings = [_endings(source, frames_per_clip) for source in listed]
    suffixes = [splitext(source.path)[1].replace(".", "_") for source in listed]
    hashes = ["_" + hashlib.sha256(text.encode()).hexdigest()[:8] for text in sources]
    for marks in chain([suffixes], repeat(hashes)):
        if not (alike := _alike(stems, endings)):
            break
        for k in alike:
            stems[k] += marks[k]
    return [Job(kind, source, stem, _key(kind, source, stem)) for source, stem in zip(listed, stems, strict=True)]


def _endings(source: VoiceSource | FaceSource, frames_per_clip: int) -> list[str]:
    if isinstance(source, VoiceSource):
        return [".flac"]
    return [f"_{k}.jpg" for k in range(frames_per_clip)] if is_film(source.path) else [".jpg"]


def _alike(stems: Sequence[str], endings: Sequence[list[str]]) -> set[int]:
    """Numbers of the sources whose files some file systems could not tell apart, or take for another's folder."""
    plain = [unicodedata.normalize("NFC", stem).casefold() for stem in stems]
    folders: set[str] = set()
    for stem in plain:
        folder = stem.rpartition("/")[0]
        while folder and folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    owners = defaultdict(list)
    for k, stem in enumerate(plain):
        for ending in endings[k]:
            owners[stem + ending].append(k)
    return {k for name, group in owners.items() if len(group) > 1 or name in folders for k in group}


def _key(kind: Kind, source: VoiceSource | FaceSource, stem: str) -> str:
    decides = {"kind": kind, "path": source.path, "stem": stem, "start_s": source.start_s, "end_s": source.end_s}
    if isinstance(source, FaceSource):
        decides |= {"framing": source.framing, "centre": source.centre, "box": source.box}
    return json.dumps(decides, sort_keys=True, ensure_ascii=False)
