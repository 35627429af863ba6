"""Pictures as people have them: paired by name or by a table, and read with a note for everything that was changed."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image, ImageFile, ImageOps

from s2f.errors import DatasetError, ImageError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".pgm", ".ppm")
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM")  # others may start programs
GREY = 128  # what transparent pixels are drawn over
GREYSCALE = ("1", "L", "LA")
KEPT = ("RGB", "RGBA", "P", "PA")  # modes whose colours RGB holds as they are
TURNED = range(2, 9)  # EXIF orientations that are not upright


@dataclass(frozen=True)
class PicturePair:
    """Two pictures to compare.

    Attributes:
        name: of the pair.
        a: file on the one side.
        b: file on the other.
        speaker: whose voice is behind the pair; pairs of one speaker are not independent. The name where unknown.
    """

    name: str
    a: Path
    b: Path
    speaker: str


@dataclass(frozen=True)
class Pairs:
    """Pairs of pictures, and what has no partner.

    Attributes:
        pairs: sorted by name.
        unpaired: name and reason, sorted.
    """

    pairs: tuple[PicturePair, ...]
    unpaired: tuple[tuple[str, str], ...]


def pair_folders(a: str | Path, b: str | Path) -> Pairs:
    """Pair the pictures of two folders by name without suffix; upper and lower case differ.

    Sub-folders and hidden files are passed over. Every other file that is in no pair is listed: those without a
    partner, and those whose suffix is not one of `SUFFIXES`. Both folders may be the same.

    Args:
        a: the one folder.
        b: the other.

    Returns:
        The pairs; the speaker of each is its name.

    Raises:
        DatasetError: no such folder, two pictures of one name in a folder, or no pair at all.
    """
    side_a, others = _pictures_in(Path(a))
    side_b, more = _pictures_in(Path(b))
    both = sorted(side_a.keys() & side_b.keys())
    unpaired = {(path.name, f"not a picture by its name: {path}") for path in (*others, *more)}
    for letter, side in (("A", side_a), ("B", side_b)):
        unpaired |= {(name, f"only in {letter}: {side[name]}") for name in side.keys() - set(both)}
    if not both:
        got = f"none ({len(side_a)} pictures in {a}, {len(side_b)} in {b})"
        raise DatasetError("pictures of one name in both folders", got, "rename them, or give a table with a and b")
    return Pairs(tuple(PicturePair(name, side_a[name], side_b[name], name) for name in both), tuple(sorted(unpaired)))


def _pictures_in(folder: Path) -> tuple[dict[str, Path], list[Path]]:
    """Pictures by name without suffix, and the other files."""
    if not folder.is_dir():
        raise DatasetError(f"a folder of pictures at {folder}", "none", "check the path")
    pictures: dict[str, Path] = {}
    others = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.is_dir():
            continue
        if path.suffix.lower() not in SUFFIXES:
            others.append(path)
        elif path.stem in pictures:
            got = f"{pictures[path.stem].name} and {path.name}"
            raise DatasetError(f"one picture of each name in {folder}", got, "move one of them away")
        else:
            pictures[path.stem] = path
    return pictures, others


def pair_table(path: str | Path) -> Pairs:
    """Read pairs from a table.

    Args:
        path: UTF-8 CSV with the columns `a` and `b`, files relative to the folder of the table or absolute, and
            optionally `name` (where it is missing or empty, that of `a` without suffix) and `speaker` (where it is
            missing or empty, the name). Other columns are not looked at.

    Returns:
        The pairs. Rows whose files are not there are listed as unpaired.

    Raises:
        DatasetError: no such table, no columns `a` and `b`, a line with too many or too few cells, two rows of one
            name, or no pair at all.
    """
    path = Path(path)
    pairs: dict[str, PicturePair] = {}
    unpaired: dict[str, str] = {}
    for line, row in _rows(path):
        name = row.get("name") or Path(row["a"]).stem or f"line {line}"
        if name in pairs or name in unpaired:
            raise DatasetError(f"names that differ in {path}", f"{name!r} again on line {line}", "fill a column name")
        files = {side: path.parent / row[side] for side in ("a", "b")}
        empty = [f"nothing in column {side} on line {line}" for side in files if not row[side]]
        absent = [f"no file at {file} (column {side})" for side, file in files.items() if not file.is_file()]
        if empty or absent:
            unpaired[name] = ", ".join(empty or absent)
        else:
            pairs[name] = PicturePair(name, files["a"], files["b"], row.get("speaker") or name)
    if not pairs:
        got = f"{len(unpaired)} rows, all without" if unpaired else "no rows"
        raise DatasetError(f"rows with two files that are there in {path}", got, "paths are relative to the table")
    return Pairs(tuple(pairs[name] for name in sorted(pairs)), tuple(sorted(unpaired.items())))


def _rows(path: Path) -> list[tuple[int, Mapping[str, str]]]:
    """Rows of the table with the numbers of their last lines."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            rows = [(reader.line_num, cells) for cells in reader if cells]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"a UTF-8 CSV table at {path}", str(error), "check the path, or write it again") from error
    if not {"a", "b"} <= set(header) or len(header) != len(set(header)):
        raise DatasetError(f"columns a and b in {path}", ", ".join(header) or "no header", "add a header line")
    for line, cells in rows:
        if len(cells) != len(header):
            got = f"{len(cells)} on line {line}"
            raise DatasetError(f"{len(header)} cells on every line of {path}", got, "correct the line")
    return [(line, dict(zip(header, cells, strict=True))) for line, cells in rows]


def read_picture(path: str | Path) -> tuple[UInt8[np.ndarray, "H W 3"], tuple[str, ...]]:
    """Read a picture file, see `decode_picture`.

    Args:
        path: the file.

    Returns:
        (H, W, 3) uint8 RGB, and a note for everything that was changed.

    Raises:
        ImageError: no such file, or one that `decode_picture` refuses.
    """
    try:
        return decode_picture(Path(path).read_bytes())
    except OSError as error:
        got = f"{path} ({error.strerror or error})"
        raise ImageError("a picture file that can be read", got, "check the path") from error
    except ImageError as error:
        raise ImageError(error.expected, f"{error.got} in {path}", error.fix) from error


def decode_picture(content: bytes) -> tuple[UInt8[np.ndarray, "H W 3"], tuple[str, ...]]:
    """Decode a picture as it is meant to be seen: upright, opaque, in colour.

    Its content decides what it is, not its name. Noted are: turned as its EXIF data say; the first of several frames
    taken; 16 bits a channel of a colour picture read as 8; greyscale; converted from CMYK or another colour space;
    pixels that are not opaque drawn over mid-grey. Palettes, and alpha channels that are opaque all over, change
    nothing and are not noted.

    Args:
        content: of a file as PNG, JPEG, WebP, BMP, TIFF, GIF or PPM.

    Returns:
        (H, W, 3) uint8 RGB, and the notes.

    Raises:
        ImageError: not such a picture, damaged, truncated, so large that it may be an attack on the memory, or of one
            channel with 16 or more bits, whose range only its maker knows.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=FORMATS) as file:
                return _upright(file)
    except ImageError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        got = "one that claims to be far larger"
        raise ImageError(f"a picture of at most {Image.MAX_IMAGE_PIXELS} pixels", got, "reduce it") from error
    except Image.UnidentifiedImageError as error:
        got = "bytes that are none of these" if content else "no bytes at all"
        raise ImageError(f"a picture as {', '.join(FORMATS)}", got, "convert it") from error
    except Exception as error:  # what a damaged file makes a decoder raise has no common type
        got = " ".join(f"a damaged one ({error})".split())
        raise ImageError("a picture that can be decoded", got, "copy it again") from error


def _upright(file: ImageFile.ImageFile) -> tuple[UInt8[np.ndarray, "H W 3"], tuple[str, ...]]:
    """The first frame of an open file, turned upright, in RGB."""
    if file.mode.startswith(("I", "F")):
        got = f"one of mode {file.mode}, which would be clipped"
        raise ImageError("a picture of 8 bits a channel", got, "convert it to 8 bits, scaled as its range needs")
    notes = ["16 bits a channel, read as 8"] if _has_16_bits(file) else []
    if file.getexif().get(ExifTags.Base.Orientation) in TURNED:
        notes.append("turned as its EXIF says")
    if (frames := getattr(file, "n_frames", 1)) > 1:
        notes.append(f"first of {frames} frames")
    pixels, changes = _opaque_rgb(ImageOps.exif_transpose(file))
    return pixels, (*notes, *changes)


def _has_16_bits(file: ImageFile.ImageFile) -> bool:
    """Whether Pillow will drop the lower bits of a colour picture: its choice of a decoder tells, before it decodes."""
    for decoder, _, _, settings in file.tile:
        largest = settings[1] if decoder.startswith("ppm") and isinstance(settings, tuple) else 255
        if ";16" in str(settings) or largest > 255:
            return True
    return False


def _opaque_rgb(image: Image.Image) -> tuple[UInt8[np.ndarray, "H W 3"], list[str]]:
    notes = []
    if image.mode in GREYSCALE:
        notes.append("greyscale")
    elif image.mode not in KEPT:
        notes.append(f"converted from {image.mode}")
    if image.has_transparency_data:
        layers = image.convert("RGBA")
        if layers.getchannel("A").getextrema() != (255, 255):
            notes.append("alpha channel drawn over mid-grey")
            image = Image.alpha_composite(Image.new("RGBA", layers.size, (GREY, GREY, GREY, 255)), layers)
    return np.array(image.convert("RGB")), notes
