"""Films, recordings and pictures for the tests of the engine, made on the spot; nobody's voice or likeness."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import soundfile
from PIL import Image

from s2f.errors import AssetMissing
from s2f.prepare.config import PrepareConfig
from s2f.prepare.media.faces import FaceModels
from s2f.prepare.sources.found import FaceSource, Sources, VoiceSource
from tests.s2f.faces.test_detection import drawn_face

RATE = 16000
CODECS = {"mp4": "libx264", "mov": "mpeg4", "matroska": "libx264", "webm": "libvpx-vp9", "avi": "mpeg4", "flv": "flv"}
FPS = 25


def tone(seconds: float, hz: float = 220.0, level: float = 0.3, rate: int = RATE) -> np.ndarray:
    return level * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)


def write_tone(path: Path, seconds: float = 1.0, hz: float = 220.0, level: float = 0.3) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone(seconds, hz, level), RATE)
    return path


def film(
    seconds: float = 4.0,
    container: str = "mp4",
    pictures=None,
    options=None,
    key_frames: int = FPS,
    sound_s: float = 0.0,
) -> bytes:
    """A film; without `pictures` (a function of the time) it turns from black to white at an even pace."""
    av = pytest.importorskip("av")
    with TemporaryDirectory() as folder, av.open(f"{folder}/film", "w", container, options=options or {}) as opened:
        track, sound = None, None
        for k in range(round(seconds * FPS)):
            grey = np.full((64, 64, 3), round(16 + 220 * k / (seconds * FPS)), np.uint8)
            image = grey if pictures is None else pictures(k / FPS)
            if track is None:
                track = opened.add_stream(CODECS[container], rate=FPS)
                track.height, track.width = image.shape[:2]
                track.pix_fmt, track.codec_context.gop_size = "yuv420p", key_frames
                sound = opened.add_stream("pcm_s16le", rate=RATE, layout="mono") if sound_s else None
            opened.mux(track.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        opened.mux(track.encode(None))
        if sound is not None:
            frame = av.AudioFrame.from_ndarray(tone(sound_s)[None].astype(np.float32), format="fltp", layout="mono")
            frame.sample_rate = RATE
            fitted = av.AudioResampler(format="s16", layout="mono", rate=RATE)
            for block in [*fitted.resample(frame), *fitted.resample(None)]:
                opened.mux(sound.encode(block))
            opened.mux(sound.encode(None))
        opened.close()
        return Path(folder, "film").read_bytes()


def time_shown(image: np.ndarray, seconds: float) -> float:
    """When a picture of `film` is on screen, read from its brightness."""
    return (image.mean() - 16) / 220 * seconds


def scene(size=(420, 300), at=(180, 60), size_px: int = 200) -> np.ndarray:
    """A drawn face on grey."""
    picture = Image.new("RGB", size, (90, 90, 90))
    picture.paste(drawn_face(size_px), at)
    return np.asarray(picture)


@cache
def _missing() -> str:
    try:
        FaceModels("cnn", "dlib")
    except AssetMissing as error:
        return str(error)
    return ""


def require_dlib() -> None:
    """Skip the test where dlib or its models are not installed."""
    if reason := _missing():
        pytest.skip(reason)


def config(root: Path, out: Path, **settings) -> PrepareConfig:
    return PrepareConfig("folders", str(root), str(out), **settings)


def copy_of(root: Path, voices: list[VoiceSource] = (), faces: list[FaceSource] = (), **more) -> Sources:
    """What an adaptor would find."""
    people = {source.identity: {"gender": "f", "split": "train"} for source in (*voices, *faces)}
    return Sources(root, people, list(voices), list(faces), **more)


def content(folder: Path) -> dict[str, bytes]:
    """Bytes of every file below a folder, by its relative path."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(paths)}


def voices(*names: str) -> list[VoiceSource]:
    """Recordings of the people whose folders they lie in."""
    return [VoiceSource(name.partition("/")[0], name) for name in names]


def three_recordings(root: Path) -> Path:
    """A copy with three recordings of two people."""
    for name, hz in (("a/1.wav", 110), ("a/2.wav", 150), ("b/1.wav", 200)):
        write_tone(root / name, 1.0 + hz / 1000, hz)
    return root


def table(out: Path, name: str) -> list[dict[str, str]]:
    """Rows of one of a folder's tables."""
    with (out / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
