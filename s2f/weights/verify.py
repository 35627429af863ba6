"""`s2f weights verify`: is a checkpoint folder as listed, and do its networks load strictly?"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from s2f.checkpoints.hashes import MANIFEST, compare
from s2f.checkpoints.loading import contained, network_folders
from s2f.errors import S2fError
from s2f.weights.registry import load_any


@dataclass(frozen=True)
class Verification:
    """What a check found.

    Attributes:
        folder: the folder.
        files: files whose hash is as listed.
        networks: networks that load strictly, name to class.
        faults: one phrase for everything that is wrong.
    """

    folder: str
    files: int
    networks: dict[str, str]
    faults: list[str]

    @property
    def ok(self) -> bool:
        """Whether everything is as listed and loads."""
        return not self.faults

    def json(self) -> str:
        """One JSON object: the attributes, and `ok`."""
        return json.dumps(asdict(self) | {"ok": self.ok}, indent=2)

    def table(self) -> str:
        """Lines for people."""
        lines = [f"{self.folder}: {self.files} files as listed in {MANIFEST}"]
        lines += [f"  loads strictly: {name or '(the folder)'} ({kind})" for name, kind in self.networks.items()]
        lines += [f"  WRONG: {fault}" for fault in self.faults]
        return "\n".join([*lines, "whole" if self.ok else "NOT whole"])


def verify(folder: str | Path) -> Verification:
    """Compare a folder with its list, and load its networks strictly.

    Args:
        folder: a checkpoint, or the folder of one network.

    Returns:
        What was found; a folder that does not exist is a fault too.
    """
    good = 0
    faults: list[str] = []
    networks: dict[str, str] = {}
    try:
        good, faults = compare(folder)
        for name, part in network_folders(Path(folder)).items():
            networks[name] = type(load_any(contained(part, Path(folder)))).__name__
    except S2fError as error:
        faults = [*faults, str(error)]
    return Verification(str(folder), good, networks, faults)
