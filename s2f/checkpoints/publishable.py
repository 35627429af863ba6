"""`push_to_hub` of what writes a checkpoint folder; a module of its own, because publishing imports every network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from s2f.checkpoints.model_card import CardFacts


class Saveable(Protocol):
    """A model that writes a checkpoint folder."""

    def save_pretrained(self, folder: str | Path, /) -> None:
        """Write the folder."""


class Publishable:
    """Base of models that can be published."""

    def push_to_hub(
        self: Saveable,
        repo_id: str | None = None,
        *,
        card: CardFacts,
        to_folder: str | Path | None = None,
        private: bool = False,
    ) -> str:
        """Publish this model with a model card; see `s2f.checkpoints.publish.publish`.

        Args:
            repo_id: repository `owner/name` of the hub.
            card: licence, training run and evaluations for the card.
            to_folder: folder to make instead; nothing is sent anywhere.
            private: make the repository private.

        Returns:
            Where it is now.

        Raises:
            CheckpointError: see `s2f.checkpoints.model_card.write_card`.
            OutputError: `to_folder` exists, or the hub cannot be reached or refuses.
            UsageError: neither or both of `repo_id` and `to_folder`.
        """
        from s2f.checkpoints.publish import publish_model

        return publish_model(self, card, repo_id, to_folder, private)
