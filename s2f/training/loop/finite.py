"""Noticing a loss that is no number, without waiting for the device at every step."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from accelerate import Accelerator
from torch import Tensor

from s2f.errors import RecipeError


class FiniteCheck:
    """Remembers on the device the first step whose terms were not all finite; `require` looks.

    Looking waits for the device, so the loop does it where it waits anyway: before a row of the log, a validation and a
    checkpoint. Steps in between are lost, but no checkpoint ever holds what came of them.
    """

    def __init__(self, device: torch.device) -> None:
        """Start with nothing bad.

        Args:
            device: where the losses are.
        """
        self.step = torch.full((), torch.inf, device=device)
        self.values = torch.zeros(0, device=device)
        self.names: list[str] = []

    def note(self, step: int, terms: Mapping[str, Tensor]) -> None:
        """Look at one step's scalars; later ones than the first bad step are ignored.

        Args:
            step: its number.
            terms: scalars by name, the same names at every step.
        """
        values = torch.stack([value.detach().float() for value in terms.values()])
        if not self.names:
            self.names, self.values = list(terms), values
        first = (~torch.isfinite(values)).any() & torch.isinf(self.step)
        self.values = torch.where(first, values, self.values)
        self.step = torch.where(first, float(step), self.step)

    def require(self, accelerator: Accelerator) -> None:
        """Stop, in every process at once, if a loss of any process was not finite.

        Raises:
            RecipeError: with the first such step and this process's terms there.
        """
        first = accelerator.gather(self.step[None]).min()
        if torch.isinf(first):
            return
        pairs = zip(self.names, self.values.tolist(), strict=True)
        shown = ", ".join(f"{name} {value:.4g}" for name, value in pairs) if self.step == first else "NaN elsewhere"
        fix = "the last checkpoint is from before it; lower the learning rate, clip gradients or check the data"
        raise RecipeError("a finite loss", f"{shown} at step {int(first)}", fix)
