"""What the commands of `s2f-eval` share: reading an embeddings folder, showing a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eval.embeddings.averaging import averaged
from eval.embeddings.folder import Embeddings, read_embeddings
from eval.metrics.scores import Metric
from eval.results import Report
from s2f.commands.program import EXIT_OK
from s2f.errors import UsageError


@dataclass(frozen=True)
class EmbeddingsConfig:
    """What every command that reads an embeddings folder takes.

    Args:
        embeddings: embeddings folder, written by `s2f embed` or by another system (docs/contracts.md).
        metric: how two vectors are compared; if not given, as embeddings.json says, by cosine without one.
        skip_bad: leave out rows that are not finite, zero or given twice, and count them.
        mean_voices: make one voice of so many of a person, by their mean; left-over ones are not used.
        mean_faces: the same with faces.
        seed: of all random draws.
        list: somebody's list of trials, evaluated as given beside the exact figure; one or two files.
        skip_missing: leave out lines of the list whose files the folder lacks, and count them.
        control: also evaluate shuffled voices and constant embeddings.
        json: print one JSON object instead of the table.
    """

    embeddings: str
    metric: Metric | None = None
    skip_bad: bool = False
    mean_voices: int = 1
    mean_faces: int = 1
    seed: int = 0
    list: Sequence[str] = ()
    skip_missing: bool = False
    control: bool = True
    json: bool = False

    def read(self) -> Embeddings:
        """The embeddings folder, averaged where that is asked for."""
        if self.seed < 0:
            raise UsageError("a seed of 0 or more", str(self.seed), "give another")
        embeddings = read_embeddings(self.embeddings, self.metric, self.skip_bad)
        return averaged(embeddings, self.mean_voices, self.mean_faces, self.seed)


def refuse_plots(plots: str | None) -> None:
    """Curves are drawn of exact figures only.

    Args:
        plots: folder that was asked for beside a list.

    Raises:
        UsageError: there is one.
    """
    if plots is not None:
        raise UsageError("plots of the exact evaluation, or a list", "both", "leave out --plots or --list")


def new_folder(name: str) -> Path:
    """Folder for pictures, made if it is not there."""
    Path(name).mkdir(parents=True, exist_ok=True)
    return Path(name)


def show(report: Report, as_json: bool) -> int:
    """Print a report for people or, on request, as JSON; 0 done."""
    print(report.json() if as_json else report.table())
    return EXIT_OK
