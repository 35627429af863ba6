"""Which of several processes this one is: `torchrun` and `accelerate launch` start them, also on several machines."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

PATIENCE = timedelta(days=30)  # a process that is ready waits for the slowest one
Item = TypeVar("Item")


@dataclass(frozen=True)
class Processes:
    """The processes of one command.

    Attributes:
        index: number of this one, from 0.
        count: how many there are.
        local_index: number of this one on its machine: which GPU is its own.
    """

    index: int = 0
    count: int = 1
    local_index: int = 0

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that merges and reports."""
        return self.index == 0

    def share(self, items: Sequence[Item]) -> list[Item]:
        """This process's items: every `count`-th, so that neighbours go to different processes."""
        return list(items[self.index :: self.count])

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.count > 1:
            from accelerate import PartialState

            PartialState().wait_for_everyone()


def processes() -> Processes:
    """Join the other processes of this command, if a launcher started several."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return Processes()
    from accelerate import PartialState

    state = PartialState(cpu=True, timeout=PATIENCE)
    return Processes(state.process_index, state.num_processes, state.local_process_index)
