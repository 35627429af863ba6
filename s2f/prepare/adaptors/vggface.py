"""VGGFace: pictures from the web in folders by name; and VGG_ALL_FRONTAL, its aligned frontal faces."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path

from s2f.errors import DatasetError
from s2f.prepare.adaptors.celebrity_folders import VGGFACE_LICENCE, near, no_table, person, some_of, text_files
from s2f.prepare.sources.found import (
    PICTURES,
    Adaptor,
    FaceSource,
    Framing,
    Sources,
    Tables,
    require_root,
    require_some,
)
from s2f.prepare.sources.people_tables import VOX1, complete

LAYOUT = ("<Name>/*.jpg",)
FRONTAL = "VGG_ALL_FRONTAL"
FRONTAL_LAYOUT = (f"[{FRONTAL}/] <Name>/00000819.jpg",)
PEOPLE = {"scene": 2622, "crop": 1225}


def scan(root: Path, tables: Tables, framing: Framing) -> Sources:
    """Find the pictures: the folder a picture lies in bears the person's name.

    All people's folders lie equally deep, as most pictures do; other pictures are passed over.

    Args:
        root: the folder with the people, or one above it.
        tables: where vox1_meta.csv is.
        framing: "scene" for pictures as they were on the web, "crop" for VGG_ALL_FRONTAL.

    Returns:
        A face per picture.

    Raises:
        DatasetError: nothing is there, vox1_meta.csv is damaged, or VGG_ALL_FRONTAL is to be read as scenes.
        UsageError: no such folder.
    """
    sources = Sources(require_root(root))
    paths = [path.split("/") for path in text_files(sources, PICTURES)]
    above = {root.absolute().name, *(name for parts in paths for name in parts[:-1])}
    if framing == "scene" and FRONTAL in map(str.upper, above):
        fix = "run `s2f prepare vgg_all_frontal`, or name it with --faces vgg_all_frontal"
        raise DatasetError("pictures of VGGFace as they were on the web", f"cropped faces, {FRONTAL}, in {root}", fix)
    depths = Counter(len(parts) for parts in paths if len(parts) > 1)
    depth = max(depths, key=lambda depth: (depths[depth], -depth), default=0)
    for parts in paths:
        path = "/".join(parts)
        if len(parts) == depth:
            sources.faces.append(FaceSource(parts[-2], path, framing=framing))
            sources.people.setdefault(parts[-2], person(parts[-2]))
        else:
            sources.passed_over.append((path, "not in the folder of a person: those lie on another level"))
    known = VOX1.find(near(tables, root))
    complete(sources.people.values(), known)
    if not known:
        sources.missing.append(no_table(VOX1, "voxceleb_id", "gender", "nationality"))
    sources.missing += some_of(len(sources.people), PEOPLE[framing], "people")
    return require_some(sources, "VGGFace" if framing == "scene" else FRONTAL, LAYOUT)


ADAPTOR = Adaptor(
    name="vggface",
    title="VGGFace (Parkhi et al., 2015)",
    layout=LAYOUT,
    licence=VGGFACE_LICENCE,
    needs="vox1_meta.csv to pair the names with the ids of VoxCeleb1. It has no voices: `s2f prepare voxceleb1` takes "
    "it as --faces vggface.",
    scan=partial(scan, framing="scene"),
)
ALL_FRONTAL = Adaptor(
    name="vgg_all_frontal",
    title="VGG_ALL_FRONTAL: aligned frontal faces of VGGFace (Wen et al., 2019)",
    layout=FRONTAL_LAYOUT,
    licence=VGGFACE_LICENCE,
    needs="vox1_meta.csv to pair the names with the ids of VoxCeleb1. It has no voices: `s2f prepare voxceleb1` takes "
    "it as --faces vgg_all_frontal.",
    scan=partial(scan, framing="crop"),
)
