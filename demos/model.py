"""What the demo computes: a face from clips, a face from a photo, scores of voices and faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image

from demos.cartoon import cartoon
from demos.clip_figure import Heard, draw
from demos.guess_game import Member
from demos.limits import LONGEST_S, MOST_CLIP_S, MOST_CLIPS, MOST_FACES, MOST_SAMPLES, SHORTEST_S, SMALL_FACE_PX
from eval.faces.pictures import decode_picture
from s2f import audio
from s2f.errors import AudioError, ImageError, UsageError
from s2f.faces.detection import FaceDetector, face_detector, find_faces
from s2f.faces.landmarks import canonical_crop
from s2f.reconstruction.pipeline import Speech2FacePipeline

SHOWN_S = 15.0
SEARCH_PX = 640  # photos are searched for a face with their longer side reduced to this


@dataclass(frozen=True)
class VoiceAnswer:
    """A face drawn from a voice.

    Attributes:
        face: the picture.
        cartoon: the same, redrawn.
        samples: draws of what the voice does not determine.
        heard: PNG of what was heard.
        sentence: what was heard, in words.
        warnings: what was changed or looks doubtful.
    """

    face: Image.Image
    cartoon: Image.Image
    samples: list[Image.Image]
    heard: bytes
    sentence: str
    warnings: list[str]


@dataclass(frozen=True)
class PhotoAnswer:
    """A face drawn from a photo.

    Attributes:
        crop: the part of the photo that was looked at.
        face: the picture drawn from its feature.
        cosine: of the photo's feature and that of the drawn picture: how much of it the decoder keeps.
        warnings: what was changed or looks doubtful.
    """

    crop: Image.Image
    face: Image.Image
    cosine: float
    warnings: list[str]


class CastScores(NamedTuple):
    """How alike the model finds the voices and faces of J people.

    Attributes:
        cosines: (J, J) of the feature predicted from a voice (row) and that of a face (column).
        accuracy: (K,) share of all questions with 2, 3, … faces that the model answers rightly: exact.
    """

    cosines: Float[np.ndarray, "J J"]
    accuracy: Float[np.ndarray, " K"]


class Model:
    """A pipeline with the demo's rules.

    Args:
        folder: checkpoint folder.
        device: where to compute.

    Attributes:
        pipeline: the pipeline.

    Raises:
        S2fError: see `Speech2FacePipeline.from_pretrained`.
    """

    def __init__(self, folder: Path, device: str) -> None:
        self.pipeline = Speech2FacePipeline.from_pretrained(folder, device)

    @cached_property
    def _detector(self) -> FaceDetector:
        return face_detector("auto")[0]

    def hear(self, clips: Sequence[str], seconds: float = 6.0, samples: int = 0, seed: int = 0) -> VoiceAnswer:
        """Draw one face from the clips of one speaker.

        Args:
            clips: 1 to 5 audio files of at most 300 s.
            seconds: how much of each is heard, 3 to 10.
            samples: draws of what the voice leaves open, 0 to 4.
            seed: of these draws.

        Returns:
            The answer.

        Raises:
            AudioError: a clip that cannot be used; where there are several, the sentence says which.
            UsageError: a number out of range.
            CheckpointError: samples from a checkpoint that has none.
        """
        if not 1 <= len(clips) <= MOST_CLIPS:
            got, fix = (f"{len(clips)}", "leave some out") if clips else ("none", "record or upload a voice first")
            raise UsageError(f"1 to {MOST_CLIPS} clips of one speaker", got, fix)
        if not (SHORTEST_S <= seconds <= LONGEST_S and 0 <= samples <= MOST_SAMPLES and 0 <= seed < 2**63):
            expected = f"{SHORTEST_S:g} to {LONGEST_S:g} seconds, 0 to {MOST_SAMPLES} samples, a seed of 0 to 2^63 - 1"
            raise UsageError(expected, f"{seconds:g}, {samples} and {seed}", "correct them")
        rate = self.pipeline.voice_encoder.sample_rate_hz
        heard = [_numbered(number, len(clips), path, rate, seconds) for number, path in enumerate(clips, start=1)]
        used, shown = [clip for clip, _ in heard], [picture for _, picture in heard]
        generator = torch.Generator().manual_seed(seed)
        output = self.pipeline(used, seconds, samples=samples, generator=generator, average=True)
        numbered = [f"Clip {number}: {picture.sentence()}" for number, picture in enumerate(shown, start=1)]
        sentence = " ".join(numbered) if len(shown) > 1 else shown[0].sentence()
        face = output.images[0]
        return VoiceAnswer(face, cartoon(face), output.samples[0], draw(shown), sentence, output.warnings[0])

    def see(self, photo: bytes) -> PhotoAnswer:
        """Draw the canonical face of a photo with one face.

        Args:
            photo: picture file, see `eval.faces.pictures.decode_picture`.

        Returns:
            The answer.

        Raises:
            AssetMissing: dlib is not installed.
            ImageError: not a picture, or one without a face or with several.
        """
        pixels, notes = decode_picture(photo)
        faces = find_faces(pixels, self._detector, SEARCH_PX)
        if len(faces) != 1:
            fix = "crop it to one of them" if faces else "take a photo from the front, in good light"
            raise ImageError("a photo with one face", f"{len(faces) or 'none that the detector sees'}", fix)
        (box,) = faces
        if box.side < SMALL_FACE_PX:
            notes = (*notes, f"small face: it is about {box.side:.0f} px high; a larger one is drawn better")
        crop = Image.fromarray(canonical_crop(pixels, box))
        output = self.pipeline.reconstruct_from_face(crop)
        face = output.images[0]
        again = self.pipeline.reconstruct_from_face(face).face_features
        cosine = torch.nn.functional.cosine_similarity(output.face_features, again)[0]
        return PhotoAnswer(crop.resize(face.size, Image.Resampling.LANCZOS), face, float(cosine), list(notes))

    def score(self, cast: Sequence[Member]) -> CastScores:
        """Compare every voice of the cast with every face.

        Args:
            cast: J people.

        Returns:
            The scores.
        """
        from eval.metrics.n_way import n_way  # takes more than a second, and the model is wanted first
        from eval.metrics.scores import CrossScores, VectorScores

        voices = self.pipeline([str(member.voice) for member in cast]).face_features.double().numpy()
        pictures = [member.picture() for member in cast]
        faces = self.pipeline.reconstruct_from_face(pictures).face_features.double().numpy()
        people = np.arange(len(cast))
        cross = CrossScores(VectorScores(voices, faces, "cosine"), people, people, len(cast))
        units = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in (voices, faces)]
        accuracy = n_way(cross, MOST_FACES, "identities", people).accuracy("samples")
        return CastScores(units[0] @ units[1].T, accuracy)


def _numbered(number: int, count: int, path: str, rate: int, seconds: float) -> tuple[audio.Clip, Heard]:
    """Load a clip, saying which one cannot be used where there are several."""
    try:
        return _heard(path, rate, seconds)
    except AudioError as error:
        got = error.got if count == 1 else f"clip {number}: {error.got}"
        raise type(error)(error.expected, got, error.fix) from error


def _heard(path: str, rate: int, seconds: float) -> tuple[audio.Clip, Heard]:
    """What the model hears of a file, and what is drawn of it. Names of files are never part of a message."""
    with Path(path).open("rb") as file:
        clip = audio.load(file, rate, seconds)
        if clip.source_seconds > MOST_CLIP_S:
            fix = "cut out a part with one voice"
            raise AudioError(f"a clip of at most {MOST_CLIP_S:g} s", f"{clip.source_seconds:.0f} s", fix)
        file.seek(0)
        shown = audio.load(file, rate, part=(0.0, SHOWN_S))
    return clip, Heard(shown.waveform, rate, seconds, clip.source_seconds)
