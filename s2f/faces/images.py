"""Face images as tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2
from torchvision.utils import make_grid
from tqdm import tqdm

from s2f.errors import ImageError

SHOWN = 8
Picture = UInt8[np.ndarray, "H W 3"]


def load_image(path: str | Path) -> Float[Tensor, "3 H W"]:
    """Read an image file.

    Args:
        path: any format Pillow reads.

    Returns:
        (3, H, W) RGB in [0, 1].

    Raises:
        ImageError: missing or not an image.
    """
    try:
        with Image.open(path) as image:
            return to_tensor(image)
    except OSError as error:
        raise ImageError("a readable image file", f"{path} ({error})", "check the path or save it as PNG") from error


def to_tensor(image: Image.Image) -> Float[Tensor, "3 H W"]:
    """Pillow image to (3, H, W) RGB in [0, 1]."""
    return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).float() / 255


def to_pil(image: Float[Tensor, "3 H W"]) -> Image.Image:
    """(3, H, W) RGB in [0, 1] to a Pillow image."""
    return Image.fromarray(to_bytes(image).permute(1, 2, 0).cpu().numpy())


def to_bytes(image: Float[Tensor, "..."]) -> UInt8[Tensor, "..."]:
    """Round images in [0, 1] to bytes; values outside are clamped."""
    return (image.detach().float().clamp(0, 1) * 255).round().to(torch.uint8)


def load_batch(
    paths: Sequence[Path], prepare: Callable[[Tensor], Tensor], label: str, threads: int = 2
) -> UInt8[Tensor, "N 3 P P"]:
    """Read many images into one byte tensor, with a progress bar.

    Args:
        paths: N image files.
        prepare: takes (1, 3, H, W) in [0, 1] to (1, 3, P, P), for example a face encoder's `prepare`.
        label: name shown by the progress bar.
        threads: files read at once.

    Returns:
        (N, 3, P, P) bytes.
    """

    def read(path: Path) -> Tensor:
        try:
            return to_bytes(prepare(load_image(path)[None]))[0]
        except ValueError as error:
            raise ImageError("pictures as the network takes them", f"{path}: {error}", "prepare that file") from error

    with ThreadPoolExecutor(threads) as pool:
        return torch.stack(list(tqdm(pool.map(read, paths), total=len(paths), desc=label, disable=None)))


def resize(image: Float[Tensor, "B 3 H H"], size_px: int) -> Float[Tensor, "B 3 P P"]:
    """Resize square images, antialiased bilinear; unchanged when they have the size.

    Args:
        image: (B, 3, H, H).
        size_px: wanted side P.

    Returns:
        (B, 3, P, P).
    """
    return v2.functional.resize(image, [size_px, size_px], antialias=True)


def spread(items: Sequence, count: int = SHOWN) -> list:
    """Up to `count` items, evenly spread over a sequence: the same ones each time, for pictures people compare."""
    return list(items[:: max(1, len(items) // count)][:count])


def grid(rows: Sequence[Sequence[Float[Tensor, "3 H W"]]]) -> Image.Image:
    """Contact sheet: one list of images per row, all of one size, all rows equally long."""
    return to_pil(make_grid([image for row in rows for image in row], nrow=len(rows[0]), padding=0))


def resized(image: Picture, width: int, height: int, how: Image.Resampling) -> Picture:
    """A picture at another size; itself where it has that size."""
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(Image.fromarray(image).resize((width, height), how))
