"""Training the landmark regressor: flips, exact augmentation, the loss by hand, overfitting, resuming."""

import json
import math
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from encoders.face.landmarks import LandmarkRegressor
from s2f.checkpoints.loading import load_network
from s2f.commands.program import run_training
from s2f.datasets import DatasetFolder
from s2f.errors import DatasetError
from s2f.training.encoders import landmarks as training
from s2f.training.encoders.landmarks import FLIP, LandmarkArguments, LandmarkImages, LandmarkModule, train_landmarks
from tests.s2f.tiny_data import write_csv, write_dataset

NETWORK = {"channels": [8, 8, 16, 16], "head_channels": 16, "image_size_px": 64}
RECIPE = """
network: {channels: [8, 8, 16, 16], head_channels: 16, image_size_px: 64}
loss_weights: {points: 0.5, pairs: 1.0, heat: 1.0}
train_batch_size: 3
max_train_steps: 4
checkpointing_steps: 2
logging_steps: 1
"""
STILL = {"degrees": 0.0, "shift": 0.0, "scale": 1.0, "colour": 0.0, "blur_px": 0.0, "noise": 0.0}


def arguments(**changes):
    return LandmarkArguments(data="", output_dir="", **changes)


def test_flip_is_an_involution_that_swaps_sides():
    assert sorted(FLIP) == list(range(68))
    assert [FLIP[FLIP[point]] for point in range(68)] == list(range(68))
    pairs = {0: 16, 3: 13, 8: 8, 17: 26, 21: 22, 27: 27, 30: 30, 31: 35, 33: 33, 36: 45, 37: 44, 39: 42, 41: 46}
    pairs |= {48: 54, 51: 51, 57: 57, 59: 55, 60: 64, 61: 63, 62: 62, 66: 66, 67: 65}
    assert {point: FLIP[point] for point in pairs} == pairs


def dots(points, side):
    """Picture (1, 3, side, side) with a Gaussian dot of 2 px at each point (x, y) in pixels."""
    step = torch.arange(side, dtype=torch.float64)
    far = (step[None, None, :] - points[:, 0, None, None]) ** 2 + (step[None, :, None] - points[:, 1, None, None]) ** 2
    return torch.exp(-far / 8).sum(0).expand(1, 3, side, side)


def centroid(image, near):
    """Centre of mass of a dot within 8 px of `near`."""
    side = image.shape[-1]
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    weight = image[0, 0] * (((x - near[0]) ** 2 + (y - near[1]) ** 2) < 64)
    return torch.stack([(weight * x).sum(), (weight * y).sum()]) / weight.sum()


def test_points_move_with_the_picture_to_a_fraction_of_a_pixel():
    torch.manual_seed(3)
    side = 112
    true = torch.full((68, 2), 56.0, dtype=torch.float64)
    shown = {8: (56.3, 85.2), 36: (38.6, 44.1), 45: (75.2, 47.7), 48: (44.4, 68.9)}
    for point, place in shown.items():
        true[point] = torch.tensor(place)
    picture = dots(true[list(shown)], side)
    maps = training.random_maps(16, arguments(), torch.device("cpu")).double()
    assert {bool(torch.linalg.det(one[:, :2]) < 0) for one in maps} == {True, False}
    for one in maps:
        moved = training.move_images(picture, one[None])
        points = training.move_points((true[None] + 0.5) / side, one[None])[0] * side - 0.5
        mirrored = bool(torch.linalg.det(one[:, :2]) < 0)
        for point in shown:
            expected = points[FLIP[point] if mirrored else point]
            assert (centroid(moved, expected) - expected).abs().max() < 0.05


def test_mirroring_alone_renames_left_and_right():
    maps = torch.tensor([[[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    points = torch.rand(1, 68, 2)
    moved = training.move_points(points, maps)
    torch.testing.assert_close(moved[0, 45], torch.tensor([1 - points[0, 36, 0], points[0, 36, 1]]))
    torch.testing.assert_close(training.move_points(moved, maps), points)
    image = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(training.move_images(image, maps), image.flip(3), atol=1e-5, rtol=0)


def test_maps_stay_in_their_ranges():
    torch.manual_seed(0)
    settings = arguments(degrees=8.0, shift=0.05, scale=1.2)
    maps = training.random_maps(500, settings, torch.device("cpu"))
    scale = torch.linalg.det(maps[:, :, :2]).abs().sqrt()
    assert 1 / 1.2 <= scale.min() < 0.86 < 1.16 < scale.max() <= 1.2 + 1e-5
    assert maps[:, :, 2].abs().max() <= 2 * 0.05
    assert (maps[:, 0, 1] / scale).abs().max() <= math.sin(math.radians(8)) + 1e-6


def test_blur_keeps_the_mean_and_half_of_the_pictures():
    torch.manual_seed(0)
    images = torch.rand(40, 3, 24, 24)
    blurred = training.soften(images, 1.8)
    untouched = ((blurred - images).abs().amax((1, 2, 3)) < 1e-5).sum()
    assert 10 < untouched < 30
    assert blurred.std((2, 3)).min() < 0.5 * images.std((2, 3)).min()
    flat = torch.full((8, 3, 24, 24), 0.3)
    torch.testing.assert_close(training.soften(flat, 1.8), flat)
    torch.testing.assert_close(training.soften(images, 0.0), images)


def test_colours_stay_in_range_and_change():
    torch.manual_seed(0)
    images = torch.rand(8, 3, 5, 5)
    changed = training.recolour(images, 0.25)
    assert 0 <= changed.min() < changed.max() <= 1
    assert (changed - images).abs().mean() > 0.01
    torch.testing.assert_close(training.recolour(images, 0.0), images)


class Answer(torch.nn.Module):
    """Stands in for the network: fixed cells and flat heat maps of 16 x 16."""

    config = SimpleNamespace(window=(0.0, 0.0, 1.0))

    def __init__(self, cells):
        super().__init__()
        self.cells = cells

    def locate(self, images):
        return self.cells, torch.zeros(len(images), 68, 16, 16)


def test_loss_by_hand_and_points_outside_do_not_count(monkeypatch):
    monkeypatch.setattr(training, "random_maps", lambda *_: torch.eye(3)[:2][None])
    cells = torch.full((1, 68, 2), 7.5)
    cells[0, 0] += torch.tensor([0.16, 0.0])  # 0.01 of the side: 2.24 px
    module = LandmarkModule(Answer(cells), arguments(**STILL))
    batch = {"image": torch.zeros(1, 3, 64, 64, dtype=torch.uint8), "points": torch.full((1, 68, 2), 0.5)}
    terms = module(batch)
    assert terms["points"].item() == pytest.approx(2.24 / 136, rel=1e-4)
    assert terms["pairs"].item() == pytest.approx(2 * 67 * 2.24 / (2 * 68**2), rel=1e-4)
    assert terms["heat"].item() == pytest.approx(math.log(256), rel=1e-4)
    batch["points"][0, 0] = torch.tensor([0.5, 1.3])
    terms = module(batch)
    assert terms["points"].item() == pytest.approx(0, abs=1e-5)
    assert terms["pairs"].item() == pytest.approx(0, abs=1e-4)


def test_heat_loss_is_least_for_the_gaussian_itself():
    point = torch.tensor([[[0.4, 0.7]]])
    step = (torch.arange(16) + 0.5) / 16 * 16
    logits = -((step[None, :] - 6.4) ** 2 + (step[:, None] - 11.2) ** 2)[None, None] / 2
    best = training.heat_loss(logits, point)
    entropy = 1 + math.log(2 * math.pi)  # of a Gaussian with unit variance in two dimensions
    assert best.item() == pytest.approx(entropy, abs=0.01)
    assert training.heat_loss(logits.mT, point) > best + 1
    assert training.heat_loss(2 * logits, point) > best


def test_distances_by_hand():
    points = torch.zeros(2, 68, 2)
    points[:, 35] = torch.tensor([3.0, 4.0])
    points[1, 62] = torch.tensor([0.0, 4.0])
    lengths = training.distances(points)
    assert lengths["nose_width"].tolist() == [5, 5]
    assert lengths["upper_lip_height"].tolist() == [0, 2]


def test_pictures_of_any_size_give_shares_of_the_side(tmp_path):
    root = write_dataset(tmp_path / "data", 64)
    network = LandmarkRegressor(**NETWORK)
    before = LandmarkImages(DatasetFolder(root), "val", network, False)
    assert len(before) == 2
    assert before.canonical.all()
    for path in (root / "faces").glob("*_canonical.png"):
        Image.open(path).resize((128, 128)).save(path)
    after = LandmarkImages(DatasetFolder(root), "val", network, False)
    assert after.images.shape == (2, 3, 64, 64)
    torch.testing.assert_close(after.points * 2, before.points, atol=1e-2, rtol=0)


def test_wild_pictures_count_once_they_have_landmarks(tmp_path):
    root = write_dataset(tmp_path / "data", 64)
    lines = (root / "landmarks.csv").read_text().splitlines()
    wild = [line.replace("_canonical", "_wild") for line in lines[1:]]
    (root / "landmarks.csv").write_text("\n".join(lines + wild) + "\n")
    images = LandmarkImages(DatasetFolder(root), "train", LandmarkRegressor(**NETWORK), False)
    assert images.canonical.tolist() == [True, False] * 6
    assert len(LandmarkImages(DatasetFolder(root), "train", LandmarkRegressor(**NETWORK), True)) == 6


def test_points_are_shares_of_the_window(tmp_path):
    data = DatasetFolder(write_dataset(tmp_path / "data", 64))
    whole = LandmarkImages(data, "val", LandmarkRegressor(**NETWORK), True)
    network = LandmarkRegressor(**(NETWORK | {"window": (0.25, 0.125, 0.5)}))
    part = LandmarkImages(data, "val", network, True)
    torch.testing.assert_close(part.points * 0.5 + torch.tensor([0.25, 0.125]), whole.points)


def test_no_landmarks_at_all_are_refused(tmp_path):
    root = write_dataset(tmp_path / "data", 64)
    write_csv(root / "landmarks.csv", [{"path": "elsewhere.png"} | {f"{a}{i}": 1 for i in range(68) for a in "xy"}])
    with pytest.raises(DatasetError, match=r"landmarks\.csv, got none for the train split"):
        LandmarkImages(DatasetFolder(root), "train", LandmarkRegressor(**NETWORK), False)


def test_training_overfits_a_few_pictures():
    torch.manual_seed(0)
    module = LandmarkModule(LandmarkRegressor(**NETWORK), arguments(**STILL))
    true = torch.rand(4, 68, 2) * 0.2 + torch.tensor([[0.2, 0.2], [0.6, 0.2], [0.2, 0.6], [0.6, 0.6]])[:, None]
    images = torch.stack([dots((points[::9] * 64 - 0.5).double(), 64)[0] for points in true])
    batch = {"image": (images.clamp(0, 1) * 255).to(torch.uint8), "points": true}
    optimizer = torch.optim.Adam(module.parameters(), 5e-3)
    losses = []
    for _ in range(120):
        loss = module(batch | {"points": true})["points"]
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.25 * losses[0]


def train(root, folder, *extra):
    (root.parent / "recipe.yaml").write_text(RECIPE)
    flags = ["--config", f"{root.parent}/recipe.yaml", "--data", str(root), "--output_dir", str(folder), *extra]
    return run_training(LandmarkArguments, train_landmarks, flags)


def log(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_run_repeats_resumes_and_exports(tmp_path):
    root, whole, again = write_dataset(tmp_path / "data", 64), tmp_path / "whole", tmp_path / "again"
    assert train(root, whole) == 0
    assert train(root, again) == 0
    shutil.rmtree(again / "checkpoint-4")
    shutil.rmtree(again / "landmarks")
    rows = [row for row in log(again) if row["step"] <= 3]
    (again / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert train(root, again, "--resume_from_checkpoint", "latest") == 0
    losses = [[row["loss"] for row in log(folder) if row["event"] == "train"] for folder in (whole, again)]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 4
    name = "landmarks/diffusion_pytorch_model.safetensors"
    weights = load_file(whole / name), load_file(again / name)
    assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())
    (figures,) = (row for row in log(whole) if row["event"] == "validation")
    assert figures["canonical_rmse_px"] > 0
    assert (whole / "validation" / "step_000004" / "true_green_found_red.png").is_file()
    network = load_network(LandmarkRegressor, whole / "landmarks")
    assert np.isfinite(network(torch.rand(1, 3, 96, 96)).detach().numpy()).all()
    assert train(root, tmp_path / "other", "--seed", "1") == 0
    assert [row["loss"] for row in log(tmp_path / "other") if row["event"] == "train"] != losses[0]
