"""Checkpoints of a run: whole or absent, never half, and only for the same run."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from s2f.errors import CheckpointError, OutputError, RecipeError
from s2f.runtime.files import writing

if TYPE_CHECKING:
    from accelerate import Accelerator

    from s2f.datasets import DatasetFolder

RECORD = "step.json"
LOADING_FAILS = (
    *(OSError, ValueError, KeyError, RuntimeError, EOFError, AttributeError, TypeError),
    *(SafetensorError, pickle.UnpicklingError),
)


def run_sources(data: DatasetFolder, **networks: str) -> dict[str, str]:
    """What a run is made from besides its recipe: hashes that a resumed run must find again.

    Args:
        data: the dataset folder.
        networks: folders of frozen networks by name.

    Returns:
        `split_hash` and `data_hash` (see `DatasetFolder`), and `<name>_sha256` of each network's weights.
    """
    from s2f.checkpoints.provenance import weights_sha256

    hashes = {f"{name}_sha256": weights_sha256(folder) for name, folder in networks.items()}
    return {"split_hash": data.split_hash, "data_hash": data.data_hash} | hashes


def complete_checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints of a run, oldest first."""
    found = [path for path in folder.glob("checkpoint-*") if path.name.removeprefix("checkpoint-").isdigit()]
    return sorted(found, key=lambda path: int(path.name.removeprefix("checkpoint-")))


def what_is_safe(folder: Path) -> str:
    """A clause that says which checkpoint an interrupted run can go on from."""
    if not (found := complete_checkpoints(folder)):
        return "there is no checkpoint yet"
    return f"{found[-1]} is complete and --resume_from_checkpoint latest goes on"


def writing_run(folder: Path) -> AbstractContextManager[None]:
    """A block that writes into a run's folder: a write that fails says what is safe, see `s2f.runtime.files.writing`.

    Args:
        folder: of the run.
    """
    return writing(folder, lambda: how_to_go_on(folder), (OSError, SafetensorError))


def how_to_go_on(folder: Path) -> str:
    """What to do about a run's folder that cannot be written."""
    return f"free space or lower --checkpoints_total_limit; {what_is_safe(folder)}"


def save_checkpoint(
    accelerator: Accelerator, folder: Path, step: int, decides: Mapping[str, Any], limit: int | None
) -> None:
    """Write `checkpoint-<step>` under a temporary name, then rename it; drop the oldest ones beyond `limit`.

    Args:
        accelerator: what it prepared or registered is saved, with the random states of all processes.
        folder: of the run.
        step: steps done.
        decides: what a resumed run must share, values as JSON has them.
        limit: newest checkpoints kept; None keeps all.

    Raises:
        OutputError: some process could not write; all of them raise, and nothing half is left.
    """
    import torch

    final, partial = folder / f"checkpoint-{step}", folder / f"checkpoint-{step}.partial"
    if accelerator.is_main_process:
        shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed while writing
    accelerator.wait_for_everyone()
    reason: Exception | None = None
    try:
        accelerator.save_state(str(partial))
        if accelerator.is_main_process:
            (partial / RECORD).write_text(json.dumps({"step": step} | dict(decides)), encoding="utf-8")
    except (OSError, SafetensorError, RuntimeError) as error:  # torch.save reports a full disk as a RuntimeError
        reason = error
    failed = torch.tensor([float(reason is not None)], device=accelerator.device)
    if accelerator.gather(failed).any():
        if accelerator.is_main_process:
            shutil.rmtree(partial, ignore_errors=True)
        got = str(reason or "another process could not write")
        raise OutputError(f"room and permission to write in {folder}", got, how_to_go_on(folder)) from reason
    if accelerator.is_main_process:
        shutil.rmtree(final, ignore_errors=True)
        os.replace(partial, final)
        for old in complete_checkpoints(folder)[: -limit if limit else 0]:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()


def load_checkpoint(
    accelerator: Accelerator, folder: Path, wanted: str, decides: Mapping[str, Any], accept_changes: bool
) -> tuple[int, list[str]]:
    """Restore model, optimiser, averages and random states.

    Args:
        accelerator: with everything prepared and registered as when it was saved.
        folder: of the run.
        wanted: `latest` or the path of a checkpoint.
        decides: what this run is; compared with what was stored.
        accept_changes: go on although they differ.

    Returns:
        Steps done, and one phrase for each difference.

    Raises:
        RecipeError: nothing to resume from, or a difference that is not accepted.
        CheckpointError: a checkpoint that is damaged.
    """
    chosen = Path(wanted)
    if wanted == "latest":
        if not (found := complete_checkpoints(folder)):
            raise RecipeError(f"a checkpoint in {folder}", "none", "leave out --resume_from_checkpoint")
        chosen = found[-1]
    if not (chosen / RECORD).is_file():
        raise RecipeError("a checkpoint folder", f"{chosen}", "give the path of a checkpoint-<step> folder")
    try:
        stored = json.loads((chosen / RECORD).read_text(encoding="utf-8"))
        step = int(stored.pop("step"))
        changes = differences(stored, decides)
        if changes and not accept_changes:
            fix = "repeat the settings, start anew in another folder, or add --accept_changes true"
            raise RecipeError(f"the settings of {chosen}", "; ".join(changes), fix)
        _require_tensors(chosen)
        accelerator.load_state(str(chosen))
    except RecipeError:
        raise
    except LOADING_FAILS as error:
        fix = "remove it and resume from an earlier one"
        raise CheckpointError("a complete checkpoint", f"{chosen} ({error})", fix) from error
    return step, changes


def _require_tensors(folder: Path) -> None:
    """Refuse pickles of anything but tensors and plain values.

    Accelerate reads registered states as whole pickles, and goes on without random states that it cannot read.
    """
    from accelerate.utils import load

    for pattern in ("custom_checkpoint_*.pkl", "random_states_*.pkl"):
        for path in folder.glob(pattern):
            load(path, map_location="cpu", weights_only=True)


def differences(stored: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """One phrase for each setting that two runs do not share, in alphabetical order."""
    changed = sorted(name for name in set(stored) | set(now) if stored.get(name) != now.get(name))
    return [f"{name} {stored.get(name)} then, {now.get(name)} now" for name in changed]
