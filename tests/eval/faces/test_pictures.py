"""Pictures paired by name or by a table, and read with a note for everything that was changed."""

import io
import re
import struct
import zlib

import numpy as np
import pytest
from PIL import ExifTags, Image

from eval.faces.pictures import SUFFIXES, PicturePair, decode_picture, pair_folders, pair_table, read_picture
from s2f.errors import DatasetError, ImageError

COLOURS = np.arange(24, dtype=np.uint8).reshape(2, 4, 3) * 10  # no two pixels alike


def encoded(image, form="PNG", **options):
    content = io.BytesIO()
    image.save(content, form, **options)
    return content.getvalue()


def folder(path, *names):
    path.mkdir()
    for name in names:
        (path / name).write_bytes(b"")
    return path


def table(path, text):
    for name in ("x.png", "y.png", "z.jpg"):
        (path / name).touch()
    (path / "pairs.csv").write_text(text, encoding="utf-8")
    return path / "pairs.csv"


def test_folders_are_paired_by_name_and_the_rest_is_listed(tmp_path):
    a = folder(tmp_path / "a", "ben.png", "ann.PNG", "cid.jpeg", "list.txt", ".hidden.png", "v1.2.png", "Eva.png")
    b = folder(tmp_path / "b", "ann.jpg", "ben.webp", "dora.gif", "v1.3.png", "v1.2.tif", "eva.png", "noname")
    (a / "dora.png").mkdir()
    found = pair_folders(a, str(b))
    assert found.pairs == (
        PicturePair("ann", a / "ann.PNG", b / "ann.jpg", "ann"),
        PicturePair("ben", a / "ben.png", b / "ben.webp", "ben"),
        PicturePair("v1.2", a / "v1.2.png", b / "v1.2.tif", "v1.2"),
    )
    assert found.unpaired == (
        ("Eva", f"only in A: {a / 'Eva.png'}"),
        ("cid", f"only in A: {a / 'cid.jpeg'}"),
        ("dora", f"only in B: {b / 'dora.gif'}"),
        ("eva", f"only in B: {b / 'eva.png'}"),
        ("list.txt", f"not a picture by its name: {a / 'list.txt'}"),
        ("noname", f"not a picture by its name: {b / 'noname'}"),
        ("v1.3", f"only in B: {b / 'v1.3.png'}"),
    )


def test_every_suffix_counts_as_a_picture_and_a_folder_pairs_with_itself(tmp_path):
    a = folder(tmp_path / "a", *(f"p{number}{suffix}" for number, suffix in enumerate(SUFFIXES)), "notes.md")
    found = pair_folders(a, a)
    assert [pair.a for pair in found.pairs] == [pair.b for pair in found.pairs] == sorted(a.glob("p*"))
    assert found.unpaired == (("notes.md", f"not a picture by its name: {a / 'notes.md'}"),)


def test_a_link_to_nowhere_stays_in_its_pair(tmp_path):
    a, b = folder(tmp_path / "a", "x.png"), folder(tmp_path / "b")
    (b / "x.png").symlink_to(tmp_path / "nowhere.png")
    assert [pair.b for pair in pair_folders(a, b).pairs] == [b / "x.png"]


def test_folders_that_cannot_be_paired(tmp_path):
    a, b = folder(tmp_path / "a", "x.png", "x.jpg"), folder(tmp_path / "b", "x.png", "y.png")
    for sides in ((a, b), (b, a)):
        with pytest.raises(DatasetError, match=r"one picture of each name in .*a, got x\.jpg and x\.png; move one"):
            pair_folders(*sides)
    (a / "x.png").unlink()
    (b / "x.png").unlink()
    with pytest.raises(DatasetError, match=r"got none \(1 pictures in .*a, 1 in .*b\); rename them"):
        pair_folders(a, b)
    with pytest.raises(DatasetError, match=r"a folder of pictures at .*nowhere, got none; check the path"):
        pair_folders(a, tmp_path / "nowhere")
    with pytest.raises(DatasetError, match="a folder of pictures at"):
        pair_folders(a / "x.jpg", b)


def test_a_table_names_pairs_and_speakers(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "q.png").touch()
    text = "\ufeffspeaker,b,more,a,name\nsam,y.png,1,x.png,\n,y.png,2,deep/q.png,\neve,z.jpg,3,x.png,again\n\n"
    path = table(tmp_path, text)
    x, y, z = (tmp_path / name for name in ("x.png", "y.png", "z.jpg"))
    found = pair_table(path)
    assert found.pairs == (
        PicturePair("again", x, z, "eve"),
        PicturePair("q", tmp_path / "deep" / "q.png", y, "q"),
        PicturePair("x", x, y, "sam"),
    )
    assert found.unpaired == ()
    assert pair_table(table(tmp_path, f"a,b\n{x},{z}\n")).pairs == (PicturePair("x", x, z, "x"),)


def test_rows_without_files_are_listed(tmp_path):
    text = "a,b,name\nz.jpg,gone.png,\nx.png,y.png,\naway.png,lost.png,both\n,,\nx.png,,half\n"
    found = pair_table(table(tmp_path, text))
    assert [pair.name for pair in found.pairs] == ["x"]
    assert found.unpaired == (
        ("both", f"no file at {tmp_path / 'away.png'} (column a), no file at {tmp_path / 'lost.png'} (column b)"),
        ("half", "nothing in column b on line 6"),
        ("line 5", "nothing in column a on line 5, nothing in column b on line 5"),
        ("z", f"no file at {tmp_path / 'gone.png'} (column b)"),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "columns a and b in .*, got no header; add"),
        ("a,c\nx.png,y.png\n", "columns a and b in .*, got a, c; add"),
        ("a,b,a\nx.png,y.png,z.jpg\n", "columns a and b in .*, got a, b, a; add"),
        ("a,b\n", "rows with two files that are there in .*, got no rows; paths"),
        ("a,b\nx.png,q.png\nq.png,x.png\n", "got 2 rows, all without; paths"),
        ("a,b\nx.png,y.png\nx.png,z.jpg\n", "names that differ in .*, got 'x' again on line 3; fill"),
        ("a,b,name\nq.png,y.png,n\nx.png,z.jpg,n\n", "got 'n' again on line 3; fill"),
        ("a,b\nx.png,y.png\nx.png\n", "2 cells on every line of .*, got 1 on line 3; correct"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path, text, message):
    with pytest.raises(DatasetError, match=message):
        pair_table(table(tmp_path, text))


def test_what_is_no_table(tmp_path):
    for path in (tmp_path / "nowhere.csv", tmp_path):
        with pytest.raises(DatasetError, match=re.escape(f"a UTF-8 CSV table at {path}, got ")):
            pair_table(path)
    (tmp_path / "latin.csv").write_bytes("a,b\né.png,y.png\n".encode("latin-1"))
    with pytest.raises(DatasetError, match="a UTF-8 CSV table"):
        pair_table(tmp_path / "latin.csv")


def test_a_plain_picture_is_read_as_it_is(tmp_path):
    (tmp_path / "odd.jpg").write_bytes(encoded(Image.fromarray(COLOURS)))  # the content decides
    pixels, notes = read_picture(tmp_path / "odd.jpg")
    assert pixels.dtype == np.uint8
    assert pixels.flags.writeable
    np.testing.assert_array_equal(pixels, COLOURS)
    assert notes == ()


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "PPM", "WEBP"])
def test_formats(form):
    pixels, notes = decode_picture(
        encoded(Image.fromarray(COLOURS), form, **{"lossless": True} if form == "WEBP" else {})
    )
    np.testing.assert_array_equal(pixels, COLOURS)
    assert notes == ()


def test_what_is_not_opaque_is_drawn_over_mid_grey():
    """By hand: c·α + 128·(1 - α)."""
    alpha = np.array([[0, 255, 51, 204], [255, 255, 255, 0]], np.uint8)
    pixels, notes = decode_picture(encoded(Image.fromarray(np.dstack([COLOURS, alpha]))))
    share = alpha[..., None] / 255
    np.testing.assert_allclose(pixels, COLOURS * share + 128 * (1 - share), atol=1)
    assert (pixels[0, 0] == 128).all()
    np.testing.assert_array_equal(pixels[1, :3], COLOURS[1, :3])
    assert notes == ("alpha channel drawn over mid-grey",)
    opaque = np.full_like(alpha, 255)
    pixels, notes = decode_picture(encoded(Image.fromarray(np.dstack([COLOURS, opaque]))))
    np.testing.assert_array_equal(pixels, COLOURS)
    assert notes == ()


def test_transparent_palettes_and_colours():
    paletted = Image.fromarray(np.array([[0, 1], [1, 2]], np.uint8), "P")
    paletted.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200])
    pixels, notes = decode_picture(encoded(paletted))
    np.testing.assert_array_equal(pixels, [[[200, 0, 0], [0, 200, 0]], [[0, 200, 0], [0, 0, 200]]])
    assert notes == ()
    pixels, notes = decode_picture(encoded(paletted, transparency=1))
    np.testing.assert_array_equal(pixels, [[[200, 0, 0], [128] * 3], [[128] * 3, [0, 0, 200]]])
    assert notes == ("alpha channel drawn over mid-grey",)
    pixels, notes = decode_picture(encoded(Image.fromarray(COLOURS), transparency=tuple(map(int, COLOURS[1, 2]))))
    assert (pixels[1, 2] == 128).all()
    np.testing.assert_array_equal(pixels[0], COLOURS[0])
    assert notes == ("alpha channel drawn over mid-grey",)


def test_greyscale():
    grey = COLOURS[..., 0]
    pixels, notes = decode_picture(encoded(Image.fromarray(grey)))
    np.testing.assert_array_equal(pixels, np.repeat(grey[..., None], 3, 2))
    assert notes == ("greyscale",)
    pixels, notes = decode_picture(encoded(Image.fromarray(grey > 50)))
    np.testing.assert_array_equal(pixels[..., 2], np.where(grey > 50, 255, 0))
    assert notes == ("greyscale",)
    pixels, notes = decode_picture(encoded(Image.fromarray(np.dstack([grey, np.zeros_like(grey)]), "LA")))
    assert (pixels == 128).all()
    assert notes == ("greyscale", "alpha channel drawn over mid-grey")


def test_other_colour_spaces():
    pixels, notes = decode_picture(encoded(Image.new("CMYK", (3, 2), (255, 0, 0, 0)), "TIFF"))
    np.testing.assert_array_equal(pixels, np.broadcast_to([0, 255, 255], (2, 3, 3)))
    assert notes == ("converted from CMYK",)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation):
    """What EXIF says about the stored rows and columns, for each of its eight values."""
    seen = {
        1: lambda image: image,
        2: lambda image: image[:, ::-1],
        3: lambda image: image[::-1, ::-1],
        4: lambda image: image[::-1],
        5: lambda image: image.transpose(1, 0, 2),
        6: lambda image: np.rot90(image, -1),
        7: lambda image: image[::-1, ::-1].transpose(1, 0, 2),
        8: lambda image: np.rot90(image, 1),
    }
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    pixels, notes = decode_picture(encoded(Image.fromarray(COLOURS), exif=exif))
    np.testing.assert_array_equal(pixels, seen[orientation](COLOURS))
    assert notes == (() if orientation == 1 else ("turned as its EXIF says",))


@pytest.mark.parametrize("form", ["PNG", "GIF", "TIFF"])
def test_the_first_of_several_frames(form):
    frames = [Image.new("RGB", (4, 3), colour) for colour in ("#ff0000", "#00ff00", "#0000ff")]
    pixels, notes = decode_picture(encoded(frames[0], form, save_all=True, append_images=frames[1:]))
    np.testing.assert_array_equal(pixels, np.broadcast_to([255, 0, 0], (3, 4, 3)))
    assert notes == ("first of 3 frames",)


def png_of_16_bits(values, colour_type):
    """A PNG written by hand: Pillow writes none of 16 bits in colour."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_16_bits_in_colour_are_read_as_8_and_noted():
    pixels, notes = decode_picture(png_of_16_bits(COLOURS.astype(np.uint16) * 256 + 7, 2))
    np.testing.assert_array_equal(pixels, COLOURS)
    assert notes == ("16 bits a channel, read as 8",)
    wide, plain = (b"P6 2 1 %d\n" % largest + bytes(6 * depth) for depth, largest in ((2, 65535), (1, 255)))
    assert decode_picture(wide)[1] == ("16 bits a channel, read as 8",)
    assert decode_picture(plain)[1] == ()


@pytest.mark.parametrize(
    ("content", "mode"),
    [
        (png_of_16_bits(COLOURS[..., 0], 0), "I;16"),
        (encoded(Image.fromarray(COLOURS[..., 0].astype(np.float32)), "TIFF"), "F"),
        (encoded(Image.fromarray(COLOURS[..., 0].astype(np.int32)), "TIFF"), "I"),
        (b"P5 2 1 65535\n" + bytes(4), "I"),
    ],
)
def test_one_channel_of_more_than_8_bits_is_refused(content, mode):
    with pytest.raises(
        ImageError,
        match=f"^expected a picture of 8 bits a channel, got one of mode {mode}, which would be clipped; convert",
    ):
        decode_picture(content)


def test_what_cannot_be_decoded():
    whole = encoded(Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)))
    with pytest.raises(ImageError, match="got no bytes at all; convert it"):
        decode_picture(b"")
    with pytest.raises(ImageError, match=r"a picture as PNG, .*, got bytes that are none of these; convert it"):
        decode_picture(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n")
    with pytest.raises(ImageError, match=r"that can be decoded, got a damaged one \(.*truncated.*\); copy it again"):
        decode_picture(whole[: len(whole) // 2])
    damaged = whole[:60] + bytes(80) + whole[140:]
    with pytest.raises(ImageError, match="that can be decoded, got a damaged one"):
        decode_picture(damaged)
    bomb = encoded(Image.new("1", (10000, 10000)))
    with pytest.raises(ImageError, match=r"at most \d+ pixels, got one that claims to be far larger; reduce it"):
        decode_picture(bomb)


def test_files_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "note.png").write_text("no picture")
    for path, message in (
        (tmp_path / "nowhere.png", r"nowhere\.png \(No such file or directory\); check the path"),
        (tmp_path, r"\(Is a directory\); check the path"),
        (tmp_path / "note.png", r"none of these in .*note\.png; convert it"),
    ):
        with pytest.raises(ImageError, match=message):
            read_picture(path)
