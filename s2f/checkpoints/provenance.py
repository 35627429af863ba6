"""What a generated PNG says about itself, and writing it so that no half file is ever left."""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from s2f.errors import OutputError
from s2f.runtime.files import write_bytes
from s2f.version import __version__

NOTE = "An average-looking guess made from a voice by a machine; not a likeness of the speaker."
FACE_NOTE = "An average-looking guess made from the features of a picture by a machine; not a likeness of the person."
SAMPLE_NOTE = "a draw of what the voice does not determine"
CARTOON_NOTE = "a cartoon of the drawn face"
HASH_DIGITS = 16


@dataclass(frozen=True)
class Provenance:
    """Where a generated image comes from.

    Attributes:
        checkpoint: name or folder name of the checkpoint.
        checkpoint_sha256: see `weights_sha256`.
        seed: seed of the run, if it had one.
        note: one sentence on what the image is and is not.
    """

    checkpoint: str
    checkpoint_sha256: str
    seed: int | None = None
    note: str = NOTE

    def text(self) -> dict[str, str]:
        """Return the PNG text chunks, keyword to text."""
        chunks = {
            "ai_generated": "true",
            "software": f"s2f {__version__}",
            "checkpoint": self.checkpoint,
            "checkpoint_sha256": self.checkpoint_sha256,
            "note": self.note,
        }
        if self.seed is not None:
            chunks["seed"] = str(self.seed)
        return chunks


@dataclass(frozen=True)
class SampleProvenance(Provenance):
    """Where a drawn sample comes from.

    Attributes:
        number: which sample, from 1.
        samples: how many were drawn.
    """

    number: int = 1
    samples: int = 1

    def text(self) -> dict[str, str]:
        """Return the PNG text chunks, keyword to text; `sample` says what is special."""
        note = f"{SAMPLE_NOTE} (sample {self.number} of {self.samples}, seed {self.seed})"
        return super().text() | {"sample": note}


@dataclass(frozen=True)
class CartoonProvenance(Provenance):
    """Where a cartoon comes from: the picture's own provenance, and that it was redrawn."""

    def text(self) -> dict[str, str]:
        """Return the PNG text chunks, keyword to text; `rendering` says what is special."""
        return super().text() | {"rendering": CARTOON_NOTE}


def weights_sha256(folder: str | Path) -> str:
    """Hash all weights of a checkpoint.

    Args:
        folder: checkpoint folder.

    Returns:
        First 16 hexadecimal digits of the SHA-256 over its `*.safetensors` files in order of their relative paths.
    """
    digest = hashlib.sha256()
    folder = Path(folder)
    for path in sorted(folder.rglob("*.safetensors"), key=lambda found: found.relative_to(folder).as_posix()):
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()[:HASH_DIGITS]


def save_png(image: Image.Image, path: str | Path, provenance: Provenance) -> None:
    """Write a PNG with its provenance as text; the file appears complete or not at all.

    Args:
        image: picture to write.
        path: file name ending in .png; its folder is made if it does not exist.
        provenance: what the text says.

    Raises:
        OutputError: not a .png name, or a place that cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise OutputError("a file name ending in .png", str(path), "only PNG files carry the provenance text")
    info = PngInfo()
    for keyword, text in provenance.text().items():
        info.add_itxt(keyword, text) if not text.isascii() else info.add_text(keyword, text)
    content = io.BytesIO()
    try:
        image.save(content, format="PNG", pnginfo=info)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, content.getvalue())
    except OSError as error:
        reason = error.strerror or str(error)
        fix = "choose a folder you may write to"
        raise OutputError("a place for the image that can be written", f"{path} ({reason})", fix) from error


def save_samples(samples: Sequence[Image.Image], paths: Sequence[Path], seed: int, checkpoint: Provenance) -> None:
    """Write one clip's samples as PNG files that say which draw they are.

    Args:
        samples: N pictures.
        paths: N file names ending in .png.
        seed: of the draws.
        checkpoint: where the pictures come from.

    Raises:
        OutputError: see `save_png`.
    """
    for number, (image, path) in enumerate(zip(samples, paths, strict=True), start=1):
        source = (checkpoint.checkpoint, checkpoint.checkpoint_sha256, seed)
        save_png(image, path, SampleProvenance(*source, number=number, samples=len(samples)))
