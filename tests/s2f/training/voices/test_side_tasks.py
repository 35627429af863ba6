"""Voice-side truth in training: neighbours, side tasks, speaker embeddings, balanced draws, resumption and export."""

import csv
import importlib.util
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

import s2f
from s2f.commands.program import run_training
from s2f.datasets import DatasetFolder
from s2f.errors import AssetMissing, DatasetError, RecipeError
from s2f.faces.features import direction_means
from s2f.training.loop.loop import StepSampler
from s2f.training.speech2face.pairs import TableFaces
from s2f.training.speech2face.targets import VoiceLatents, nearest_voices, neighbour_targets
from s2f.training.speech2face.task import Speech2FaceArguments, Speech2FaceTask, train_speech2face
from s2f.training.voices import speaker_embedding
from s2f.training.voices.clips import VoiceClips, balance_groups
from s2f.training.voices.side_tasks import SideHeads, SideTargets, side_weights
from s2f.training.voices.speaker_embedding import SpeakerEncoder, cached_embeddings
from tests.s2f.tiny_data import write_csv
from tests.s2f.training.runs import NETWORK

RECIPE = f"""
network: {NETWORK}
seconds: 3.0
crop: random
augment: light
target: voice_neighbours
neighbours: 2
side_tasks: {{f0: 2.0, tract: 1.0, gender: 1.0, age_class: 0.5}}
balance: [voice_gender]
loss_weights: {{decoder: 1.0, normalized: 20.0, distillation: 50.0}}
train_batch_size: 2
max_train_steps: 4
checkpointing_steps: 2
logging_steps: 1
cpu: true
"""
CLASSES = ("child", "adult", "elder")


def person(random, identity, gender, age_class):
    low, high = {"child": (6, 13), "adult": (18, 58), "elder": (62, 82)}[age_class]
    return {
        "identity": identity,
        "voice_gender": gender,
        "voice_age_class": age_class,
        "voice_age_years": random.uniform(low, high),
        "voice_pitch": random.normal(),
        "voice_tract": random.normal(),
        "voice_timbre": random.normal(),
        "voice_f0_hz": 120 * math.exp(0.3 * random.normal()),
        "voice_tract_cm": 16 * math.exp(0.1 * random.normal()),
    }


@pytest.fixture(scope="module")
def truth_dataset(tiny_dataset, tmp_path_factory):
    """The tiny dataset with voice-side truth: three training women and men, one woman and man held out, all adults."""
    root = tmp_path_factory.mktemp("truth") / "data"
    shutil.copytree(tiny_dataset, root)
    random = np.random.default_rng(3)
    write_csv(root / "truth.csv", [person(random, f"id{n}", "fm"[n % 2], "adult") for n in range(9)])
    return root


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    """Only people.csv and truth.csv: 300 people of every gender and age class in unequal numbers."""
    root = tmp_path_factory.mktemp("crowd")
    random = np.random.default_rng(0)
    rows = [
        person(random, f"p{n}", str(random.choice(["f", "m"], p=[0.7, 0.3])), CLASSES[n % 7 % 3]) for n in range(300)
    ]
    write_csv(root / "truth.csv", rows)
    write_csv(root / "people.csv", [{"identity": row["identity"], "split": "train"} for row in rows])
    return DatasetFolder(root)


def test_neighbours_equal_a_naive_loop_and_never_mix_groups(crowd):
    with (crowd.root / "truth.csv").open() as file:
        rows = list(csv.DictReader(file))
    pool, queries = rows[:200], rows[150:]

    def distance(a, b):
        total = sum((float(a[k]) - float(b[k])) ** 2 for k in ("voice_pitch", "voice_tract", "voice_timbre"))
        if a["voice_age_class"] != "adult":
            total += (math.log(float(a["voice_age_years"]) / float(b["voice_age_years"])) / 0.2) ** 2
        return math.sqrt(total)

    def kind(row):
        return row["voice_gender"], row["voice_age_class"]

    read = [VoiceLatents.read(crowd, [row["identity"] for row in some]) for some in (queries, pool)]
    found = nearest_voices(*read, 12)
    assert len(found) == 150
    for query, chosen in zip(queries, found, strict=True):
        alike = sorted((distance(query, other), k) for k, other in enumerate(pool) if kind(other) == kind(query))
        assert chosen == [k for _, k in alike[:12]]
        assert {kind(pool[k]) for k in chosen} == {kind(query)}
    assert [pool[chosen[0]]["identity"] for chosen in found[:50]] == [row["identity"] for row in queries[:50]]
    sizes = [sum(kind(other) == kind(query) for other in pool) for query in queries]
    assert [len(chosen) for chosen in nearest_voices(*read, 10**6)] == sizes


def test_a_person_is_its_own_neighbour_even_beside_a_twin():
    twins = VoiceLatents(["a", "b"], [("f", "adult")] * 2, np.zeros((2, 4)))
    assert nearest_voices(twins, twins, 1) == [[0], [1]]
    stranger = VoiceLatents(["c"], [("m", "child")], np.zeros((1, 4)))
    with pytest.raises(DatasetError, match="none of m and child"):
        nearest_voices(stranger, twins, 1)


def test_targets_are_the_mean_direction_over_the_neighbours_faces(truth_dataset):
    data = DatasetFolder(truth_dataset)
    voices, faces = data.voices("train"), data.faces("train")
    features = torch.randn(len(faces), 5, generator=torch.Generator().manual_seed(0))
    held_out = neighbour_targets(data, data.voices("val"), faces, features, 2)
    people = [row["identity"] for row in voices]
    latents = VoiceLatents.read(data, people)
    near = nearest_voices(VoiceLatents.read(data, ["id6"]), latents, 2)[0]
    numbers = [n for k in near for n, row in enumerate(faces) if row["identity"] == people[k]]
    assert len(numbers) == 4
    torch.testing.assert_close(held_out.features[0], direction_means(features, [numbers])[0])
    assert held_out.candidates == [[0], [1]]
    alone = neighbour_targets(data, voices, faces, features, 1)
    own = [[n for n, row in enumerate(faces) if row["identity"] == identity] for identity in people]
    torch.testing.assert_close(alone.features, direction_means(features, own))


def test_missing_truth_is_one_sentence(truth_dataset, tiny_dataset, tmp_path):
    with pytest.raises(DatasetError, match=r"truth\.csv.*s2f simulate"):
        VoiceLatents.read(DatasetFolder(tiny_dataset), ["id0"])
    shutil.copytree(truth_dataset, tmp_path / "data")
    rows = DatasetFolder(truth_dataset).truth(["id0", "id1"])
    write_csv(tmp_path / "data" / "truth.csv", [{k: v for k, v in row.items() if k != "voice_pitch"} for row in rows])
    with pytest.raises(DatasetError, match="none named voice_pitch"):
        VoiceLatents.read(DatasetFolder(tmp_path / "data"), ["id0"])
    write_csv(tmp_path / "data" / "truth.csv", [rows[0] | {"voice_age_years": "old"}])
    with pytest.raises(DatasetError, match="'old'"):
        VoiceLatents.read(DatasetFolder(tmp_path / "data"), ["id0"])
    with pytest.raises(DatasetError, match="none for id1"):
        VoiceLatents.read(DatasetFolder(tmp_path / "data"), ["id1"])


def test_side_losses_by_hand():
    tasks = ["f0", "gender", "age_class", "embedding"]
    heads = SideHeads(3, tasks)
    with torch.no_grad():
        for parameter in heads.parameters():
            parameter.zero_()
        heads.heads["f0"].weight[0] = torch.tensor([1.0, 0.0, 0.0])
        heads.heads["gender"].weight[0] = torch.tensor([0.0, 1.0, 0.0])
        heads.heads["age_class"].weight[2] = torch.tensor([0.0, 0.0, 1.0])
        heads.heads["embedding"].bias[:2] = 1.0
    hidden = torch.tensor([[0.5, math.log(3), math.log(2)], [3.0, 0.0, 0.0]])
    towards = F.one_hot(torch.tensor([0, 5]), 256).float()
    targets = {
        "f0": torch.tensor([0.0, 1.0]),
        "gender": torch.tensor([1.0, 0.0]),
        "age_class": torch.tensor([2, 0]),
        "embedding": towards,
    }
    terms = {name: value.item() for name, value in heads(hidden, targets).items()}
    assert terms == pytest.approx(
        {
            "side_f0": (0.5 * 0.5**2 + (2 - 0.5)) / 2,
            "side_gender": (-math.log(3 / 4) - math.log(1 / 2)) / 2,
            "side_age_class": (-math.log(2 / 4) - math.log(1 / 3)) / 2,
            "side_embedding": ((1 - 1 / math.sqrt(2)) + 1) / 2,
        },
        rel=1e-5,
    )
    assert heads(hidden, {}) == {}


def test_side_targets_are_standardised_over_training_people(truth_dataset):
    data = DatasetFolder(truth_dataset)
    voices = data.voices("train")
    targets = SideTargets(data, ["f0", "gender", "age_class", "embedding"], voices)
    train = targets.of(voices)
    assert set(train) == {"f0", "gender", "age_class"}
    assert train["f0"].mean().item() == pytest.approx(0, abs=1e-6)
    assert train["f0"].std(unbiased=False).item() == pytest.approx(1, abs=1e-5)
    assert train["gender"].tolist() == [0, 1, 0, 1, 0, 1]
    assert train["age_class"].tolist() == [1] * 6
    hz = [math.log(float(row["voice_f0_hz"])) for row in data.truth([f"id{n}" for n in range(7)])]
    expected = (hz[6] - np.mean(hz[:6])) / np.std(hz[:6])
    assert targets.of(data.voices("val"))["f0"][0].item() == pytest.approx(expected, rel=1e-4)


def test_wrong_names_say_the_nearest():
    with pytest.raises(RecipeError, match="did you mean tract"):
        side_weights({"track": 1.0})
    common = {"data": "", "output_dir": "", "face_encoder": "", "decoder": ""}
    with pytest.raises(RecipeError, match="did you mean embedding"):
        Speech2FaceArguments(**common, side_tasks={"embeding": 1.0})
    with pytest.raises(RecipeError, match="augment none, light or strong, got True"):
        Speech2FaceArguments(**common, augment=True)
    with pytest.raises(RecipeError, match="neighbours >= 1"):
        Speech2FaceArguments(**common, neighbours=0)
    weights = Speech2FaceArguments(**common, loss_weights={"decoder": 1.0}, side_tasks={"f0": 0.5}).loss_weights
    assert weights == {"decoder": 1.0, "side_f0": 0.5}


def test_balanced_draws_are_equal_by_group_and_depend_on_seed_epoch_and_item_alone(crowd):
    voices = [{"identity": identity} for identity in crowd.identities("train")]
    columns = ["voice_gender", "voice_age_class"]
    groups = balance_groups(crowd, voices, columns)
    assert len(groups) == 6
    assert sorted(n for group in groups for n in group) == list(range(300))
    assert max(map(len, groups)) > 2 * min(map(len, groups))
    settings = Speech2FaceArguments(data="", output_dir="", face_encoder="", decoder="", seed=4)
    clips = VoiceClips(crowd, voices, TableFaces([]), settings, 16000, groups=groups)
    sampler = StepSampler(len(clips), 30, seed=4, start=0, stop=20, rank=0, processes=1)
    drawn = [clips.row_of(*key) for batch in sampler for key in batch]
    of_row = {row: k for k, group in enumerate(groups) for row in group}
    assert np.bincount([of_row[row] for row in drawn]).tolist() == [100] * 6
    small = min(groups, key=len)
    counts = np.bincount(drawn[:300], minlength=300)[small]
    assert counts.max() - counts.min() <= 1
    again = VoiceClips(crowd, voices, TableFaces([]), settings, 16000, groups=groups)
    later = StepSampler(len(clips), 30, seed=4, start=15, stop=20, rank=0, processes=1)
    assert [again.row_of(*key) for batch in later for key in batch] == drawn[15 * 30 :]
    assert balance_groups(crowd, voices, []) == []
    with pytest.raises(DatasetError, match="none named voice_class"):
        balance_groups(crowd, voices, ["voice_class"])


@pytest.fixture(scope="module")
def trained(truth_dataset, tmp_path_factory):
    """A run with side tasks, and a function that repeats it."""
    root = tmp_path_factory.mktemp("runs")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        s2f.CompactFaceEncoder((4, 8), 16, num_identities=5, image_size_px=16).save_pretrained(root / "face")
        s2f.NormalizedFaceDecoder(
            16, 16, (8,), base_channels=8, texture_channels=(4, 4), image_size_px=32, warp_grid=8
        ).save_pretrained(root / "decoder")
    (root / "recipe.yaml").write_text(RECIPE)

    def train(name, *extra):
        flags = ["--config", root / "recipe.yaml", "--data", truth_dataset, "--output_dir", root / name]
        flags += ["--face_encoder", root / "face", "--decoder", root / "decoder", *extra]
        code = run_training(Speech2FaceArguments, train_speech2face, [str(flag) for flag in flags])
        return code, root / name

    assert train("whole")[0] == 0
    return train, root


def rows_of(folder, event):
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [row for row in rows if row["event"] == event]


SIDES = {"side_f0": 2.0, "side_tract": 1.0, "side_gender": 1.0, "side_age_class": 0.5}


def test_side_terms_are_logged_and_weighted(trained):
    _, root = trained
    weights = {"decoder": 1.0, "normalized": 20.0, "distillation": 50.0} | SIDES
    for row in rows_of(root / "whole", "train"):
        assert row["loss"] == pytest.approx(sum(weight * row[name] for name, weight in weights.items()), rel=1e-4)
    last = rows_of(root / "whole", "validation")[-1]
    wanted = {f"val_{name}" for name in SIDES} | {f"val_cosine{name}" for name in ("", "_mean", "_own", "_own_target")}
    assert wanted <= set(last)


def test_heads_learn_with_the_encoder_and_are_not_exported(trained):
    _, root = trained
    first, last = (load_file(root / "whole" / f"checkpoint-{step}" / "model.safetensors") for step in (2, 4))
    heads = {name for name in last if name.startswith("side_heads.")}
    assert len(heads) == 8
    assert all(not torch.equal(first[name], last[name]) for name in heads)
    exported = load_file(root / "whole/pipeline/voice_encoder/diffusion_pytorch_model.safetensors")
    assert not [name for name in exported if "head" in name]
    assert len(exported) + len(heads) == len(last)
    assert s2f.Speech2FacePipeline.from_pretrained(root / "whole" / "pipeline").voice_encoder.embedding_dim == 16


def test_resume_equals_uninterrupted_with_heads(trained):
    train, root = trained
    shutil.copytree(root / "whole", root / "resumed")
    for name in ("checkpoint-4", "pipeline"):
        shutil.rmtree(root / "resumed" / name)
    assert train("resumed", "--resume_from_checkpoint", "latest")[0] == 0
    for name in ("checkpoint-4/model.safetensors", "pipeline/voice_encoder/diffusion_pytorch_model.safetensors"):
        first, second = (load_file(root / run_name / name) for run_name in ("whole", "resumed"))
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first)
    losses = [[row["loss"] for row in rows_of(root / name, "train")] for name in ("whole", "resumed")]
    assert losses[0] == losses[1]


def test_held_out_targets_come_from_training_faces(trained, truth_dataset):
    _, root = trained
    common = {"data": str(truth_dataset), "output_dir": str(root / "x"), "face_encoder": f"{root}/face"}
    network = {"channels": [4] * 9, "hidden_size": 8}
    settings = Speech2FaceArguments(
        **common, decoder=f"{root}/decoder", network=network, target="voice_neighbours", neighbours=2
    )
    task = Speech2FaceTask(DatasetFolder(truth_dataset), settings, torch.device("cpu"))
    everybody = Speech2FaceArguments(
        **common, decoder=f"{root}/decoder", network=network, target="voice_neighbours", neighbours=99
    )
    same = Speech2FaceTask(DatasetFolder(truth_dataset), everybody, torch.device("cpu"))
    torch.testing.assert_close(same.held_out.targets[0], same.module.targets[0])  # id6 and id0 are women
    torch.testing.assert_close(same.held_out.targets[1], same.module.targets[1])
    assert not torch.allclose(same.held_out.targets[0], same.held_out.own[0], atol=1e-4)
    assert not torch.allclose(task.held_out.targets[0], same.held_out.targets[0], atol=1e-6)


def test_bad_flags_end_with_code_two(trained, tiny_dataset, capsys):
    train, _ = trained
    assert train("bad", "--side_tasks", "{pitch: 1.0}")[0] == 2
    assert "side_tasks of f0, tract" in capsys.readouterr().err
    assert train("bad", "--augment", "true")[0] == 2
    assert train("bad", "--data", str(tiny_dataset))[0] == 2
    assert "truth.csv" in capsys.readouterr().err


def test_absent_speaker_encoder_says_how_to_get_it(trained, monkeypatch, capsys):
    train, _ = trained
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "resemblyzer" else find(name))
    assert train("absent", "--side_tasks", "{embedding: 1.0}")[0] == 2
    assert "pip install --no-deps resemblyzer" in capsys.readouterr().err


def test_other_speaker_weights_are_refused(monkeypatch, tmp_path):
    (tmp_path / "resemblyzer").mkdir()
    (tmp_path / "resemblyzer" / "__init__.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "resemblyzer" / "pretrained.pt").write_bytes(b"other")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    with pytest.raises(AssetMissing, match="another file"):
        speaker_embedding.load_speaker_encoder()


def random_speaker_encoder():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return SpeakerEncoder().eval()


def test_distillation_trains_and_embeds_every_recording_once(trained, monkeypatch):
    """A random speaker network stands in for the published one; the second run reads the file the first wrote."""
    train, root = trained
    monkeypatch.setattr(speaker_embedding, "load_speaker_encoder", random_speaker_encoder)
    assert train("distilled", "--side_tasks", "{embedding: 3.0}", "--max_train_steps", "2")[0] == 0
    (file,) = root.glob("speaker_embeddings_*.npz")
    stored = np.load(file)["embeddings"]
    assert stored.shape == (6, 256)
    np.testing.assert_allclose(np.linalg.norm(stored, axis=1), 1, rtol=1e-5)
    monkeypatch.setattr(speaker_embedding, "load_speaker_encoder", None)
    assert train("again", "--side_tasks", "{embedding: 3.0}", "--max_train_steps", "2")[0] == 0
    first, second = (rows_of(root / name, "train") for name in ("distilled", "again"))
    assert [row["loss"] for row in first] == [row["loss"] for row in second]
    assert 0 < first[0]["side_embedding"] < 2


def test_a_changed_recording_is_embedded_anew(monkeypatch, tmp_path):
    monkeypatch.setattr(speaker_embedding, "load_speaker_encoder", random_speaker_encoder)
    file = tmp_path / "a.wav"
    noise = np.random.default_rng(0).normal(0, 0.1, 40000).astype(np.float32)
    soundfile.write(file, noise, 16000)
    first = cached_embeddings([file], ["a"], lambda _: noise, tmp_path)
    same = cached_embeddings([file], ["a"], lambda _: noise[::2], tmp_path)
    np.testing.assert_array_equal(first, same)
    soundfile.write(file, noise[::2], 16000)
    cached_embeddings([file], ["a"], lambda _: noise[::2], tmp_path)
    assert len(list(tmp_path.glob("*.npz"))) == 2


@pytest.mark.skipif(importlib.util.find_spec("resemblyzer") is None, reason="resemblyzer is not installed")
def test_published_speaker_encoder_knows_its_speakers(shared_data: Path):
    """Halves of one recording are nearer than any two of twelve people, and so are people of one gender."""
    from s2f.audio import load

    encoder = speaker_embedding.load_speaker_encoder()
    with (shared_data / "voices" / "speakers.csv").open() as file:
        rows = list(csv.DictReader(file))[:12]
    halves = [np.array_split(load(shared_data / "voices" / row["file"]).waveform[:128000], 2) for row in rows]
    a, b = (np.stack([speaker_embedding.speaker_embedding(encoder, pair[side]) for pair in halves]) for side in (0, 1))
    scores = a @ b.T
    apart = ~np.eye(12, dtype=bool)
    assert (scores.argmax(1) == np.arange(12)).mean() > 0.9
    assert np.diag(scores).mean() > scores[apart].mean() + 0.2
    gender = np.array([row["gender"] for row in rows])
    alike = gender[:, None] == gender[None]
    assert scores[alike & apart].mean() > scores[~alike].mean() + 0.03
