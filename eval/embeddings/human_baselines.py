"""What people and Speech2Face reached in the papers, for reference; other voices and faces than those evaluated."""

from __future__ import annotations

from typing import NamedTuple

from eval.results import Direction


class HumanBaseline(NamedTuple):
    """Accuracy of people who chose between two: `group` as in `eval.embeddings.groups.PRESETS`."""

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

SPEECH2FACE_ANGLE_DEG: dict[float, float] = {3.0: 48.43, 6.0: 45.75}
"""Speech2Face 2019, Table 2: mean angle of predicted and true feature by seconds of voice, standard deviations 6.01 and
5.09 degrees. Its L2 (0.19 ± 0.03, 0.18 ± 0.02) and L1 (9.81 ± 1.74, 9.42 ± 1.54) are of features of unknown scale."""

SPEECH2FACE_RECALL: dict[tuple[float, str, int], float] = {
    (seconds, metric, k): share
    for seconds, metric, shares in (
        (3.0, "l2", (0.0586, 0.1002, 0.1898, 0.2892)),
        (3.0, "l1", (0.0622, 0.0992, 0.1894, 0.2870)),
        (3.0, "cosine", (0.0854, 0.1364, 0.2480, 0.3854)),
        (6.0, "l2", (0.0828, 0.1366, 0.2466, 0.3584)),
        (6.0, "l1", (0.0834, 0.1370, 0.2466, 0.3622)),
        (6.0, "cosine", (0.1092, 0.1700, 0.3060, 0.4582)),
    )
    for k, share in zip((1, 2, 5, 10), shares, strict=True)
}
"""Speech2Face 2019, Table 3: R@K from voice to face by seconds, metric and K; chance is K %, so galleries of 100."""
