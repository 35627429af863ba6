"""Publishing a checkpoint: to a folder, or to a hub's repository; what is published has the hashes that are listed."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from s2f.checkpoints.hashes import MANIFEST, compare, read_manifest
from s2f.checkpoints.loading import load_network
from s2f.checkpoints.model_card import CardFacts, write_card
from s2f.errors import CheckpointError, OutputError, UsageError
from s2f.runtime.files import whole_folder

CARD = "README.md"


class Saveable(Protocol):
    """A model that writes a checkpoint folder."""

    def networks(self) -> Mapping[str, Any]:
        """The networks that it writes, by sub-folder."""

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
        """Publish this model with a model card; see `publish`.

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
        return publish_model(self, card, repo_id, to_folder, private)


def publish(
    folder: str | Path, repo_id: str | None = None, to_folder: str | Path | None = None, private: bool = False
) -> str:
    """Copy a whole checkpoint to a folder, or upload it as one commit.

    Only files listed in `SHA256SUMS` go along, and the list itself.

    Args:
        folder: a checkpoint folder with a model card and a list of hashes.
        repo_id: repository `owner/name` of the hub that huggingface_hub is set up for, with the token it has stored;
            made if it does not exist.
        to_folder: folder to make instead; nothing is sent anywhere.
        private: make the repository private.

    Returns:
        Where it is now: the folder, or the address of the commit.

    Raises:
        CheckpointError: the folder is not whole, or has no model card.
        OutputError: `to_folder` exists, or the hub cannot be reached or refuses.
        UsageError: neither or both of `repo_id` and `to_folder`.
    """
    folder = Path(folder)
    if (repo_id is None) == (to_folder is None):
        got = "neither" if repo_id is None else "both"
        raise UsageError("a repository or a folder to publish to", got, "give one of the two")
    if faults := compare(folder).faults:
        raise CheckpointError(f"a whole checkpoint at {folder}", faults[0], "see `s2f weights verify`")
    if not (folder / CARD).is_file():
        raise CheckpointError(f"a model card in {folder}", "none", "write it with `s2f weights card`")
    files = [*read_manifest(folder), MANIFEST]
    if to_folder is not None:
        return _copy(folder, files, Path(to_folder))
    return _upload(folder, files, str(repo_id), private)


def publish_model(
    model: Saveable, facts: CardFacts, repo_id: str | None, to_folder: str | Path | None, private: bool
) -> str:
    """Save a model with its card to a temporary folder, and publish that; see `publish`.

    Args:
        model: a pipeline or a matching system.
        facts: for the card.
        repo_id: see `publish`.
        to_folder: see `publish`.
        private: see `publish`.

    Returns:
        Where it is now.
    """
    with TemporaryDirectory() as temporary:
        name = Path(to_folder).name if to_folder is not None else str(repo_id).rpartition("/")[2]
        folder = Path(temporary) / "checkpoint"
        model.save_pretrained(folder)
        for part, network in model.networks().items():
            load_network(type(network), folder / part)  # refuses what could not be loaded again, such as NaN
        write_card(folder, facts if facts.title else replace(facts, title=name))
        return publish(folder, repo_id, to_folder, private)


def _copy(folder: Path, files: list[str], final: Path) -> str:
    if final.exists():
        raise OutputError("a folder that does not exist yet", str(final), "choose another name or remove it")
    with whole_folder(final) as partial:
        for name in files:
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, partial / name)
        if faults := compare(partial).faults:
            raise OutputError(f"a whole copy at {final}", faults[0], "look at the disk, and try again")
    return str(final)


def _upload(folder: Path, files: list[str], repo_id: str, private: bool) -> str:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError

    api = HfApi(library_name="s2f")
    try:
        api.create_repo(repo_id, private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repo_id, folder_path=folder, allow_patterns=files, commit_message="Checkpoint of s2f"
        )
    except HFValidationError as error:
        raise UsageError("a repository id `owner/name`", repr(repo_id), str(error)) from error
    except Exception as error:  # of the hub's client, or of whichever HTTP library it uses
        fix = "log in with `hf auth login`, look at the network, or publish with --to_folder"
        raise OutputError(f"a hub that takes {repo_id}", str(error), fix) from error
    return str(commit.commit_url)
