"""Training recordings that cannot be read: another one takes the place, and a list says which and why."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset, default_collate

from s2f.errors import BadFile, DatasetError
from s2f.training.loop.checkpointing import writing_run

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


def add_skipped(folder: Path, reasons: Sequence[Reason]) -> None:
    """Append to `skipped.csv` of a run (path, reason) what it does not list yet, each path once.

    A line is one write, so lines of several processes do not mix; only two that meet the same file in the same instant
    would list it twice.

    Args:
        folder: of the run.
        reasons: paths and sentences.

    Raises:
        OutputError: it cannot be written.
    """
    if not reasons:
        return
    table = folder / SKIPPED
    with writing_run(folder):
        with suppress(FileExistsError), table.open("x", encoding="utf-8") as file:
            file.write("path,reason\n")
        with table.open(encoding="utf-8", newline="") as file:
            known = {row["path"] for row in csv.DictReader(file)}
        for path, reason in reasons:
            if path not in known:
                known.add(path)
                line = io.StringIO()
                csv.writer(line, lineterminator="\n").writerow([path, reason])
                with table.open("ab", buffering=0) as appended:
                    appended.write(line.getvalue().encode())
