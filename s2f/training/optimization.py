"""Optimiser, its schedule, and how both follow the batch size."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from s2f.errors import RecipeError
from s2f.training.arguments import TrainingArguments


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
        "fused": True,
    }
    if arguments.optimizer == "adamw":
        return torch.optim.AdamW(parameters, weight_decay=arguments.weight_decay, **common)
    if arguments.weight_decay:
        raise RecipeError("weight_decay 0 with adam", str(arguments.weight_decay), "use optimizer: adamw")
    return torch.optim.Adam(parameters, **common)


def scaled(arguments: TrainingArguments, processes: int) -> TrainingArguments:
    """Recipe for the effective batch of this run: see `scale_lr_from`.

    Args:
        arguments: the recipe.
        processes: how many train together.

    Returns:
        The same, or one with another `learning_rate`, `lr_warmup_steps` and `lr_decay_steps`.
    """
    if arguments.scale_lr_from is None:
        return arguments
    factor = arguments.effective_batch(processes) / arguments.scale_lr_from
    return replace(
        arguments,
        learning_rate=arguments.learning_rate * math.sqrt(factor),
        lr_warmup_steps=round(arguments.lr_warmup_steps / factor),
        lr_decay_steps=max(1, round(arguments.lr_decay_steps / factor)),
    )
