"""Training flags: one dataclass of what every recipe shares, read from a YAML file and the command line."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeVar

from s2f.errors import RecipeError, S2fError
from s2f.options import did_you_mean, unknown_option


@dataclass(kw_only=True)
class TrainingArguments:
    """What every training command takes; flag names follow diffusers' examples.

    Args:
        data: dataset folder (docs/contracts.md).
        output_dir: where checkpoints, the log, validation pictures and the trained network go.
        seed: seed of everything random.
        num_train_epochs: passes over the training items; ignored when `max_train_steps` is given.
        max_train_steps: number of optimisation steps.
        train_batch_size: items per step and process.
        optimizer: adam (no decoupled decay) or adamw.
        learning_rate: initial rate.
        adam_beta1: first-moment decay.
        adam_beta2: second-moment decay.
        adam_epsilon: added to the denominator.
        weight_decay: decoupled decay, adamw only.
        lr_scheduler: constant, exponential (times `lr_decay` every `lr_decay_steps`, a staircase) or cosine (to 0).
        lr_decay: factor of the exponential schedule.
        lr_decay_steps: steps between its decays.
        lr_warmup_steps: linear warm-up from 0.
        max_grad_norm: gradients are clipped to this norm; 0 turns clipping off.
        loss_weights: weight of each loss term by name.
        checkpointing_steps: steps between checkpoints.
        checkpoints_total_limit: newest checkpoints kept; None keeps all.
        resume_from_checkpoint: `latest` or the path of a checkpoint of the same run.
        validation_steps: steps between validations.
        logging_steps: steps between rows of log.jsonl.
        mixed_precision: no, fp16 or bf16; None takes what `accelerate launch` or its config file says.
        dataloader_num_workers: processes that load data, per training process.
        cpu: train on the CPU even where an accelerator is present.
    """

    data: str
    output_dir: str
    seed: int = 0
    num_train_epochs: int = 1
    max_train_steps: int | None = None
    train_batch_size: int = 8
    optimizer: Literal["adam", "adamw"] = "adam"
    learning_rate: float = 1e-3
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    adam_epsilon: float = 1e-8
    weight_decay: float = 0.0
    lr_scheduler: Literal["constant", "exponential", "cosine"] = "constant"
    lr_decay: float = 0.95
    lr_decay_steps: int = 10000
    lr_warmup_steps: int = 0
    max_grad_norm: float = 0.0
    loss_weights: dict[str, float] = field(default_factory=dict)
    checkpointing_steps: int = 500
    checkpoints_total_limit: int | None = None
    resume_from_checkpoint: str | None = None
    validation_steps: int = 500
    logging_steps: int = 10
    mixed_precision: Literal["no", "fp16", "bf16"] | None = None
    dataloader_num_workers: int = 0
    cpu: bool = False


Arguments = TypeVar("Arguments", bound=TrainingArguments)


def run(arguments_class: type[Arguments], train: Callable[[Arguments], None], argv: list[str] | None = None) -> int:
    """Parse flags and a `--config` file, then train; the body of every `train_*.py`.

    The command line beats the file, an unknown key is an error, and `--dry-run` prints the resolved tree.

    Args:
        arguments_class: dataclass of the recipe.
        train: called with the parsed arguments.
        argv: command line without the program name; None takes the process's.

    Returns:
        Exit code: 0 done, 2 bad input, 130 interrupted.
    """
    from jsonargparse import ArgumentError, ArgumentParser

    parser = ArgumentParser(description=inspect.getdoc(arguments_class), exit_on_error=False)
    parser.add_argument("--config", action="config", help="YAML recipe, see s2f/recipes")
    parser.add_argument("--dry-run", action="store_true", help="print the resolved recipe and stop")
    parser.add_class_arguments(arguments_class, None)
    try:
        parsed = parser.parse_args(argv)
    except ArgumentError as error:
        hint = did_you_mean(unknown_option(str(error)), (field.name for field in fields(arguments_class)))
        print("; ".join(filter(None, (f"{parser.prog}: error: {error}", hint))), file=sys.stderr)
        return 2
    if parsed.pop("dry_run"):
        print(parser.dump(parsed, skip_unset=False), end="")
        return 0
    values = {name: value for name, value in parsed.as_dict().items() if name != "config"}
    try:
        train(arguments_class(**values))
    except S2fError as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted; --resume_from_checkpoint latest goes on", file=sys.stderr)
        return 130
    return 0


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
