"""Probes as a classifier: fitted, measured, kept on disk and loaded strictly."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser
from PIL import Image
from safetensors.numpy import load_file, save_file
from sklearn.linear_model import LogisticRegression

from encoders.face.compact import CompactFaceEncoder
from eval.attributes import fit_probes
from eval.attributes.fit_probes import fit_classifier, own_error, train_probes
from eval.attributes.load import load_classifier
from eval.attributes.pictured import Pictured
from eval.attributes.probes import Probe, ProbeClassifier
from eval.attributes.rows import headline_rows
from eval.commands import probes as command
from eval.faces.features import image_features
from eval.metrics.classification import Comparison
from eval.metrics.intervals import share_interval
from s2f.datasets import DatasetFolder
from s2f.errors import CheckpointError, DatasetError, ImageError, OutputError, UsageError
from tests.eval.fake_population import FakePipeline, write_csv, write_population

CPU = torch.device("cpu")
AGES = {"child": 8, "adult": 30, "elder": 70}
PLACES = ("north", "east", "south")


def people(count=240, seed=0, noise=0.4, **gaps):
    """Faces that show gender, age class and ethnicity in one direction of the feature each."""
    random = np.random.default_rng(seed)
    gender, age, place = random.integers(2, size=count), random.integers(3, size=count), random.integers(3, size=count)
    features = np.stack([gender * 2 - 1, age - 1, place - 1, np.ones(count)], axis=1)
    rows = [
        {
            "identity": f"p{n}",
            "gender": "fm"[gender[n]],
            "age": list(AGES.values())[age[n]],
            "ethnicity": PLACES[place[n]],
        }
        for n in range(count)
    ]
    rows = [row | {name: "" for name, known in gaps.items() if n >= known} for n, row in enumerate(rows)]
    return Pictured(torch.from_numpy(features + noise * random.normal(size=features.shape)).float(), rows)


def encoder(size=4):
    torch.manual_seed(0)
    return CompactFaceEncoder(channels=(4, 4), feature_size=size, num_identities=2, image_size_px=16).eval()


@pytest.fixture(scope="module")
def fitted():
    return fit_classifier(encoder(), CPU, people())[0]


def picture(level, size=16):
    return Image.new("RGB", (size, size), (level, 128, 255 - level))


def test_probes_answer_what_scikit_learn_answers(fitted):
    faces = people(seed=1)
    unit = torch.nn.functional.normalize(people().features, dim=1).numpy()
    tested = torch.nn.functional.normalize(faces.features, dim=1).numpy()
    for attribute, labels in people().labels.items():
        weight = None if attribute == "gender" else "balanced"
        oracle = LogisticRegression(C=10.0, max_iter=2000, class_weight=weight).fit(unit, labels)
        probe = fitted.probes[attribute]
        order = [list(oracle.classes_).index(name) for name in probe.classes]
        expected = oracle.predict_proba(tested)[:, order]
        np.testing.assert_allclose(probe.probabilities(faces.features.numpy()), expected, atol=1e-5)
        np.testing.assert_array_equal(fitted.answers(faces.features.numpy())[attribute], oracle.predict(tested))
    assert fitted.classes == {"gender": ("f", "m"), "age_class": tuple(AGES), "ethnicity": tuple(sorted(PLACES))}


def test_lengths_of_features_do_not_matter(fitted):
    faces = people(seed=1)
    answers = fitted.answers(faces.features.numpy())
    assert (answers["gender"] == faces.labels["gender"]).mean() > 0.85
    for attribute, longer in fitted.answers(10 * faces.features.numpy()).items():
        np.testing.assert_array_equal(longer, answers[attribute])


def test_rare_classes_have_their_weight():
    """Where half-overlapping classes are rare, a probe without class weights would rather say adult."""
    random = np.random.default_rng(0)
    classes = np.repeat(list(AGES), [40, 900, 40])
    place = np.select([classes == "child", classes == "adult"], [-1.0, 0.0], 1.0)
    features = torch.from_numpy(np.stack([place + random.normal(0, 0.4, 980), np.ones(980)], axis=1)).float()
    training = Pictured(features, [{"identity": "p", "age": str(AGES[name])} for name in classes])
    probes, notes = fit_classifier(encoder(), CPU, training, attributes=["age_class"])
    assert notes == []
    shown = probes.answers(features.numpy())["age_class"]
    assert min((shown[classes == name] == name).mean() for name in AGES) > 0.6
    grown, _ = fit_classifier(encoder(), CPU, Pictured(features[40:], training.people[40:]), attributes=["age_class"])
    assert grown.classes == {"age_class": ("adult", "elder")}


def test_abstaining_is_answering_only_what_is_sure():
    certain, faces = fit_classifier(encoder(), CPU, people(), 0.8)[0], people(seed=1)
    always = fit_classifier(encoder(), CPU, people())[0]
    features = faces.features.numpy()
    for attribute, answers in certain.answers(features).items():
        sure = always.probes[attribute].probabilities(features).max(1) >= 0.8
        assert 0 < sure.sum() < len(sure)
        np.testing.assert_array_equal(answers, np.where(sure, always.answers(features)[attribute], ""))
    assert "0.8" in certain.name
    for share in (-0.1, 1.0):
        with pytest.raises(UsageError, match="abstain_below"):
            ProbeClassifier(encoder(), always.probes, share)


def test_missing_labels_are_left_out_and_counted():
    some, notes = fit_classifier(encoder(), CPU, people(gender=100))
    alone = fit_classifier(encoder(), CPU, Pictured(people().features[:100], people().people[:100]))[0]
    np.testing.assert_array_equal(some.probes["gender"].weight, alone.probes["gender"].weight)
    assert set(some.classes) == {"gender", "age_class", "ethnicity"}
    assert notes == ["140 of 240 training faces without gender left out of its probe"]
    none, notes = fit_classifier(encoder(), CPU, people(ethnicity=0))
    assert set(none.classes) == {"gender", "age_class"}
    assert notes == ["ethnicity left out: the training faces are of no known class"]
    adults = Pictured(people().features, [row | {"age": "30"} for row in people().people])
    assert fit_classifier(encoder(), CPU, adults)[1] == ["age_class left out: the training faces are of adult"]
    with pytest.raises(DatasetError, match="two classes of an attribute"):
        fit_classifier(encoder(), CPU, people(gender=0, age=0, ethnicity=0))
    women = Pictured(people().features, [row | {"gender": "f"} for row in people().people])
    assert "gender" not in fit_classifier(encoder(), CPU, women)[0].classes
    with pytest.raises(DatasetError, match="two classes of gender, got gender left out: the training faces are of f"):
        fit_classifier(encoder(), CPU, women, required=["gender"])
    only, notes = fit_classifier(encoder(), CPU, people(ethnicity=0), attributes=["gender", "age_class"])
    assert (set(only.classes), notes) == ({"gender", "age_class"}, [])


def test_own_error_is_counted_by_class_and_by_group(fitted):
    faces = people(seed=1, ethnicity=200)
    faces.people[0]["ethnicity"] = "west"  # no training face is
    rows, notes = own_error(fitted, faces, "rendered", "test")
    answers, truth = fitted.answers(faces.features.numpy()), faces.labels
    women = (truth["gender"] == "f") & (truth["ethnicity"] == "east")
    found = {(row.metric, row.group): row for row in rows if "shown" not in row.params}
    for metric, members, hits in (
        ("gender_recall", truth["gender"] == "f", answers["gender"] == "f"),
        ("age_class_recall", truth["age_class"] == "elder", answers["age_class"] == "elder"),
        ("age_class_error", women, answers["age_class"] != truth["age_class"]),
        ("ethnicity_error", women, answers["ethnicity"] != truth["ethnicity"]),
    ):
        group = {"gender_recall": "f", "age_class_recall": "elder"}.get(metric, "f east")
        row = found[metric, group]
        assert (row.value, row.n) == (hits[members].mean(), members.sum())
        assert (row.ci_low, row.ci_high) == share_interval(int(hits[members].sum()), int(members.sum()))
    assert {group for metric, group in found if metric == "age_class_error"} == {"f", "m", "f west"} | {
        f"{gender} {place}" for gender in "fm" for place in PLACES
    }
    headline = headline_rows(
        Comparison("gender", ("f", "m"), truth["gender"], answers["gender"], faces.speakers),
        "rendered",
        {"split": "test"},
    )
    assert headline[2] == found["gender_balanced", "U"]
    assert notes == ["41 of 240 test faces without ethnicity of east, north, south left out"]


def test_the_folder_is_whole_and_gives_the_same_answers(tmp_path):
    images = [picture(level) for level in range(0, 256, 15)]
    rows = [
        {"identity": str(n), "gender": "fm"[n > 8], "age": (8, 30, 70)[n // 6], "ethnicity": PLACES[n // 6]}
        for n in range(len(images))
    ]
    network = encoder()
    fitted, _ = fit_classifier(network, CPU, Pictured(image_features(network, images, CPU), rows))
    for name in ("a", "b"):
        fitted.save_pretrained(tmp_path / name)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert [str(file) for file in files if file.parent.name != "face_encoder"] == ["config.json", "probes.safetensors"]
    assert all((tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes() for file in files)
    assert not any(file.suffix in (".pkl", ".joblib", ".bin", ".pt") for file in files)
    loaded, expected = load_classifier(str(tmp_path / "a")), fitted.classify(images)
    assert loaded.classes == fitted.classes
    for attribute, answers in loaded.classify(images).items():
        np.testing.assert_array_equal(answers, expected[attribute])
        assert len(set(answers.tolist())) > 1
        assert answers.tolist() == fitted.answers(image_features(network, images, CPU).numpy())[attribute].tolist()
    for attribute, probe in fitted.probes.items():
        np.testing.assert_array_equal(loaded.probes[attribute].weight, probe.weight)
        np.testing.assert_array_equal(loaded.probes[attribute].bias, probe.bias)
    with pytest.raises(OutputError, match="new folder"):
        fitted.save_pretrained(tmp_path / "a")
    with pytest.raises(ImageError, match="16 x 8"):
        loaded.classify([picture(3).resize((16, 8))])


def damage_tensors(change):
    def apply(folder):
        tensors = load_file(folder / "probes.safetensors")
        change(tensors)
        save_file(tensors, folder / "probes.safetensors")

    return apply


def damage_config(**values):
    def apply(folder):
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | values))

    return apply


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_tensors(lambda tensors: tensors.pop("gender.bias")), "gender.bias missing"),
        (damage_tensors(lambda tensors: tensors.update(extra=np.ones(2))), "extra .* instead of none"),
        (damage_tensors(lambda t: t.update({"gender.weight": t["gender.weight"][:, :3].copy()})), r"\(2, 3\) instead"),
        (damage_tensors(lambda t: t.update({"gender.bias": t["gender.bias"].astype(np.float32)})), "float32 instead"),
        (damage_tensors(lambda tensors: tensors["ethnicity.bias"].fill(np.nan)), "NaN .* ethnicity.bias"),
        (damage_config(classes={"gender": ["f", "m"], "glasses": ["yes", "no"]}), "classes of gender"),
        (damage_config(classes={"gender": ["f", "f"]}), "classes of gender"),
        (damage_config(classes={"gender": ["male", "female"]}), "classes of gender"),
        (damage_config(classes=None), "classes of gender"),
        (damage_config(abstain_below=1.5), "abstain_below"),
        (damage_config(abstain_below=False), "abstain_below"),
        (damage_config(face_encoder="Speech2FaceVoiceEncoder"), "face_encoder of class"),
        (damage_config(_class_name="VGGFace"), "for ProbeClassifier"),
        (lambda folder: (folder / "probes.safetensors").write_bytes(b"no"), "complete safetensors"),
        (lambda folder: (folder / "probes.safetensors").unlink(), "complete safetensors"),
        (lambda folder: (folder / "config.json").unlink(), "missing file"),
        (
            lambda folder: (folder / "face_encoder" / "diffusion_pytorch_model.safetensors").unlink(),
            "model.safetensors",
        ),
    ],
)
def test_loading_is_strict(fitted, tmp_path, damage, message):
    fitted.save_pretrained(tmp_path / "probes")
    damage(tmp_path / "probes")
    with pytest.raises(CheckpointError, match=message):
        load_classifier(str(tmp_path / "probes"))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = write_population(tmp_path_factory.mktemp("people") / "data", {"train": 60, "val": 12, "test": 24})
    rows = [row | {"ethnicity": PLACES[n % 3]} for n, row in enumerate(DatasetFolder(root).people.values())]
    write_csv(root / "people.csv", rows)
    return DatasetFolder(root)


def test_training_reads_the_faces_own_labels(data, monkeypatch, tmp_path):
    """Ethnicity goes with age here; a truth that swaps the genders of training people swaps the answers."""
    monkeypatch.setattr(fit_probes.loading, "resolve", lambda name: data.root)
    classifier, report = train_probes(FakePipeline(), "fake", data, "test", 0.0)
    figures = {(row.metric, row.group): row for row in report.rows if "shown" not in row.params}
    assert {figures[f"{name}_agreement", "U"].value for name in classifier.classes} == {1.0}
    assert (report.protocol, report.split_hash) == ("probes/1", data.split_hash)
    assert {(row.direction, row.params["split"]) for row in report.rows} == {("rendered", "test")}
    assert figures["gender_agreement", "U"].n == 24
    assert figures["gender_agreement", "U"].params["by_speaker"] == [1, 1]
    assert (figures["gender_error", "f north"].value, figures["gender_error", "f north"].n) == (0, 4)
    assert classifier.about["report"] == json.loads(report.json())
    assert classifier.about["training_faces"] == dict.fromkeys(("gender", "age_class", "ethnicity"), 60)
    root = write_population(tmp_path / "swapped", {"train": 24, "val": 12})
    truth = [
        {"identity": name, "gender": "mf"[row["gender"] == "m"] if row["split"] == "train" else row["gender"]}
        for name, row in DatasetFolder(root).people.items()
    ]
    write_csv(root / "truth.csv", truth)
    pictures = DatasetFolder(root).faces("train", "val")
    write_csv(root / "faces.csv", [*pictures, *(row | {"view": "wild"} for row in pictures)])
    classifier, report = train_probes(FakePipeline(), "fake", DatasetFolder(root), "val", 0.0)
    assert classifier.about["training_faces"] == {"gender": 48, "age_class": 48}
    figures = {(row.metric, row.group): row for row in report.rows}
    assert (figures["gender_agreement", "U"].value, figures["gender_agreement", "U"].n) == (0, 12)
    assert figures["age_class_agreement", "U"].value == 1
    assert report.notes == ["ethnicity left out: the training faces are of no known class"]


def test_gender_and_age_must_be_readable():
    with pytest.raises(DatasetError, match="gender f, m or none, got 'x' for p"):
        _ = Pictured(torch.zeros(1, 2), [{"identity": "p", "gender": "x"}]).labels
    for age in ("old", "-3", "nan"):
        with pytest.raises(DatasetError, match="an age in years"):
            _ = Pictured(torch.zeros(1, 2), [{"identity": "p", "age": age}]).labels


def test_command_writes_what_loads(data, tmp_path, monkeypatch, capsys):
    from s2f.reconstruction.pipeline import Speech2FacePipeline

    pipeline = SimpleNamespace(face_encoder=encoder(), device=CPU)
    monkeypatch.setattr(Speech2FacePipeline, "from_pretrained", lambda name: pipeline)
    monkeypatch.setattr(fit_probes.loading, "resolve", lambda name: data.root)
    parser = ArgumentParser(exit_on_error=False)
    command.add_arguments(parser)
    words = ["starter", str(data.root), "-o", str(tmp_path / "out"), "--abstain_below", "0.6", "--json"]
    assert command.run(parser.parse_args(words)) == 0
    printed = json.loads(capsys.readouterr().out)
    loaded = load_classifier(str(tmp_path / "out"))
    assert loaded.about["report"] == printed
    assert loaded.abstain_below == 0.6
    assert {row["params"]["split"] for row in printed["rows"]} == {"test"}
    with pytest.raises(OutputError, match="new folder"):
        command.run(parser.parse_args(words))


def test_two_classes_in_another_order():
    """scikit-learn keeps one row for two classes, in the order of the names."""
    random = np.random.default_rng(0)
    place = random.random(80) < 0.5
    features = np.stack([np.where(place, 1.0, -1.0), np.ones(80)], axis=1)
    regression = LogisticRegression().fit(features, np.where(place, "adult", "elder"))
    probe = Probe.of(regression, ("child", "elder", "adult"))
    assert probe.classes == ("elder", "adult")
    np.testing.assert_array_equal(probe.probabilities(features).argmax(1) == 1, place)
