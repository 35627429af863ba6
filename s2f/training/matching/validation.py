"""Held-out people during matching training: exact two-way accuracy, and a picture of what a voice finds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from s2f.datasets import DatasetFolder, Row
from s2f.errors import BadFile, DatasetError
from s2f.faces.images import grid, spread
from s2f.matching.heads import PairHead
from s2f.matching.media import Media
from s2f.matching.model import MatchingModel, directions
from s2f.matching.two_way import accuracy, win_shares
from s2f.training.loop.bad_items import Reason
from s2f.training.matching.items import People, Pool

VALIDATED = 200
FOUND = 5


@dataclass
class HeldOutPairs:
    """One voice and one face of each of N people, read when training starts.

    Attributes:
        voices: N clips (1, S), as evaluation hears them.
        faces: (N, 3, P, P) bytes.
        dynamic: (N, K, 3, P, P) bytes, or None without dynamic images.
        genders: of people.csv; empty where unknown.
        skipped: path and reason of files that could not be used; their people are left out.
    """

    voices: list[Tensor]
    faces: Tensor
    dynamic: Tensor | None
    genders: list[str]
    skipped: list[Reason]

    @classmethod
    def read(cls, data: DatasetFolder, model: MatchingModel, media: Media, skip_bad: bool) -> HeldOutPairs:
        """Read up to 200 people of split val, evenly spread: the first voice and the canonical or else first face.

        Args:
            data: dataset folder.
            model: says how clips are heard.
            media: reads faces.
            skip_bad: leave out people whose files cannot be used.

        Raises:
            BadFile: a file cannot be used, and `skip_bad` is off.
            DatasetError: fewer than two people can be used.
        """
        people = People.read(data, "val", tracks=media.dynamic is not None)
        rate = model.voice_encoder.sample_rate_hz
        voices, faces, genders, skipped = [], [], [], []
        for label in spread(range(len(people.identities)), VALIDATED):
            voice, face = people.voices.rows[people.voices.of[label][0]][0], _shown(people.faces, label)
            try:
                clip = model.heard(media.recording(voice))
                faces.append(media.face(face, np.random.default_rng(label)))
            except BadFile as error:
                if not skip_bad:
                    raise
                skipped.append((error.path, str(error)))
                continue
            voices.append(clip)
            genders.append(data.people[people.identities[label]].get("gender") or "")
        if len(voices) < 2:
            got = f"{len(voices)} at {rate} Hz; {people.note()}"
            raise DatasetError("at least two people in split val", got, "fill the split column of people.csv")
        stacked = {name: torch.stack([face[name] for face in faces]) for name in faces[0]}
        return cls(voices, stacked["face"], stacked.get("dynamic"), genders, skipped)

    def evaluate(self, model: MatchingModel, folder: Path, device: torch.device) -> dict[str, float]:
        """Exact two-way accuracy of everybody and within gender, in each direction the head can answer.

        Args:
            model: in evaluation mode.
            folder: where `own_and_found.png` goes: each row is the own face of a voice and the five best ones found.
            device: of the model.

        Returns:
            `val_v2f`, `val_v2f_same_gender`, `val_f2v`, `val_f2v_same_gender`, as far as they exist.
        """
        rate = model.voice_encoder.sample_rate_hz
        voice = torch.cat([model.voice_features(clip.to(device), rate).float() for clip in self.voices])
        face = torch.cat([self._faces(model, part, device) for part in torch.arange(len(self.faces)).split(32)])
        known = np.array([gender in ("f", "m") for gender in self.genders])
        genders = np.array(self.genders)
        same = torch.from_numpy((genders[:, None] == genders) & known[:, None]).to(device)
        figures = {}
        for direction in directions(model):
            wins = win_shares(model.head, voice, face, direction)
            figures[f"val_{direction}"] = accuracy(wins)[0]
            if accuracy(wins, same)[1]:
                figures[f"val_{direction}_same_gender"] = accuracy(wins, same)[0]
        if isinstance(model.head, PairHead):
            self._draw(model.head.pair_scores(voice, face).cpu(), folder)
        return figures

    def _faces(self, model: MatchingModel, chosen: Tensor, device: torch.device) -> Tensor:
        dynamic = None if self.dynamic is None else self.dynamic[chosen].to(device).float() / 255
        return model.face_features(self.faces[chosen].to(device).float() / 255, dynamic).float()

    def _draw(self, scores: Tensor, folder: Path) -> None:
        rows = []
        for probe in spread(range(len(scores))):
            found = scores[probe].topk(min(FOUND, len(scores))).indices.tolist()
            rows.append([self.faces[number].float() / 255 for number in (probe, *found)])
        grid(rows).save(folder / "own_and_found.png")


def _shown(pool: Pool, label: int) -> tuple[Row, ...]:
    """The canonical face of an identity, or else its first."""
    faces = [pool.rows[number] for number in pool.of[label]]
    return next((rows for rows in faces if rows[0].get("view") == "canonical"), faces[0])
