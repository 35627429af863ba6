"""HQ-VoxCeleb: selected frontal faces of people of VoxCeleb1 and VoxCeleb2, in folders by name."""

from __future__ import annotations

import re
from pathlib import Path

from s2f.datasets import Row
from s2f.prepare.adaptors.celebrity_folders import COLUMNS, VOXCELEB_LICENCE, near, no_table, some_of, text_files
from s2f.prepare.sources.found import PICTURES, Adaptor, FaceSource, Sources, Tables, require_root, require_some
from s2f.prepare.sources.people_tables import HQ_VOX2, VOX1, complete, name_key

LAYOUT = ("vox1/ and vox2/, in each origin_faces/<Name>/*.jpg or masked_faces/<Name>/*.jpg",)
PEOPLE, FACES = 3638, 8028
OWN_SPLIT = {8: "test", 9: "val"}  # by the last digit of the row in the published table, from 0; the others train
_PATH = re.compile(r"(?:.*/)?(vox[12])/(origin|masked)_faces/([^/]+)/[^/]+")


def scan(root: Path, tables: Tables) -> Sources:
    """Find the pictures.

    Somebody's original pictures are taken where there are any, else those whose background is masked. The own split
    is that of SF2F: rows of vox1_meta.csv and of full_vox2_meta.csv whose number ends in 8 are test, in 9 val.

    Args:
        root: the folder with vox1 and vox2, or one of those.
        tables: where vox1_meta.csv and full_vox2_meta.csv are.

    Returns:
        A face per picture. Identities are names; if both halves have somebody of one name, the one of vox2 has
        " (vox2)" added.

    Raises:
        DatasetError: nothing is there, or a table is damaged.
        UsageError: no such folder.
    """
    sources = Sources(require_root(root))
    found: dict[tuple[str, str], dict[str, list[str]]] = {}
    for path in text_files(sources, PICTURES):
        if match := _PATH.fullmatch(f"{root.absolute().name}/{path}"):
            half, kind, name = match.groups()
            found.setdefault((half, name), {}).setdefault(kind, []).append(path)
        else:
            sources.passed_over.append((path, "not below vox1 or vox2 in origin_faces/<Name> or masked_faces/<Name>"))
    _add(found, sources, near(tables, root))
    sources.missing += some_of(len(sources.people), PEOPLE, "people")
    sources.missing += some_of(len(sources.faces), FACES, "pictures")
    return require_some(sources, "HQ-VoxCeleb", LAYOUT)


def _add(found: dict[tuple[str, str], dict[str, list[str]]], sources: Sources, tables: Tables) -> None:
    published = {"vox1": VOX1.find(tables), "vox2": HQ_VOX2.find(tables)}
    for half, table in (("vox1", VOX1), ("vox2", HQ_VOX2)):
        people: list[Row] = []
        split_of = _own_split(published[half])
        for (_, name), kinds in ((key, kinds) for key, kinds in found.items() if key[0] == half):
            identity = name if name not in sources.people else f"{name} ({half})"
            row = dict.fromkeys(COLUMNS, "") | {"identity": identity, "name": name.replace("_", " ")}
            row["vggface_id"] = name if half == "vox1" else ""
            row["split"] = split_of.get(name_key(name), "")
            sources.people[identity] = row
            people.append(row)
            used = kinds.get("origin") or kinds["masked"]
            sources.faces += [FaceSource(identity, path, framing="crop") for path in used]
            if "origin" in kinds:
                reason = "origin_faces has pictures of this person"
                sources.passed_over += [(path, reason) for path in kinds.get("masked", ())]
        complete(people, published[half])
        if people and not published[half]:
            sources.missing.append(f"{half}: {no_table(table, 'voxceleb_id', 'gender', 'split')}")


def _own_split(rows: list[Row]) -> dict[str, str]:
    """Split by name; a name that appears twice has the split of its first row."""
    splits: dict[str, str] = {}
    for number, row in enumerate(rows):
        splits.setdefault(name_key(row["name"]), OWN_SPLIT.get(number % 10, "train"))
    return splits


ADAPTOR = Adaptor(
    name="hq_voxceleb",
    title="HQ-VoxCeleb (Bai et al., 2022)",
    layout=LAYOUT,
    licence=VOXCELEB_LICENCE,
    needs="vox1_meta.csv and full_vox2_meta.csv to pair the names with the ids of VoxCeleb. It has no voices: `s2f "
    "prepare voxceleb1` and voxceleb2 take it as --faces hq_voxceleb.",
    scan=scan,
)
