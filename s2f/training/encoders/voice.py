"""Training a voice encoder: speaker identification, from which matching systems start.

SVHF, TriNet and Wen et al. begin with a voice network that was trained to tell speakers apart (VGGVox: Nagrani et al.,
"VoxCeleb", Interspeech 2017), and so does one variant of Kim et al.'s. Here it is a softmax over the training speakers
on the encoder's feature. The classifier and the heads of side tasks live beside the encoder and are not exported. Crops
are random; augmentation and side tasks are ours, for small data.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from encoders.voice.base import VoiceEncoder
from s2f.checkpoints.encoders import VOICE_ENCODERS
from s2f.datasets import DatasetFolder, Row, recording_of
from s2f.errors import BadFile, DatasetError, RecipeError, did_you_mean
from s2f.faces.images import spread
from s2f.runtime.files import whole_folder
from s2f.training.loop.arguments import TrainingArguments, build_network, free
from s2f.training.loop.bad_items import Reason, add_skipped
from s2f.training.loop.checkpointing import run_sources
from s2f.training.loop.loop import SteadyTask, start, train
from s2f.training.voice_augmentation import STRENGTHS, augment_voice
from s2f.training.voices.clips import VoiceClips, balance_groups
from s2f.training.voices.side_tasks import SideHeads, SideTargets, side_weights

VALIDATED = 128
TOGETHER = 16


@dataclass(kw_only=True)
class VoiceIdentityArguments(TrainingArguments):
    """Flags of train_voice.py, besides those every recipe shares.

    Args:
        encoder: which voice encoder.
        network: its constructor arguments.
        label_column: column of people.csv that says who speaks. Simulated people share voices: take `speaker` there.
        seconds: length of training clips, random parts of the recordings.
        trim_db: cut leading and trailing sound this far below the peak.
        augment: light varies noise, level and bandwidth a little; strong also room, equaliser and telephone, and more.
        side_tasks: weights of linear side tasks on the feature: f0, tract, gender and age_class, from truth.csv.
        balance: columns of people.csv or truth.csv; training clips are drawn equally often from each of their groups,
            from each person with [identity].
        cached_clips: decoded recordings kept in memory by each loading process.
        loss_weights: weight of each loss term by name; side tasks add their own.
    """

    encoder: Literal["speech2face", "vgg_m", "soundnet", "thin_resnet", "fast_resnet"] = "vgg_m"
    network: dict[str, Any] = field(default_factory=dict)
    label_column: str = "identity"
    seconds: float = 3.0
    crop: Literal["start", "random"] = field(default="random", init=False)
    trim_db: float | None = None
    augment: Literal["none", "light", "strong"] = "none"
    side_tasks: dict[str, float] = field(default_factory=dict)
    balance: list[str] = field(default_factory=list)
    cached_clips: int = free(default=0)
    loss_weights: dict[str, float] = field(default_factory=lambda: {"identity": 1.0})

    def __post_init__(self) -> None:
        """Check the side tasks and add their weights to `loss_weights`."""
        super().__post_init__()
        if "embedding" in self.side_tasks:
            fix = "leave it out: it is a side task of train_s2f.py"
            raise RecipeError("side_tasks of f0, tract, gender, age_class", "'embedding'", fix)
        self.loss_weights = self.loss_weights | side_weights(self.side_tasks)


def speakers_of(data: DatasetFolder, voices: list[Row], column: str) -> list[str]:
    """Who speaks in each recording.

    Args:
        data: whose people.csv has the column.
        voices: V rows of voices.csv.
        column: of people.csv.

    Returns:
        V values, none empty.

    Raises:
        DatasetError: no such column, or an empty value.
    """
    columns = list(data.people[voices[0]["identity"]])
    if column not in columns:
        fix = did_you_mean(column, columns) or "choose another label_column"
        raise DatasetError(f"a column {column} in people.csv", f"only {', '.join(columns)}", fix)
    values = [data.people[row["identity"]][column] for row in voices]
    if "" in values:
        got = f"none for {voices[values.index('')]['identity']}"
        raise DatasetError(f"a {column} of everybody in people.csv", got, "fill it or choose another label_column")
    return values


@dataclass
class SpeakerLabels:
    """What a training clip carries besides its sound.

    Attributes:
        labels: for each voice row, the number of its speaker.
    """

    labels: list[int]

    def item(self, row: int, random: np.random.Generator) -> dict[str, Any]:
        """`label`, the number of the speaker; nothing is drawn."""
        return {"label": self.labels[row]}


class VoiceIdentityModule(nn.Module):
    """Encoder, classifier and side heads; returns the loss terms of a batch."""

    def __init__(self, encoder: VoiceEncoder, speakers: int, side_tasks: list[str], augment: str) -> None:
        super().__init__()
        self.encoder = encoder
        self.classifier = nn.Linear(encoder.embedding_dim, speakers)
        self.side_heads = SideHeads(encoder.embedding_dim, side_tasks)
        self.strength = STRENGTHS.get(augment)

    def forward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Loss terms: `identity`, the cross entropy of the speaker, and `side_<task>`."""
        waveform = batch["waveform"]
        if self.strength is not None:
            waveform = augment_voice(waveform, self.encoder.sample_rate_hz, self.strength)
        feature = self.encoder.encode(waveform)
        identity = F.cross_entropy(self.classifier(feature).float(), batch["label"])
        return {"identity": identity} | self.side_heads(feature, batch["side"])


@dataclass
class HeldOutSpeakers:
    """Two clips each of held-out speakers.

    Attributes:
        rows: V rows of voices.csv, of the first clips.
        first: (V, S).
        second: (V, S), of another recording of the speaker, or of the second half of the only one.
        skipped: path and reason of those that could not be used.
    """

    rows: list[Row]
    first: Tensor
    second: Tensor
    skipped: list[Reason]

    @classmethod
    def read(cls, clips: VoiceClips, speakers: list[str], samples: int, skip_bad: bool) -> HeldOutSpeakers:
        """Read up to 128 speakers, evenly spread, when training starts.

        Args:
            clips: of the held-out rows.
            speakers: who speaks in each row.
            samples: S; shorter clips are repeated, as in training.
            skip_bad: leave out speakers of whom a recording cannot be used.

        Raises:
            BadFile: a recording cannot be used, and `skip_bad` is off.
            DatasetError: none can be used.
        """
        recordings: dict[str, dict[Any, Row]] = {}
        for row, speaker in zip(clips.rows, speakers, strict=True):
            recordings.setdefault(speaker, {}).setdefault(recording_of(row), row)
        found = cls([], torch.empty(0), torch.empty(0), [])
        pairs: list[list[Tensor]] = []
        for speaker in spread(sorted(recordings), VALIDATED):
            rows = list(recordings[speaker].values())[:2]
            try:
                waveforms = [clips.read(row) for row in rows]
            except BadFile as error:
                if not skip_bad:
                    raise
                found.skipped.append((error.path, str(error)))
                continue
            two = waveforms if len(waveforms) == 2 else np.array_split(waveforms[0], 2)
            pairs.append([torch.from_numpy(np.resize(part, max(samples, len(part)))[:samples]) for part in two])
            found.rows.append(rows[0])
        if not pairs:
            raise DatasetError("held-out voices that can be used", found.skipped[-1][1], "repair the data")
        found.first, found.second = (torch.stack(list(column)) for column in zip(*pairs, strict=True))
        return found


class VoiceIdentityTask(SteadyTask):
    """Task of the shared loop: see `s2f.training.loop.loop.Task`."""

    def __init__(self, data: DatasetFolder, arguments: VoiceIdentityArguments) -> None:
        self.sources = run_sources(data)
        self.arguments = arguments
        encoder = build_network(VOICE_ENCODERS[arguments.encoder], arguments.network)
        if arguments.seconds < encoder.min_seconds:
            got, fix = str(arguments.seconds), "use longer training clips"
            raise RecipeError(f"seconds >= {encoder.min_seconds:.3f}", got, fix)
        voices, held_out = data.voices("train"), data.voices("val")
        speakers = speakers_of(data, voices, arguments.label_column)
        number = {speaker: index for index, speaker in enumerate(sorted(set(speakers)))}
        if len(number) < 2:
            got, fix = f"only {speakers[0]}", "choose another label_column or add people"
            raise DatasetError(f"two or more values of {arguments.label_column} to tell apart", got, fix)
        tasks, rate = list(arguments.side_tasks), encoder.sample_rate_hz
        self.side_targets = SideTargets(data, tasks, voices)
        labels = SpeakerLabels([number[speaker] for speaker in speakers])
        groups = balance_groups(data, voices, arguments.balance)
        self.dataset = VoiceClips(data, voices, labels, arguments, rate, self.side_targets.of(voices), groups)
        self.held_out = HeldOutSpeakers.read(
            VoiceClips(data, held_out, SpeakerLabels([]), arguments, rate),
            speakers_of(data, held_out, arguments.label_column),
            round(arguments.seconds * rate),
            arguments.skip_bad,
        )
        self.module = VoiceIdentityModule(encoder, len(number), tasks, arguments.augment)

    def to(self, device: torch.device) -> None:
        """Remember the device; everything lives in the module."""
        self.device = device

    def validate(self, folder: Path) -> dict[str, float]:
        """Speakers who were never trained on: side terms, and rank-1 identification of the second by the first clips.

        Each speaker has two clips of the training length: the beginnings of two recordings, or of the two halves of the
        only one, which share room and microphone and are easier. The gallery is the first clips; a second one is found
        if its speaker's has the highest cosine. Chance is one in `gallery`.

        Returns:
            `val_side_<task>` of the first clips; with two or more speakers also `rank1` and `gallery`.
        """
        held_out = self.held_out
        add_skipped(Path(self.arguments.output_dir), held_out.skipped)
        gallery, probe = (self._features(clips) for clips in (held_out.first, held_out.second))
        side = {name: values.to(self.device) for name, values in self.side_targets.of(held_out.rows).items()}
        figures = {f"val_{name}": value.item() for name, value in self.module.side_heads(gallery, side).items()}
        if len(gallery) > 1:
            scores = F.normalize(probe, dim=-1) @ F.normalize(gallery, dim=-1).T
            own = torch.arange(len(scores), device=scores.device)
            figures |= {"rank1": (scores.argmax(1) == own).float().mean().item(), "gallery": float(len(scores))}
        return figures

    def _features(self, clips: Tensor) -> Tensor:
        return torch.cat([self.module.encoder.encode(part.to(self.device)).float() for part in clips.split(TOGETHER)])

    def export(self, folder: Path) -> None:
        """Write `folder`/voice_encoder."""
        with whole_folder(folder / "voice_encoder") as partial:
            self.module.encoder.save_pretrained(partial)


def train_voice_identity(arguments: VoiceIdentityArguments) -> None:
    """Train a voice encoder and export it to `output_dir`/voice_encoder."""
    accelerator = start(arguments)
    train(VoiceIdentityTask(DatasetFolder(arguments.data), arguments), arguments, accelerator)
