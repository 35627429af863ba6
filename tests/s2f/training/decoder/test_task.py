"""Decoder training by parts: neighbours, morphs and their features, the perceptual term, face-to-face figures."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.utils.data import default_collate
from torchvision.models import squeezenet1_1

from decoder.warp import warp_image
from encoders.face.compact import CompactFaceEncoder
from s2f.commands.program import run_training
from s2f.datasets import DatasetFolder
from s2f.errors import DatasetError, RecipeError
from s2f.training.decoder import morphs
from s2f.training.decoder.arguments import DecoderArguments
from s2f.training.decoder.morphs import Morph, draw_morph, mix_morph, nearest_people
from s2f.training.decoder.task import DecoderTask, train_decoder

CPU = torch.device("cpu")
NETWORK = {
    "hidden_size": 8,
    "landmark_sizes": [8],
    "base_channels": 4,
    "texture_channels": [4, 4],
    "image_size_px": 64,
    "warp_grid": 8,
    "learn_mean": True,
}


def people(count, size_px, seed=0):
    random = np.random.default_rng(seed)
    landmarks = torch.from_numpy(random.uniform(0, 2, (count, 68, 2))).float() + 100
    return landmarks, torch.from_numpy(random.integers(0, 256, (count, 3, size_px, size_px), dtype=np.uint8))


def naive_neighbours(landmarks, textures, count):
    """10 |L_A - L_B| + |T_A - T_B| person by person; T is the mean of 2 x 2 pixels at 56 px, itself at 28."""
    size = textures.shape[-1]
    looks = textures.double().numpy().reshape(len(textures), 3, 28, size // 28, 28, size // 28).mean((3, 5)) / 255
    nearest = []
    for a in range(len(landmarks)):
        distances = []
        for b in range(len(landmarks)):
            shape = np.linalg.norm((landmarks[a] - landmarks[b]).double().numpy())
            look = np.linalg.norm(looks[a] - looks[b]) * size / 28
            distances.append(np.inf if a == b else 10 * shape + look)
        nearest.append(np.argsort(distances)[:count].tolist())
    return nearest


@pytest.mark.parametrize("size_px", [28, 56])
@pytest.mark.parametrize("count", [1, 4])
def test_neighbours_equal_a_naive_double_loop(monkeypatch, size_px, count):
    monkeypatch.setattr(morphs, "CHUNK", 3)
    landmarks, textures = people(8, size_px)
    assert nearest_people(landmarks, textures, count).tolist() == naive_neighbours(landmarks, textures, count)


def test_neighbours_by_hand():
    """One pixel of 224 is 255 / 255 off: 1 in texture; 0.2 px in one coordinate: 2 in shape."""
    landmarks, textures = torch.zeros(3, 68, 2), torch.zeros(3, 3, 28, 28, dtype=torch.uint8)
    landmarks[1, 5, 0], textures[2, 0, 3, 3] = 0.2, 255
    assert nearest_people(landmarks, textures, 5).tolist() == [[2, 1], [0, 2], [0, 1]]
    textures[2, 0, 3, :9] = 255  # a distance of 3
    assert nearest_people(landmarks, textures, 1).tolist() == [[1], [0], [0]]
    with pytest.raises(DatasetError, match="two people to morph"):
        nearest_people(landmarks[:1], textures[:1], 1)


def test_morph_weights_are_independent_and_uniform():
    random = np.random.default_rng(0)
    drawn = [draw_morph(torch.tensor([3, 7, 9, 11]), random) for _ in range(4000)]
    weights = np.array([morph[1:] for morph in drawn])
    np.testing.assert_allclose(
        np.quantile(weights, [0.1, 0.5, 0.9], axis=0), [[0.1] * 2, [0.5] * 2, [0.9] * 2], atol=0.03
    )
    assert abs(np.corrcoef(weights.T)[0, 1]) < 0.05
    assert sorted({morph.neighbour for morph in drawn}) == [3, 7, 9, 11]
    assert min(np.bincount([morph.neighbour for morph in drawn])[[3, 7, 9, 11]]) > 900


def test_morph_weights_0_and_1_keep_and_take():
    landmarks, textures = people(3, 28)
    points, texture = mix_morph(0, Morph(2, landmark_weight=0.0, texture_weight=1.0), landmarks, textures)
    assert torch.equal(points, landmarks[0])
    assert torch.equal(texture, textures[2].float() / 255)
    points, texture = mix_morph(0, Morph(2, landmark_weight=1.0, texture_weight=0.25), landmarks, textures)
    assert torch.equal(points, landmarks[2])
    torch.testing.assert_close(texture, (0.75 * textures[0] + 0.25 * textures[2]) / 255)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """Folder of an untrained face encoder."""
    folder = tmp_path_factory.mktemp("encoder")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        CompactFaceEncoder((4, 8), 16, num_identities=5, image_size_px=16).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    """SqueezeNet weights no initialisation draws; not a trained network."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        tensors = squeezenet1_1(weights=None).features.state_dict()
        like = {f"features.{k}": 2 * v + 0.1 * torch.randn_like(v) * (v.ndim == 1) for k, v in tensors.items()}
    path = tmp_path_factory.mktemp("backbone") / "squeezenet.safetensors"
    save_file(like, path)
    return str(path)


@pytest.fixture
def make(tiny_dataset, encoder):
    """Function from options to a task on the tiny dataset."""

    def make(**changes):
        options = {"morphs": "neighbours", "morph_share": 1.0, "loss_weights": {"texture": 1.0}} | changes
        arguments = DecoderArguments(data="", output_dir="", face_encoder=encoder, network=NETWORK, **options)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            task = DecoderTask(DatasetFolder(tiny_dataset), arguments, CPU)
        task.to(CPU)
        return task

    return make


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_items_depend_on_seed_epoch_and_item_alone(make):
    data, again, other = make().dataset, make().dataset, make(seed=1).dataset
    expected = data[2, 3]
    assert same(again[2, 3], expected)
    for changed in (data[3, 3], data[2, 4], other[2, 3]):
        assert not torch.equal(changed["texture"], expected["texture"])
        assert not torch.equal(changed["landmarks"], expected["landmarks"])


def test_share_of_morphs_and_people(make):
    data = make(morph_share=0.5).dataset
    items = [(item, data[epoch, item]) for epoch in range(40) for item in range(len(data))]
    assert 0.4 < np.mean([sample["morphed"].item() for _, sample in items]) < 0.6
    for item, sample in items:
        own = torch.equal(sample["landmarks"], data.faces.landmarks[item])
        assert own != sample["morphed"].item()
        if own:
            assert torch.equal(sample["texture"], data.faces.textures[item].float() / 255)
            assert any(torch.equal(sample["feature"], data.faces.features[view]) for view in data.faces.views[item])


def test_feature_of_a_morph_is_the_encoders_on_that_picture(make):
    task = make(morph_share=0.5)
    batch = default_collate([task.dataset[epoch, 1] for epoch in range(8)])
    assert batch["morphed"].any()
    assert not batch["morphed"].all()
    with torch.autocast("cpu", torch.bfloat16):
        found = task.module.with_image(batch)
    for row in range(8):
        texture, points = batch["texture"][row : row + 1], batch["landmarks"][row : row + 1]
        picture = warp_image(texture, task.dataset.faces.landmarks.mean(0)[None], points, grid=8)
        torch.testing.assert_close(found["image"][row], picture[0])
        expected = batch["feature"][row]
        if batch["morphed"][row]:
            expected = task.encoder.features(task.encoder.prepare(picture))[0]
            assert not torch.allclose(expected, batch["feature"][row])
        torch.testing.assert_close(found["feature"][row], expected)


def test_picture_at_the_mean_landmarks_is_the_texture(make):
    task = make()
    batch = default_collate([task.dataset[0, 1]])
    batch["landmarks"] = task.module.decoder.mean_landmarks[None]
    torch.testing.assert_close(task.module.with_image(batch)["image"], batch["texture"], atol=1e-4, rtol=0)


def test_noise_comes_after_the_morphs_feature(make):
    clean, noisy = make(), make(feature_noise=0.2)
    batch = default_collate([clean.dataset[0, item] for item in range(6)])
    assert same(batch, default_collate([noisy.dataset[0, item] for item in range(6)]))
    before, after = clean.module.with_image(batch)["feature"], noisy.module.with_image(batch)["feature"]
    size = before.square().mean(-1, keepdim=True).sqrt()  # 1 for this encoder
    torch.testing.assert_close(after - before, 0.2 * size * batch["noise"], atol=1e-5, rtol=0)


def test_perceptual_term_reaches_texture_and_landmarks(make, backbone):
    task = make(loss_weights={"lpips": 1.0}, lpips_backbone=backbone)
    module, batch = task.module, default_collate([task.dataset[0, item] for item in range(3)])
    loss = module(batch)["lpips"]
    loss.backward()
    assert loss > 0
    assert module.decoder.to_rgb.weight.grad.abs().sum() > 0
    assert module.decoder.landmark_mlp[0].weight.grad.abs().sum() > 0
    assert not any(name.startswith("frozen") for name, _ in module.named_parameters())
    assert all(parameter.grad is None for network in module.frozen.values() for parameter in network.parameters())


def test_a_perfect_decoder_has_no_perceptual_loss(make, backbone, monkeypatch):
    task = make(loss_weights={"lpips": 1.0}, lpips_backbone=backbone)
    module, batch = task.module, default_collate([task.dataset[0, item] for item in range(3)])
    monkeypatch.setattr(module.decoder, "decode", lambda feature: (batch["texture"], batch["landmarks"]))
    terms = module(batch)
    assert {name: value.item() for name, value in terms.items()} == pytest.approx(
        {"landmarks": 0, "texture": 0, "gradient": 0, "lpips": 0}, abs=1e-6
    )


def test_figures_of_a_perfect_decoder(make, backbone, tmp_path, monkeypatch):
    """Errors 0; cosine 1 from the canonical faces' own features, else that of the two features."""
    task = make(lpips_backbone=backbone)
    truth, points = task.held_out.images.float() / 255, task.held_out.landmarks
    own = task.encoder.features(task.encoder.prepare(truth))
    task.held_out.means, task.held_out.features = own, torch.eye(16)[:4]
    assert task.held_out.views == [[0, 1], [2, 3]]
    monkeypatch.setattr(task, "_decode", lambda features: (truth, points))
    figures = task.validate(tmp_path)
    assert {name: value for name, value in figures.items() if name.startswith("mean")} == pytest.approx(
        {"mean_image_l1": 0, "mean_lpips": 0, "mean_landmark_rmse_px": 0, "mean_feature_cosine": 1}, abs=1e-5
    )
    assert figures["single_feature_cosine"] == pytest.approx((own[0, 1] + own[1, 3]).item() / 4 / 2, abs=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"morph_neighbours": 0}, "morph_neighbours >= 1, got 0"),
        ({"loss_weights": {"lpips": 1.0}}, "lpips_backbone for the loss term lpips, got none; .* random weights"),
    ],
)
def test_contradictions_are_refused(make, changes, message):
    with pytest.raises(RecipeError, match=message):
        make(**changes)


RECIPE = f"""
network: {json.dumps(NETWORK)}
loss_weights: {{landmarks: 0.01, texture: 1.0, feature: 0.1, gradient: 0.0, lpips: 0.5}}
morphs: neighbours
morph_share: 0.5
feature_noise: 0.1
train_batch_size: 3
max_train_steps: 2
logging_steps: 1
"""


def test_training_with_morphs_of_neighbours_and_perceptual_term(tiny_dataset, encoder, backbone, tmp_path, capsys):
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    flags = ["--config", f"{tmp_path}/recipe.yaml", "--data", str(tiny_dataset), "--output_dir", f"{tmp_path}/run"]
    flags += ["--face_encoder", encoder, "--cpu", "true"]
    assert run_training(DecoderArguments, train_decoder, flags) == 2
    assert "expected lpips_backbone" in capsys.readouterr().err
    assert run_training(DecoderArguments, train_decoder, [*flags, "--lpips_backbone", backbone]) == 0
    rows = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    train = [row for row in rows if row["event"] == "train"]
    (validation,) = (row for row in rows if row["event"] == "validation")
    terms = ("loss", "landmarks", "texture", "gradient", "feature", "lpips")
    figures = [
        f"{a}_{b}" for a in ("single", "mean") for b in ("image_l1", "landmark_rmse_px", "feature_cosine", "lpips")
    ]
    assert len(train) == 2
    assert all(np.isfinite(row[name]) for row in train for name in terms)
    assert all(np.isfinite(validation[name]) for name in figures)
    assert train[0]["lpips"] > 0
    assert (tmp_path / "run" / "validation" / "step_000002" / "true_single_mean.png").is_file()
