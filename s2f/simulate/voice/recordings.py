"""Read a folder of real voices: who speaks, with which gender, in which split, in which file."""

import csv
from dataclasses import dataclass
from pathlib import Path

import soundfile

from s2f.errors import AudioError, AudioMissing, DatasetError

Row = tuple[str, str, str, Path]


@dataclass(frozen=True)
class Recording:
    """One audio file of one speaker.

    Attributes:
        speaker: the speaker's name.
        gender: "f" or "m".
        split: "train", or "dev" for speakers that are never trained on.
        path: absolute path of the audio file.
        duration_s: length in seconds.
    """

    speaker: str
    gender: str
    split: str
    path: str
    duration_s: float


def read_voices(folder: str | Path) -> list[Recording]:
    """Read a folder with `speakers.csv` (speaker,gender,split,file), or LibriSpeech's own layout.

    Args:
        folder: the folder of `speakers.csv` or of LibriSpeech's `SPEAKERS.TXT`.

    Returns:
        Recordings in order of speaker and path; LibriSpeech's subsets dev-* and test-* are marked "dev".

    Raises:
        AudioMissing: neither list is there, or a listed audio file is missing.
        DatasetError: no speakers, a gender other than f or m, a split other than train or dev, or a damaged list.
        AudioError: unreadable audio.
    """
    root = Path(folder)
    rows = _read_rows(root)
    if not rows:
        fix = "add rows to speakers.csv, or unpack LibriSpeech's subsets beside SPEAKERS.TXT"
        raise DatasetError("at least one speaker with audio", f"none in {root}", fix)
    known: dict[str, tuple[str, str]] = {}
    recordings = []
    for speaker, gender, split, path in sorted(rows, key=lambda row: (row[0], str(row[3]))):
        _check_row(speaker, gender, split, root)
        if known.setdefault(speaker, (gender, split)) != (gender, split):
            got = f"{known[speaker]} and {(gender, split)} for {speaker} in {root}"
            raise DatasetError("one gender and one split per speaker", got, "correct the list")
        recordings.append(Recording(speaker, gender, split, str(path.resolve()), _duration_s(path)))
    return recordings


def _read_rows(root: Path) -> list[Row]:
    try:
        if (root / "speakers.csv").is_file():
            return _read_list(root)
        if (root / "SPEAKERS.TXT").is_file():
            return _read_librispeech(root)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError("a list of speakers in UTF-8", f"{error} in {root}", "save the list again") from error
    expected = "speakers.csv or LibriSpeech's SPEAKERS.TXT in the voices folder"
    raise AudioMissing(expected, f"{root} without either", "give the folder that holds one of them")


def _check_row(speaker: str, gender: str, split: str, root: Path) -> None:
    if gender not in ("f", "m"):
        got = f"{gender!r} for speaker {speaker} in {root}"
        raise DatasetError("gender f or m", got, "write f or m in the list")
    if split not in ("train", "dev"):
        got = f"{split!r} for speaker {speaker} in {root}"
        raise DatasetError("split train or dev", got, "write train or dev in the list")


def _duration_s(path: Path) -> float:
    if not path.is_file():
        fix = "restore it or take its row out of the list"
        raise AudioMissing("every listed recording to exist", f"no file {path}", fix)
    try:
        return float(soundfile.info(str(path)).duration)
    except soundfile.LibsndfileError as error:
        got = f"{error} for {path}"
        raise AudioError("audio that libsndfile reads (FLAC, WAV, OGG)", got, "convert or remove it") from error


def _read_list(root: Path) -> list[Row]:
    with open(root / "speakers.csv", encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, restval="")
        wanted = {"speaker", "gender", "split", "file"}
        if not wanted <= set(reader.fieldnames or ()):
            got = f"{reader.fieldnames} in {root / 'speakers.csv'}"
            raise DatasetError("columns speaker,gender,split,file", got, "correct its first line")
        return [(row["speaker"], row["gender"], row["split"], root / row["file"]) for row in reader]


def _read_librispeech(root: Path) -> list[Row]:
    rows = []
    for line in (root / "SPEAKERS.TXT").read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith(";"):
            continue
        words = [word.strip() for word in line.split("|")]
        if len(words) < 3:
            got = f"{line!r} in {root / 'SPEAKERS.TXT'}"
            raise DatasetError("lines 'speaker | sex | subset | …'", got, "fetch the list again")
        speaker, sex, subset = words[:3]
        split = "dev" if subset.startswith(("dev", "test")) else "train"
        rows += [(speaker, sex.lower(), split, path) for path in sorted((root / subset / speaker).glob("*/*.flac"))]
    return rows
