"""CREMA-D: 91 actors say twelve sentences in six emotions; sound and films."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from s2f.datasets import Row
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
from s2f.prepare.sources.published_tables import bad_line, table_rows

ACTORS, CLIPS = 91, 7442
TABLE = "VideoDemographics.csv"
GENDERS = {"male": "m", "female": "f"}
LAYOUT = (
    "AudioWAV/1001_DFA_ANG_XX.wav: actor, sentence, emotion, level; AudioMP3 where that is all there is",
    "VideoFlash/1001_DFA_ANG_XX.flv, or converted, such as .mp4",
    "VideoDemographics.csv: ActorID,Age,Sex,Race,Ethnicity",
)
_FOLDERS = ("audiowav", "audiomp3", "videoflash")
_NAME = re.compile(r"(\d{4})_([A-Z]{3})_([A-Z]{3})_(XX?|LO|MD|HI)", re.IGNORECASE)
_SOUND = (".wav", ".flac", ".mp3")  # the best comes first


class _Clip(NamedTuple):
    actor: str
    sentence: str
    emotion: str
    level: str


def scan(root: Path, tables: Tables) -> Sources:
    """Find sound and films of the clips.

    Args:
        root: a copy, or one of its folders.
        tables: where `VideoDemographics.csv` may be.

    Returns:
        A voice and a face per clip; the sound comes from the film where there is no sound file. `ethnicity` is
        "Hispanic" for Hispanic actors and the race for all others, as the dataset's paper counts them; `race` is a
        column of its own.

    Raises:
        DatasetError: nothing found, or a damaged table.
        UsageError: no such folder.
    """
    root = require_root(root).absolute()
    sources = Sources(root.parent if root.name.lower() in _FOLDERS else root)
    clips = _clips(sources)
    for clip, paths in clips.items():
        _add(clip, paths, sources)
    table = replace(tables, folders=(sources.root, *tables.folders)).find(TABLE)
    known = {} if table is None else _demographics(table)
    actors = sorted({clip.actor for clip in clips})
    sources.people = {actor: known.get(actor, {"identity": actor, "language": "English"}) for actor in actors}
    _say_what_is_missing(sources, known, table)
    return require_some(sources, "CREMA-D", LAYOUT)


def _clips(sources: Sources) -> dict[_Clip, list[str]]:
    """Files of each clip, sound first."""
    found: dict[_Clip, list[str]] = defaultdict(list)
    for path in text_files(sources, AUDIO + VIDEO):
        match = _NAME.fullmatch(Path(path).stem)
        if match:
            actor, sentence, emotion, level = match.group().upper().split("_")
            # one sound file is called 1040_ITH_SAD_X
            found[_Clip(actor, sentence, emotion, "XX" if level == "X" else level)].append(path)
        else:
            sources.passed_over.append((path, "its name is not <actor>_<sentence>_<emotion>_<level>"))
    return {clip: sorted(found[clip], key=_rank) for clip in sorted(found)}


def _rank(path: str) -> tuple[bool, int, str]:
    suffix = Path(path).suffix.lower()
    known = _SOUND.index(suffix) if suffix in _SOUND else len(_SOUND)
    return suffix in VIDEO, known, path


def _add(clip: _Clip, paths: list[str], sources: Sources) -> None:
    columns = {"emotion": clip.emotion, "level": clip.level, "sentence": clip.sentence}
    video = "_".join(clip)
    films = [path for path in paths if is_film(path)]
    sources.voices.append(VoiceSource(clip.actor, paths[0], video, columns=columns))
    if films:
        sources.faces.append(FaceSource(clip.actor, films[0], video, columns=columns))
    for path in paths:
        if path not in (paths[0], *films[:1]):
            sources.passed_over.append((path, f"{paths[0] if path not in films else films[0]} is the same clip"))


def _demographics(table: Path) -> dict[str, Row]:
    people = {}
    for number, row in table_rows(table, "ActorID", "Age", "Sex", "Race", "Ethnicity"):
        gender = GENDERS.get(row["Sex"].lower())
        if gender is None or not row["Age"].isdigit():
            raise bad_line(table, number, "a whole Age and a Sex of Male or Female", list(row.values()))
        race = "" if row["Race"] == "Unknown" else row["Race"]
        people[row["ActorID"]] = {
            "identity": row["ActorID"],
            "gender": gender,
            "age": row["Age"],
            "ethnicity": "Hispanic" if row["Ethnicity"] == "Hispanic" else race,
            "language": "English",
            "race": race,
        }
    return people


def _say_what_is_missing(sources: Sources, known: dict[str, Row], table: Path | None) -> None:
    films = sum(is_film(voice.path) for voice in sources.voices)
    sound = len(sources.voices) - films
    counts = [
        (len(sources.people), f"{len(sources.people)} of {ACTORS} actors are here", ACTORS),
        (sound, f"{sound:,} of {CLIPS:,} clips have a sound file; {films:,} take their sound from the film", CLIPS),
        (len(sources.faces), f"{len(sources.faces):,} of {CLIPS:,} clips have a film", CLIPS),
    ]
    sources.missing += [sentence for found, sentence, published in counts if found < published]
    unknown = [actor for actor in sources.people if actor not in known]
    if table is None:
        sources.missing.append(f"{TABLE} is not there: gender, age and ethnicity stay empty")
    elif unknown:
        sources.missing.append(f"{TABLE} does not name {len(unknown)} of the actors, first {unknown[0]}")


ADAPTOR = Adaptor(
    name="crema_d",
    title="CREMA-D (Cao et al., 2014)",
    layout=LAYOUT,
    licence="Open Database License 1.0, its contents under the Database Contents License 1.0",
    needs="VideoDemographics.csv for gender, age and ethnicity; fetch the files with Git LFS, a plain clone has none. "
    "Films need s2f[codecs].",
    scan=scan,
)
