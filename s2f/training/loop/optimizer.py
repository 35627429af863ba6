"""Optimiser, its schedule, parts of a network with rates of their own, and how all follow the batch size."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from s2f.errors import RecipeError, did_you_mean
from s2f.training.loop.arguments import TrainingArguments


def learning_rate(step: int, total: int, arguments: TrainingArguments) -> float:
    """Rate of one step (0-based) by the recipe's schedule.

    Args:
        step: number of steps done before this one.
        total: steps of the whole run.
        arguments: the recipe.

    Returns:
        The rate. A milestone or decay at n holds from step n on; the last step of `logarithmic` has `lr_final`.
    """
    rate, warm_up = arguments.learning_rate, arguments.lr_warmup_steps
    if step < warm_up:
        return rate * (step + 1) / (warm_up + 1)
    if arguments.lr_scheduler == "exponential":
        return rate * arguments.lr_decay ** (step // arguments.lr_decay_steps)
    if arguments.lr_scheduler == "milestones":
        return rate * arguments.lr_decay ** sum(step >= milestone for milestone in arguments.lr_milestones)
    if arguments.lr_scheduler == "cosine":
        done = (step - warm_up) / max(1, total - warm_up)
        return rate * 0.5 * (1 + math.cos(math.pi * done))
    if arguments.lr_scheduler == "logarithmic":
        done = (step - warm_up) / max(1, total - 1 - warm_up)
        return rate ** (1 - done) * arguments.lr_final**done
    return rate


def set_rates(optimizer: torch.optim.Optimizer, step: int, total: int, arguments: TrainingArguments) -> None:
    """Set the rate of every group for one step.

    The factors are the recipe's, not those a checkpoint was written with, so that an accepted change takes effect.

    Args:
        optimizer: made by `build_optimizer`, also inside Accelerate's.
        step: 0-based.
        total: steps of the whole run.
        arguments: the recipe.
    """
    scheduled = learning_rate(step, total, arguments)
    for group in optimizer.param_groups:
        part = group.get("part", "")
        rate = arguments.learning_rate if part in arguments.steady_parts else scheduled
        group["lr"] = rate * arguments.part_rates.get(part, 1.0)


def build_optimizer(module: nn.Module, arguments: TrainingArguments) -> torch.optim.Optimizer:
    """Adam, AdamW or SGD over the parameters that require gradients.

    Parts of the network whose rate is 0 are frozen here: their parameters no longer require gradients.

    Args:
        module: the network, not yet distributed.
        arguments: the recipe.

    Returns:
        The optimiser: one group, or with `part_rates` or `steady_parts` one a part, whose name is its `part`. SGD is
        PyTorch's: v <- momentum v + (gradient + weight_decay w), then w <- w - rate v, without Nesterov's change.

    Raises:
        RecipeError: a part the network does not have, no part that is trained, or weight decay with adam.
    """
    groups = _groups(module, arguments)
    rate, decay = arguments.learning_rate, arguments.weight_decay
    if arguments.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=arguments.momentum, weight_decay=decay, fused=True)
    common: dict[str, Any] = {
        "lr": rate,
        "betas": (arguments.adam_beta1, arguments.adam_beta2),
        "eps": arguments.adam_epsilon,
        "fused": True,
    }
    if arguments.optimizer == "adamw":
        return torch.optim.AdamW(groups, weight_decay=decay, **common)
    if decay:
        raise RecipeError("weight_decay 0 with adam", str(decay), "use optimizer: adamw")
    return torch.optim.Adam(groups, **common)


def _groups(module: nn.Module, arguments: TrainingArguments) -> list[dict[str, Any]]:
    """Parameter groups; freezes the parts whose rate is 0."""
    parts: dict[str, list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        parts.setdefault(name.partition(".")[0], []).append(parameter)
    named = [*arguments.part_rates, *arguments.steady_parts]
    for name in named:
        if name not in parts:
            fix = did_you_mean(name, parts) or "remove it"
            raise RecipeError(f"parts of the network: {', '.join(parts)}", repr(name), fix)
        if arguments.part_rates.get(name) == 0:
            for parameter in parts[name]:
                parameter.requires_grad_(False)
    groups = [{"params": [p for p in parts[name] if p.requires_grad], "part": name} for name in parts]
    groups = [group for group in groups if group["params"]]
    if not groups:
        raise RecipeError("a part of the network that is trained", "none", "leave one out of part_rates")
    return groups if named else [{"params": [p for group in groups for p in group["params"]]}]


def scaled(arguments: TrainingArguments, processes: int) -> TrainingArguments:
    """Recipe for the effective batch of this run: see `scale_lr_from`.

    Args:
        arguments: the recipe.
        processes: how many train together.

    Returns:
        The same, or one with other rates, and other `lr_warmup_steps`, `lr_decay_steps` and `lr_milestones`.
    """
    if arguments.scale_lr_from is None:
        return arguments
    factor = arguments.effective_batch(processes) / arguments.scale_lr_from
    rates = factor if arguments.optimizer == "sgd" else math.sqrt(factor)
    return replace(
        arguments,
        learning_rate=arguments.learning_rate * rates,
        lr_final=arguments.lr_final * rates,
        lr_warmup_steps=round(arguments.lr_warmup_steps / factor),
        lr_decay_steps=max(1, round(arguments.lr_decay_steps / factor)),
        lr_milestones=[max(1, round(step / factor)) for step in arguments.lr_milestones],
    )
