"""People of a report: five small pictures of each in a row, name and known labels below."""

from __future__ import annotations

import io
from html import escape
from pathlib import Path

from PIL import Image

from eval.faces.pictures import read_picture
from eval.reconstructions.folder import Reconstructions
from s2f.runtime.html import picture

SIDE_PX, QUALITY = 112, 90
KINDS = {
    "true": ("true", "true picture"),
    "f2f": ("F2F", "face drawn from the feature of the true picture"),
    "s2f": ("S2F", "face drawn from the voice"),
    "nearest": ("nearest", "training face nearest to the predicted feature"),
    "mean": ("mean", "mean face"),
}
LABELS = ("gender", "age", "ethnicity", "nationality", "language")
STYLE = """
.people{display:grid;gap:1rem 1.5rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,26rem),1fr))}
figure{margin:0}.five{display:grid;grid-template-columns:repeat(5,minmax(0,7rem));gap:.25rem}
.five span{display:block;text-align:center;color:var(--dim);font-size:.75rem;line-height:1.3}
.five img{display:block;width:100%}figcaption{font-size:.875rem;overflow-wrap:anywhere}
"""


def people(folder: Reconstructions, shown: dict[str, str]) -> str:
    """Pictures of some people.

    Args:
        folder: the reconstructions.
        shown: identities, with what is to be said after their labels.

    Returns:
        HTML for a page with `STYLE`.

    Raises:
        ImageError: a picture that cannot be read.
    """
    return f'<div class="people">{"".join(_person(folder, name, more) for name, more in shown.items())}</div>'


def _person(folder: Reconstructions, name: str, more: str) -> str:
    cells = [
        f"<div>{picture(jpeg(folder.picture(kind, name)), 'jpeg', f'{name}: {alt}')}<span>{short}</span></div>"
        for kind, (short, alt) in KINDS.items()
    ]
    row = folder.people[name]
    labels = [f"{row[label]} years" if label == "age" else row[label] for label in LABELS if row.get(label)]
    caption = "; ".join(filter(None, [", ".join([name, *labels]), more]))
    return f'<figure><div class="five">{"".join(cells)}</div><figcaption>{escape(caption)}</figcaption></figure>'


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
