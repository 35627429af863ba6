"""VoxCeleb2: parts of interviews, the sound as m4a and the tracked face as a film of 224 x 224 px."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from s2f.prepare.adaptors.celebrity_folders import VOXCELEB_LICENCE, near, no_table, part, person, some_of, text_files
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
from s2f.prepare.sources.people_tables import HQ_VOX2, VGGFACE2, VOX2, complete, voxceleb1_id

LAYOUT = (
    "[dev/ and test/] aac/id00012/<video>/00001.m4a",
    "[dev/ and test/] wav/id00012/<video>/00001.wav",
    "[dev/ and test/] mp4/id00012/<video>/00001.mp4",
)
PEOPLE = {"train": 5994, "test": 118}
RECORDINGS = 1_128_246
AAC = (".m4a", ".aac")
_PATH = re.compile(r"(?:(?P<above>.*)/)?(?P<folder>id\d{5})/(?P<video>[^/]+)/(?P<number>\d+)\.[^./]+", re.ASCII)
_Part = tuple[str, str, str]


def scan(root: Path, tables: Tables) -> Sources:
    """Find the recordings and the films.

    The sound of a part is taken from its m4a file, without that from its wav file, without both from its film.

    Args:
        root: the folder with dev and test, or one of those, or the one with the people.
        tables: where vox2_meta.csv is, and identity_meta.csv of VGGFace2 for the names.

    Returns:
        A voice per part, and a face per film; `video` is YouTube's id.

    Raises:
        DatasetError: nothing is there, or a table is damaged.
        UsageError: no such folder.
    """
    sources = Sources(require_root(root))
    found = _find(sources)
    for (folder, video, _), paths in found.items():
        paths.sort(key=_rank)
        films = [path for path in paths if _rank(path)[0] == 2]
        sources.voices.append(VoiceSource(folder, paths[0], video))
        if films:
            sources.faces.append(FaceSource(folder, films[0], video, "crop"))
        unused = [path for path in paths[1:] if path not in films[:1]]
        sources.passed_over += [(path, f"the same recording as {paths[0]}") for path in unused]
    _complete(sources, near(tables, root))
    sources.missing += some_of(len(sources.voices), RECORDINGS, "recordings")
    sources.missing += _missing_people(sources)
    return require_some(sources, "VoxCeleb2", LAYOUT)


def _find(sources: Sources) -> dict[_Part, list[str]]:
    """The files of every part."""
    found: dict[_Part, list[str]] = {}
    for path in text_files(sources, AUDIO + VIDEO):
        match = _PATH.fullmatch(path)
        if match and not voxceleb1_id(match["folder"]):
            folder, video = sys.intern(match["folder"]), sys.intern(match["video"])  # a million of them
            found.setdefault((folder, video, match["number"]), []).append(path)
            sources.people.setdefault(folder, person(folder, split=part((match["above"] or "").split("/"))))
        else:
            reason = f"{match['folder']} is of VoxCeleb1" if match else "not <id>/<video>/<number>.m4a, .wav or .mp4"
            sources.passed_over.append((path, reason))
    return found


def _rank(path: str) -> tuple[int, str]:
    """Order in which the files of a part are taken for its sound."""
    kind = 0 if path.lower().endswith(AAC) else 2 if is_film(path) else 1
    return kind, path


def _complete(sources: Sources, tables: Tables) -> None:
    known = VOX2.find(tables)
    complete(sources.people.values(), known, HQ_VOX2.find(tables), VGGFACE2.find(tables))
    if not known:
        sources.missing.append(no_table(VOX2, "gender", "vggface2_id"))
    if not any(row["name"] for row in sources.people.values()):
        sources.missing.append(no_table(VGGFACE2, "name"))


def _missing_people(sources: Sources) -> list[str]:
    """Sentences about people and kinds of files of which there is nothing."""
    sentences = some_of(len(sources.people), sum(PEOPLE.values()), "people")
    splits = [row["split"] for row in sources.people.values()]
    for split, name in (("train", "dev"), ("test", "test")):
        if "" not in splits and split not in splits:
            sentences.append(f"nobody of the {name} part ({PEOPLE[split]:,} people)")
    if not sources.faces:
        sentences.append("no films (mp4), so there are no faces")
    return sentences


ADAPTOR = Adaptor(
    name="voxceleb2",
    title="VoxCeleb2 (Chung et al., 2018)",
    layout=LAYOUT,
    licence=VOXCELEB_LICENCE,
    needs="vox2_meta.csv for genders and the ids of VGGFace2; identity_meta.csv of VGGFace2 for names. Without the mp4 "
    "films add faces with --faces vggface2 or hq_voxceleb.",
    scan=scan,
)
