"""Do mislabelled people end with the lowest identity weights (Wen et al. 2021, Alg. 1)?

    python benchmarks/identity_weights.py DATA OUT --voice_weights FOLDER --face_weights FOLDER

takes 600 training people of a simulated folder and mislabels a tenth of them: each of their pictures, and their voice,
is of another person outside the 600, a different one each. Stages one and two of the small Wen twin run on these
tables; the area under the curve says how well low weight tells the mislabelled people from the others. Encoders stay
frozen.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import numpy as np
import yaml
from sklearn.metrics import roc_auc_score

from s2f.datasets import DatasetFolder, Row
from s2f.runtime.files import write_csv
from s2f.training.matching.task import MatchingArguments
from s2f.training.matching.three_stages import WEIGHTS, train_matching

CHECKOUT = Path(__file__).resolve().parents[1]
PEOPLE, MISLABELLED = 600, 60


def mislabel(data: DatasetFolder, folder: Path, seed: int) -> set[str]:
    """Write tables of 600 training people and the validation people; returns who of them is mislabelled."""
    random = np.random.default_rng(seed)
    everybody = random.permutation(data.identities("train")).tolist()
    chosen, others = everybody[:PEOPLE], everybody[PEOPLE:]
    wrong = set(chosen[:MISLABELLED])
    folder.mkdir(parents=True)
    kept = [*chosen, *data.identities("val")]
    people = [data.people[name] for name in kept]
    write_csv(folder / "people.csv", list(people[0]), [list(row.values()) for row in people])
    for name, rows in (("voices", data.voices("train", "val")), ("faces", data.faces("train", "val"))):
        strangers = {label: [row for row in rows if row["identity"] == label] for label in others}
        table = [_row(data, row, strangers, wrong, random) for row in rows if row["identity"] in set(kept)]
        write_csv(folder / f"{name}.csv", list(table[0]), [list(row.values()) for row in table])
    return wrong


def _row(data: DatasetFolder, row: Row, strangers: dict[str, list[Row]], wrong: set[str], random) -> Row:
    """A row with an absolute path, for a mislabelled person that of a stranger's file."""
    source = row
    if row["identity"] in wrong:
        stranger = str(random.choice(list(strangers)))
        source = strangers[stranger][int(random.integers(len(strangers[stranger])))]
    return row | {"path": str(data.path(source).resolve())}


def main() -> None:
    """Mislabel, learn weights, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="simulated dataset folder")
    parser.add_argument("out", type=Path, help="new folder")
    parser.add_argument("--voice_weights", required=True)
    parser.add_argument("--face_weights", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mode", choices=["paper", "code"], default="paper")
    options = parser.parse_args()
    wrong = mislabel(DatasetFolder(options.data), options.out / "data", options.seed)
    recipe = yaml.safe_load((CHECKOUT / "s2f/recipes/small/wen2021.yaml").read_text())
    recipe |= {"mode": options.mode, "max_train_steps": 1, "part_rates": {"voice_encoder": 0, "face_encoder": 0}}
    recipe |= {"reweighting": {"warm_up_steps": 400, "update_steps": 15, "added": 24, "initial_share": 0.3}}
    recipe |= {"voice_weights": options.voice_weights, "face_weights": options.face_weights, "cpu": True}
    recipe |= {"learning_rate": 0.05, "lr_scheduler": "constant", "lr_milestones": [], "keep_best": None}
    train_matching(MatchingArguments(**recipe, data=str(options.out / "data"), output_dir=str(options.out / "run")))
    folder = options.out / "run" / "weighting"
    with (folder / WEIGHTS).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    planted = np.array([row["identity"] in wrong for row in rows])
    weight, hardness = (np.array([float(row[name]) for row in rows]) for name in ("weight", "hardness"))
    seconds = json.loads((folder / "log.jsonl").read_text().splitlines()[-3])
    print(f"{len(rows)} people, {planted.sum()} of them mislabelled, mode {options.mode}, step {seconds['step']}")
    print(f"left out: {(weight == 0).sum()}, of them mislabelled {(weight[planted] == 0).sum()}")
    print(f"area under the curve of low weight {roc_auc_score(planted, -weight):.3f}")
    print(f"area under the curve of high hardness {roc_auc_score(planted, hardness):.3f}")


if __name__ == "__main__":
    main()
