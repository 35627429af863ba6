"""Nine invented people for tests of `s2f prepare`: their voices, pictures and films, in real codecs.

Their faces are drawn by the starter checkpoint, so that detectors find them; their voices are a synthesiser's words
over harmonics of their own pitch.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import soundfile
import soxr
import torch
from PIL import Image, ImageEnhance
from torch.nn import functional as F

from s2f import Speech2FacePipeline
from s2f.faces.images import to_tensor
from tests import CHECKOUT

EXAMPLE = CHECKOUT / "examples" / "voice.wav"
SECONDS = 3.5
FPS = 25
FILM_RATE_HZ = 44100
CODECS = {".mp4": ("mp4", "libx264", "aac"), ".flv": ("flv", "flv", "libmp3lame"), ".m4a": ("ipod", "", "aac")}


# the ids follow the names: A and B (val by the rule of SVHF), C to E (test), F to Z (train)
VOXCELEB1_NUMBERS = (10003, 10080, 10130, 10280, 10311, 10351, 10401, 10501, 11250, 10601, 10701)


class Person(NamedTuple):
    """One of the cast; `number` from 0 gives every dataset's id."""

    number: int
    name: str
    gender: str

    @property
    def voxceleb1(self) -> str:
        return f"id{VOXCELEB1_NUMBERS[self.number]}"

    @property
    def voxceleb2(self) -> str:
        return f"id{self.number + 12:05d}"

    @property
    def vggface2(self) -> str:
        return f"n{self.number + 1:06d}"

    @property
    def youtube(self) -> str:
        return f"{'-_AbCd09x'[self.number]}_yt-{self.number}_zz-9"

    @property
    def pitch_hz(self) -> int:
        return (200 if self.gender == "f" else 110) + 4 * self.number

    @property
    def sex(self) -> str:
        return {"f": "Female", "m": "Male"}[self.gender]


NAMES = ("Ada_Alder", "Bo.B._Birch", "Cleo_Cedar", "Eli_Elm", "Fay_Fir", "Gus_Gum", "Hana_Hazel", "Ivo_Ivy", "Zoë_Yew")
CAST = tuple(Person(number, name, "fm"[number % 2]) for number, name in enumerate(NAMES))
OTHERS = (Person(9, "Otto_Oak", "m"), Person(10, "Pia_Pine", "f"))  # of HQ-VoxCeleb only


# --- sound ----------------------------------------------------------------------------------------------------------


@lru_cache
def _words() -> np.ndarray:
    return soundfile.read(EXAMPLE, dtype="float32")[0]


def sound(person: Person, take: int = 0, rate_hz: int = 16000, seconds: float = SECONDS) -> np.ndarray:
    """(S,) float32: words and harmonics at the person's own pitch; another take has other words."""
    words = np.roll(_words(), -16000 * take)
    speed = (1.0 if person.gender == "f" else 0.65) + 0.02 * person.number
    spoken = soxr.resample(words, 16000 * speed, rate_hz)
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    hum = sum(np.sin(2 * np.pi * person.pitch_hz * harmonic * time) / harmonic for harmonic in range(1, 6))
    return (0.6 * np.resize(spoken, len(time)) + 0.05 * hum).astype(np.float32)


def whose_voice(samples: np.ndarray, rate_hz: int) -> Person:
    """The one of the cast whose harmonics stand out most from what is beside them."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))

    def line(hz: float) -> float:
        near, wide = (slice(*np.rint((hz + np.array((-d, d))) * len(samples) / rate_hz).astype(int)) for d in (0.5, 2))
        return float(spectrum[near].max() / spectrum[wide].mean())

    return max(CAST, key=lambda who: np.prod([line(harmonic * who.pitch_hz) for harmonic in (1, 2, 3)]))


def write_sound(path: Path, person: Person, take: int = 0, rate_hz: int = 16000, channels: int = 1) -> None:
    """WAV or FLAC by the file's suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.repeat(sound(person, take, rate_hz)[:, None], channels, axis=1)
    kind = path.suffix[1:].upper()
    soundfile.write(path, samples, rate_hz, format=kind, subtype="PCM_16")


# --- pictures -------------------------------------------------------------------------------------------------------


@lru_cache
def _starter() -> Speech2FacePipeline:
    return Speech2FacePipeline.from_pretrained("starter")


@lru_cache
def _drawn() -> dict[str, list[Image.Image]]:
    """By gender, five faces of 224 x 224 px drawn by the starter."""
    clips = [(_words(), 16000), (_words(), 10000)]
    seeds = [torch.Generator().manual_seed(seed) for seed in (0, 1)]
    output = _starter()(clips, seconds=6, samples=4, generator=seeds)
    return {
        gender: [image, *samples] for gender, image, samples in zip("fm", output.images, output.samples, strict=True)
    }


def face(person: Person, take: int = 0, size_px: int = 224) -> Image.Image:
    """The person's face as a canonical picture; another take has another light."""
    drawn = _drawn()[person.gender][person.number // 2 % 5]
    light = ImageEnhance.Brightness(drawn).enhance(0.9 + 0.1 * (take % 3))
    return (
        ImageEnhance.Color(light).enhance(1.0 + 0.2 * (take % 2)).resize((size_px, size_px), Image.Resampling.LANCZOS)
    )


def close_up(person: Person, take: int, size_px: int) -> Image.Image:
    """The face as datasets crop it."""
    return face(person, take).crop((37, 40, 187, 190)).resize((size_px, size_px), Image.Resampling.LANCZOS)


@torch.inference_mode()
def _feature(picture: Image.Image) -> torch.Tensor:
    encoder = _starter().face_encoder
    return F.normalize(encoder.features(encoder.prepare(to_tensor(picture)[None]))[0], dim=0)


@lru_cache
def _known_features() -> torch.Tensor:
    """(9, 2, D) of everybody's face and close-up."""
    return torch.stack([torch.stack([_feature(face(who)), _feature(close_up(who, 1, 224))]) for who in CAST])


def whose_face(picture: Image.Image) -> Person:
    """The one of the cast whose face the starter's face encoder finds most alike."""
    return CAST[int((_known_features() @ _feature(picture)).amax(1).argmax())]


def scene(person: Person, take: int = 0, size: tuple[int, int] = (320, 240), centre: tuple[float, float] = (0.5, 0.5)):
    """A picture with the person's face around `centre` (shares of width and height) on a shaded background."""
    width, height = size
    shade = np.linspace(60, 190, width, dtype=np.float32)[None, :, None] + np.zeros((height, 1, 3), np.float32)
    shade += np.random.default_rng(person.number).normal(0, 2, shade.shape)
    picture = Image.fromarray(shade.clip(0, 255).astype(np.uint8))
    side = round(0.95 * height)
    corner = (round(centre[0] * width - side / 2), round(centre[1] * height - side / 2))
    picture.paste(face(person, take, side), corner)
    return picture


def write_picture(path: Path, picture: Image.Image) -> None:
    """JPEG or PNG by the file's suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, **({"quality": 92} if path.suffix.lower() != ".png" else {}))


# --- films ----------------------------------------------------------------------------------------------------------


def write_film(
    path: Path, person: Person, take: int = 0, picture: Image.Image | None = None, seconds: float = 1.0
) -> None:
    """`seconds` of one picture (a scene if not given) at 25 a second, and `SECONDS` of sound, as MP4, FLV or M4A."""
    path.parent.mkdir(parents=True, exist_ok=True)
    suffix = path.suffix.lower()
    form, codec, sound_codec = CODECS[suffix]
    with av.open(str(path), "w", format=form) as container:
        track = container.add_stream(sound_codec, rate=FILM_RATE_HZ, layout="mono")
        if codec:
            _add_pictures(container, codec, picture or scene(person, take), seconds)
        block = av.AudioFrame.from_ndarray(sound(person, take, FILM_RATE_HZ)[None], format="fltp", layout="mono")
        block.sample_rate, block.pts, block.time_base = FILM_RATE_HZ, 0, Fraction(1, FILM_RATE_HZ)
        container.mux(track.encode(block))
        container.mux(track.encode())


def _add_pictures(container, codec: str, picture: Image.Image, seconds: float) -> None:
    stream = container.add_stream(codec, rate=FPS, bit_rate=2_000_000)
    stream.width, stream.height, stream.pix_fmt = *picture.size, "yuv420p"
    frame = av.VideoFrame.from_image(picture)
    for number in range(round(seconds * FPS)):
        frame.pts, frame.time_base = number, Fraction(1, FPS)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())
