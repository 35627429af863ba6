"""`s2f weights push`: publish a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

from jsonargparse import ArgumentParser, Namespace

from s2f.commands.program import EXIT_OK, add_options, typed


@dataclass(frozen=True)
class PushConfig:
    """Arguments of `s2f weights push`.

    Args:
        checkpoint: "starter" or a checkpoint folder.
        repo_id: repository `owner/name` on the hub; made if it does not exist.
        to_folder: folder to make instead; nothing is sent anywhere.
        private: make the repository private.
    """

    checkpoint: str
    repo_id: str | None = None
    to_folder: str | None = None
    private: bool = False


def add_arguments(parser: ArgumentParser) -> None:
    """Add this command's options to its parser."""
    add_options(parser, PushConfig, ("checkpoint",))


def run(arguments: Namespace) -> int:
    """Publish, and say where; 0 done."""
    from s2f.checkpoints.loading import packaged
    from s2f.checkpoints.publish import publish
    from s2f.errors import CheckpointError
    from s2f.weights.verify import verify

    config = typed(PushConfig, arguments)
    folder = packaged().get(config.checkpoint, config.checkpoint)
    found = verify(folder)
    if not found.ok:
        raise CheckpointError(f"a whole checkpoint at {folder}", found.faults[0], "see `s2f weights verify`")
    print(publish(folder, config.repo_id, config.to_folder, config.private))
    return EXIT_OK
