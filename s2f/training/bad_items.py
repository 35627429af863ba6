"""Training recordings that cannot be read: another one takes the place, and a list says which and why."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset, default_collate

from s2f.errors import BadFile, DatasetError
from s2f.training.checkpointing import writing

ATTEMPTS = 20
SKIPPED = "skipped.csv"


Reason = tuple[str, str]  # path, sentence


class SkippingItems(Dataset):
    """A dataset whose unreadable items are replaced; each item becomes (content, reasons).

    The replacement is another item of the same epoch, drawn from (seed, epoch, item), so a resumed run repeats it.
    """

    def __init__(self, dataset: Dataset, seed: int) -> None:
        """Wrap a dataset.

        Args:
            dataset: indexed by (epoch, item).
            seed: of the training run.
        """
        self.dataset, self.seed = dataset, seed
        self.items = len(dataset)  # type: ignore[arg-type]

    def __len__(self) -> int:
        return self.items

    def __getitem__(self, key: tuple[int, int]) -> tuple[Any, list[Reason]]:
        epoch, item = key
        random = np.random.default_rng([self.seed, epoch, item, ATTEMPTS])
        reasons: list[Reason] = []
        for _ in range(ATTEMPTS):
            try:
                return self.dataset[epoch, item], reasons
            except BadFile as error:
                reasons.append((error.path, str(error)))
                item = int(random.integers(self.items))
        got = f"{ATTEMPTS} in a row that cannot be read, the last: {reasons[-1][1]}"
        raise DatasetError("recordings to train on", got, "repair the data; skip_bad is for a few bad files")


def collate(items: Sequence[tuple[Any, list[Reason]]]) -> tuple[Any, list[Reason]]:
    """Items of `SkippingItems` to one batch and all reasons."""
    return default_collate([content for content, _ in items]), [reason for _, found in items for reason in found]


class SkippedList:
    """`skipped.csv` of a run (path, reason): each path once, whichever process met it."""

    def __init__(self, folder: Path) -> None:
        """Read what an interrupted run has listed already.

        Args:
            folder: of the run.
        """
        self.path = folder / SKIPPED
        self.known: set[str] = set()
        if self.path.is_file():
            with self.path.open(encoding="utf-8", newline="") as file:
                self.known = {row[0] for row in csv.reader(file) if row}

    def add(self, reasons: Sequence[Reason]) -> None:
        """Append what is new, one write a line, so that lines of several processes do not mix.

        Raises:
            OutputError: it cannot be written.
        """
        for path, reason in reasons:
            if path in self.known:
                continue
            self.known.add(path)
            line = io.StringIO()
            csv.writer(line, lineterminator="\n").writerow([path, reason])
            with writing(self.path.parent), self.path.open("ab", buffering=0) as file:
                file.write(line.getvalue().encode())
