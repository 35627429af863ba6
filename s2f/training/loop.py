"""The training loop every task shares: Accelerate, checkpoints, log, validation.

Data order is a pure function of the seed and the step (`StepSampler`), and so is the learning rate; a checkpoint holds
model, optimiser, random states and step. A resumed run therefore repeats an uninterrupted one exactly.
Loss statistics (batch norm included) are per process; gradients are averaged over processes.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, send_to_device, set_seed
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler
from tqdm import tqdm

from s2f.errors import RecipeError
from s2f.files import write_text
from s2f.losses import weighted_total
from s2f.training.arguments import TrainingArguments


class Task(Protocol):
    """What the loop trains."""

    @property
    def module(self) -> nn.Module:
        """`module(batch)` returns unweighted loss terms by name; its parameters are optimised."""

    @property
    def dataset(self) -> Dataset:
        """Map-style, indexed by (epoch, item), so that an item's randomness depends on nothing else."""

    @property
    def split_hash(self) -> str:
        """Hash of the people trained on, written to the log."""

    def to(self, device: torch.device) -> None:
        """Move what is not part of `module` (frozen networks, targets) to the device."""

    def validate(self, folder: Path) -> dict[str, float]:
        """Write pictures of fixed validation faces to `folder` and return figures by name."""

    def export(self, folder: Path) -> None:
        """Write the trained network in checkpoint layout."""


class StepSampler(Sampler):
    """Batches of (epoch, item) for this process, from step `start` to `stop`.

    The global order is one seeded permutation per epoch, end to end; step k of process r takes the r-th slice of the
    k-th global batch, so nothing but (seed, step) decides what is seen.
    """

    def __init__(
        self, items: int, batch_size: int, seed: int, start: int, stop: int, rank: int, processes: int
    ) -> None:
        self.items, self.batch_size, self.seed = items, batch_size, seed
        self.start, self.stop, self.rank, self.processes = start, stop, rank, processes

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch, order = -1, torch.empty(0, dtype=torch.long)
        for step in range(self.start, self.stop):
            first = (step * self.processes + self.rank) * self.batch_size
            batch = []
            for position in range(first, first + self.batch_size):
                if position // self.items != epoch:
                    epoch = position // self.items
                    generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
                    order = torch.randperm(self.items, generator=generator)
                batch.append((epoch, int(order[position % self.items])))
            yield batch


def learning_rate(step: int, total: int, arguments: TrainingArguments) -> float:
    """Rate of one step (0-based) by the recipe's schedule."""
    rate = arguments.learning_rate
    if step < arguments.lr_warmup_steps:
        return rate * (step + 1) / (arguments.lr_warmup_steps + 1)
    if arguments.lr_scheduler == "exponential":
        return rate * arguments.lr_decay ** (step // arguments.lr_decay_steps)
    if arguments.lr_scheduler == "cosine":
        done = (step - arguments.lr_warmup_steps) / max(1, total - arguments.lr_warmup_steps)
        return rate * 0.5 * (1 + math.cos(math.pi * done))
    return rate


def build_optimizer(module: nn.Module, arguments: TrainingArguments) -> torch.optim.Optimizer:
    """Adam or AdamW over the parameters that require gradients."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    common: dict[str, Any] = {
        "lr": arguments.learning_rate,
        "betas": (arguments.adam_beta1, arguments.adam_beta2),
        "eps": arguments.adam_epsilon,
    }
    if arguments.optimizer == "adamw":
        return torch.optim.AdamW(parameters, weight_decay=arguments.weight_decay, **common)
    if arguments.weight_decay:
        raise RecipeError("weight_decay 0 with adam", str(arguments.weight_decay), "use optimizer: adamw")
    return torch.optim.Adam(parameters, **common)


@dataclass
class State:
    """Everything a run owns besides the task; `decides` is what a resumed run must share with the interrupted one."""

    accelerator: Accelerator
    module: nn.Module
    optimizer: torch.optim.Optimizer
    folder: Path
    total_steps: int
    decides: dict[str, Any]
    step: int = 0


def train(task: Task, arguments: TrainingArguments, accelerator: Accelerator) -> None:
    """Train a task from its recipe, or go on from a checkpoint.

    Args:
        task: networks, data and losses.
        arguments: the recipe.
        accelerator: made by `start`.

    Raises:
        RecipeError: nothing to resume from, or a checkpoint beyond the last step.
    """
    state = _build_state(task, arguments, accelerator)
    if arguments.resume_from_checkpoint:
        _resume(state, arguments.resume_from_checkpoint)
    _start_log(state, arguments)
    sampler = StepSampler(
        len(task.dataset),  # type: ignore[arg-type]
        arguments.train_batch_size,
        arguments.seed,
        state.step,
        state.total_steps,
        accelerator.process_index,
        accelerator.num_processes,
    )
    loader = DataLoader(
        task.dataset,
        batch_sampler=sampler,
        num_workers=arguments.dataloader_num_workers,
        generator=torch.Generator(),  # keeps the default generator out of the loader: see the module's first lines
    )
    progress = tqdm(total=state.total_steps, initial=state.step, disable=None if accelerator.is_main_process else True)
    started = time.perf_counter()
    for batch in loader:
        terms = _train_step(state, send_to_device(batch, accelerator.device), arguments)
        state.step += 1
        progress.update()
        last = state.step == state.total_steps
        if state.step % arguments.logging_steps == 0 or last:
            row = _gather(state, terms) | {"seconds": round(time.perf_counter() - started, 2)}
            progress.set_postfix(loss=f"{row['loss']:.4g}")
            _log(state, {"event": "train"} | row)
        if state.step % arguments.validation_steps == 0 or last:
            _validate(state, task)
        if state.step % arguments.checkpointing_steps == 0:
            _save(state, arguments.checkpoints_total_limit)
    progress.close()
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        task.export(state.folder)
        _log(state, {"event": "done", "exported": True})


def start(arguments: TrainingArguments) -> Accelerator:
    """Make the output folder, the accelerator, and seed everything (each process differently).

    Raises:
        RecipeError: a folder that cannot be made, or one with checkpoints that the run would not resume from.
    """
    folder = Path(arguments.output_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not arguments.resume_from_checkpoint and (found := _checkpoints(folder)):
            fix = "add --resume_from_checkpoint latest or choose another folder"
            raise RecipeError("an output_dir without checkpoints", f"{found[-1]}", fix)
    except OSError as error:
        raise RecipeError(
            "an output_dir that can be made", f"{arguments.output_dir} ({error.strerror})", "choose another folder"
        ) from error
    unused = DistributedDataParallelKwargs(find_unused_parameters=0 in arguments.loss_weights.values())
    accelerator = Accelerator(mixed_precision=arguments.mixed_precision, cpu=arguments.cpu, kwargs_handlers=[unused])
    set_seed(arguments.seed, device_specific=True)
    return accelerator


def _build_state(task: Task, arguments: TrainingArguments, accelerator: Accelerator) -> State:
    task.to(accelerator.device)
    optimizer = build_optimizer(task.module, arguments)
    module, optimizer = accelerator.prepare(task.module, optimizer)
    per_step = arguments.train_batch_size * accelerator.num_processes
    epochs = math.ceil(arguments.num_train_epochs * len(task.dataset) / per_step)  # type: ignore[arg-type]
    total = epochs if arguments.max_train_steps is None else arguments.max_train_steps
    decides = {
        "seed": arguments.seed,
        "train_batch_size": arguments.train_batch_size,
        "processes": accelerator.num_processes,
        "mixed_precision": str(accelerator.mixed_precision),
        "split_hash": task.split_hash,
    }
    return State(accelerator, module, optimizer, Path(arguments.output_dir), total, decides)


def _train_step(state: State, batch: Any, arguments: TrainingArguments) -> dict[str, Tensor]:
    state.module.train()
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate(state.step, state.total_steps, arguments)
    terms: dict[str, Tensor] = state.module(batch)
    loss = weighted_total(terms, arguments.loss_weights)
    if not torch.isfinite(loss):
        shown = ", ".join(f"{name} {value.item():.4g}" for name, value in terms.items())
        raise RecipeError("a finite loss", f"{shown} at step {state.step}", "lower the learning rate or check the data")
    state.accelerator.backward(loss)
    if arguments.max_grad_norm:
        state.accelerator.clip_grad_norm_(state.module.parameters(), arguments.max_grad_norm)
    state.optimizer.step()
    state.optimizer.zero_grad()
    return {"loss": loss.detach()} | {name: value.detach() for name, value in terms.items()}


def _gather(state: State, terms: Mapping[str, Tensor]) -> dict[str, float]:
    means = state.accelerator.reduce({name: value.clone() for name, value in terms.items()}, reduction="mean")
    return {"lr": state.optimizer.param_groups[0]["lr"]} | {name: value.item() for name, value in means.items()}


def _validate(state: State, task: Task) -> None:
    if state.accelerator.is_main_process:
        folder = state.folder / "validation" / f"step_{state.step:06d}"
        folder.mkdir(parents=True, exist_ok=True)
        task.module.eval()
        device = state.accelerator.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.inference_mode():
            figures = task.validate(folder)
        _log(state, {"event": "validation"} | figures)
    state.accelerator.wait_for_everyone()


def _start_log(state: State, arguments: TrainingArguments) -> None:
    """Drop rows beyond the resumed step, so that no step is logged twice, and write the run's header."""
    if not state.accelerator.is_main_process:
        return
    path, kept = state.folder / "log.jsonl", []
    if path.exists() and state.step:
        kept = [line for line in path.read_text().splitlines() if json.loads(line)["step"] <= state.step]
    write_text(path, "".join(line + "\n" for line in kept))
    _log(state, {"event": "start"} | state.decides | {"arguments": asdict(arguments)})


def _log(state: State, row: Mapping[str, Any]) -> None:
    if state.accelerator.is_main_process:
        with (state.folder / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": state.step} | dict(row)) + "\n")


def _save(state: State, limit: int | None) -> None:
    """Write `checkpoint-<step>` under a temporary name, then rename it; drop the oldest ones beyond `limit`."""
    final = state.folder / f"checkpoint-{state.step}"
    partial = state.folder / f"checkpoint-{state.step}.partial"
    state.accelerator.wait_for_everyone()
    state.accelerator.save_state(str(partial))
    state.accelerator.wait_for_everyone()
    if state.accelerator.is_main_process:
        (partial / "step.json").write_text(json.dumps({"step": state.step} | state.decides))
        shutil.rmtree(final, ignore_errors=True)
        os.replace(partial, final)
        for old in _checkpoints(state.folder)[: -limit if limit else 0]:
            shutil.rmtree(old)
    state.accelerator.wait_for_everyone()


def _checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints of a run, oldest first."""
    found = [path for path in folder.glob("checkpoint-*") if path.name.removeprefix("checkpoint-").isdigit()]
    return sorted(found, key=lambda path: int(path.name.removeprefix("checkpoint-")))


def _resume(state: State, wanted: str) -> None:
    folder = Path(wanted)
    if wanted == "latest":
        if not (found := _checkpoints(state.folder)):
            raise RecipeError(f"a checkpoint in {state.folder}", "none", "leave out --resume_from_checkpoint")
        folder = found[-1]
    if not (folder / "step.json").is_file():
        raise RecipeError("a checkpoint folder", f"{folder}", "give the path of a checkpoint-<step> folder")
    stored = json.loads((folder / "step.json").read_text())
    step = stored.pop("step")
    changed = [
        f"{name} {stored.get(name)} then, {now} now" for name, now in state.decides.items() if stored.get(name) != now
    ]
    if changed:
        fix = "repeat the settings, or start anew in another folder"
        raise RecipeError(f"the settings of {folder}", "; ".join(changed), fix)
    if step > state.total_steps:
        raise RecipeError(
            f"a checkpoint of at most {state.total_steps} steps", f"{step} in {folder}", "raise max_train_steps"
        )
    state.accelerator.load_state(str(folder))
    state.step = step
