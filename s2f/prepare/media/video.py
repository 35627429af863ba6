"""Pictures from films, decoded by PyAV (extra `codecs`)."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from s2f.errors import AssetMissing, ImageError

GAP_S = 1.0  # a film may stop this long before its header says so
NO_OTHER_FILES = {"protocol_whitelist": "none"}  # should it be a playlist


class Frame(NamedTuple):
    """One picture of a film.

    Attributes:
        wanted_s: the second that was asked for.
        shown_s: when the picture appears; None if it cannot be decoded.
        image: (H, W, 3) uint8 RGB; None if it cannot be decoded.
    """

    wanted_s: float
    shown_s: float | None = None
    image: UInt8[np.ndarray, "H W 3"] | None = None


def require_pyav() -> ModuleType:
    """Import PyAV.

    Raises:
        AssetMissing: it is not installed.
    """
    try:
        return importlib.import_module("av")
    except ImportError as error:
        raise AssetMissing("the package av", "none", "install the extra s2f[codecs]") from error


def film_frames(path: Path, count: int, start_s: float = 0.0, end_s: float | None = None) -> Iterator[Frame]:
    """Decode pictures that are evenly spread over a part of a film.

    The part is cut into `count` equal stretches and the picture on screen in the middle of each is taken. Kim et al.
    (2018) take the first frame of each clip instead; at its very beginning a film is often still fading in.

    Args:
        path: the film.
        count: how many pictures.
        start_s: the part begins here.
        end_s: and ends here; None or beyond the end: at the end of the film.

    Yields:
        One entry per picture, in order, also for those that cannot be decoded, as at the end of a truncated film.

    Raises:
        AssetMissing: PyAV is not installed.
        ImageError: not a film, or its part holds nothing.
        OSError: the file cannot be read.
    """
    av = require_pyav()
    try:
        length_s = _length(av, path)
        seconds = _spread(count, start_s, length_s if end_s is None else min(length_s, end_s))
        yield from (_frame(av, path, second) for second in seconds)
    except ImageError:
        raise
    except (av.error.FFmpegError, OSError, ValueError, IndexError) as error:
        if not isinstance(error, av.error.FFmpegError) and getattr(error, "filename", None):
            raise  # the file cannot be opened; damaged films make FFmpeg read where there is nothing
        fix = "copy the film again, or play it in a media player to see what it holds"
        raise ImageError("a film", "a file that is none or is damaged", fix) from error


def _spread(count: int, start_s: float, end_s: float) -> list[float]:
    if not 0 <= start_s < end_s:
        got = f"{start_s:.2f} s to {end_s:.2f} s, where the film or its part ends"
        raise ImageError("a part of a film that holds pictures", got, "correct the part")
    return [start_s + (k + 0.5) / count * (end_s - start_s) for k in range(count)]


@contextmanager
def _opened(av: ModuleType, path: Path) -> Iterator[tuple[Any, Any]]:
    """A film's container and its picture track."""
    with (
        path.open("rb") as stream,
        av.open(stream, metadata_errors="ignore", container_options=NO_OTHER_FILES) as container,
    ):
        yield container, container.streams.video[0]


def _length(av: ModuleType, path: Path) -> float:
    """Seconds of the picture track as it says itself, or until its last packet; the sound may be longer."""
    with _opened(av, path) as (container, track):
        if track.duration:
            return float(track.duration * track.time_base)
        first_try = [container.duration] if container.duration else []
    for length in (*first_try, None):
        with _opened(av, path) as (container, track):
            try:
                if length is not None:  # the end alone, if it can be found
                    container.seek(max(0, length - av.time_base))
            except (av.error.FFmpegError, OSError):
                continue
            packets = (packet for packet in container.demux(track) if packet.pts is not None)
            end = max((packet.pts + (packet.duration or 0) for packet in packets), default=None)
            if end is not None:
                return float((end - (track.start_time or 0)) * track.time_base)
    return 0.0


def _frame(av: ModuleType, path: Path, second: float) -> Frame:
    """The picture on screen at a second; one that ends the film too early does not count."""
    found = _on_screen(av, path, second, seek=True)
    if found is None:  # some films cannot be sought, or only beyond the wanted place
        found = _on_screen(av, path, second, seek=False)
    if found is None or second >= found[1] + GAP_S:
        return Frame(second)
    return Frame(second, round(found[0], 3), found[2].to_ndarray(format="rgb24"))


def _on_screen(av: ModuleType, path: Path, second: float, seek: bool) -> tuple[float, float, Any] | None:
    """When the picture appears, when it ends, and the picture; None if all that is decoded comes later."""
    found = None
    with _opened(av, path) as (container, track):
        origin = track.start_time or 0
        try:
            if seek:
                container.seek(origin + int(second / track.time_base), stream=track)
        except (av.error.FFmpegError, OSError):
            return None
        for packet in container.demux(track):
            for frame in _decoded(av, packet):
                shown = float((frame.pts - origin) * track.time_base)
                if shown > second:
                    return found
                found = (shown, shown + float((frame.duration or 0) * track.time_base), frame)
    return found


def _decoded(av: ModuleType, packet: Any) -> list[Any]:
    """Whole pictures of a packet, none if it is damaged; the empty last packet flushes the decoder."""
    try:
        return [frame for frame in packet.decode() if frame.pts is not None and not frame.is_corrupt]
    except av.error.InvalidDataError:
        return []
