"""Dynamic images: the motion of a face track as one picture, and which frames go into it.

Papers: Bilen et al., "Dynamic Image Networks for Action Recognition" (CVPR 2016), section 3, approximate rank pooling;
Nagrani, Albanie, Zisserman, "Seeing Voices and Hearing Faces" (SVHF, CVPR 2018), sections 3.1, 5.1 and 7, which
distinguishes a single dynamic image per track, multiple ones (10 windows of 10 frames at uniform places) and dense
ones (windows of 10 frames at a fixed stride).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

import torch
from jaxtyping import Float, Float64, Num, UInt8
from torch import Tensor

from s2f.datasets import Row, numbers
from s2f.errors import ImageError, UsageError

MID_GREY = 128
Formulation = Literal["single", "multiple", "dense"]


def rank_pooling_weights(frames: int) -> Float64[Tensor, " T"]:
    """Weight alpha_t of every frame: the sum over i = t..T of (2i - T - 1) / i.

    This is the variant on time-averaged frames: d is the sum over i of (2i - T - 1) times the mean of the first i
    frames. The same in closed form: 2(T - t + 1) - (T + 1)(H_T - H_(t-1)), H the harmonic numbers.

    Args:
        frames: number T of frames, >= 1.

    Returns:
        (T,) float64; they sum to 0, but for T = 1, where the only one is 1.

    Raises:
        UsageError: no frame.
    """
    if frames < 1:
        raise UsageError("a window of at least one frame", str(frames), "leave empty tracks out")
    if frames == 1:
        return torch.ones(1, dtype=torch.float64)
    i = torch.arange(1, frames + 1, dtype=torch.float64)
    return ((2 * i - frames - 1) / i).flip(0).cumsum(0).flip(0)


def dynamic_image(frames: Num[Tensor, "T 3 H W"]) -> Float[Tensor, "3 H W"]:
    """Weighted sum of the frames, per pixel and channel.

    The first frame is taken off all of them before (for T > 1 the weights sum to 0), so that a pixel that never
    changes is exactly 0 and not a rounding error. One frame alone is its own dynamic image.

    Args:
        frames: (T, 3, H, W) RGB in 0..255, in order of time.

    Returns:
        (3, H, W) float32, raw: signed, its size grows with T. `as_picture` makes a picture of it.

    Raises:
        ImageError: no frames (T, 3, H, W).
    """
    if frames.ndim != 4 or frames.shape[1] != 3 or not len(frames):
        raise ImageError("frames (T, 3, H, W), T >= 1", str(tuple(frames.shape)), "stack the pictures of one track")
    first = frames[0].double()
    image = first.clone() if len(frames) == 1 else torch.zeros_like(first)
    for weight, frame in zip(rank_pooling_weights(len(frames)).tolist(), frames, strict=True):
        image += weight * (frame.double() - first)
    return image.float()


def as_picture(image: Float[Tensor, "3 H W"]) -> UInt8[Tensor, "3 H W"]:
    """Stretch a raw dynamic image to bytes: its smallest value to 0, its largest to 255, over all three channels.

    A still track has no motion to stretch and becomes mid grey, 128. SVHF does not say how its nets see a dynamic
    image; this is the visualisation of Bilen et al., after which the face net's own mean is subtracted.

    Args:
        image: (3, H, W) from `dynamic_image`.

    Returns:
        (3, H, W) uint8.

    Raises:
        ImageError: another shape, or values that are not finite.
    """
    if image.ndim != 3 or image.shape[0] != 3 or not image.numel():
        raise ImageError("a raw dynamic image (3, H, W)", str(tuple(image.shape)), "take it from `dynamic_image`")
    low, high = image.double().aminmax()
    if not (low.isfinite() and high.isfinite()):
        raise ImageError("finite values", f"{low.item()} to {high.item()}", "look for damaged frames")
    if high - low <= 1e-6 * torch.maximum(low.abs(), high.abs()):
        return torch.full_like(image, MID_GREY, dtype=torch.uint8)
    return ((image.double() - low) * (255 / (high - low))).round().to(torch.uint8)


def windows(
    length: int,
    formulation: Formulation,
    size: int = 10,
    count: int = 10,
    stride: int = 10,
) -> list[range]:
    """Frames of a track that go into each of its dynamic images (SVHF section 7).

    * `single`: one window over everything (SDI).
    * `multiple`: `count` windows, the first at the beginning, the last at the end, the others evenly between (MDI);
      they overlap where the track is shorter than `count` times `size`. One alone lies in the middle.
    * `dense`: a window every `stride` frames from the beginning on, as far as whole windows go. SVHF does not print
      the stride.

    A track shorter than `size` is one window over everything, for `multiple` `count` times: the number of images
    stays what a batch needs, and the maximum over equal images is that of one.

    Args:
        length: frames of the track, >= 1.
        formulation: which of the three.
        size: frames of a window (m in SVHF).
        count: windows of `multiple` (k in SVHF).
        stride: frames between the beginnings of dense windows.

    Returns:
        Indices of frames, window by window.

    Raises:
        UsageError: an unknown formulation, or a number below 1.
    """
    if min(length, size, count, stride) < 1:
        got = f"length {length}, size {size}, count {count}, stride {stride}"
        raise UsageError("length, size, count and stride of at least 1", got, "leave empty tracks out or raise it")
    last = max(0, length - size)
    if formulation == "single":
        return [range(length)]
    if formulation == "multiple":
        begins = [last * window // (count - 1) for window in range(count)] if count > 1 else [last // 2]
    elif formulation == "dense":
        begins = list(range(0, last + 1, stride))
    else:
        raise UsageError("formulation single, multiple or dense", repr(formulation), "choose one of them")
    return [range(begin, min(begin + size, length)) for begin in begins]


@dataclass(frozen=True)
class Track:
    """Frames of one face that follow each other in one video.

    Attributes:
        identity: whose.
        video: which video.
        rows: rows of faces.csv in order of `frame_s`.
    """

    identity: str
    video: str
    rows: tuple[Row, ...]

    def __len__(self) -> int:
        return len(self.rows)


def face_tracks(rows: Iterable[Row], max_gap_s: float = 0.5) -> list[Track]:
    """Group faces into tracks: one identity, one video, no gap above `max_gap_s` between neighbours in time.

    Rows without `video` or `frame_s` are left out: of them nobody knows when they were seen.

    Args:
        rows: rows of faces.csv, in any order; frames of equal time keep theirs.
        max_gap_s: largest step in time within a track, in seconds.

    Returns:
        Tracks sorted by identity, video and time.

    Raises:
        DatasetError: a `frame_s` that is no number.
    """
    timed = [row for row in rows if row.get("video") and row.get("frame_s")]
    seconds = numbers(timed, "frame_s").tolist()
    placed = sorted(zip(seconds, timed, strict=True), key=lambda item: (item[1]["identity"], item[1]["video"], item[0]))
    tracks = []
    for (identity, video), group in groupby(placed, key=lambda item: (item[1]["identity"], item[1]["video"])):
        parts: list[list[Row]] = []
        before = float("-inf")
        for second, row in group:
            if second - before > max_gap_s + 1e-6:  # decimal fractions are not exact
                parts.append([])
            parts[-1].append(row)
            before = second
        tracks += [Track(identity, video, tuple(part)) for part in parts]
    return tracks


def matched_stride(first: int, second: int) -> int:
    """Stride through the longer of two tracks that are compared frame by frame (SVHF section 5.1).

    s = floor(length(F1) / (length(F2) - 1)), F1 the longer one. The frames then left of it need not be as many as the
    shorter one has: 27 against 10 leave 9, 25 against 10 leave 13. Compare as many pairs as there are. Against a track
    of one frame, where the fraction does not exist, s is the whole length, which leaves one frame.

    Args:
        first: frames of one track, >= 1.
        second: frames of the other, >= 1.

    Returns:
        Stride s >= 1 of the longer track; the shorter one is taken whole.

    Raises:
        UsageError: an empty track.
    """
    longer, shorter = max(first, second), min(first, second)
    if shorter < 1:
        raise UsageError("two tracks of at least one frame", f"{first} and {second}", "leave empty tracks out")
    return longer // (shorter - 1) if shorter > 1 else longer
