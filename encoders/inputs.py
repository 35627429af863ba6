"""What the doors of the encoders refuse: numbers that are no picture in [0, 1] and no sound in [-1, 1].

A network computes something from anything: pictures of 0 to 255 or a NaN give a feature that looks like any other. So
whatever turns a picture or a waveform into a feature looks at its numbers first, once per call: the smallest and the
largest of the whole batch are found on the device and fetched together, the only time the call waits for the device.

The numbers are not looked at

* inside `trusted_inputs`, which the training loop opens around its steps: training never waits, and augmentation may
  make a voice louder than full scale;
* while a network is compiled, exported or traced, which has no numbers to look at; what comes of it does not look;
* on the device `meta`, and in an empty batch.

The type is looked at always, for it costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

# How far beyond its range a value may lie. Nothing in this house oversteps; other people's interpolation does, by less
# than this in a few trials (LOG.md, 2026-12-01). Values of another unit lie much further out.
OVERSHOOT = 0.15

_trusted: ContextVar[bool] = ContextVar("trusted", default=False)


@contextmanager
def trusted_inputs() -> Iterator[None]:
    """Inside, no numbers are looked at, in this thread: for training steps, whose inputs the loop's own loader made."""
    token = _trusted.set(True)
    try:
        yield
    finally:
        _trusted.reset(token)


def require_picture_type(image: Tensor) -> None:
    """Refuse pictures of another type than floating point; looks at no numbers.

    Args:
        image: pictures of any shape.

    Raises:
        ValueError: integers, which count from 0 to 255.
    """
    if not image.is_floating_point():
        raise ValueError(
            f"expected pictures as floats in [0, 1], got {image.dtype}; divide by 255: image.float() / 255"
        )


def require_pictures(image: Tensor) -> None:
    """Refuse a batch with anything but floats in [0, 1], give or take `OVERSHOOT`.

    Args:
        image: RGB pictures of any shape.

    Raises:
        ValueError: another type, NaN or infinity, or a value out of range in any picture.
    """
    require_picture_type(image)
    low, high = _extremes(image)
    if not (low >= -OVERSHOOT and high <= 1 + OVERSHOOT):
        fix = "divide by 255" if low >= -OVERSHOOT else "undo the normalisation: encoders subtract their own mean"
        raise ValueError(f"expected pictures with values in [0, 1], got {_described(image, low, high, fix)}")


def require_waveforms(waveform: Tensor) -> None:
    """Refuse a batch with anything but floats in [-1, 1], give or take `OVERSHOOT`.

    Args:
        waveform: samples of any shape.

    Raises:
        ValueError: another type, NaN or infinity, or a sample out of range in any clip.
    """
    if not waveform.is_floating_point():
        fix = "divide by the type's full scale: waveform.float() / 32768 for 16 bits"
        raise ValueError(f"expected waveforms as floats in [-1, 1], got {waveform.dtype}; {fix}")
    low, high = _extremes(waveform)
    if not (low >= -1 - OVERSHOOT and high <= 1 + OVERSHOOT):
        fix = "divide by full scale (32768 for 16 bits), or make the clip quieter"
        raise ValueError(f"expected waveforms with samples in [-1, 1], got {_described(waveform, low, high, fix)}")


def _extremes(values: Tensor) -> tuple[float, float]:
    """Smallest and largest value, both NaN where there is one; zeros where nothing is to be looked at."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or _trusted.get():
        return 0.0, 0.0
    if values.is_meta or not values.numel():
        return 0.0, 0.0
    low, high = torch.stack(torch.aminmax(values.detach())).tolist()
    return low, high


def _described(values: Tensor, low: float, high: float, fix: str) -> str:
    """What was got and how to mend it."""
    if not (math.isfinite(low) and math.isfinite(high)):
        fix = "find out which step before made them; files hold none"
    extremes = "NaN" if math.isnan(low) else f"{low:.4g} to {high:.4g}"
    return f"{extremes} ({values.dtype}, shape {tuple(values.shape)}); {fix}"
