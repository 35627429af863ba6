"""Training flags: one dataclass of what every recipe shares, read from a YAML file and the command line.

A field made by `free` may change when a run is resumed; every other one decides the result, and a resumed run must
repeat it.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

from s2f.errors import RecipeError, did_you_mean
from s2f.training.loop.checkpointing import what_is_safe

COUNTS = (
    *("train_batch_size", "gradient_accumulation_steps", "scale_lr_from", "lr_decay_steps"),
    *("checkpointing_steps", "checkpoints_total_limit", "validation_steps", "logging_steps"),
)


def free(**options: Any) -> Any:
    """A dataclass field that a resumed run may change: a place, a habit of reporting, a matter of speed."""
    return field(metadata={"free": True}, **options)


@dataclass(kw_only=True)
class TrainingArguments:
    """What every training command takes; flag names follow diffusers' examples.

    A step is one update of the weights. It sees `train_batch_size` x `gradient_accumulation_steps` x processes items,
    the effective batch.

    Args:
        data: dataset folder (docs/contracts.md).
        output_dir: where checkpoints, the log, validation pictures and the trained network go.
        seed: seed of everything random.
        num_train_epochs: passes over the training items; ignored when `max_train_steps` is given.
        max_train_steps: number of optimisation steps.
        train_batch_size: items per forward pass of one process. Batch norm sees these together.
        gradient_accumulation_steps: forward passes per step and process, whose gradients are averaged.
        optimizer: adam (no decoupled decay), adamw or sgd.
        learning_rate: initial rate.
        part_rates: factor on the rate by part of the network, the first word of its parameters' names, for example
            {voice_encoder: 0.01, face_encoder: 0.01}; 1 for a part not named. 0 freezes a part.
        steady_parts: parts whose rate follows neither schedule nor warm-up: always `learning_rate` x their factor.
        scale_lr_from: effective batch for which the rate and its schedule were chosen. At k times that batch, the rate
            is multiplied by the square root of k (Malladi et al., NeurIPS 2022, for Adam), or with sgd by k (Goyal et
            al., 2017), and warm-up, decay and milestones come after 1/k of the steps, so after as many items. None
            scales nothing.
        adam_beta1: first-moment decay.
        adam_beta2: second-moment decay.
        adam_epsilon: added to the denominator.
        momentum: of sgd; not Nesterov's.
        weight_decay: decoupled decay with adamw, coupled (added to the gradient) with sgd, none with adam.
        lr_scheduler: constant, exponential (times `lr_decay` every `lr_decay_steps`, a staircase), milestones (times
            `lr_decay` at each of `lr_milestones`), cosine (to 0) or logarithmic (geometrically to `lr_final`, which
            the last step has).
        lr_decay: factor of the exponential schedule and of milestones.
        lr_decay_steps: steps between the decays of the exponential schedule.
        lr_milestones: steps from which on the rate is smaller once more.
        lr_final: last rate of the logarithmic schedule.
        lr_warmup_steps: linear warm-up from 0.
        max_grad_norm: gradients are clipped to this norm; 0 turns clipping off.
        loss_weights: weight of each loss term by name.
        use_ema: keep an exponential moving average of the weights; validation and the export use it.
        ema_decay: its decay, reached gradually: min(ema_decay, (1 + step) / (10 + step)).
        sync_batch_norm: batch statistics over all processes instead of each by itself; on GPUs only.
        checkpointing_steps: steps between checkpoints; the last step makes one, too.
        checkpoints_total_limit: newest checkpoints kept; None keeps all.
        resume_from_checkpoint: `latest` or the path of a checkpoint of the same run.
        accept_changes: resume although settings or data that decide the result have changed; the log names them.
        validation_steps: steps between validations.
        keep_best: name of a validation figure. The weights with its largest value are exported, not the last ones;
            larger must mean better. None exports the last.
        logging_steps: steps between rows of log.jsonl.
        report_to: tracker besides log.jsonl, by accelerate's name: tensorboard (extra `tensorboard`), wandb, all, ...
        mixed_precision: no, fp16 or bf16; None takes what `accelerate launch` or its config file says.
        torch_compile: compile the forward and backward pass; the first step takes much longer.
        channels_last: keep convolution weights in channels-last layout, which tensor cores read without a copy.
        dataloader_num_workers: processes that load data, per training process.
        skip_bad: leave out files that turn out unreadable while training, and list them in skipped.csv, instead of
            stopping. Another item of the same epoch takes the place.
        cpu: train on the CPU even where an accelerator is present.
    """

    data: str = free()
    output_dir: str = free()
    seed: int = 0
    num_train_epochs: int = free(default=1)
    max_train_steps: int | None = free(default=None)
    train_batch_size: int = 8
    gradient_accumulation_steps: int = 1
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: float = 1e-3
    part_rates: dict[str, float] = field(default_factory=dict)
    steady_parts: list[str] = field(default_factory=list)
    scale_lr_from: int | None = None
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    adam_epsilon: float = 1e-8
    momentum: float = 0.9
    weight_decay: float = 0.0
    lr_scheduler: Literal["constant", "exponential", "milestones", "cosine", "logarithmic"] = "constant"
    lr_decay: float = 0.95
    lr_decay_steps: int = 10000
    lr_milestones: list[int] = field(default_factory=list)
    lr_final: float = 1e-8
    lr_warmup_steps: int = 0
    max_grad_norm: float = 0.0
    loss_weights: dict[str, float] = field(default_factory=dict)
    use_ema: bool = False
    ema_decay: float = 0.9999
    sync_batch_norm: bool = False
    checkpointing_steps: int = free(default=500)
    checkpoints_total_limit: int | None = free(default=None)
    resume_from_checkpoint: str | None = free(default=None)
    accept_changes: bool = free(default=False)
    validation_steps: int = free(default=500)
    keep_best: str | None = None
    logging_steps: int = free(default=10)
    report_to: str | None = free(default=None)
    mixed_precision: Literal["no", "fp16", "bf16"] | None = None
    torch_compile: bool = False
    channels_last: bool = False
    dataloader_num_workers: int = free(default=0)
    skip_bad: bool = free(default=False)
    cpu: bool = False

    def __post_init__(self) -> None:
        """Refuse counts below 1, and rates and a schedule that make no sense.

        Raises:
            RecipeError: one of them.
        """
        for name in COUNTS:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise RecipeError(f"{name} >= 1", str(value), "leave it out or raise it")
        if any(factor < 0 for factor in self.part_rates.values()):
            raise RecipeError("part_rates >= 0", str(self.part_rates), "0 freezes a part")
        if self.lr_final <= 0:
            raise RecipeError("lr_final above 0", str(self.lr_final), "for a schedule that ends at 0 take cosine")
        if self.lr_scheduler == "milestones" and not self.lr_milestones:
            raise RecipeError("lr_milestones for lr_scheduler milestones", "none", "name the steps")

    def what_is_safe(self) -> str:
        """A clause that says from which checkpoint an interrupted run goes on."""
        return what_is_safe(Path(self.output_dir))

    def effective_batch(self, processes: int) -> int:
        """Items that one step sees, in all processes together."""
        return self.train_batch_size * self.gradient_accumulation_steps * processes

    def deciding(self) -> dict[str, Any]:
        """The fields that decide the result, by name: all but those made by `free`."""
        return {item.name: getattr(self, item.name) for item in fields(self) if not item.metadata.get("free")}


Network = TypeVar("Network")


def build_network(network_class: type[Network], options: Mapping[str, Any]) -> Network:
    """Construct a network from a recipe's options.

    Args:
        network_class: class whose constructor names the options.
        options: constructor arguments.

    Returns:
        The network.

    Raises:
        RecipeError: an option the constructor does not have; the nearest name is suggested.
    """
    known = list(inspect.signature(network_class).parameters)
    for name in options:
        if name not in known:
            fix = did_you_mean(name, known) or "remove it"
            raise RecipeError(f"options of {network_class.__name__}: {', '.join(known)}", repr(name), fix)
    return network_class(**options)
