"""How long a signal is before and after a stack of layers, and the check of what a spectrogram network is given."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

Window = tuple[int, int, int]


def size_after(size: int, windows: Sequence[Window]) -> int:
    """Size of one axis after convolutions and poolings, all rounded down.

    Args:
        size: size before them.
        windows: (kernel, stride, padding on either side) of each layer along that axis, in order.

    Returns:
        The size after them; below 1 where the axis is too small for them.
    """
    for kernel, stride, padding in windows:
        size = (size + 2 * padding - kernel) // stride + 1
    return size


def smallest_before(windows: Sequence[Window]) -> int:
    """Smallest size of one axis that leaves one value after convolutions and poolings.

    Args:
        windows: as in `size_after`.

    Returns:
        That size, at least 1.
    """
    size = 1
    for kernel, stride, padding in reversed(windows):
        size = max(1, (size - 1) * stride + kernel - 2 * padding)
    return size


def require_spectrogram(signal: Float[Tensor, "B 1 F T"], frequencies: int, min_frames: int) -> None:
    """Refuse what is no spectrogram (B, 1, F, T) of the right height and of enough frames.

    Args:
        signal: what a network was given.
        frequencies: rows F it expects.
        min_frames: fewest columns T it accepts.

    Raises:
        ValueError: wrong rank, channels or rows; or too few frames.
    """
    if signal.ndim != 4 or tuple(signal.shape[1:3]) != (1, frequencies):
        raise ValueError(
            f"expected a spectrogram (B, 1, {frequencies}, T), got {tuple(signal.shape)}; compute it with `front_end`"
        )
    if signal.shape[3] < min_frames:
        raise ValueError(
            f"expected at least {min_frames} frames, got {signal.shape[3]}; repeat the clip until it is long enough"
        )
