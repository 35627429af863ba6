"""A contact sheet of a simulated dataset: some of its canonical faces, small, in one PNG."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from s2f.datasets import Row
from s2f.errors import ImageError
from s2f.version import __version__

SHOWN, PER_ROW, SIDE_PX, GAP_PX = 48, 8, 112, 4
GAP_COLOUR = (128, 128, 128)
NOTE = "Computer-drawn faces of simulated people; nobody's face is shown."


def contact_sheet(folder: Path, people: Iterable[Row], seed: int) -> bytes | None:
    """PNG of some canonical faces in order of gender and age, chosen at random with a seed.

    Args:
        folder: dataset folder; pictures lie at canonical/<identity>.png.
        people: rows with identity, gender and age_years.
        seed: of the choice.

    Returns:
        The file's bytes; None where no canonical picture exists.

    Raises:
        ImageError: a picture that cannot be read.
    """
    rows = sorted(people, key=lambda row: row["identity"])
    chosen: list[Row] = []
    for k in np.random.default_rng(seed).permutation(len(rows)):
        if len(chosen) < SHOWN and (folder / "canonical" / f"{rows[k]['identity']}.png").is_file():
            chosen.append(rows[k])
    if not chosen:
        return None
    chosen.sort(key=lambda row: (row.get("gender", ""), _years(row), row["identity"]))
    columns, step = min(PER_ROW, len(chosen)), SIDE_PX + GAP_PX
    size = (columns * step + GAP_PX, -(-len(chosen) // columns) * step + GAP_PX)
    sheet = Image.new("RGB", size, GAP_COLOUR)
    for k, row in enumerate(chosen):
        path = folder / "canonical" / f"{row['identity']}.png"
        try:
            with Image.open(path) as face:
                small = face.convert("RGB").resize((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)
        except OSError as error:
            raise ImageError("a readable canonical picture", f"{path} ({error})", "simulate it again") from error
        sheet.paste(small, (GAP_PX + k % columns * step, GAP_PX + k // columns * step))
    text = PngInfo()
    for keyword, value in (("synthetic", "true"), ("software", f"s2f {__version__}"), ("note", NOTE)):
        text.add_text(keyword, value)
    content = io.BytesIO()
    sheet.save(content, "PNG", pnginfo=text)
    return content.getvalue()


def _years(row: Row) -> float:
    try:
        return float(row.get("age_years", ""))
    except ValueError:
        return 0.0
