"""What people reached in the papers, for reference lines; other voices and faces than those evaluated."""

from __future__ import annotations

from typing import NamedTuple

from eval.embeddings import Direction


class HumanBaseline(NamedTuple):
    """Accuracy of people who chose between two: `group` as in `eval.groups.PRESETS`."""

    source: str
    group: str
    direction: Direction
    accuracy: float


HUMANS = (
    HumanBaseline("people, SVHF Table 2", "U", "v2f", 0.813),
    HumanBaseline("people, SVHF Table 2", "GNA", "v2f", 0.571),
    HumanBaseline("people, Kim 2018 Table 1", "G", "v2f", 0.714),
    HumanBaseline("people, Kim 2018 Table 1", "G/E", "v2f", 0.650),
    HumanBaseline("people, Kim 2018 Table 1", "G/E/F/A", "v2f", 0.584),
    HumanBaseline("people, Kim 2018 Table 1", "G/E/F/A", "f2v", 0.552),
)
