"""Who may be compared with whom: groups of people by the columns of their tables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int


@dataclass(frozen=True)
class Grouping:
    """People sorted into cells; a probe's negatives come from its own person's cell.

    Attributes:
        name: U for everybody together, else the short name of the protocol or the columns joined by "/".
        columns: by which people are sorted; empty for U.
        cells: (J,) int64, index of each person's cell; -1 where a column is unknown: left out of this grouping.
        labels: name of each cell, its values joined by "/".
    """

    name: str
    columns: tuple[str, ...]
    cells: Int[np.ndarray, " J"]
    labels: tuple[str, ...]

    @property
    def allowed(self) -> Bool[np.ndarray, "J J"]:
        """Whose samples may be negatives of whose."""
        known = self.cells >= 0
        return (self.cells[:, None] == self.cells) & known[:, None] & known
