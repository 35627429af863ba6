"""Identity weights: easy identities first, and the hardest never.

Paper: Wen et al., "Seeking the Shape of Sound" (CVPR 2021), section 3.3, Alg. 1, Eq. 6, 7 and the normalisation below
Eq. 11. The authors' code differs from it; `mode` chooses:

| | paper | code |
|---|---|---|
| identities with weight 1 at the start of stage two | 30 % | 50 % |
| weight in a batch | s_i / sum over the batch, to be summed | s_i M / sum over everybody, to be averaged |

What the paper leaves open is read from the code in both modes: hardness starts at 14; warm-up records it already
(Alg. 1 begins with it in stage two, but that stage's first weights need it); k, printed as 22 for M = 924 identities,
is int(0.024 M). Eq. 7's "bottom k with weight 0" is read as the k lowest among those with weight 0, and not as those of
the k lowest whose weight is 0, which would soon add nobody.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, distributed, nn

from s2f.datasets import numbers
from s2f.errors import DatasetError, RecipeError
from s2f.runtime.files import write_csv

COLUMNS = ("identity", "weight", "hardness")
TOO_LITTLE = 1e-3


class IdentityWeights(nn.Module):
    """Hardness and weight of every training identity; both are buffers, so that checkpoints keep them.

    Before `begin` all weights are 1 (stage one); `update` then admits harder identities until `done` (stage two).

    Attributes:
        hardness: (M,) moving average of the loss.
        weight: (M,) in [0, 1].
        begun: whether stage two has begun.
    """

    hardness: Tensor
    weight: Tensor
    begun: Tensor

    def __init__(
        self,
        identities: int,
        mode: Literal["paper", "code"] = "paper",
        initial_share: float | None = None,
        added: int | None = None,
        decay: float = 0.99,
        momentum: float = 0.9,
        keep: float = 0.9,
        initial_hardness: float = 14.0,
    ) -> None:
        """Start stage one.

        Args:
            identities: M.
            mode: as printed, or as the authors' code does it.
            initial_share: share of identities, the easiest, with weight 1 when stage two begins; None: of the mode.
            added: k, identities that an update adds; None: int(0.024 M), at least 1.
            decay: alpha, by which an update multiplies the weights of those added before.
            momentum: beta, how much of its hardness an identity keeps when it is observed.
            keep: R_keep, share of identities with a weight at which stage two ends; the others stay out.
            initial_hardness: of an identity that was never observed.

        Raises:
            RecipeError: a number out of its range.
        """
        super().__init__()
        share = initial_share if initial_share is not None else {"paper": 0.3, "code": 0.5}[mode]
        self.added = added if added is not None else max(1, int(0.024 * identities))
        ranges = {
            "identities >= 1": (identities, identities >= 1),
            "initial_share in (0, 1]": (share, 0 < share <= 1),
            "added >= 1": (self.added, self.added >= 1),
            "decay in (0, 1]": (decay, 0 < decay <= 1),
            "momentum in [0, 1)": (momentum, 0 <= momentum < 1),
            "keep in (0, 1]": (keep, 0 < keep <= 1),
        }
        for expected, (got, fine) in ranges.items():
            if not fine:
                raise RecipeError(f"{expected} for identity weights", str(got), "correct it")
        self.mode, self.decay, self.momentum = mode, decay, momentum
        # the small term undoes the rounding of such products as 0.29 * 100
        self.initial = max(1, math.floor(share * identities + 1e-9))
        self.required = math.ceil(keep * identities - 1e-9)
        self.register_buffer("hardness", torch.full((identities,), float(initial_hardness)))
        self.register_buffer("weight", torch.ones(identities))
        self.register_buffer("begun", torch.tensor(False))

    @property
    def done(self) -> bool:
        """Whether stage two has ended: enough identities have a weight."""
        return bool(self.begun) and int((self.weight > 0).sum()) >= self.required

    def updates_needed(self) -> int:
        """Updates after `begin` until `done`."""
        return max(0, math.ceil((self.required - self.initial) / self.added))

    @torch.no_grad()
    def observe(self, label: Int[Tensor, " B"], loss: Float[Tensor, " B"]) -> None:
        """Eq. 6: H_i becomes beta H_i + (1 - beta) loss, for the identities of a step.

        The samples of one identity are averaged first. Several processes share what they have seen, so that all end
        with the same numbers; they must call this together, with batches of one size.

        Args:
            label: (B,) identity numbers.
            loss: (B,) the unweighted implicit loss, faces plus voices, of each sample.
        """
        label, loss = _everywhere(label), _everywhere(loss.to(self.hardness.dtype))
        # a table instead of a scattered sum, whose order, and so its last digits, would vary on a GPU
        mine = label == torch.arange(len(self.hardness), device=label.device)[:, None]
        count = mine.sum(1)
        mean = torch.where(mine, loss, 0).sum(1) / count.clamp_min(1)
        moved = self.momentum * self.hardness + (1 - self.momentum) * mean
        self.hardness.copy_(torch.where(count > 0, moved, self.hardness))

    def begin(self) -> None:
        """Begin stage two: weight 1 for the easiest identities, 0 for the others."""
        easiest = torch.argsort(self.hardness, stable=True)[: self.initial]
        self.weight.zero_()
        self.weight[easiest] = 1
        self.begun.fill_(True)

    def update(self) -> None:
        """Eq. 7: weight 1 for the easiest k of those with none, a decay for all others; nothing once `done`.

        As in Alg. 1 the last update may pass R_keep, by up to k - 1 identities: the paper's numbers end with 849 of 924
        where 832 were asked for. So a k near (1 - R_keep) M would let nearly everybody in.
        """
        assert self.begun, "identity weights are updated in stage two only: call begin() first"
        if self.done:
            return
        without = torch.where(self.weight == 0, self.hardness, torch.inf)
        fresh = torch.argsort(without, stable=True)[: min(self.added, int((self.weight == 0).sum()))]
        self.weight.mul_(self.decay)
        self.weight[fresh] = 1

    def of(self, label: Int[Tensor, " B"]) -> Float[Tensor, " B"]:
        """Weights of the samples of a batch.

        Mode `paper`: s_i / sum_j s_j over the batch of this process; the losses times these are to be summed. A batch
        of nothing but excluded identities, for which the paper's fraction is 0 / 0, gets zeros and so teaches nothing.

        Mode `code`: s_i M / sum over all identities; the losses times these are to be averaged. A batch whose weights
        add up to less than 0.001 gets 1 more each, and so counts as if unweighted.

        Args:
            label: (B,) identity numbers.

        Returns:
            (B,), none negative.
        """
        chosen = self.weight[label]
        if self.mode == "paper":
            total = chosen.sum()
            return chosen / torch.where(total > 0, total, 1)
        chosen = chosen * (len(self.weight) / self.weight.sum())
        return chosen + (chosen.sum() < TOO_LITTLE)

    def write(self, path: Path, identities: Sequence[str]) -> None:
        """Write identity, weight and hardness as CSV.

        Args:
            path: the file.
            identities: M names, in the order of the numbers.
        """
        rows = zip(identities, self.weight.tolist(), self.hardness.tolist(), strict=True)
        write_csv(path, COLUMNS, rows)

    def read(self, path: Path, identities: Sequence[str]) -> None:
        """Take weights and hardness from what `write` wrote, for stage three; others' rows are left alone.

        Args:
            path: the file.
            identities: M names, in the order of the numbers.

        Raises:
            DatasetError: no such file, another kind of file, an identity without a row, or a weight below 0 or above 1.
        """
        again = "give the identity_weights.csv of a run on these people, or learn the weights anew"
        try:
            with path.open(encoding="utf-8", newline="") as file:
                reader = csv.DictReader(file)
                found = {row["identity"]: row for row in reader} if set(COLUMNS) <= set(reader.fieldnames or ()) else {}
        except (OSError, UnicodeError, csv.Error) as error:
            raise DatasetError(f"identity weights in {path}", str(error), again) from error
        if not found:
            raise DatasetError(f"columns {', '.join(COLUMNS)} in {path}", "a file without them, or without rows", again)
        if missing := [name for name in identities if name not in found]:
            got = f"none for {len(missing)} of them, first {missing[0]}"
            raise DatasetError(f"a weight of every training identity in {path}", got, again)
        rows = [{name: value or "" for name, value in found[identity].items()} for identity in identities]
        weight, hardness = (torch.from_numpy(numbers(rows, name)) for name in COLUMNS[1:])
        if weight.min() < 0 or weight.max() > 1:
            raise DatasetError(f"weights from 0 to 1 in {path}", f"{weight.min():g} to {weight.max():g}", again)
        self.weight.copy_(weight)
        self.hardness.copy_(hardness)
        self.begun.fill_(True)


def _everywhere(values: Tensor) -> Tensor:
    """Values of all processes, one after the other."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return values
    gathered = [torch.empty_like(values) for _ in range(distributed.get_world_size())]
    distributed.all_gather(gathered, values.contiguous())
    return torch.cat(gathered)
