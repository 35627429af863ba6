"""Every dataset, from files as they are published to a trained network and its evaluation, with the real commands."""

import csv
import json
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
import soundfile
from PIL import Image

from eval.cli import main as evaluate
from s2f import cli
from s2f.commands.program import run_training
from s2f.datasets import DatasetFolder
from s2f.prepare.adaptors import ADAPTORS
from s2f.training.encoders.face import FaceArguments, train_face
from s2f.training.speech2face.task import Speech2FaceArguments, train_speech2face
from tests import CHECKOUT
from tests.s2f.prepare.cast import CAST, Person, whose_face, whose_voice
from tests.s2f.prepare.trees import FOLDER_NAMES, TREES, folders
from tests.s2f.training.runs import RECIPE, frozen_networks, rows

RECIPES = CHECKOUT / "s2f" / "recipes"
QUICK = ("--detector", "hog", "--landmarks", "none")
FACE_RECIPE = """
encoder: compact
network: {channels: [4, 8], feature_size: 16, image_size_px: 16}
side_tasks: false
loss_weights: {identity: 1.0}
train_batch_size: 4
max_train_steps: 1
checkpointing_steps: 1
logging_steps: 1
"""


@dataclass(frozen=True)
class Case:
    """A way to prepare: the tree with the voices, that with the faces if another, the split, and what comes out."""

    tree: str
    faces: str = ""
    split: str = "random"
    voices_each: int = 1
    faces_each: int = 1
    extra: int = 0  # voices and faces beyond those of everybody
    same_video: int = 0  # voices for which there is a face of the same video

    @property
    def dataset(self) -> str:
        return self.tree.removesuffix("_old")

    def __str__(self) -> str:
        return "+".join(filter(None, (self.tree, self.faces)))


PAIRED = (
    Case("voxceleb1", "voxceleb1_faces", "svhf", 2, 2, same_video=18),
    Case("voxceleb1_old", "vggface", "svhf", 1, 2),
    Case("voxceleb1", "vgg_all_frontal", "random", 2, 2),
    Case("voxceleb1", "hq_voxceleb", "svhf", 2, 1),
    Case("voxceleb2", same_video=9),
    Case("voxceleb2", "vggface2", "random", 1, 2),
    Case("mav_celeb", voices_each=2, faces_each=2, same_video=14),
    Case("avspeech", same_video=9),
    Case("crema_d", extra=1, same_video=10),
    Case("librispeech", "folders", "own", 2, 2),
    Case("folders", voices_each=2, faces_each=2, same_video=9),
)
OFTEN = (
    "voxceleb1+voxceleb1_faces",
    "avspeech",
    "librispeech+folders",
)  # a pair of copies, films, and splits of its own
FACES_ONLY = {"voxceleb1_faces": 18, "vggface": 18, "vgg_all_frontal": 18, "vggface2": 18, "hq_voxceleb": 11}
ERRORS = {
    "avspeech": {"train/holiday.wav": "scan", f"train/{CAST[0].youtube}_70.0_73.5.wav": "scan"},
}


def few_often(cases: Iterable[Case]) -> list:
    """Cases of a test, most of them slow."""
    return [case if str(case) in OFTEN else pytest.param(case, marks=pytest.mark.slow) for case in cases]


def reader(who: Person) -> str:
    """Number of a person among LibriSpeech's readers."""
    return str(20 + who.number)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Function (name) that returns the root of a tree, written once."""
    made: dict[str, Path] = {}

    def tree(name: str) -> Path:
        if name not in made:
            root = tmp_path_factory.mktemp(name)
            made[name] = folders(root, reader) if name == "readers" else TREES[name](root)
        return made[name]

    return tree


@pytest.fixture(scope="module")
def prepared(tree, tmp_path_factory):
    """Function (case) that prepares once and returns the dataset folder."""
    made: dict[Case, Path] = {}

    def prepared(case: Case) -> Path:
        if case not in made:
            out = tmp_path_factory.mktemp("prepared") / "out"
            words = ["prepare", case.dataset, tree(case.tree), out, "--split", case.split, *QUICK]
            if case.faces:
                faces = "readers" if case.tree == "librispeech" else case.faces
                words += ["--faces", case.faces, "--faces_root", tree(faces)]
            assert cli.main([str(word) for word in words]) == 0
            made[case] = out
        return made[case]

    return prepared


@pytest.fixture(scope="module")
def trained(prepared, tmp_path_factory):
    """Function (case) that trains one step and returns the folder of the run."""
    root = tmp_path_factory.mktemp("training")
    (root / "recipe.yaml").write_text(RECIPE)
    shared = ["--config", str(root / "recipe.yaml"), *frozen_networks(root), "--max_train_steps", "1", "--cpu", "true"]
    made: dict[Case, Path] = {}

    def trained(case: Case) -> Path:
        if case not in made:
            out = root / str(case)
            words = [*shared, "--data", str(prepared(case)), "--output_dir", str(out)]
            assert run_training(Speech2FaceArguments, train_speech2face, words) == 0
            made[case] = out
        return made[case]

    return trained


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def names_of(who: Person) -> list[str]:
    """What the datasets call somebody."""
    ids = [who.voxceleb1, who.voxceleb2, who.youtube, who.name, FOLDER_NAMES[who.number]]
    return [*ids, f"{'v1' if who.number < 7 else 'v3'}_id{who.number + 1:04d}", str(1001 + who.number), reader(who)]


def checked(out: Path, capsys) -> dict:
    """What `s2f data check` says."""
    capsys.readouterr()
    code = cli.main(["data", "check", str(out), "--json"])
    said = json.loads(capsys.readouterr().out)
    assert code == 0, said
    return said


def test_no_adaptor_is_forgotten():
    assert {case.dataset for case in PAIRED} | {case.faces for case in PAIRED} - {""} == set(ADAPTORS)
    assert {name.removesuffix("_old") for name in TREES} == set(ADAPTORS)


@pytest.mark.parametrize("case", few_often(PAIRED), ids=str)
def test_prepared_folder(prepared, case, capsys):
    out = prepared(case)
    data = DatasetFolder(out)
    assert len(data.people) == len(CAST)
    voices, faces = data.voices("train", "val", "test"), data.faces("train", "val", "test")
    assert len(voices) == len(CAST) * case.voices_each + case.extra + (case.tree == "avspeech")
    assert len(faces) == len(CAST) * case.faces_each + case.extra
    assert {row["identity"] for row in voices} == {row["identity"] for row in faces} == set(data.people)
    assert all(3.0 < float(row["duration_s"]) < 3.7 for row in voices)
    assert {row["quality"] for row in (*voices, *faces)} == {""}
    assert {row["faces_found"] for row in faces} == {"1"}
    videos = {(row["identity"], row["video"]) for row in faces if row["video"]}
    assert sum((row["identity"], row["video"]) in videos for row in voices) == case.same_video
    errors = {row["source"]: row["kind"] for row in table(out / "errors.csv")}
    assert errors == ERRORS.get(case.tree, {})
    genders = Counter(row["gender"] for row in data.people.values())
    assert genders == ({"": 9} if case.tree == "avspeech" else {"f": 5, "m": 4})
    summary = json.loads((out / "dataset.json").read_text())
    assert summary["split_hash"] == data.split_hash
    assert (summary["counts"]["voices"], summary["counts"]["faces"]) == (len(voices), len(faces))
    assert checked(out, capsys)


@pytest.mark.parametrize("case", few_often(PAIRED), ids=str)
def test_nobody_is_mixed_up(prepared, case):
    """Every voice has its person's pitch, and the starter's face encoder recognises every face."""
    data = DatasetFolder(prepared(case))
    names = {name: who for who in CAST for name in names_of(who)}
    for row in data.voices("train", "val", "test"):
        assert whose_voice(*soundfile.read(data.path(row))) == names[row["identity"]]
    for row in data.faces("train", "val", "test"):
        assert whose_face(Image.open(data.path(row))) == names[row["identity"]]


@pytest.mark.parametrize("case", few_often(case for case in PAIRED if case.split != "random"), ids=str)
def test_split_of_the_rule(prepared, case):
    people = DatasetFolder(prepared(case)).people
    names = {row["name"]: row["split"] for row in people.values()}
    if case.split == "own":
        expected = dict.fromkeys(range(5), "train") | {5: "val", 6: "val", 7: "test", 8: "test"}
        assert {identity: row["split"] for identity, row in people.items()} == {
            str(20 + number): split for number, split in expected.items()
        }
    else:
        letters = {"A": "val", "B": "val", "C": "test", "E": "test"}
        assert names == {who.name.replace("_", " "): letters.get(who.name[0], "train") for who in CAST}


@pytest.mark.parametrize("case", few_often(PAIRED), ids=str)
def test_one_step_of_training(trained, case):
    (row,) = rows(trained(case))
    assert row["step"] == 1
    assert row["loss"] > 0
    assert (trained(case) / "pipeline" / "model_index.json").is_file()


def test_the_recipe_for_real_pairs_takes_a_prepared_folder_as_it_is(prepared, tmp_path):
    data, out = prepared(Case("folders", voices_each=2, faces_each=2, same_video=9)), tmp_path / "run"
    words = ["--config", str(RECIPES / "real_pairs.yaml"), "--data", str(data), "--output_dir", str(out)]
    small = ["--train_batch_size", "2", "--max_train_steps", "1", "--logging_steps", "1", "--cpu", "true"]
    assert run_training(Speech2FaceArguments, train_speech2face, [*words, *small]) == 0
    assert [row["step"] for row in rows(out)] == [1]


@pytest.mark.parametrize("case", few_often(PAIRED), ids=str)
def test_one_evaluation(prepared, trained, case, tmp_path, capsys):
    out = Path(shutil.copytree(prepared(case), tmp_path / "data"))
    if case.tree == "avspeech":
        _fill_genders(out)
    capsys.readouterr()
    assert evaluate(["demographics", str(trained(case) / "pipeline"), str(out), "--seconds", "3", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["split_hash"] == DatasetFolder(out).split_hash
    agreement = [row for row in report["rows"] if row["metric"] == "gender_agreement" and row["direction"] == "v2f"]
    heard = len(DatasetFolder(out).voices("test"))
    assert {row["n"] for row in agreement} == {heard}


def _fill_genders(out: Path) -> None:
    """What a user must do by hand for a dataset without genders."""
    people = table(out / "people.csv")
    for row in people:
        row["gender"] = next(who.gender for who in CAST if who.youtube == row["identity"])
    with (out / "people.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(people[0]))
        writer.writeheader()
        writer.writerows(people)


@pytest.mark.parametrize(
    "name", [name if name == "vggface2" else pytest.param(name, marks=pytest.mark.slow) for name in FACES_ONLY]
)
def test_faces_alone_train_a_face_encoder(tree, tmp_path, name, capsys):
    out = tmp_path / "out"
    assert cli.main(["prepare", name, str(tree(name)), str(out), *QUICK]) == 0
    assert len(DatasetFolder(out).faces("train", "val", "test")) == FACES_ONLY[name]
    assert table(out / "errors.csv") == []
    checked(out, capsys)
    (tmp_path / "face.yaml").write_text(FACE_RECIPE)
    words = ["--config", str(tmp_path / "face.yaml"), "--data", str(out), "--output_dir", str(tmp_path / "run")]
    assert run_training(FaceArguments, train_face, [*words, "--cpu", "true"]) == 0
    (row,) = rows(tmp_path / "run")
    assert row["loss"] > 0
