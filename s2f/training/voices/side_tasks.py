"""Side tasks of the voice encoder: linear heads on its hidden units, which teach it to hear before it has to draw.

The heads belong to training: they are checkpointed for resumption and never exported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from s2f.datasets import DatasetFolder, Row, numbers
from s2f.errors import DatasetError, RecipeError, did_you_mean
from s2f.labels import AGE_CLASSES, GENDERS
from s2f.training.voices.speaker_embedding import EMBEDDING_DIM

LOGARITHMS = {"f0": "voice_f0_hz", "tract": "voice_tract_cm"}  # regressed, standardised over the training people
WIDTHS = {"f0": 1, "tract": 1, "gender": 1, "age_class": len(AGE_CLASSES), "embedding": EMBEDDING_DIM}


def side_weights(side_tasks: Mapping[str, float]) -> dict[str, float]:
    """Loss weights of side tasks: `side_<task>` and the task's weight.

    Raises:
        RecipeError: an unknown task; the nearest name is suggested.
    """
    for name in side_tasks:
        if name not in WIDTHS:
            fix = did_you_mean(name, WIDTHS) or "remove it"
            raise RecipeError(f"side_tasks of {', '.join(WIDTHS)}", repr(name), fix)
    return {f"side_{name}": weight for name, weight in side_tasks.items()}


class SideTargets:
    """What truth.csv says about voices, in the form the heads are trained on; `embedding` is not among it."""

    def __init__(self, data: DatasetFolder, tasks: Sequence[str], training: Sequence[Row]) -> None:
        """Measure what the regressions are standardised by.

        Args:
            data: dataset folder with truth.csv.
            tasks: names of side tasks.
            training: training rows of voices.csv.

        Raises:
            DatasetError: see `DatasetFolder.truth` and `numbers`.
        """
        self.data, self.tasks = data, [name for name in tasks if name != "embedding"]
        self.scale: dict[str, tuple[float, float]] = {}
        for name in self.tasks:
            if name in LOGARITHMS:
                values = self._logarithms(name, training)
                self.scale[name] = float(values.mean()), max(float(values.std()), 1e-6)

    def of(self, voices: Sequence[Row]) -> dict[str, Tensor]:
        """Targets of voice rows by task: (N,) standardised logarithms, 1 for `m`, or the number of the age class.

        Raises:
            DatasetError: a gender or age class that is none.
        """
        found: dict[str, Tensor] = {}
        for name in self.tasks:
            if name in LOGARITHMS:
                mean, spread = self.scale[name]
                found[name] = torch.from_numpy((self._logarithms(name, voices) - mean) / spread).float()
            elif name == "gender":
                found[name] = torch.tensor(self._numbered("voice_gender", GENDERS, voices)).float()
            else:
                found[name] = torch.tensor(self._numbered("voice_age_class", AGE_CLASSES, voices))
        return found

    def _rows(self, column: str, voices: Sequence[Row]) -> list[Row]:
        return self.data.truth([row["identity"] for row in voices], column)

    def _logarithms(self, task: str, voices: Sequence[Row]) -> np.ndarray:
        column = LOGARITHMS[task]
        return np.log(numbers(self._rows(column, voices), column, positive=True))

    def _numbered(self, column: str, names: Sequence[str], voices: Sequence[Row]) -> list[int]:
        values = [row[column] for row in self._rows(column, voices)]
        if unknown := sorted(set(values) - set(names)):
            raise DatasetError(f"{column} of {', '.join(names)} in truth.csv", repr(unknown[0]), "correct the column")
        return [names.index(value) for value in values]


class SideHeads(nn.Module):
    """One linear layer a task on the hidden units of the voice encoder."""

    def __init__(self, hidden_size: int, tasks: Sequence[str]) -> None:
        """Build the heads.

        Args:
            hidden_size: H, units of the voice encoder's layer before the last.
            tasks: names of `WIDTHS`.
        """
        super().__init__()
        self.heads = nn.ModuleDict({name: nn.Linear(hidden_size, WIDTHS[name]) for name in tasks})

    def forward(self, hidden: Float[Tensor, "B H"], targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Unweighted loss terms `side_<task>`, means over the batch.

        Smooth L1 for `f0` and `tract`, cross-entropies for `gender` and `age_class`, and for `embedding` one minus the
        cosine.

        Args:
            hidden: (B, H) hidden units.
            targets: by task, for the tasks that are known: see `SideTargets.of`; `embedding` (B, 256).

        Returns:
            A scalar for each task in `targets`.
        """
        terms = {}
        for name, target in targets.items():
            predicted = self.heads[name](hidden).float()
            if name in LOGARITHMS:
                loss = F.smooth_l1_loss(predicted[:, 0], target)
            elif name == "gender":
                loss = F.binary_cross_entropy_with_logits(predicted[:, 0], target)
            elif name == "age_class":
                loss = F.cross_entropy(predicted, target)
            else:
                loss = 1 - F.cosine_similarity(predicted, target, dim=-1).mean()
            terms[f"side_{name}"] = loss
        return terms
