"""Voice to face in one call: the diffusers pipeline around a voice encoder, a face encoder and a face decoder.

Paper: Oh et al., "Speech2Face: Learning the Face Behind a Voice" (CVPR 2019), section 3: the voice encoder predicts the
face feature, the face decoder draws the canonical face of that feature. `reconstruct_from_face` is the paper's
"F2F" comparison, which starts from a photo's feature instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from diffusers import DiffusionPipeline
from diffusers.utils import BaseOutput
from PIL import Image

from decoder.normalized import NormalizedFaceDecoder
from encoders.face.compact import CompactFaceEncoder
from encoders.face.vgg_face import VGGFace
from encoders.voice.speech2face import Speech2FaceVoiceEncoder
from s2f import audio
from s2f.checkpoints import loading
from s2f.checkpoints.hashes import write_manifest
from s2f.checkpoints.publish import Publishable
from s2f.errors import AudioError, CheckpointError, ImageError, UsageError
from s2f.faces.features import direction_means
from s2f.faces.images import to_pil, to_tensor
from s2f.reconstruction.unexplained import UnexplainedVariation, decoder_scale
from s2f.runtime.devices import existing_device
from s2f.runtime.files import replaced_entries

COMPONENTS = {
    "voice_encoder": (Speech2FaceVoiceEncoder,),
    "face_encoder": (VGGFace, CompactFaceEncoder),
    "decoder": (NormalizedFaceDecoder,),
    "unexplained": (UnexplainedVariation,),
}
OPTIONAL = ("unexplained",)


@dataclass
class Speech2FaceOutput(BaseOutput):
    """Faces and what they were drawn from.

    Attributes:
        images: B PIL images, RGB, of the decoder's size (224 x 224).
        face_features: (B, D) face features the images were drawn from, on the CPU.
        warnings: for each image, one sentence for everything that was changed in its input.
        samples: for each image, as many variants as were asked for: draws of what the voice does not determine.
    """

    images: list[Image.Image]
    face_features: torch.Tensor
    warnings: list[list[str]]
    samples: list[list[Image.Image]]


class Speech2FacePipeline(Publishable, DiffusionPipeline):
    """Draw the average-looking face that a model links with a voice."""

    _optional_components: ClassVar = list(OPTIONAL)  # diffusers reads it

    def __init__(self, voice_encoder, face_encoder, decoder, unexplained=None):
        """Join networks that share one face feature.

        Args:
            voice_encoder: `Speech2FaceVoiceEncoder`, waveform to face feature.
            face_encoder: `VGGFace` or `CompactFaceEncoder`, photo to face feature.
            decoder: `NormalizedFaceDecoder`, face feature to canonical face.
            unexplained: `UnexplainedVariation`, the part of a face that the voice leaves open; needed for samples only.

        Raises:
            CheckpointError: their feature sizes differ.
        """
        super().__init__()
        networks = {"voice_encoder": voice_encoder, "face_encoder": face_encoder, "decoder": decoder}
        if unexplained is not None:
            networks["unexplained"] = unexplained
        sizes = {name: network.embedding_dim for name, network in networks.items()}
        if len(set(sizes.values())) > 1:
            got = ", ".join(f"{name} {size}" for name, size in sizes.items())
            raise CheckpointError("one face feature size", got, "use networks that were trained together")
        self.register_modules(**{"unexplained": None, **networks})

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, device: str | torch.device | None = None):
        """Load a checkpoint strictly, from disk only.

        Args:
            name_or_path: "starter" or a checkpoint folder.
            device: where to put the networks; None is the CPU.

        Returns:
            The pipeline, its networks in evaluation mode.

        Raises:
            CheckpointError: absent, damaged or another kind of checkpoint; see `loading.load_network`.
            UsageError: the device does not exist here.
        """
        target = existing_device(device)
        folder = loading.resolve(name_or_path)
        index = loading.read_json(folder / loading.INDEX)
        networks = {}
        for name, choices in COMPONENTS.items():
            entry = index.get(name)
            if name in OPTIONAL and entry in (None, [None, None]):
                continue
            by_name = {choice.__name__: choice for choice in choices}
            if not isinstance(entry, list) or len(entry) != 2 or entry[1] not in by_name:
                expected = f"{name} of class {' or '.join(by_name)} in {folder / 'model_index.json'}"
                raise CheckpointError(expected, f"{entry}", "pass a Speech2Face checkpoint")
            part = loading.contained(folder / name, folder)
            networks[name] = loading.load_network(by_name[entry[1]], part)
        return cls(**networks).to(target)

    def networks(self) -> dict[str, torch.nn.Module]:
        """The networks by sub-folder of a checkpoint."""
        return {name: getattr(self, name) for name in COMPONENTS if getattr(self, name) is not None}

    def save_pretrained(self, save_directory: str | Path, max_shard_size: int | str | None = None) -> None:
        """Write a checkpoint folder: the networks, `model_index.json`, and the hashes of all files in `SHA256SUMS`.

        Args:
            save_directory: the folder; what it holds besides these stays.
            max_shard_size: largest weights file, as "5GB"; None is diffusers' own limit.
        """
        folder = Path(save_directory)
        with replaced_entries(folder) as partial:
            super().save_pretrained(partial, max_shard_size=max_shard_size)
        write_manifest(folder)

    def register_to_config(self, **kwargs):
        """Store the configuration; our own networks are stored as exported by `s2f`, wherever they live.

        Args:
            **kwargs: configuration values; networks as (module, class name).
        """
        for name in COMPONENTS.keys() & kwargs.keys():
            if kwargs[name][1] in {choice.__name__ for choice in COMPONENTS[name]}:
                kwargs[name] = ("s2f", kwargs[name][1])
        super().register_to_config(**kwargs)

    @torch.inference_mode()
    def __call__(
        self,
        clips: audio.AudioSource | audio.Clip | Sequence[audio.AudioSource | audio.Clip],
        seconds: float = 6.0,
        batch_size: int = 8,
        samples: int = 0,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        average: bool = False,
    ) -> Speech2FaceOutput:
        """Draw one face per clip or one for all of them, and on request variants of it.

        Args:
            clips: one clip or a list of them, each anything `s2f.audio.load` takes, or its result.
            seconds: how much of each clip is heard; shorter clips are repeated, longer ones cut.
            batch_size: clips per forward pass; the result does not depend on it.
            samples: variants per face in which the part of the face that the voice leaves open is drawn at random.
            generator: source of the variants, one for all faces or one for each; None is PyTorch's own.
            average: draw one face from the mean of the clips' features, see `s2f.faces.features.direction_means`; the
                clips are then taken for one speaker's.

        Returns:
            Faces, features, warnings and variants in the order of the clips; with `average` one of each, and where
            there are several clips each warning says which one it is about.

        Raises:
            AudioError: a clip that cannot be used.
            CheckpointError: samples from a checkpoint without the part `unexplained`.
            UsageError: no clips, `seconds` below the encoder's minimum, `batch_size` below 1, `samples` below 0, or
                another number of generators than of faces.
        """
        sources = list(clips) if isinstance(clips, Sequence) and not isinstance(clips, str | bytes | tuple) else [clips]
        minimum = self.voice_encoder.min_seconds
        if not sources or not minimum <= seconds < float("inf") or batch_size < 1:
            got = f"{len(sources)} clips, seconds={seconds:g}, batch_size={batch_size}"
            expected = f"at least one clip, seconds of at least {minimum:.3f} and a batch_size of at least 1"
            raise UsageError(expected, got, "short clips need no smaller value: they are repeated")
        generators = self._generators(samples, generator, 1 if average else len(sources))
        heard = [self._hear(source, seconds) for source in sources]
        parts = []
        for start in range(0, len(heard), batch_size):
            batch = np.stack([clip.waveform for clip in heard[start : start + batch_size]])
            parts.append(self.voice_encoder.encode(torch.from_numpy(batch).to(self.device)))
        features, notes = torch.cat(parts), [list(clip.warnings) for clip in heard]
        if average and len(heard) > 1:
            features = direction_means(features, [range(len(heard))])
            notes = [[f"clip {number}: {note}" for number, clip in enumerate(notes, start=1) for note in clip]]
        output = self._draw(features, notes, batch_size)
        if samples:
            output.samples = self._vary(features, samples, generators, batch_size)
        return output

    @torch.inference_mode()
    def reconstruct_from_face(
        self, images: Image.Image | Sequence[Image.Image], batch_size: int = 8
    ) -> Speech2FaceOutput:
        """Draw the canonical face of each photo.

        Args:
            images: one or more PIL images, each a square crop around one face.
            batch_size: images per forward pass; the result does not depend on it.

        Returns:
            Faces and features in the order of the images.

        Raises:
            ImageError: an image that is not square.
            UsageError: no images, or `batch_size` below 1.
        """
        photos = [images] if isinstance(images, Image.Image) else list(images)
        if not photos or batch_size < 1:
            got = f"{len(photos)} images, batch_size={batch_size}"
            raise UsageError("at least one image and a batch_size of at least 1", got, "pass a list of PIL images")
        features = []
        for start in range(0, len(photos), batch_size):
            batch = [self.face_encoder.prepare(self._see(photo)) for photo in photos[start : start + batch_size]]
            features.append(self.face_encoder.features(torch.cat(batch)))
        return self._draw(torch.cat(features), [[] for _ in photos], batch_size)

    def _hear(self, source: audio.AudioSource | audio.Clip, seconds: float) -> audio.Clip:
        rate = self.voice_encoder.sample_rate_hz
        if not isinstance(source, audio.Clip):
            return audio.load(source, rate, seconds)
        if source.sample_rate_hz != rate or source.waveform.shape != (round(seconds * rate),):
            got = f"{source.waveform.shape} samples at {source.sample_rate_hz} Hz"
            raise AudioError(f"a clip of {seconds:g} s at {rate} Hz", got, "load it with these values")
        return source

    def _see(self, photo: Image.Image) -> torch.Tensor:
        """PIL image to (1, 3, H, H) RGB in [0, 1]."""
        if photo.width != photo.height:
            got = f"{photo.width} x {photo.height} px"
            raise ImageError("a square crop of one face", got, "crop the face to a square first")
        return to_tensor(photo)[None].to(self.device)

    def _draw(self, features: torch.Tensor, warnings: list[list[str]], batch_size: int) -> Speech2FaceOutput:
        images = self._decode(features, batch_size)
        return Speech2FaceOutput(images, features.cpu(), warnings, [[] for _ in images])

    def _decode(self, features: torch.Tensor, batch_size: int) -> list[Image.Image]:
        return [to_pil(image) for part in features.split(batch_size) for image in self.decoder(part).image]

    def _generators(
        self, samples: int, generator: torch.Generator | Sequence[torch.Generator] | None, faces: int
    ) -> Sequence[torch.Generator | None]:
        """One generator per face; refuses what cannot be sampled."""
        given = list(generator) if isinstance(generator, Sequence) else [generator] * faces
        if samples < 0 or len(given) != faces:
            expected = "samples of at least 0 and no generator, one, or one for each face"
            got = f"samples={samples} and {len(given)} generators for {faces} faces"
            raise UsageError(expected, got, "correct them")
        if samples and self.unexplained is None:
            expected, got = "a checkpoint with the part `unexplained` to draw samples from", "one without it"
            fix = "fit it with `s2f weights fit-unexplained CHECKPOINT DATA`, or ask for no samples"
            raise CheckpointError(expected, got, fix)
        return given

    def _vary(
        self, features: torch.Tensor, samples: int, generators: Sequence[torch.Generator | None], batch_size: int
    ) -> list[list[Image.Image]]:
        """Decode `samples` variants of every feature."""
        normalize = self.decoder.config.normalize_feature
        drawn = self.unexplained(decoder_scale(features, normalize), samples, generators)
        images = self._decode(decoder_scale(drawn, normalize).flatten(0, 1), batch_size)
        return [images[first : first + samples] for first in range(0, len(images), samples)]
