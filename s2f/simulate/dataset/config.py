"""Arguments of `s2f simulate`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from s2f.simulate.population.joint_law import Sharing


@dataclass(frozen=True)
class SimulateConfig:
    """What to simulate.

    Args:
        out: dataset folder to write.
        voices: folder of voices, see `s2f.simulate.voice.recordings.read_voices`.
        makehuman: a MakeHuman checkout.
        makehuman_assets: a makehuman-assets checkout for hair meshes, or None for painted hair.
        identities: number of persons.
        views: wild pictures per person.
        seed: seed of everything random.
        canonical_size_px: side of the canonical pictures, and the scale of landmarks.csv.
        wild_size_px: side of the wild pictures.
        pictures: draw pictures; without them voices and truth.csv are written alone.
        only: simulate speakers of this split alone.
        correlations: correlation of a craniofacial measure with its expectation given the voice; those left out keep
            the value that Speech2Face published.
        age_spread: standard deviation of log face age around log voice age.
        mix_sharing: probability that the face's largest pole follows the voice's timbre.
        confusion: probability that the face's gender is not the voice's.
        workers: processes that measure and draw.
        cache: folder for condensed MakeHuman arrays; None for ~/.cache/s2f.
    """

    out: str
    voices: str
    makehuman: str
    makehuman_assets: str | None = None
    identities: int = 251
    views: int = 4
    seed: int = 0
    canonical_size_px: int = 224
    wild_size_px: int = 112
    pictures: bool = True
    only: Literal["train", "val", "test"] | None = None
    correlations: dict[str, float] = field(default_factory=dict)
    age_spread: float = Sharing.age_spread
    mix_sharing: float = Sharing.mix_sharing
    confusion: float = Sharing.confusion
    workers: int = 2
    cache: str | None = None

    @property
    def sharing(self) -> Sharing:
        """The strengths with which voice and face hang together."""
        return Sharing(self.correlations, self.age_spread, self.mix_sharing, self.confusion)
