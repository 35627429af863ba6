"""A model that loads in the background, so that the page is there first."""

from __future__ import annotations

import threading
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from demos.guess_game import Member, read_cast
from s2f.checkpoints.loading import STARTER, packaged, resolve
from s2f.checkpoints.provenance import Provenance, weights_sha256
from s2f.errors import CheckpointError

if TYPE_CHECKING:
    from demos.model import CastScores, Model

LOAD_TIMEOUT_S = 120.0


class Engine:
    """The demo's model and its simulated people.

    Args:
        checkpoint: "starter" or a checkpoint folder.
        device: where to compute.

    Attributes:
        cast: the simulated people of the guessing game.

    Raises:
        CheckpointError: no checkpoint folder there; whether its networks are whole is found when they load.
    """

    def __init__(self, checkpoint: str = "starter", device: str = "cpu") -> None:
        self._folder, self._device = resolve(checkpoint).resolve(), device
        self._model: Model | None = None
        self._scores: CastScores | None = None
        self._error: Exception | None = None
        self._loaded, self._scored = threading.Event(), threading.Event()
        self.cast: list[Member] = read_cast()

    def load(self) -> None:
        """Load and warm up the model, then score the cast; meant for a thread of its own.

        Raises:
            S2fError: the checkpoint cannot be used, or the device does not exist. Whoever waits for the model gets the
                same error.
        """
        try:
            from demos.model import Model  # takes seconds

            model = Model(self._folder, self._device)
            model.hear([str(self.cast[0].voice)])
            self._model = model
            self._loaded.set()
            self._scores = model.score(self.cast)
        except Exception as error:
            self._error = error
            raise
        finally:
            self._loaded.set()
            self._scored.set()

    @property
    def state(self) -> Literal["loading", "ready", "failed"]:
        """Whether there is a model."""
        if self._error is not None:
            return "failed"
        return "ready" if self._loaded.is_set() else "loading"

    @property
    def model(self) -> Model:
        """The model; waits until it is loaded.

        Raises:
            S2fError: it could not be loaded.
        """
        self._wait(self._loaded)
        assert self._model is not None, "loading ended without a model and without an error"
        return self._model

    @property
    def scores(self) -> CastScores:
        """Scores of the cast; waits until they are there.

        Raises:
            S2fError: the model could not be loaded.
        """
        self._wait(self._scored)
        assert self._scores is not None, "scoring ended without scores and without an error"
        return self._scores

    @property
    def is_starter(self) -> bool:
        """Whether the checkpoint is the one that comes with s2f."""
        return self._folder == packaged()[STARTER].resolve()

    @cached_property
    def provenance(self) -> Provenance:
        """Name and hash of the checkpoint."""
        return Provenance(self._folder.name, weights_sha256(self._folder))

    def _wait(self, event: threading.Event) -> None:
        if not event.wait(LOAD_TIMEOUT_S):
            got = f"none after {LOAD_TIMEOUT_S:g} s"
            raise CheckpointError("a model that is loaded", got, "try again in a minute")
        if self._error is not None:
            raise self._error
