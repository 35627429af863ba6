"""VGGFace2: loosely cropped pictures from the web, in folders by id."""

from __future__ import annotations

import re
from pathlib import Path

from s2f.prepare.adaptors.celebrity_folders import VGGFACE_LICENCE, near, no_table, part, person, some_of, text_files
from s2f.prepare.sources.found import PICTURES, Adaptor, FaceSource, Sources, Tables, require_root, require_some
from s2f.prepare.sources.people_tables import VGGFACE2, VOX2, complete

LAYOUT = ("[train/ and test/] n000001/0001_01.jpg",)
PEOPLE = {"train": 8631, "test": 500}
_PATH = re.compile(r"(?:(?P<above>.*)/)?(?P<folder>n\d{6})/\d+_\d+\.[^./]+", re.ASCII)


def scan(root: Path, tables: Tables) -> Sources:
    """Find the pictures.

    Args:
        root: the folder with train and test, or one of those.
        tables: where identity_meta.csv is, and vox2_meta.csv for the ids of VoxCeleb2.

    Returns:
        A face per picture. The crop is loose and may hold several faces, so it is searched. The own split is the
        folder, or without train and test folders that of identity_meta.csv.

    Raises:
        DatasetError: nothing is there, or a table is damaged.
        UsageError: no such folder.
    """
    sources = Sources(require_root(root))
    for path in text_files(sources, PICTURES):
        if match := _PATH.fullmatch(path):
            sources.faces.append(FaceSource(match["folder"], path))
            sources.people.setdefault(match["folder"], person(match["folder"]))
            row = sources.people[match["folder"]]
            row["split"] = row["split"] or part((match["above"] or "").split("/"))
        else:
            sources.passed_over.append((path, "not n<6 digits>/<picture>_<face>.jpg"))
    places = near(tables, root)
    known = VGGFACE2.find(places)
    complete(sources.people.values(), known, VOX2.find(places))
    if not known:
        sources.missing.append(no_table(VGGFACE2, "name", "gender"))
    sources.missing += some_of(len(sources.people), sum(PEOPLE.values()), "people")
    splits = {row["split"] for row in sources.people.values()}
    lacking = [split for split in PEOPLE if "" not in splits and split not in splits]
    sources.missing += [f"nobody of the {split} part ({PEOPLE[split]:,} people)" for split in lacking]
    return require_some(sources, "VGGFace2", LAYOUT)


ADAPTOR = Adaptor(
    name="vggface2",
    title="VGGFace2 (Cao et al., 2018)",
    layout=LAYOUT,
    licence=VGGFACE_LICENCE,
    needs="identity_meta.csv for names and genders. It has no voices: `s2f prepare voxceleb2` takes it as --faces "
    "vggface2 with vox2_meta.csv at hand, and voxceleb1 by name.",
    scan=scan,
)
