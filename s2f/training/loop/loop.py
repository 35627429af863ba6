"""The training loop every task shares: Accelerate, checkpoints, log, validation.

Data order is a pure function of the seed and the step (`s2f.training.loop.sampler`), and so is the learning rate; a
checkpoint holds model, optimiser, averages, random states and step. A resumed run therefore repeats an uninterrupted
one exactly, in the middle of an epoch too.

Statistics. Gradients are averaged over processes and accumulated batches; logged losses are means over both. Batch norm
is per process and batch unless `sync_batch_norm`; running statistics are those of process 0. Device randomness
(augmentation) differs between processes, so the loss of two processes equals that of one with the whole batch only
without both.
"""

from __future__ import annotations

import json
import math
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, ProjectConfiguration, send_to_device, set_seed
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from encoders.inputs import trusted_inputs
from s2f.errors import RecipeError
from s2f.reconstruction.losses import weighted_total
from s2f.runtime.memory import keep_freed_memory
from s2f.training.loop.arguments import TrainingArguments
from s2f.training.loop.bad_items import SkippingItems, add_skipped, collate
from s2f.training.loop.checkpointing import complete_checkpoints, load_checkpoint, save_checkpoint, writing_run
from s2f.training.loop.finite import FiniteCheck
from s2f.training.loop.optimizer import build_optimizer, scaled, set_rates
from s2f.training.loop.run_log import RunLog
from s2f.training.loop.sampler import StepSampler

if TYPE_CHECKING:
    from diffusers.training_utils import EMAModel


class Task(Protocol):
    """What the loop trains."""

    @property
    def module(self) -> nn.Module:
        """`module(batch)` returns unweighted loss terms by name; its parameters are optimised."""

    @property
    def dataset(self) -> Dataset:
        """Map-style, indexed by (epoch, item), so that an item's randomness depends on nothing else.

        An attribute `runs`, where there is one, says how many neighbouring items lie together: see `epoch_order`. One
        named `distinct` says whether no item may be twice in a batch: see `StepSampler`.
        """

    @property
    def sources(self) -> dict[str, str]:
        """Hashes of people, tables and frozen networks: see `s2f.training.loop.checkpointing.run_sources`."""

    def to(self, device: torch.device) -> None:
        """Move what is not part of `module` (frozen networks, targets) to the device."""

    def begin_step(self, step: int) -> None:
        """Change what depends on the step (0-based), before it is taken; called by every process."""

    def validate(self, folder: Path) -> dict[str, float]:
        """Write pictures of fixed validation faces to `folder` and return figures by name."""

    def export(self, folder: Path) -> None:
        """Write the trained network in checkpoint layout."""


class SteadyTask:
    """Base of tasks in which nothing depends on the step."""

    def begin_step(self, step: int) -> None:
        """Change nothing."""


class Best:
    """The best value so far of the figure that `keep_best` names; stored with every checkpoint."""

    def __init__(self) -> None:
        self.value = -math.inf

    def state_dict(self) -> dict[str, float]:
        """What a checkpoint keeps."""
        return {"value": self.value}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Restore it."""
        self.value = state["value"]


@dataclass
class State:
    """Everything a run owns besides the task; `decides` is what a resumed run must share with the interrupted one."""

    accelerator: Accelerator
    arguments: TrainingArguments
    module: nn.Module
    optimizer: torch.optim.Optimizer
    average: EMAModel | None
    check: FiniteCheck
    log: RunLog
    folder: Path
    total_steps: int
    decides: dict[str, Any]
    best: Best
    step: int = 0


def train(task: Task, arguments: TrainingArguments, accelerator: Accelerator, more_follows: bool = False) -> None:
    """Train a task from its recipe, or go on from a checkpoint.

    Args:
        task: networks, data and losses.
        arguments: the recipe.
        accelerator: made by `start`.
        more_follows: whether something else will be trained with this accelerator.

    Raises:
        RecipeError: nothing to resume from, a checkpoint beyond the last step or of other settings, a loss that is not
            finite.
        BadFile: a recording that cannot be read, without `skip_bad`.
        OutputError: the disk is full.
    """
    arguments = scaled(arguments, accelerator.num_processes)
    state = _build_state(task, arguments, accelerator)
    changes: list[str] = []
    if arguments.resume_from_checkpoint:
        changes = _resume(state, arguments.resume_from_checkpoint)
    batch = arguments.effective_batch(accelerator.num_processes)
    header = {"event": "start", "effective_batch": batch, "changes": changes}
    state.log.begin(state.step, header | state.decides | {"arguments": asdict(arguments)})
    progress = tqdm(total=state.total_steps, initial=state.step, disable=None if accelerator.is_main_process else True)
    started = time.perf_counter()
    batches = iter(_loader(state, task.dataset))
    while state.step < state.total_steps:
        task.begin_step(state.step)
        terms = _train_step(state, batches)
        state.step += 1
        progress.update()
        last = state.step == state.total_steps
        if state.step % arguments.logging_steps == 0 or last:
            row = _gather(state, terms) | {"seconds": round(time.perf_counter() - started, 2)}
            progress.set_postfix(loss=f"{row['loss']:.4g}")
            state.log.add(state.step, {"event": "train"} | row)
        if state.step % arguments.validation_steps == 0 or last:
            _validate(state, task)
        if state.step % arguments.checkpointing_steps == 0 or last:
            state.check.require(accelerator)
            limit = arguments.checkpoints_total_limit
            save_checkpoint(accelerator, state.folder, state.step, state.decides, limit)
    progress.close()
    if accelerator.is_main_process:
        if not arguments.keep_best:
            _export(state, task)
        state.log.add(state.step, {"event": "done", "exported": True})
    if not more_follows:
        accelerator.end_training()


def start(arguments: TrainingArguments) -> Accelerator:
    """Make the output folder, the accelerator and its tracker, and seed everything (each process differently).

    Raises:
        RecipeError: a folder that cannot be made, one with checkpoints that the run would not resume from, a tracker
            that is not installed, or batch statistics over processes on the CPU.
    """
    folder = Path(arguments.output_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not arguments.resume_from_checkpoint and (found := complete_checkpoints(folder)):
            fix = "add --resume_from_checkpoint latest or choose another folder"
            raise RecipeError("an output_dir without checkpoints", f"{found[-1]}", fix)
    except OSError as error:
        raise RecipeError(
            "an output_dir that can be made", f"{arguments.output_dir} ({error.strerror})", "choose another folder"
        ) from error
    unused = DistributedDataParallelKwargs(find_unused_parameters=0 in arguments.loss_weights.values())
    try:
        accelerator = Accelerator(
            mixed_precision=arguments.mixed_precision,
            cpu=arguments.cpu,
            gradient_accumulation_steps=arguments.gradient_accumulation_steps,
            log_with=arguments.report_to,
            project_config=ProjectConfiguration(project_dir=str(folder), logging_dir=str(folder / "logs")),
            kwargs_handlers=[unused],
        )
    except (ValueError, ImportError) as error:
        fix = "pip install 's2f[tensorboard]' for tensorboard; fp16 needs a GPU, bf16 does not"
        raise RecipeError("a precision and a tracker that are available here", str(error), fix) from error
    if arguments.report_to and not accelerator.log_with:
        fix = "pip install 's2f[tensorboard]' or leave out --report_to"
        raise RecipeError("a tracker that is installed", arguments.report_to, fix)
    if arguments.sync_batch_norm and accelerator.device.type == "cpu":
        fix = "leave it out: torch.nn.SyncBatchNorm needs a GPU"
        raise RecipeError("sync_batch_norm on GPUs", "the CPU", fix)
    if accelerator.device.type == "cpu":
        keep_freed_memory()
    set_seed(arguments.seed, device_specific=True)
    return accelerator


def _build_state(task: Task, arguments: TrainingArguments, accelerator: Accelerator) -> State:
    task.to(accelerator.device)
    network = task.module
    if arguments.sync_batch_norm:
        nn.SyncBatchNorm.convert_sync_batchnorm(network)
    if arguments.channels_last:
        network.to(memory_format=torch.channels_last)
    if arguments.torch_compile:
        network.compile()
    module, optimizer = accelerator.prepare(network, build_optimizer(network, arguments))
    average = None
    if arguments.use_ema:
        from diffusers.training_utils import EMAModel  # a second of imports

        average = EMAModel(list(network.parameters()), decay=arguments.ema_decay, foreach=True)
        accelerator.register_for_checkpointing(average)
    best = Best()
    if arguments.keep_best:
        accelerator.register_for_checkpointing(best)
    per_step = arguments.effective_batch(accelerator.num_processes)
    epochs = math.ceil(arguments.num_train_epochs * len(task.dataset) / per_step)  # type: ignore[arg-type]
    total = epochs if arguments.max_train_steps is None else arguments.max_train_steps
    decides = arguments.deciding() | {
        "processes": accelerator.num_processes,
        "mixed_precision": str(accelerator.mixed_precision),
        **({"total_steps": total} if arguments.lr_scheduler in ("cosine", "logarithmic") else {}),
        **task.sources,
    }
    if arguments.report_to:
        accelerator.init_trackers("s2f", config={name: str(value) for name, value in asdict(arguments).items()})
    return State(
        accelerator,
        arguments,
        module,
        optimizer,
        average,
        FiniteCheck(accelerator.device),
        RunLog(accelerator, Path(arguments.output_dir)),
        Path(arguments.output_dir),
        total,
        json.loads(json.dumps(decides)),
        best,
    )


def _loader(state: State, dataset: Dataset) -> DataLoader:
    arguments, accelerator = state.arguments, state.accelerator
    sampler = StepSampler(
        len(dataset),  # type: ignore[arg-type]
        arguments.train_batch_size,
        arguments.seed,
        state.step,
        state.total_steps,
        accelerator.process_index,
        accelerator.num_processes,
        arguments.gradient_accumulation_steps,
        getattr(dataset, "runs", None),
        getattr(dataset, "distinct", False),
    )
    return DataLoader(
        SkippingItems(dataset, arguments.seed) if arguments.skip_bad else dataset,
        batch_sampler=sampler,
        num_workers=arguments.dataloader_num_workers,
        collate_fn=collate if arguments.skip_bad else None,
        pin_memory=accelerator.device.type == "cuda",
        worker_init_fn=_leave_interrupts,
        generator=torch.Generator(),  # keeps the default generator out of the loader: see the module's first lines
    )


def _leave_interrupts(worker: int) -> None:
    """Leave Ctrl-C to the training process, which ends its loading processes and has one sentence for it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _train_step(state: State, batches: Iterator[Any]) -> dict[str, Tensor]:
    """One update; returns this process's terms, means over the accumulated batches."""
    arguments, accelerator = state.arguments, state.accelerator
    state.module.train()
    set_rates(state.optimizer, state.step, state.total_steps, arguments)
    sums: dict[str, Tensor] = {}
    for _ in range(arguments.gradient_accumulation_steps):
        batch = next(batches)
        if arguments.skip_bad:
            batch, reasons = batch
            add_skipped(state.folder, reasons)
        with accelerator.accumulate(state.module):
            batch = send_to_device(batch, accelerator.device, non_blocking=True)
            with trusted_inputs():
                terms: dict[str, Tensor] = state.module(batch)
            loss = weighted_total(terms, arguments.loss_weights)
            accelerator.backward(loss)
            if arguments.max_grad_norm and accelerator.sync_gradients:
                accelerator.clip_grad_norm_(state.module.parameters(), arguments.max_grad_norm)
            state.optimizer.step()
            state.optimizer.zero_grad()
        for name, value in ({"loss": loss} | terms).items():
            sums[name] = sums.get(name, 0) + value.detach() / arguments.gradient_accumulation_steps
    state.check.note(state.step, sums)
    if state.average is not None:
        state.average.step(state.module.parameters())
    return sums


def _gather(state: State, terms: Mapping[str, Tensor]) -> dict[str, float]:
    """Means over all processes, and the largest rate of any part."""
    state.check.require(state.accelerator)
    means = state.accelerator.reduce({name: value.clone() for name, value in terms.items()}, reduction="mean")
    return {"lr": max(group["lr"] for group in state.optimizer.param_groups)} | {
        name: value.item() for name, value in means.items()
    }


@contextmanager
def _averaged(state: State) -> Iterator[None]:
    """Inside, the weights are their moving average, if there is one."""
    if state.average is None:
        yield
        return
    parameters = list(state.module.parameters())
    state.average.store(parameters)
    state.average.copy_to(parameters)
    yield
    state.average.restore(parameters)


def _validate(state: State, task: Task) -> None:
    state.check.require(state.accelerator)
    if state.accelerator.is_main_process:
        folder = state.folder / "validation" / f"step_{state.step:06d}"
        task.module.eval()
        device = state.accelerator.device
        random_kept = torch.random.fork_rng([device] if device.type == "cuda" else [])
        with writing_run(state.folder), random_kept, torch.inference_mode(), _averaged(state):
            folder.mkdir(parents=True, exist_ok=True)
            figures = task.validate(folder)
        state.log.add(state.step, {"event": "validation"} | figures)
        if (wanted := state.arguments.keep_best) is not None:
            _keep_best(state, task, wanted, figures)
    state.accelerator.wait_for_everyone()


def _keep_best(state: State, task: Task, wanted: str, figures: Mapping[str, float]) -> None:
    """Export the network if it is the best so far."""
    if wanted not in figures:
        raise RecipeError(f"keep_best one of {', '.join(figures)}", wanted, "correct it or leave it out")
    if figures[wanted] > state.best.value:
        state.best.value = figures[wanted]
        _export(state, task)
        state.log.add(state.step, {"event": "best", wanted: figures[wanted]})


def _export(state: State, task: Task) -> None:
    with _averaged(state), writing_run(state.folder):
        task.export(state.folder)


def _resume(state: State, wanted: str) -> list[str]:
    """Restore a checkpoint; returns the settings that have changed since, if that is accepted."""
    accept = state.arguments.accept_changes
    step, changes = load_checkpoint(state.accelerator, state.folder, wanted, state.decides, accept)
    if step > state.total_steps:
        raise RecipeError(f"a checkpoint of at most {state.total_steps} steps", str(step), "raise max_train_steps")
    if state.average is not None:
        state.average.to(state.accelerator.device)
    state.step = step
    return changes
