"""The files of a dataset folder: are they there, which have the same content, how long are they, can they be read."""

from __future__ import annotations

import hashlib
import io
import math
import os
import stat
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple, TypeVar

import soundfile
from tqdm import tqdm

from s2f.audio import load
from s2f.dataset_check.findings import Found
from s2f.dataset_check.lenient_tables import UNKNOWN_SPLIT, Contents, FaceRow, VoiceRow, seconds
from s2f.datasets import read_member
from s2f.errors import S2fError
from s2f.faces.images import load_image, spread
from s2f.shards.reading import read_face_feature

OPENED = 64
OPENED_SECONDS = 6.0
SAMPLE_RATE_HZ = 16000
TAIL_BYTES = 4096  # files of equal size are compared by their ends first: their beginnings are headers
HEAD_BYTES = 65536  # of a recording in a tar; its header is in there
BLOCK_BYTES = 2**20
UNKNOWN_FRAMES = 2**60  # libsndfile's answer for a stream without a length is about 2^63
THREADS, BATCH = 8, 256
Item = TypeVar("Item")
Answer = TypeVar("Answer")
AnyRow = TypeVar("AnyRow", VoiceRow, FaceRow)


class Piece(NamedTuple):
    """A file, or the part of a tar that holds one."""

    path: str
    offset: int
    size: int


def each(work: Callable[[Item], Answer], items: Sequence[Item], label: str, progress: bool) -> Iterator[Answer]:
    """Answers in the order of the items; several files are waited for at once.

    Args:
        work: what to do with one.
        items: the items.
        label: shown by the progress bar.
        progress: whether to show one.
    """
    batches = [items[first : first + BATCH] for first in range(0, len(items), BATCH)]
    bar = tqdm(total=len(items), desc=label, unit="file", disable=None if progress else True)
    with ThreadPoolExecutor(THREADS) as pool, bar:
        for answers in pool.map(lambda batch: [work(item) for item in batch], batches):
            bar.update(len(answers))
            yield from answers


def file_sizes(root: Path, paths: Iterable[str], found: Found, progress: bool) -> dict[str, int]:
    """Sizes in bytes of the files that are there and not empty.

    Args:
        root: dataset folder.
        paths: as its tables name them.
        found: takes the others, and paths that lead out of the folder.
        progress: whether to show a progress bar.
    """

    def size(path: str) -> int:
        try:
            about = os.stat(os.path.join(root, path))
        except (OSError, ValueError):  # no such file, or a name that no file can have
            return -1
        return about.st_size if stat.S_ISREG(about.st_mode) else -1

    names = sorted(set(paths))
    sizes: dict[str, int] = {}
    for path, count in zip(names, each(size, names, "files", progress), strict=True):
        if os.path.isabs(path):
            found["absolute_path"].append(path)
        elif ".." in path and os.path.normpath(path).startswith(".."):
            found["outside_folder"].append(path)
        if count > 0:
            sizes[path] = count
        else:
            found["empty_file" if count == 0 else "missing_file"].append(path or "a row without a path")
    return sizes


def pieces_of(rows: Iterable[AnyRow], sizes: Mapping[str, int], found: Found) -> dict[Piece, list[AnyRow]]:
    """Rows by the piece that holds them; rows whose file or sample is not there are left out.

    Args:
        rows: of voices.csv or faces.csv.
        sizes: see `file_sizes`.
        found: takes samples that are not within their tar.
    """
    pieces: dict[Piece, list[AnyRow]] = defaultdict(list)
    for row in rows:
        if row.path not in sizes:
            continue
        if isinstance(row, FaceRow) or not row.audio_offset:
            pieces[Piece(row.path, 0, sizes[row.path])].append(row)
        elif places := _places(row, sizes[row.path]):
            pieces[places[0]].append(row)
        else:
            found["beyond_tar"].append(row.name)
    return dict(pieces)


def _places(row: VoiceRow, tar_bytes: int) -> list[Piece]:
    """Sound and feature of a sample; none if one of them is not within the tar."""
    try:
        audio = Piece(row.path, int(row.audio_offset), int(row.audio_bytes))
        face = Piece(row.path, int(row.face_offset), int(row.face_bytes))
    except ValueError:
        return []
    inside = (piece.offset >= 0 < piece.size and piece.offset + piece.size <= tar_bytes for piece in (audio, face))
    return [audio, face] if all(inside) else []


def check_contents(
    contents: Contents,
    pieces: Mapping[Piece, list[AnyRow]],
    owner: Callable[[str], str],
    found: Found,
    progress: bool,
) -> None:
    """Look for contents that exist several times, or belong to several people.

    One speaker's recording may serve several identities (docs/contracts.md); so may parts of one file that begin at
    different times, as long as all is in one split.

    Args:
        contents: what the tables say.
        pieces: of one table, see `pieces_of`.
        owner: whose it is, by identity: several identities may be one speaker.
        found: takes the cases, each once and by the gravest kind.
        progress: whether to show one.
    """
    groups = identical(contents.root, list(pieces), progress)
    several = {piece for group in groups for piece in group}
    groups += [[piece] for piece, rows in pieces.items() if len(rows) > 1 and piece not in several]
    for group in groups:
        rows = [row for piece in group for row in pieces[piece]]
        owners: dict[float, set[str]] = defaultdict(set)
        for row in rows:
            owners[row.start].add(owner(row.identity))
        text = " = ".join(sorted({row.name for row in rows})[:3])
        if len({contents.split(row.identity) for row in rows} - {UNKNOWN_SPLIT}) > 1:
            found["content_in_two_splits"].append(text)
        elif any(len(names) > 1 for names in owners.values()):
            found["content_of_two_people"].append(text)
        elif len(group) > 1:
            found["repeated_content"].append(text)


def identical(root: Path, pieces: Sequence[Piece], progress: bool) -> list[list[Piece]]:
    """Groups of two or more pieces with the same bytes.

    Only pieces of equal size are opened, and only those whose last 4 kB agree are read whole and compared by SHA-256.

    Args:
        root: dataset folder.
        pieces: different ones.
        progress: whether to show progress bars.
    """
    candidates = _alike(pieces, (piece.size for piece in pieces))
    for last, label in ((TAIL_BYTES, "of equal size"), (None, "with equal ends")):
        chosen = list(chain.from_iterable(candidates))
        digests = each(partial(_sha256, root, last), chosen, label, progress)
        candidates = _alike(chosen, zip((piece.size for piece in chosen), digests, strict=True))
    return candidates


def _alike(pieces: Sequence[Piece], keys: Iterable[Hashable]) -> list[list[Piece]]:
    groups: dict[Hashable, list[Piece]] = defaultdict(list)
    for piece, key in zip(pieces, keys, strict=True):
        groups[key].append(piece)
    return [group for group in groups.values() if len(group) > 1]


def _sha256(root: Path, last: int | None, piece: Piece) -> bytes:
    """Digest of a piece, or of its last bytes; of its name if it cannot be read, which equals nothing."""
    left = piece.size if last is None else min(piece.size, last)
    digest = hashlib.sha256()
    try:
        with open(os.path.join(root, piece.path), "rb", buffering=0) as file:
            file.seek(piece.offset + piece.size - left)
            while left > 0 and (block := file.read(min(left, BLOCK_BYTES))):
                digest.update(block)
                left -= len(block)
    except OSError:
        digest.update(repr(piece).encode())
    return digest.digest()


def lengths(root: Path, pieces: Sequence[Piece], in_tars: bool, progress: bool) -> dict[Piece, float]:
    """Seconds of recordings as their headers say; those that soundfile cannot read are left out.

    Args:
        root: dataset folder.
        pieces: recordings.
        in_tars: whether they lie in tars.
        progress: whether to show a progress bar.
    """

    def length(piece: Piece) -> float | None:
        try:
            with open(os.path.join(root, piece.path), "rb") as file:
                file.seek(piece.offset)
                about = soundfile.info(io.BytesIO(file.read(min(piece.size, HEAD_BYTES))) if in_tars else file)
        except (OSError, TypeError, soundfile.SoundFileError):
            return None
        return about.frames / about.samplerate if 0 < about.frames < UNKNOWN_FRAMES else None

    answers = zip(pieces, each(length, pieces, "lengths", progress), strict=True)
    return {piece: value for piece, value in answers if value is not None}


def open_recordings(root: Path, pieces: Mapping[Piece, list[VoiceRow]], found: Found) -> int:
    """Decode the beginning of up to 64 recordings, and read the face features beside them.

    Args:
        root: dataset folder.
        pieces: see `pieces_of`.
        found: takes those that cannot be used.

    Returns:
        How many were opened.
    """
    chosen = spread(sorted(pieces), OPENED)
    for row in (pieces[piece][0] for piece in chosen):
        sample = row._asdict()
        try:
            source = read_member(root, sample, "audio") if row.audio_offset else root / row.path
            load(source, SAMPLE_RATE_HZ, OPENED_SECONDS, (row.start, row.start + (seconds(row.duration_s) or math.inf)))
            if row.audio_offset:
                read_face_feature(root, sample)
        except S2fError as error:
            part = f" from {row.start_s} s on" if row.start else ""
            found["unreadable_recording"].append(f"{row.name}{part}: {error.got}")
    return len(chosen)


def open_pictures(root: Path, paths: Iterable[str], found: Found) -> int:
    """Read up to 64 pictures.

    Args:
        root: dataset folder.
        paths: pictures that are there.
        found: takes those that cannot be read, or are not square.

    Returns:
        How many were opened.
    """
    chosen = spread(sorted(set(paths)), OPENED)
    for path in chosen:
        try:
            _, height, width = load_image(root / path).shape
        except Exception as error:  # whatever a decoder raises is the answer here
            found["unreadable_picture"].append(f"{path}: {error.got if isinstance(error, S2fError) else error}")
            continue
        if height != width:
            found["not_square"].append(f"{path}: {width} x {height}")
    return len(chosen)
