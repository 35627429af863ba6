"""People of a report: five small pictures of each in a row, name and known labels below."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from eval.faces.pictures import read_picture
from eval.reconstructions.folder import Reconstructions

SIDE_PX, QUALITY = 112, 90
KINDS = {
    "true": ("true", "true picture"),
    "f2f": ("F2F", "face drawn from the feature of the true picture"),
    "s2f": ("S2F", "face drawn from the voice"),
    "nearest": ("nearest", "training face nearest to the predicted feature"),
    "mean": ("mean", "mean face"),
}
LABELS = ("gender", "age", "ethnicity", "nationality", "language")


class Person(NamedTuple):
    """Somebody on the page: identity, text below, and of every picture its name, what it shows and the JPEG file."""

    name: str
    caption: str
    pictures: list[tuple[str, str, bytes]]


def people(folder: Reconstructions, shown: Mapping[str, str]) -> list[Person]:
    """Some people and their pictures.

    Args:
        folder: the reconstructions.
        shown: identities, with what is to be said after their labels.

    Returns:
        One for each identity.

    Raises:
        ImageError: a picture that cannot be read.
    """
    found = []
    for name, more in shown.items():
        row = folder.people[name]
        labels = [f"{row[label]} years" if label == "age" else row[label] for label in LABELS if row.get(label)]
        caption = "; ".join(filter(None, [", ".join([name, *labels]), more]))
        pictures = [(short, alt, jpeg(folder.picture(kind, name))) for kind, (short, alt) in KINDS.items()]
        found.append(Person(name, caption, pictures))
    return found


def jpeg(path: Path) -> bytes:
    """A picture, reduced to `SIDE_PX` in height, as JPEG; the same picture gives the same bytes.

    Args:
        path: the file.

    Returns:
        Bytes of the JPEG file.

    Raises:
        ImageError: it cannot be read.
    """
    image = Image.fromarray(read_picture(path)[0])
    width = max(1, round(image.width * SIDE_PX / image.height))
    content = io.BytesIO()
    image.resize((width, SIDE_PX), Image.Resampling.LANCZOS).save(content, "JPEG", quality=QUALITY)
    return content.getvalue()
