"""What a training clip carries about the face it is paired with: a row number, a feature, or the picture itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from s2f.datasets import Row, name_of
from s2f.errors import BadFile, DatasetError
from s2f.faces.images import load_image, to_bytes
from s2f.shards.reading import read_face_feature


@dataclass
class TableFaces:
    """Features that were computed at the start and lie in one table on the device.

    Attributes:
        candidates: for each voice row, the rows of the table it may be paired with.
    """

    candidates: Sequence[Sequence[int]]

    def item(self, row: int, random: np.random.Generator) -> dict[str, Any]:
        """`target`, the number of one of the candidates."""
        return {"target": int(random.choice(self.candidates[row]))}


@dataclass
class PictureFaces:
    """Pictures that are read by the loader and encoded in the training step.

    Attributes:
        paths: picture files.
        candidates: for each voice row, the pictures it may be paired with.
        prepare: the face encoder's.
    """

    paths: Sequence[Path]
    candidates: Sequence[Sequence[int]]
    prepare: Callable[[Tensor], Tensor]

    def item(self, row: int, random: np.random.Generator) -> dict[str, Any]:
        """`face`, (3, P, P) bytes as the face encoder takes them, over 255.

        Raises:
            BadFile: the picture cannot be read, or is not square.
        """
        path = self.paths[int(random.choice(self.candidates[row]))]
        try:
            return {"face": to_bytes(self.prepare(load_image(path)[None]))[0]}
        except ValueError as error:
            raise BadFile.of(str(path), error) from error


@dataclass
class ShardFaces:
    """Features that lie beside the sound in shards.

    Attributes:
        root: the folder.
        rows: rows of voices.csv.
        size: size D of the features.
    """

    root: Path
    rows: Sequence[Row]
    size: int

    def item(self, row: int, random: np.random.Generator) -> dict[str, Any]:
        """`feature`, (D,) float32.

        Raises:
            BadFile: it cannot be read.
        """
        try:
            return {"feature": self.feature(self.rows[row])}
        except DatasetError as error:
            raise BadFile.of(name_of(self.rows[row]), error) from error

    def feature(self, row: Row) -> Tensor:
        """(D,) float32 feature of a row of voices.csv.

        Raises:
            DatasetError: it cannot be read, or has another size.
        """
        feature = read_face_feature(self.root, row)
        if feature.shape != (self.size,):
            fix = "write the shards with the face encoder that training uses"
            raise DatasetError(f"features of size {self.size} in {row['path']}", str(feature.shape), fix)
        return torch.from_numpy(feature)

    def features(self, rows: Sequence[Row]) -> Tensor:
        """(N, D) features of rows of voices.csv."""
        return torch.stack([self.feature(row) for row in rows])
