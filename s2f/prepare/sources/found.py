"""What an adaptor finds in somebody's copy of a dataset, before anything is decoded."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from s2f.datasets import Row
from s2f.errors import DatasetError, UsageError

Framing = Literal["scene", "crop"]
AUDIO = (".wav", ".flac", ".m4a", ".mp3", ".ogg", ".opus", ".aac", ".webm")
VIDEO = (".mp4", ".flv", ".mkv", ".webm", ".mov", ".avi")
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


@dataclass(frozen=True)
class VoiceSource:
    """A recording, or the sound of a film.

    Attributes:
        identity: whose voice.
        path: the file, relative to the root, "/" between its parts.
        video: where it was cut from; a voice and a face with the same identity and video belong together.
        start_s: the part to keep begins here.
        end_s: and ends here; None: at the end of the file.
        columns: further columns of voices.csv.
    """

    identity: str
    path: str
    video: str = ""
    start_s: float = 0.0
    end_s: float | None = None
    columns: Row = field(default_factory=dict)


@dataclass(frozen=True)
class FaceSource:
    """A picture, or a film to take pictures from.

    Attributes:
        identity: whose face.
        path: the file, relative to the root, "/" between its parts.
        video: as in `VoiceSource`.
        framing: "crop": the dataset has cut the face out already and its framing is kept; "scene": find it first.
        start_s: the part of a film to look at begins here.
        end_s: and ends here; None: at the end of the film.
        centre: (x, y) of the face as shares of the picture's width and height, if the dataset says.
        box: left, top, right, bottom of the face in pixels, if the dataset says; then nothing is searched.
        frame_s: when a picture was taken from its video, if known.
        columns: further columns of faces.csv.
    """

    identity: str
    path: str
    video: str = ""
    framing: Framing = "scene"
    start_s: float = 0.0
    end_s: float | None = None
    centre: tuple[float, float] | None = None
    box: tuple[float, float, float, float] | None = None
    frame_s: float | None = None
    columns: Row = field(default_factory=dict)


@dataclass
class Sources:
    """Everything an adaptor found.

    Attributes:
        root: the copy.
        people: row of people.csv by identity. `split` is the dataset's own (train, val, test or empty). Names by which
            other datasets know the person are columns too: `name`, `voxceleb_id`, `vggface_id`, `vggface2_id`.
        voices: recordings.
        faces: pictures and films.
        missing: one sentence for everything the published dataset has and this copy lacks.
        passed_over: (path relative to the root, reason) of files that look like data and are not used.
        faces_root: what the paths of `faces` are relative to, if that is another folder (see `join`); None: `root`.
    """

    root: Path
    people: dict[str, Row] = field(default_factory=dict)
    voices: list[VoiceSource] = field(default_factory=list)
    faces: list[FaceSource] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    passed_over: list[tuple[str, str]] = field(default_factory=list)
    faces_root: Path | None = None


@dataclass(frozen=True)
class Tables:
    """Published tables (vox1_meta.csv and the like): named by the user, or lying about in the copy.

    Attributes:
        named: files or folders the user named; a file is found by its name, whatever folder it lies in.
        folders: where else to look, in this order.
    """

    named: tuple[Path, ...] = ()
    folders: tuple[Path, ...] = ()

    def find(self, *names: str) -> Path | None:
        """First existing file of one of these names (case does not matter); None if there is none.

        Raises:
            DatasetError: a file or folder the user named does not exist.
        """
        for path in self.named:
            if not path.exists():
                raise DatasetError("existing files or folders as --metadata", f"none at {path}", "check the spelling")
        wanted = {name.lower() for name in names}
        given = [path for path in self.named if path.is_file() and path.name.lower() in wanted]
        places = [path for path in self.named if path.is_dir()] + list(self.folders)
        lying = (path for place in places for path in entries(place) if path.is_file() and path.name.lower() in wanted)
        return next(iter(given), None) or next(lying, None)


@dataclass(frozen=True)
class Adaptor:
    """How one published dataset lies on disk.

    Attributes:
        name: as in `s2f prepare NAME ROOT OUT`.
        title: of the dataset.
        layout: folders and files that are read, one line each.
        licence: under which terms it is given out, as far as known.
        needs: what to have besides the files: published tables, extras.
        scan: reads a copy; it decodes nothing and writes nothing.
    """

    name: str
    title: str
    layout: tuple[str, ...]
    licence: str
    needs: str
    scan: Callable[[Path, Tables], Sources]


def is_film(path: str) -> bool:
    """Whether a file is a film, by the name of the file."""
    return path.lower().endswith(VIDEO)


def entries(folder: Path) -> list[Path]:
    """What lies in a folder, sorted by name, without hidden entries; empty if there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted((path for path in folder.iterdir() if not path.name.startswith(".")), key=lambda path: path.name)


def files(root: Path, folder: Path, suffixes: Sequence[str]) -> Iterator[str]:
    """Paths relative to `root`, with "/", of the files below `folder` that have one of the suffixes, sorted.

    Hidden files and folders are left out, and so are macOS's `__MACOSX` folders. Links to folders are followed.
    """
    for place, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__MACOSX")
        for name in sorted(names):
            if not name.startswith(".") and name.lower().endswith(tuple(suffixes)):
                yield Path(place, name).relative_to(root).as_posix()


def require_some(sources: Sources, adaptor: str, layout: Iterable[str]) -> Sources:
    """Return what was found.

    Raises:
        DatasetError: nothing was found: another folder, or another dataset.
    """
    if not sources.voices and not sources.faces:
        expected = f"a copy of {adaptor} below {sources.root}: " + ", or ".join(layout)
        raise DatasetError(expected, "no such files", "name the folder that holds them, or see `s2f prepare --list`")
    return sources


def require_root(root: Path) -> Path:
    """Return an existing folder.

    Raises:
        UsageError: there is none.
    """
    if not root.is_dir():
        raise UsageError("an existing folder as ROOT", f"none at {root}", "check the spelling")
    return root
