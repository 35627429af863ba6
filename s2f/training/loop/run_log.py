"""The log of a run: one JSON object a line, and the same figures for a tracker."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from s2f.runtime.files import write_text
from s2f.training.loop.checkpointing import writing_run

LOG = "log.jsonl"


class RunLog:
    """`log.jsonl` of a run (docs/contracts.md), written by the main process alone."""

    def __init__(self, accelerator: Accelerator, folder: Path) -> None:
        """Nothing is written yet.

        Args:
            accelerator: knows the main process and the trackers.
            folder: of the run.
        """
        self.accelerator, self.folder = accelerator, folder

    def begin(self, step: int, header: Mapping[str, Any]) -> None:
        """Drop rows beyond the resumed step, so that no step is logged twice, and write the header of this start.

        Args:
            step: steps done; at 0 the log starts anew.
            header: JSON values by name.

        Raises:
            OutputError: it cannot be written.
        """
        if not self.accelerator.is_main_process:
            return
        path, kept = self.folder / LOG, []
        if path.exists() and step:
            kept = [line for line in path.read_text().splitlines() if json.loads(line)["step"] <= step]
        with writing_run(self.folder):
            write_text(path, "".join(line + "\n" for line in kept))
        self.add(step, header)

    def add(self, step: int, row: Mapping[str, Any]) -> None:
        """Append one row, and give its numbers to the tracker.

        Args:
            step: steps done.
            row: JSON values by name.

        Raises:
            OutputError: it cannot be written.
        """
        if not self.accelerator.is_main_process:
            return
        with writing_run(self.folder), (self.folder / LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step} | dict(row)) + "\n")
        self.accelerator.log({name: value for name, value in row.items() if isinstance(value, float)}, step=step)
