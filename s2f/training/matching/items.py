"""Training items of matching networks: triplets, pairs and identities, each a pure function of (seed, epoch, item)."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from s2f.errors import DatasetError, RecipeError
from s2f.matching.media import Media
from s2f.training.matching.people import Numbers, People, Pool

CHOICE, READING = 1, 2  # the two streams of random numbers of an item


class MatchingItems(Dataset):
    """Base of the items: who is chosen, and how the chosen are read, have a stream of random numbers each.

    An item is a dict: `voice` (P, S) float32, `face` (Q, 3, h, h) uint8, `voice_label` (P,) and `face_label` (Q,)
    int64, and with dynamic images `dynamic` (Q, k, 3, h, h) uint8.
    """

    def __init__(self, people: People, media: Media, seed: int) -> None:
        """Set what the items are made of.

        Args:
            people: who takes part.
            media: reads what was chosen.
            seed: of the training run.
        """
        self.people, self.media, self.seed = people, media, seed

    def choice(self, epoch: int, item: int) -> tuple[Numbers, Numbers]:
        """Numbers of the P voices and Q faces of an item; nothing is read."""
        raise NotImplementedError

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        """Read an item.

        Raises:
            BadFile: one of its files cannot be used.
        """
        voices, faces = self.choice(*key)
        people, random = self.people, np.random.default_rng([self.seed, *key, READING])
        parts = [self.media.face(people.faces.rows[number], random) for number in faces]
        return {
            "voice": torch.stack([self.media.voice(people.voices.rows[number][0], random) for number in voices]),
            "voice_label": torch.tensor([people.voices.labels[number] for number in voices]),
            "face_label": torch.tensor([people.faces.labels[number] for number in faces]),
        } | {name: torch.stack([part[name] for part in parts]) for name in parts[0]}

    def _others(self, pool: Pool, label: int, video: str, count: int, random: np.random.Generator) -> Numbers:
        """One medium each of other identities, none from a video; identities first, then media, drawn uniformly.

        Raises:
            DatasetError: fewer than `count` people have any.
        """
        found: Numbers = []
        for other in random.permutation(len(self.people.identities)):
            if other != label and (media := pool.elsewhere(other, video)):
                found.append(int(random.choice(media)))
            if len(found) == count:
                return found
        fix = "add people or take fewer candidates"
        raise DatasetError(f"{count} other people seen or heard outside video {video}", str(len(found)), fix)


class Triplets(MatchingItems):
    """An anchor of one modality; of the other one medium of the same person among those of other people.

    Fresh: one item for each anchor, its candidates drawn anew every epoch (Kim et al., ACCV 2018, section 4.3: for a
    random voice a random but distinct face of the same identity and a random face of another). Fixed: all drawn once,
    anchors too (SVHF, section 4.1: 1.2 million); speed and cut of a clip are still drawn anew, as there. Readings: the
    other identity is drawn before its face, so people with many faces are no commoner negatives; Kim's distinct face
    is one of another video.
    """

    def __init__(
        self,
        people: People,
        media: Media,
        seed: int,
        direction: Literal["v2f", "f2v"] = "v2f",
        ways: int = 2,
        fixed: int | None = None,
    ) -> None:
        """Set the task.

        Args:
            people: who takes part.
            media: reads what was chosen.
            seed: of the training run.
            direction: v2f: the anchor is a voice, the candidates are faces; f2v: the other way round.
            ways: candidates N, one of them right, at a place that is uniform over them.
            fixed: number of items, the same ones in every epoch. None: fresh ones, one for each anchor.

        Raises:
            RecipeError: fewer than two candidates, or fewer people than candidates.
        """
        super().__init__(people, media, seed)
        if ways < 2:
            raise RecipeError("ways >= 2", str(ways), "one candidate is right, the others are not")
        if len(people.identities) < ways:
            got = f"{len(people.identities)}: {people.note()}"
            raise RecipeError(f"at least {ways} people for {ways} candidates", got, "add people or lower ways")
        self.direction, self.ways, self.fixed = direction, ways, fixed
        pools = (people.voices, people.faces)
        self.anchors, self.candidates = pools if direction == "v2f" else pools[::-1]

    def __len__(self) -> int:
        return self.fixed or len(self.anchors.rows)

    def choice(self, epoch: int, item: int) -> tuple[Numbers, Numbers]:
        """Anchor and candidates; those of a fixed item do not depend on the epoch."""
        random = np.random.default_rng([self.seed, 0 if self.fixed else epoch, item, CHOICE])
        anchor = int(random.integers(len(self.anchors.rows))) if self.fixed else item
        label, video = self.anchors.labels[anchor], self.anchors.videos[anchor]
        candidates = self._others(self.candidates, label, video, self.ways - 1, random)
        right = int(random.choice(self.candidates.elsewhere(label, video)))
        candidates.insert(int(random.integers(self.ways)), right)
        return ([anchor], candidates) if self.direction == "v2f" else (candidates, [anchor])


class Pairs(MatchingItems):
    """One voice and one face, for Siamese and classifying networks; one item for each voice.

    In every epoch half of them belong together, and each voice in every other epoch.
    """

    def __init__(self, people: People, media: Media, seed: int) -> None:
        """Set the task.

        Args:
            people: who takes part.
            media: reads what was chosen.
            seed: of the training run.

        Raises:
            RecipeError: fewer than two people.
        """
        super().__init__(people, media, seed)
        if len(people.identities) < 2:
            raise RecipeError("at least 2 people for pairs", f"1: {people.note()}", "add people")

    def __len__(self) -> int:
        return len(self.people.voices.rows)

    def choice(self, epoch: int, item: int) -> tuple[Numbers, Numbers]:
        """A voice, and a face of the same person or of another."""
        random = np.random.default_rng([self.seed, epoch, item, CHOICE])
        voices, faces = self.people.voices, self.people.faces
        label, video = voices.labels[item], voices.videos[item]
        if (epoch + item) % 2:
            return [item], self._others(faces, label, video, 1, random)
        return [item], [int(random.choice(faces.elsewhere(label, video)))]


class IdentityBatches(MatchingItems):
    """Voices and faces of one identity an item, for losses over a batch of identities.

    None of its voices shares a video with any of its faces. Media are drawn without repetition until all that may be
    used are, then again from the first on. One voice and one face: Wen et al., CVPR 2021, section 4.2; TriNet (section
    4.1) draws several of each and does not print how many.
    """

    distinct: ClassVar[bool] = True  # see `s2f.training.loop.sampler.StepSampler`

    def __init__(
        self, people: People, media: Media, seed: int, voices_per_identity: int = 1, faces_per_identity: int = 1
    ) -> None:
        """Set the task.

        Args:
            people: who takes part.
            media: reads what was chosen.
            seed: of the training run.
            voices_per_identity: P.
            faces_per_identity: Q.

        Raises:
            RecipeError: fewer than two people.
        """
        super().__init__(people, media, seed)
        if len(people.identities) < 2:
            raise RecipeError("at least 2 people to tell apart", f"1: {people.note()}", "add people")
        self.counts = voices_per_identity, faces_per_identity

    def __len__(self) -> int:
        return len(self.people.identities)

    def choice(self, epoch: int, item: int) -> tuple[Numbers, Numbers]:
        """Voices and faces of one identity: one of each first, then what shares no video with the chosen."""
        random = np.random.default_rng([self.seed, epoch, item, CHOICE])
        voices, faces = self.people.voices, self.people.faces
        voice = int(random.choice(voices.of[item]))
        face = int(random.choice(faces.elsewhere(item, voices.videos[voice])))
        heard = _filled(voice, voices.elsewhere(item, faces.videos[face]), self.counts[0], random)
        seen = _filled(face, faces.elsewhere(item, *(voices.videos[k] for k in heard)), self.counts[1], random)
        return heard, seen


def _filled(first: int, allowed: Numbers, count: int, random: np.random.Generator) -> Numbers:
    """The first and others of the allowed in random order, from the beginning again when they are used up."""
    order: Numbers = [first, *(number for number in random.permutation(allowed).tolist() if number != first)]
    return [order[k % len(order)] for k in range(count)]
