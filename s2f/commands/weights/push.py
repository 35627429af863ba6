"""`s2f weights push`: publish a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

from jsonargparse import ArgumentParser, Namespace

from s2f.commands.program import EXIT_OK, typed


@dataclass(frozen=True)
class PushConfig:
    """Arguments of `s2f weights push`.

    Attributes:
        checkpoint: "starter" or a checkpoint folder.
        repo_id: repository `owner/name` on the hub.
        to_folder: folder to make instead; nothing is sent anywhere.
        private: make the repository private.
    """

    checkpoint: str
    repo_id: str | None = None
    to_folder: str | None = None
    private: bool = False


def add_arguments(parser: ArgumentParser) -> None:
    """Add this command's options to its parser."""
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help='"starter" or a checkpoint folder')
    parser.add_argument("--repo_id", metavar="OWNER/NAME", help="repository on the hub; made if it does not exist")
    parser.add_argument("--to_folder", metavar="DIR", help="folder to make instead; nothing is sent anywhere")
    parser.add_argument("--private", action="store_true", help="make the repository private")


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
