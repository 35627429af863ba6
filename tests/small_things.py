"""What placeholders of printed commands stand for when they are run: a clip, small folders of every kind."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np

from s2f.cli import main as s2f
from s2f.training.matching.task import MatchingArguments, build_model
from tests import CHECKOUT
from tests.eval.report_folders import write_folder
from tests.s2f.conftest import LOG
from tests.s2f.tiny_data import write_csv, write_dataset
from tests.s2f.training.matching_runs import KIM, SHARED

STARTER = CHECKOUT / "checkpoints" / "starter"


class Things:
    """Small things, each made when it is first asked for.

    Args:
        root: folder for them.
    """

    def __init__(self, root: Path):
        self.root = root
        self.made: dict[str, Path] = {}

    def __getitem__(self, name: str) -> Path:
        if name not in self.made:
            self.made[name] = getattr(self, name)(self.root / name)
        return self.made[name]

    def clip(self, path: Path) -> Path:
        return CHECKOUT / "examples" / "voice.wav"

    def examples(self, path: Path) -> Path:
        return CHECKOUT / "examples"

    def dataset(self, path: Path) -> Path:
        """Nine people, of whom enough are in every split."""
        write_dataset(path, 224)
        with (path / "people.csv").open(newline="") as file:
            people = list(csv.DictReader(file))
        for number, row in enumerate(people):
            row["split"] = ("train", "train", "val", "test")[number % 4] if number < 8 else "val"
        write_csv(path / "people.csv", people)
        return path

    def embeddings(self, path: Path, people: int = 20) -> Path:
        """Two voices and two faces a person."""
        path.mkdir()
        centres = np.random.default_rng(0).normal(size=(people, 8)).repeat(2, axis=0)
        for number, side in enumerate(("voice", "face")):
            vectors = centres + np.random.default_rng(number + 1).normal(size=centres.shape)
            np.save(path / f"{side}.npy", vectors.astype(np.float32))
            with (path / f"{side}.csv").open("w", newline="") as file:
                rows = [(f"p{row // 2}", "fm"[row // 2 % 2], 20 + row // 20) for row in range(2 * people)]
                csv.writer(file).writerows([("identity", "gender", "age"), *rows])
        return path

    def large_embeddings(self, path: Path) -> Path:
        return self.embeddings(path, 200)

    def reconstructions(self, path: Path) -> Path:
        return write_folder(path)

    def matching_run(self, path: Path) -> Path:
        arguments = MatchingArguments(**SHARED, **KIM, voice_seconds=2.0, data="", output_dir="")
        build_model(arguments).save_pretrained(path / "model")
        return path

    def matching_model(self, path: Path) -> Path:
        return self["matching_run"] / "model"

    def face_encoder(self, path: Path) -> Path:
        return STARTER / "face_encoder"

    def checkpoint(self, path: Path) -> Path:
        return Path(shutil.copytree(STARTER, path))

    def training_run(self, path: Path) -> Path:
        path.mkdir()
        (path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in LOG))
        return path

    def report(self, path: Path) -> Path:
        path.write_text(json.dumps({"protocol": "features/1", "rows": [], "notes": []}))
        return path

    def shards(self, path: Path) -> Path:
        assert s2f(["shards", str(self["dataset"]), str(path), "--face_encoder", str(self["face_encoder"])]) == 0
        return path
