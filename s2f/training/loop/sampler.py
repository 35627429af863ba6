"""The order of training items: a pure function of the seed and the step, whatever processes share the work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import Sampler

from s2f.errors import RecipeError

OPEN_RUNS = 16


def epoch_order(items: int, seed: int, epoch: int, runs: Sequence[int] | None = None) -> Tensor:
    """One epoch's permutation.

    Args:
        items: number N of items.
        seed: of the training run.
        epoch: 0-based.
        runs: lengths of consecutive runs of items that lie together on the disk, as shards do; they add up to N. The
            runs are shuffled, and items only among 16 neighbouring runs, so that reading stays nearly sequential.

    Returns:
        (N,) item numbers, each once.
    """
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    if runs is None:
        return torch.randperm(items, generator=generator)
    parts = torch.arange(items).split(list(runs))
    shuffled = [parts[number] for number in torch.randperm(len(parts), generator=generator)]
    order = []
    for first in range(0, len(shuffled), OPEN_RUNS):
        together = torch.cat(shuffled[first : first + OPEN_RUNS])
        order.append(together[torch.randperm(len(together), generator=generator)])
    return torch.cat(order)


class StepSampler(Sampler):
    """Batches of (epoch, item) for this process, from step `start` to `stop`, `accumulation` batches a step.

    The global order is one `epoch_order` after the other. A step takes the next `accumulation` x `processes` batches of
    it, so one process with a batch of 8, two with 4 each, and one with 4 that accumulates twice see the same items.

    With `distinct`, no step meets an item twice, not even where two epochs meet: an epoch then uses only as many items
    as fill whole steps, other ones each time, and leaves out the rest.
    """

    def __init__(
        self,
        items: int,
        batch_size: int,
        seed: int,
        start: int,
        stop: int,
        rank: int,
        processes: int,
        accumulation: int = 1,
        runs: Sequence[int] | None = None,
        distinct: bool = False,
    ) -> None:
        """Set the range; nothing is drawn yet.

        Args:
            items: number of items of the dataset.
            batch_size: items per batch of this process.
            seed: of the training run.
            start: first step, 0-based.
            stop: step before which to end.
            rank: number of this process.
            processes: how many there are.
            accumulation: batches per step and process.
            runs: see `epoch_order`.
            distinct: use whole steps of an epoch only.

        Raises:
            RecipeError: `distinct`, and fewer items than one step takes.
        """
        self.items, self.batch_size, self.seed, self.runs = items, batch_size, seed, runs
        self.start, self.stop, self.rank, self.processes = start, stop, rank, processes
        self.accumulation = accumulation
        step = batch_size * processes * accumulation
        self.used = items - items % step if distinct else items
        if distinct and not self.used:
            fix = "lower train_batch_size or gradient_accumulation_steps"
            raise RecipeError(f"at least {step} identities, all different in one step", str(items), fix)

    def __len__(self) -> int:
        return (self.stop - self.start) * self.accumulation

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch, order = -1, torch.empty(0, dtype=torch.long)
        for turn in range(self.start * self.accumulation, self.stop * self.accumulation):
            first = (turn * self.processes + self.rank) * self.batch_size
            batch = []
            for position in range(first, first + self.batch_size):
                if position // self.used != epoch:
                    epoch = position // self.used
                    order = epoch_order(self.items, self.seed, epoch, self.runs)
                batch.append((epoch, int(order[position % self.used])))
            yield batch
