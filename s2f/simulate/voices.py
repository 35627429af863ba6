"""Read a folder of real voices: who speaks, with which gender, in which split, in which file."""

import csv
from dataclasses import dataclass
from pathlib import Path

import soundfile


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
        FileNotFoundError: neither list is there, or a listed audio file is missing.
        ValueError: no speakers, a gender other than f or m, a split other than train or dev, or unreadable audio.
    """
    root = Path(folder)
    if (root / "speakers.csv").is_file():
        rows = _read_list(root)
    elif (root / "SPEAKERS.TXT").is_file():
        rows = _read_librispeech(root)
    else:
        raise FileNotFoundError(
            f"Expected speakers.csv or LibriSpeech's SPEAKERS.TXT in the voices folder; got {root} without either; "
            "give the folder that holds one of them."
        )
    if not rows:
        raise ValueError(
            f"Expected at least one speaker with audio; got none in {root}; add rows to speakers.csv, or unpack "
            "LibriSpeech's subsets beside SPEAKERS.TXT."
        )
    known: dict[str, tuple[str, str]] = {}
    recordings = []
    for speaker, gender, split, path in sorted(rows, key=lambda row: (row[0], str(row[3]))):
        _check_row(speaker, gender, split, root)
        if known.setdefault(speaker, (gender, split)) != (gender, split):
            raise ValueError(
                f"Expected one gender and one split per speaker; got {known[speaker]} and {(gender, split)} for "
                f"{speaker} in {root}; correct the list."
            )
        recordings.append(Recording(speaker, gender, split, str(path.resolve()), _duration_s(path)))
    return recordings


def _check_row(speaker: str, gender: str, split: str, root: Path) -> None:
    if gender not in ("f", "m"):
        raise ValueError(
            f"Expected gender f or m; got {gender!r} for speaker {speaker} in {root}; write f or m in the list."
        )
    if split not in ("train", "dev"):
        raise ValueError(
            f"Expected split train or dev; got {split!r} for speaker {speaker} in {root}; write train or dev."
        )


def _duration_s(path: Path) -> float:
    if not path.is_file():
        raise FileNotFoundError(
            f"Expected every listed recording to exist; got no file {path}; restore it or take its row out of the list."
        )
    try:
        return float(soundfile.info(str(path)).duration)
    except soundfile.LibsndfileError as error:
        raise ValueError(
            f"Expected audio that libsndfile reads (FLAC, WAV, OGG); got {error} for {path}; convert or remove it."
        ) from error


def _read_list(root: Path) -> list[tuple[str, str, str, Path]]:
    with open(root / "speakers.csv", encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        wanted = {"speaker", "gender", "split", "file"}
        if not wanted <= set(reader.fieldnames or ()):
            raise ValueError(
                f"Expected columns speaker,gender,split,file; got {reader.fieldnames} in {root / 'speakers.csv'}; "
                "correct its first line."
            )
        return [(row["speaker"], row["gender"], row["split"], root / row["file"]) for row in reader]


def _read_librispeech(root: Path) -> list[tuple[str, str, str, Path]]:
    rows = []
    for line in (root / "SPEAKERS.TXT").read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith(";"):
            continue
        speaker, sex, subset = (word.strip() for word in line.split("|")[:3])
        split = "dev" if subset.startswith(("dev", "test")) else "train"
        rows += [(speaker, sex.lower(), split, path) for path in sorted((root / subset / speaker).glob("*/*.flac"))]
    return rows
