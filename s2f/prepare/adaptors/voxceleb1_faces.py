"""Faces of VoxCeleb1 (CMBiometrics): one picture a second of the films, cut out around the face."""

from __future__ import annotations

import re
from pathlib import Path

from s2f.prepare.adaptors.celebrity_folders import VOXCELEB_LICENCE, near, no_table, person, some_of, text_files
from s2f.prepare.sources.found import PICTURES, Adaptor, FaceSource, Sources, Tables, require_root, require_some
from s2f.prepare.sources.people_tables import VOX1, VOXCELEB1_IDS, complete

LAYOUT = ("[unzippedFaces/] <Name>/1.6/<video>/0000375.jpg", "<Name>/<video>/0000375.jpg")
FRAMES_PER_S = 25  # pictures are named after the number of their frame
PUBLISHED_FACTOR = 1.6  # side of the pictures over that of the face's box
_FACTOR = r"\d(?:\.\d+)?"
_PATH = re.compile(
    rf"(?:.*/)?(?P<folder>(?!{_FACTOR}/)[^/]+)/(?:(?P<factor>{_FACTOR})/(?P<video>[^/]+)|(?P<only_video>[\w-]{{11}}))"
    r"/(?P<number>\d+)\.[^./]+",
    re.ASCII,
)


def scan(root: Path, tables: Tables) -> Sources:
    """Find the pictures.

    Of a picture that is there with several crop factors the one nearest to 1.6 is taken.

    Args:
        root: the folder with the people, or one above it.
        tables: where vox1_meta.csv is.

    Returns:
        A face per picture; `video` is YouTube's id, `frame_s` the number over 25 frames a second. Somebody's identity
        is what the folder is called.

    Raises:
        DatasetError: nothing is there, or vox1_meta.csv is damaged.
        UsageError: no such folder.
    """
    sources = Sources(require_root(root))
    found: dict[tuple[str, str, str], list[re.Match[str]]] = {}
    for path in text_files(sources, PICTURES):
        if match := _PATH.fullmatch(path):
            key = (match["folder"], match["video"] or match["only_video"], match["number"])
            found.setdefault(key, []).append(match)
        else:
            sources.passed_over.append((path, "not <Name>/<factor>/<video>/<number of the frame>.jpg"))
    for (folder, video, number), matches in found.items():
        best, *others = sorted(matches, key=_distance)
        sources.passed_over += [(other.string, f"the same picture as {best.string}") for other in others]
        columns = {"factor": best["factor"]} if best["factor"] else {}
        face = FaceSource(folder, best.string, video, "crop", frame_s=int(number) / FRAMES_PER_S, columns=columns)
        sources.faces.append(face)
        sources.people.setdefault(folder, person(folder))
    known = VOX1.find(near(tables, root))
    complete(sources.people.values(), known)
    if not known:
        sources.missing.append(no_table(VOX1, "voxceleb_id", "gender", "nationality"))
    sources.missing += some_of(len(sources.people), len(VOXCELEB1_IDS), "people")
    return require_some(sources, "the faces of VoxCeleb1", LAYOUT)


def _distance(match: re.Match[str]) -> float:
    return abs(float(match["factor"] or PUBLISHED_FACTOR) - PUBLISHED_FACTOR)


ADAPTOR = Adaptor(
    name="voxceleb1_faces",
    title="Faces of VoxCeleb1, one a second (CMBiometrics; Nagrani et al., 2018)",
    layout=LAYOUT,
    licence=VOXCELEB_LICENCE,
    needs="vox1_meta.csv to pair the names with the ids of VoxCeleb1. It has no voices: `s2f prepare voxceleb1` takes "
    "it as --faces voxceleb1_faces.",
    scan=scan,
)
