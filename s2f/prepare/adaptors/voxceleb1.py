"""VoxCeleb1: parts of interviews as wav files, in folders by id or, in the first release, by name."""

from __future__ import annotations

import re
from pathlib import Path

from s2f.prepare.adaptors.celebrity_folders import VOXCELEB_LICENCE, near, no_table, part, person, some_of, text_files
from s2f.prepare.sources.found import AUDIO, Adaptor, Sources, Tables, VoiceSource, require_root, require_some
from s2f.prepare.sources.people_tables import VOX1, VOXCELEB1_IDS, complete, voxceleb1_id

LAYOUT = (
    "[dev/ and test/] wav/id10001/<video>/00001.wav (since release 1.1)",
    "<Name>/<video>_0000001.wav (first release)",
)
RECORDINGS = 153_516  # since release 1.1
TEST_IDS = range(10270, 10310)  # the people whose names begin with E
_BY_ID = re.compile(r"(?:(?P<above>.*)/)?(?P<folder>id\d{5})/(?P<video>[^/]+)/(?P<number>\d+)\.[^./]+", re.ASCII)
_BY_NAME = re.compile(r"(?:(?P<above>.*)/)?(?P<folder>[^/]+)/(?P<video>[^/]+)_(?P<number>\d{7})\.[^./]+", re.ASCII)


def scan(root: Path, tables: Tables) -> Sources:
    """Find the recordings.

    Args:
        root: the folder with the wav folder or with dev and test, or the one with the people.
        tables: where vox1_meta.csv is.

    Returns:
        A voice per recording; `video` is YouTube's id. Somebody's identity is what the folder is called.

    Raises:
        DatasetError: nothing is there, or vox1_meta.csv is damaged.
        UsageError: no such folder.
    """
    sources = Sources(require_root(root))
    by_id, by_name = _find(sources)
    if by_id:
        reason = "the first release of VoxCeleb1; a later one lies beside it"
        sources.passed_over += [(match.string, reason) for match in by_name]
    _add(by_id or by_name, sources)
    known = VOX1.find(near(tables, root))
    complete(sources.people.values(), known)
    if not known:
        lacks = ("name", "vggface_id", "gender", "nationality") if by_id else ("voxceleb_id", "gender", "nationality")
        sources.missing.append(no_table(VOX1, *lacks))
    if by_id:
        sources.missing += some_of(len(sources.voices), RECORDINGS, "recordings")
    sources.missing += _missing_people(sources)
    return require_some(sources, "VoxCeleb1", LAYOUT)


def _find(sources: Sources) -> tuple[list[re.Match[str]], list[re.Match[str]]]:
    """Recordings of either release."""
    by_id, by_name = [], []
    for path in text_files(sources, AUDIO):
        if match := _BY_ID.fullmatch(path):
            if voxceleb1_id(match["folder"]):
                by_id.append(match)
            else:
                sources.passed_over.append((path, f"{match['folder']} is nobody of VoxCeleb1"))
        elif match := _BY_NAME.fullmatch(path):
            by_name.append(match)
        else:
            sources.passed_over.append((path, "neither <id>/<video>/<number>.wav nor <Name>/<video>_<number>.wav"))
    return by_id, by_name


def _add(found: list[re.Match[str]], sources: Sources) -> None:
    seen: dict[tuple[str, str, str], str] = {}
    for match in found:
        above, folder, video, number = match.groups()
        first = seen.setdefault((folder, video, number), match.string)
        if first != match.string:
            sources.passed_over.append((match.string, f"the same recording as {first}"))
            continue
        sources.people.setdefault(folder, person(folder, split=part((above or "").split("/"))))
        sources.voices.append(VoiceSource(folder, match.string, video))


def _missing_people(sources: Sources) -> list[str]:
    """Sentences about people of whom there is nothing."""
    sentences = some_of(len(sources.people), len(VOXCELEB1_IDS), "people")
    ids = {int(row["voxceleb_id"][2:]) for row in sources.people.values() if row["voxceleb_id"]}
    for name, numbers in (("dev", set(VOXCELEB1_IDS) - set(TEST_IDS)), ("test", set(TEST_IDS))):
        if ids and not ids & numbers:
            sentences.append(f"nobody of the {name} part ({len(numbers):,} people)")
    return sentences


ADAPTOR = Adaptor(
    name="voxceleb1",
    title="VoxCeleb1 (Nagrani et al., 2017)",
    layout=LAYOUT,
    licence=VOXCELEB_LICENCE,
    needs="vox1_meta.csv for names, genders and nationalities. It has no faces: add them with --faces voxceleb1_faces, "
    "vggface, vgg_all_frontal or hq_voxceleb.",
    scan=scan,
)
