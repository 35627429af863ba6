"""train_matching.py on nine people: every system runs, resumes, freezes what it should, refuses what makes no sense."""

import json
import math
import shutil

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

from s2f.checkpoints.encoders import FACE_ENCODERS, VOICE_ENCODERS
from s2f.commands.program import run_training
from s2f.datasets import DatasetFolder
from s2f.errors import UsageError
from s2f.faces.dynamic_images import as_picture, dynamic_image, windows
from s2f.faces.images import load_image
from s2f.matching.embed import write_embeddings
from s2f.matching.model import MatchingModel
from s2f.matching.two_way import accuracy, win_shares
from s2f.training.loop.arguments import build_network
from s2f.training.matching.task import MatchingArguments, MatchingModule, build_method, build_model
from s2f.training.matching.three_stages import WEIGHTS, train_matching
from tests.s2f.training.matching_runs import KIM, RECIPES, SHARED, SVHF, TRINET, VGG16, VGG_M_FACE, WEN
from tests.s2f.training.runs import CHECKOUT, launch, rows


@pytest.fixture
def train(tiny_dataset, tmp_path):
    """Function (folder, recipe) that runs train_matching.py's body and returns its exit code."""

    def train(folder, recipe, *flags: str) -> int:
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(SHARED | recipe))
        words = ["--config", str(path), "--data", str(tiny_dataset), "--output_dir", str(folder), *flags]
        return run_training(MatchingArguments, train_matching, words)

    return train


def weights(folder) -> dict[str, torch.Tensor]:
    """All exported weights of a run, by network and name."""
    found = {}
    for path in sorted((folder / "model").glob("*/*.safetensors")):
        found |= {f"{path.parent.name}.{name}": value for name, value in load_file(path).items()}
    return found


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_every_system_trains_exports_and_answers(name, train, tmp_path):
    assert train(tmp_path / "run", RECIPES[name]) == 0
    steps = rows(tmp_path / "run")
    assert len(steps) == 2
    assert all(math.isfinite(value) for row in steps for key, value in row.items() if key != "event")
    validation = rows(tmp_path / "run", "validation")[-1]
    assert {key for key in validation if key.startswith("val_")}
    model = MatchingModel.from_pretrained(tmp_path / "run" / "model")
    rate, size = model.voice_encoder.sample_rate_hz, model.face_encoder.image_size_px
    voice, faces = 0.1 * torch.randn(2, rate), torch.rand(2, 2, 3, size, size)
    if name != "svhf_nway":
        assert torch.isfinite(model.score(voice, faces, rate)).all()
    with pytest.raises(UsageError, match=f"a waveform at {rate} Hz, got 8000 Hz; load the clip"):
        model.score(voice, faces, 8000)
    with pytest.raises(ValueError, match=r"expected images \(B, 3"):
        model.score(voice, torch.rand(2, 2, 3, size + 1, size + 1), rate)


def test_a_resumed_run_repeats_an_uninterrupted_one(train, tmp_path):
    """Through all three stages of re-weighting, interrupted within the third."""
    recipe = RECIPES["wen2021_weights"] | {"max_train_steps": 4, "checkpointing_steps": 2}
    assert train(tmp_path / "whole", recipe) == 0
    assert train(tmp_path / "parts", recipe | {"max_train_steps": 2}) == 0
    assert train(tmp_path / "parts", recipe) == 2  # asks for --resume_from_checkpoint
    assert train(tmp_path / "parts", recipe, "--resume_from_checkpoint", "latest") == 0
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    learned = [(tmp_path / name / "weighting" / WEIGHTS).read_text() for name in ("whole", "parts")]
    assert learned[0] == learned[1]
    again = {line.split(",")[1] for line in learned[0].splitlines()[1:]}
    assert again != {"1.0"}


def test_the_weighting_ends_when_enough_people_have_a_weight(train, tmp_path):
    """Six people: one at first, two more an update, so three updates until all six (0.9 of six, rounded up)."""
    recipe = WEN | {"reweighting": {"warm_up_steps": 1, "update_steps": 2, "added": 2, "initial_share": 0.2}}
    assert train(tmp_path / "run", recipe) == 0
    assert rows(tmp_path / "run" / "weighting")[-1]["step"] == 1 + 3 * 2 + 1
    values = [float(line.split(",")[1]) for line in (tmp_path / "run/weighting" / WEIGHTS).read_text().splitlines()[1:]]
    assert sorted(values) == pytest.approx([0.99**3, 0.99**2, 0.99**2, 0.99, 0.99, 1.0], rel=1e-5)


@pytest.mark.slow
def test_two_processes_learn_the_same_weights_and_one_model(tiny_dataset, tmp_path):
    """Through the three stages; both see all hardness, so their weights agree, and the header says how they ran."""
    recipe = SHARED | RECIPES["wen2021_weights"] | {"train_batch_size": 2}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({key: recipe[key] for key in recipe if key != "cpu"}))
    flags = ["--config", tmp_path / "recipe.yaml", "--data", tiny_dataset, "--output_dir", tmp_path / "run"]
    done = launch(2, *flags, script="train_matching.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("6 people with 6 voices") == 1
    assert rows(tmp_path / "run", "start")[0]["effective_batch"] == 4
    learned = (tmp_path / "run" / "weighting" / WEIGHTS).read_text().splitlines()[1:]
    hardness = [float(line.split(",")[2]) for line in learned]
    assert sum(value != 14 for value in hardness) == 6  # every person was seen by one process or the other
    assert MatchingModel.from_pretrained(tmp_path / "run" / "model")


def test_frozen_voice_network_keeps_weights_and_statistics(train, tmp_path):
    """TriNet: the voice network stays as it was, its new layer and the face network learn."""
    torch.manual_seed(5)
    encoder = VOICE_ENCODERS["thin_resnet"](**TRINET["voice_network"])
    encoder.save_pretrained(tmp_path / "voice")
    recipe = TRINET | {"part_rates": {"voice_encoder": 0, "face_encoder": 1.0}}
    assert train(tmp_path / "run", recipe | {"voice_weights": str(tmp_path / "voice")}) == 0
    found = weights(tmp_path / "run")
    for name, value in encoder.state_dict().items():
        assert torch.equal(found[f"voice_encoder.{name}"], value), name
    assert rows(tmp_path / "run", "start")[0]["voice_weights_sha256"]


def test_gradients_reach_every_trained_parameter_and_no_other(tiny_dataset):
    """Of the two encoders, the head and the classifier; an identity layer is left out of training."""
    arguments = MatchingArguments(**SHARED, **WEN, data=str(tiny_dataset), output_dir="")
    arguments.face_network = arguments.face_network | {"num_identities": 3}
    model = build_model(arguments)
    module = MatchingModule(model, build_method(arguments, [str(k) for k in range(6)], None), arguments)
    batch = {
        "voice": 0.1 * torch.randn(4, 1, 16000),
        "face": torch.randint(0, 256, (4, 1, 3, 32, 32), dtype=torch.uint8),
        "voice_label": torch.arange(4)[:, None],
        "face_label": torch.arange(4)[:, None],
    }
    sum(module(batch).values()).backward()
    without = {name for name, parameter in module.named_parameters() if parameter.grad is None}
    assert without == {"face_encoder.classifier.weight", "face_encoder.classifier.bias"}
    assert not any(parameter.requires_grad for name, parameter in module.named_parameters() if name in without)


def test_every_batch_may_have_another_length(tiny_dataset, monkeypatch):
    arguments = MatchingArguments(**SHARED, **WEN, data=str(tiny_dataset), output_dir="")
    module = MatchingModule(build_model(arguments), build_method(arguments, ["a", "b"], None), arguments)
    lengths = set()
    monkeypatch.setattr(module.voice_encoder, "encode", lambda waveform: lengths.add(waveform.shape[1]) or waveform)
    for _ in range(40):
        module._voice(torch.zeros(1, 16000))
    assert 0.8 * 16000 <= min(lengths) < max(lengths) <= 16000
    assert len(lengths) > 20


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (TRINET | {"train_batch_size": 1}, "at least 2 identities in a batch, got 1; raise train_batch_size"),
        (WEN | {"train_batch_size": 7}, "at least 7"),
        (SVHF | {"ways": 3}, "ways 2, got 3; only SVHF with query_pooling"),
        (SVHF | {"face_network": VGG_M_FACE | {"fc_sizes": [8, 6]}}, "features of one size for SVHF, got 8 and 6"),
        (SVHF | {"query_pooling": True, "ways": 7}, "at least 7 people for 7 candidates, got 6"),
        (KIM | {"query_pooling": True}, "query_pooling and dynamic with method svhf, got kim2018"),
        (
            TRINET | {"part_rates": {"voice_encoder": 0}},
            "voice_weights for a frozen voice_encoder, got none; train one",
        ),
        (KIM | {"head": {"hiden_size": 3}}, "did you mean hidden_size"),
        (
            KIM | {"head": {"form": "foo"}},
            "a head of form mlp, sphere, normalized, got 'foo'; leave it out: kim2018 has",
        ),
        (
            TRINET | {"head": {"form": "spere"}},
            "a head of form mlp, sphere, normalized, got 'spere'; did you mean sphere",
        ),
        (WEN | {"head": {"form": ["mlp"]}}, "a head of form mlp, sphere, normalized, got ['mlp']; did you mean mlp?"),
        (WEN | {"head": {"form": None}}, "a head of form mlp, sphere, normalized, got None; leave it out: wen2021 has"),
        (
            KIM | {"head": {"radius": 3.0}},
            "options of a head of form mlp: embedding_dim, hidden_size, got 'radius'; remove it, or choose form sphere",
        ),
        (TRINET | {"head": {"form": "mlp", "dropout": 0.5}}, "got 'dropout'; remove it, or choose form normalized"),
        (WEN | {"head": {"voice_size": 3}}, "a head without sizes of features and direction, got 'voice_size'; remove"),
        (RECIPES["pair_classification"] | {"head": {"face_size": 3}}, "got 'face_size'; remove it: the encoders"),
        (SVHF | {"head": {"direction": "f2v"}}, "got 'direction'; remove it: the encoders and --direction decide it"),
        (SVHF | {"head": {"feature_size": 8}}, "got 'feature_size'; remove it"),
        (WEN | {"shortest_seconds": 2.0}, "0 < shortest_seconds <= seconds, got 2.0 and 1.0"),
        (WEN | {"voices_per_identity": 2}, "one voice and one face an identity for wen2021, got 2 and 1"),
        (WEN | {"focal_gamma": 2.0, "reweighting": {"added": 1}}, "without focal_gamma"),
        (WEN | {"reweighting": {"addd": 1}}, "did you mean added"),
        (KIM | {"seconds": 0.1}, "clips of at least 0.207 s, got 0.1"),
    ],
)
def test_what_makes_no_sense_is_refused_before_training(recipe, message, train, tmp_path, capsys):
    assert train(tmp_path / "run", recipe) == 2
    assert message in capsys.readouterr().err


def test_weights_of_another_encoder_are_refused(train, tmp_path, capsys):
    encoder = VOICE_ENCODERS["soundnet"](**KIM["voice_network"])
    encoder.save_pretrained(tmp_path / "voice")
    recipe = {key: value for key, value in TRINET.items() if key != "voice_network"}
    assert train(tmp_path / "run", recipe | {"voice_weights": str(tmp_path / "voice")}) == 2
    assert "weights of a ThinResNet34, got SoundNet; correct voice_encoder" in capsys.readouterr().err
    other = KIM | {"voice_weights": str(tmp_path / "voice"), "voice_network": {"channels": [2, 2, 4, 4, 4, 9]}}
    assert train(tmp_path / "run", other) == 2
    assert "with channels [2, 2, 4, 4, 4, 9], got [2, 2, 4, 4, 4, 8]; correct voice_network" in capsys.readouterr().err
    assert train(tmp_path / "run", other | {"voice_network": KIM["voice_network"]}) == 0


def test_the_best_weights_are_exported(train, tmp_path):
    """With keep_best the export is that of the validation with the largest figure, not of the last step."""
    recipe = KIM | {"max_train_steps": 6, "validation_steps": 1, "keep_best": "val_v2f", "learning_rate": 0.05}
    assert train(tmp_path / "run", recipe) == 0
    figures = {row["step"]: row["val_v2f"] for row in rows(tmp_path / "run", "validation")}
    best = rows(tmp_path / "run", "best")
    assert best[-1]["val_v2f"] == max(figures.values())
    assert best[-1]["step"] == min(step for step, value in figures.items() if value == max(figures.values()))
    assert train(tmp_path / "other", recipe | {"keep_best": "val_x"}) == 2


def test_people_without_a_face_are_named_and_left_out(tiny_dataset, tmp_path, train, capfd):
    folder = tmp_path / "data"
    shutil.copytree(tiny_dataset, folder)
    table = folder / "faces.csv"
    kept = [line for line in table.read_text().splitlines(keepends=True) if not line.startswith("id2,")]
    table.write_text("".join(kept))
    assert train(tmp_path / "run", KIM, "--data", str(folder)) == 0
    assert "5 people" in (output := capfd.readouterr().out)
    assert "1 with no face (id2)" in output
    assert DatasetFolder(folder).data_hash in json.dumps(rows(tmp_path / "run", "start"))


@pytest.fixture
def filmed(tiny_dataset, tmp_path):
    """The tiny people with twelve frames each from one film, their voices from another."""
    folder = tmp_path / "filmed"
    shutil.copytree(tiny_dataset, folder)
    random = np.random.default_rng(0)
    lines = ["identity,path,video,frame_s"]
    for person in range(9):
        for frame in range(12):
            path = f"faces/film{person}_{frame}.png"
            Image.fromarray(random.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(folder / path)
            lines.append(f"id{person},{path},film{person},{frame / 25:.2f}")
    (folder / "faces.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.parametrize(("formulation", "sights"), [("single", 1), ("multiple", 1), ("dense", 3)])
def test_dynamic_fusion_trains_and_embeds_tracks(formulation, sights, filmed, train, tmp_path):
    """Five streams: the features of a picture and of its dynamic images are added; dense windows are a row each."""
    recipe = SVHF | {"dynamic": formulation, "dynamic_stride": 1, "face_augment": "none", "max_train_steps": 1}
    assert train(tmp_path / "run", recipe, "--data", str(filmed)) == 0
    folder = tmp_path / "run" / "model"
    model, data = MatchingModel.from_pretrained(folder), DatasetFolder(filmed)
    assert tuple(model.dynamic) == (formulation, 1)
    write_embeddings(model, folder, data, "val", tmp_path / "out")
    found = np.load(tmp_path / "out" / "face.npy")
    assert len(found) == 2 * sights
    frames = torch.stack([load_image(data.path(row)) for row in data.faces("val")[:12]]) * 255
    spans = windows(12, formulation, stride=1)
    pictures = torch.stack([as_picture(dynamic_image(frames[list(span)])) for span in spans]).float() / 255
    with torch.inference_mode():
        seen = model.face_encoder.features(frames[[5 if formulation == "dense" else 6]] / 255)
        moved = pictures[:1] if formulation == "dense" else pictures
        expected = seen + model.dynamic_encoder.late(model.dynamic_encoder.early(moved).amax(0, keepdim=True))
    assert np.allclose(found[0], expected[0], atol=1e-5)
    with pytest.raises(UsageError, match="dynamic images for a model with a dynamic stream, and only then, got none"):
        model.embed_face(frames[:1] / 255)


PUBLISHED = ("svhf", "kim2018", "trinet", "wen2021")
ABLATIONS = sorted(
    path for path in (CHECKOUT / "s2f/recipes/ablations").glob("*_*.yaml") if path.stem.split("_")[0] in PUBLISHED
)


@pytest.mark.parametrize("path", ABLATIONS, ids=lambda path: path.stem)
def test_every_ablation_resolves_to_a_model(path, tmp_path):
    """With the recipe it belongs to; networks are built without memory."""
    base = yaml.safe_load((CHECKOUT / "s2f/recipes" / f"{path.stem.split('_')[0]}.yaml").read_text())
    arguments = MatchingArguments(**(base | yaml.safe_load(path.read_text())), data="", output_dir="")
    with torch.device("meta"):
        model = build_model(arguments)
    assert (model.dynamic_encoder is not None) == ("dynamic" in path.stem)
    method = build_method(arguments, ["a", "b"], None)
    assert set(arguments.loss_weights) == {
        "svhf": {"place"}, "kim2018": {"triplet"}, "siamese": {"contrastive"},
        "pair_classification": {"match"}, "wen2021": {"identity", "explicit"},
    }[arguments.method]  # fmt: skip
    assert type(method).__name__


def test_ablations_are_found():
    assert len(ABLATIONS) == 12


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_small_twins_differ_from_the_published_recipes_in_numbers_alone(name):
    """Same encoders, method, loss terms, optimiser and schedule; their encoders are of the same classes too."""
    small, published = (
        yaml.safe_load((CHECKOUT / "s2f/recipes" / folder / f"{name}.yaml").read_text()) for folder in ("small", "")
    )
    same = ("method", "voice_encoder", "face_encoder", "direction", "loss_weights", "optimizer", "lr_scheduler", "mode")
    assert {key: small.get(key) for key in same} == {key: published.get(key) for key in same}
    for side, script in (("voice", VOICE_ENCODERS), ("face", FACE_ENCODERS)):
        kind = small[f"{side}_encoder"]
        recipes = [yaml.safe_load(path.read_text()) for path in (CHECKOUT / "s2f/recipes/small").glob(f"{side}_*.yaml")]
        (recipe,) = [recipe for recipe in recipes if recipe["encoder"] == kind]
        with torch.device("meta"):
            assert build_network(script[kind], recipe["network"])


RATES = {"kim2018": 0.003, "trinet": 0.01, "wen2021": 0.01}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(RATES))
def test_six_people_are_learned_by_heart(name, tiny_dataset, tmp_path):
    """Tones and grey levels are told apart, and after a few steps every voice prefers its own face to every other."""
    recipe = RECIPES[name] | {
        "seconds": 1.0,
        "crop": "start",
        "speed": None,
        "face_augment": "none",
        "used_triplets": None,
    }
    recipe |= {
        "shortest_seconds": None,
        "part_rates": {},
        "steady_parts": [],
        "optimizer": "adam",
        "learning_rate": RATES[name],
    }
    recipe |= {"lr_scheduler": "constant", "fixed_triplets": None, "train_batch_size": 6, "max_train_steps": 80}
    if name == "wen2021":
        recipe["head"] = {"dropout": 0.0}
    if name == "trinet":
        recipe |= {"voices_per_identity": 1, "faces_per_identity": 1}
    if name == "kim2018":
        recipe["face_network"] = VGG16 | {"batch_norm": True}
    arguments = MatchingArguments(**(SHARED | recipe), data=str(tiny_dataset), output_dir=str(tmp_path / "run"))
    train_matching(arguments)
    model, data = MatchingModel.from_pretrained(tmp_path / "run" / "model"), DatasetFolder(tiny_dataset)
    rate = model.voice_encoder.sample_rate_hz
    with torch.inference_mode():
        clips = torch.stack([torch.from_numpy(data.voice(row, rate)[:rate]) for row in data.voices("train")])
        images = [load_image(data.path(row)) for row in data.faces("train") if row["view"] == "canonical"]
        voice = model.voice_features(clips, rate)
        face = model.face_features(model.face_encoder.prepare(torch.stack(images)))
    assert accuracy(win_shares(model.head, voice, face, "v2f"))[0] > 0.8


def test_held_out_files_that_cannot_be_used_are_listed(tiny_dataset, tmp_path, train):
    """Four held-out people, one without a usable voice: with skip_bad three are left, and skipped.csv says so."""
    folder = tmp_path / "data"
    shutil.copytree(tiny_dataset, folder)
    people = (folder / "people.csv").read_text().replace("train", "val", 2)
    (folder / "people.csv").write_text(people)
    (folder / "id6.wav").write_bytes(b"no sound")
    assert train(tmp_path / "run", KIM, "--data", str(folder)) == 2
    assert train(tmp_path / "other", KIM, "--data", str(folder), "--skip_bad", "true") == 0
    assert "id6.wav" in (tmp_path / "other" / "skipped.csv").read_text()


def test_training_steps_look_at_no_numbers(train, tmp_path, monkeypatch):
    """Two more steps cost no further look at an encoder's input, not even with a frozen encoder in evaluation mode."""
    looks = []
    plain = torch.aminmax
    monkeypatch.setattr(torch, "aminmax", lambda values: looks.append(values.shape) or plain(values))
    build_network(FACE_ENCODERS["vgg16_pooled"], VGG16).save_pretrained(tmp_path / "face")
    frozen = {"part_rates": {"face_encoder": 0}, "face_weights": str(tmp_path / "face")}
    counts = []
    for steps in (2, 4):
        looks.clear()
        assert train(tmp_path / f"run{steps}", KIM | frozen | {"max_train_steps": steps}) == 0
        counts.append(len(looks))
    assert counts[0] == counts[1] > 0  # the validation at the end looks
