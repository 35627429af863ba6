"""The table of docs/starter.md: what was tried for the starter's voice encoder, from the runs' own logs and reports.

python benchmarks/starter_experiments.py RUNS NAME…

RUNS/NAME is an output folder of train_s2f.py, with demographics.json (`s2f-eval demographics RUN/pipeline DATA --split
val --conditions --json`) and simulated.json (`s2f-eval simulated RUN/pipeline DATA --split val --landmarks decoder
--json`).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

CONDITIONS = ("noise_10db", "telephone", "reverb")
MEASURES = ("nose_width", "jaw_width", "face_height")


def cells(folder: Path) -> list[str]:
    """One run's figures."""
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    trained = [row for row in log if row["event"] == "train"][-1]
    checked = [row for row in log if row["event"] == "validation"][-1]
    rows = [
        row for name in ("demographics", "simulated")
        for row in json.loads((folder / f"{name}.json").read_text())["rows"] if row["direction"] == "v2f"
    ]  # fmt: skip

    def figure(metric: str, group: str, **params: object) -> float:
        found = (
            row["value"] for row in rows
            if (row["metric"], row["group"]) == (metric, group) and params.items() <= row["params"].items()
        )  # fmt: skip
        return next(found)

    degraded = [figure("gender_agreement", "U", condition=name) for name in CONDITIONS]
    return [
        str(trained["step"]),
        f"{trained['seconds'] / trained['step']:.2f}",
        f"{checked['val_cosine']:.3f}",
        f"{figure('gender_agreement', 'U'):.3f}",
        " / ".join(f"{share:.2f}" for share in degraded),
        " / ".join(f"{figure('age_class_recall', group):.2f}" for group in ("child", "adult", "elder")),
        " / ".join(f"{figure('pearson_r', 'within', measure=name):.2f}" for name in MEASURES),
        " / ".join(f"{figure('pearson_r_expected', 'within', measure=name):.2f}" for name in MEASURES),
    ]


def main() -> None:
    """Print the table."""
    header = ("run", "steps", "s/step", "val cosine", "gender", "noise / phone / reverb", "child / adult / elder")
    header += ("r with the person: nose / jaw / face height", "r with the expectation")
    print("| " + " | ".join(header) + " |\n|" + "---|" * len(header))
    for name in sys.argv[2:]:
        print("| " + " | ".join((name, *cells(Path(sys.argv[1]) / name))) + " |")


if __name__ == "__main__":
    main()
