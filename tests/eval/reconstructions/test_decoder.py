"""The decoder check: perfect drawings are at 0 and 1, errors by hand, controls, what is missing or changed is said."""

import csv
import json

import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser
from PIL import Image
from safetensors.torch import save_file
from torchvision import models

from eval.commands import decoder as command
from eval.faces.landmarks import Found
from eval.metrics.clusters import NOBODY
from eval.reconstructions import decoder
from eval.reconstructions.decoder import NO_LPIPS, cosines, evaluate, landmark_errors
from eval.reconstructions.features import FeaturePairs
from eval.reconstructions.folder import read_reconstructions
from s2f.errors import CheckpointError, DatasetError, ImageError
from tests.eval.fake_population import face_points
from tests.eval.reconstruction_folders import write_reconstructions

RANDOM = np.random.default_rng(0)
PEOPLE = 5
TRUE = RANDOM.normal(size=(PEOPLE, 4))
GREYS = (10, 60, 110, 160, 210)
IOD = 100.0


def flat(grey: int, side: int = 32) -> np.ndarray:
    return np.full((side, side, 3), grey, np.uint8)


def points_of(grey: int) -> np.ndarray:
    """Eyes 100 px apart, the face moved to the right by a tenth of its grey."""
    points, eye = face_points(0.0), np.array([[-9, 0], [-3, 2], [3, 2], [9, 0], [4, -2], [-4, -2]])
    points[36:42], points[42:48] = eye + np.array([50, 80]), eye + np.array([150, 80])
    return points + np.array([grey / 10, 0])


@pytest.fixture
def seen(monkeypatch):
    """Landmarks by the colour of a picture's first pixel; none where it is white. Returns the arguments it got."""
    calls = []

    def find(pictures, landmarks, out):
        calls.append((landmarks, out))
        found = Found({}, {}, {})
        for path in pictures:
            grey = int(np.asarray(Image.open(path))[0, 0, 0])
            if grey == 255:
                found.trouble[path] = "no face"
            else:
                found.points[path], found.notes[path] = points_of(grey), ("greyscale",) if grey == 10 else ()
        return found

    monkeypatch.setattr(decoder, "find_landmarks", find)
    return calls


def written(root, greys, features=None, **more):
    """Folder whose pictures are of one grey each, by kind."""
    pictures = {"true": [flat(grey) for grey in GREYS]} | {
        kind: [flat(g) for g in some] for kind, some in greys.items()
    }
    return read_reconstructions(write_reconstructions(root, TRUE, features, pictures, **more))


def row_of(report, metric, direction="f2f", control=None):
    found = [
        row
        for row in report.rows
        if (row.metric, row.direction, row.params.get("control")) == (metric, direction, control)
    ]
    assert len(found) == 1
    return found[0]


def test_landmark_errors_by_hand():
    """All points 3 px right and 4 px down: 5 px at an inter-ocular distance of 100; then only one point moves."""
    true = np.stack([points_of(0)] * 3)
    drawn = true + np.array([3, 4])
    drawn[1] = true[1]
    drawn[1, 8] += (0, 68)
    drawn[2] = np.nan
    error, rmse = landmark_errors(drawn, true)
    np.testing.assert_allclose(error, [5 / IOD, 1 / IOD, np.nan])
    np.testing.assert_allclose(rmse, [5, np.sqrt(68), np.nan])
    assert landmark_errors(true[:1] * 2, true[:1] * 2 + (5, 0))[0] == pytest.approx(5 / (2 * IOD))


def test_the_true_face_sets_the_measure():
    true, wide = points_of(0), points_of(0)
    wide[42:48] += (100, 0)
    there, back = (landmark_errors(a[None], b[None])[0][0] for a, b in ((wide, true), (true, wide)))
    assert there == pytest.approx(2 * back)


def test_cosines_by_hand():
    pairs = FeaturePairs(np.array([[2.0, 0], [1, 1], [0, 3], [-1, 0]]), np.array([[5.0, 0], [1, 0], [7, 0], [3, 0]]))
    np.testing.assert_allclose(cosines(pairs), [1, np.sqrt(0.5), 0, -1], atol=1e-12)


def test_a_perfect_decoder(tmp_path, seen):
    found = evaluate(written(tmp_path / "perfect", {}), None)
    wanted = {"feature_cosine": 1, "identity_rank1": 1, "image_l1": 0, "landmark_error": 0, "landmark_rmse_px": 0}
    assert {metric: row_of(found, metric).value for metric in wanted} == pytest.approx(wanted, abs=1e-9)
    assert row_of(found, "feature_cosine", "v2f").value == pytest.approx(1)
    assert row_of(found, "identity_rank1").chance == pytest.approx(1 / PEOPLE)
    assert {row.n for row in found.rows} == {PEOPLE}
    assert row_of(found, "identity_rank1", control="shuffled").value == 0
    assert row_of(found, "image_l1", control="shuffled").value > 0.1
    assert (found.protocol, seen) == ("decoder/1", [("starter", None)])


def test_figures_and_controls_by_hand(tmp_path, seen):
    """F2F 20 greys too bright, the mean face 110 for all, the nearest face always the first person's."""
    greys = {"f2f": [grey + 20 for grey in GREYS], "mean": [110] * 5, "nearest": [10] * 5}
    turned = np.roll(TRUE, 1, axis=0)
    features = {"f2f": 3 * turned, "mean": np.tile(TRUE[0], (5, 1)), "nearest": TRUE, "s2f": -TRUE, "6s": 2 * TRUE}
    found = evaluate(written(tmp_path / "by_hand", greys, features), None)
    moved = {None: 20, "mean": np.mean([100, 50, 0, 50, 100]), "nearest": np.mean([0, 50, 100, 150, 200])}
    for control, by in moved.items():
        assert row_of(found, "image_l1", control=control).value == pytest.approx(by / 255)
        assert row_of(found, "landmark_error", control=control).value == pytest.approx(by / 10 / IOD)
        assert row_of(found, "landmark_rmse_px", control=control).value == pytest.approx(by / 10)
    unit = TRUE / np.linalg.norm(TRUE, axis=1, keepdims=True)
    assert row_of(found, "feature_cosine").value == pytest.approx((unit * np.roll(unit, 1, axis=0)).sum(1).mean())
    assert row_of(found, "feature_cosine", control="mean").value == pytest.approx((unit @ unit[0]).mean())
    assert row_of(found, "feature_cosine", control="nearest").value == pytest.approx(1)
    assert row_of(found, "identity_rank1").value == 0
    assert row_of(found, "identity_rank1", control="mean").value == pytest.approx(1 / 5)
    assert row_of(found, "identity_rank1", control="nearest").value == 1
    kept = row_of(found, "feature_cosine", "v2f")
    assert (kept.value, kept.params["seconds"]) == (pytest.approx(-1), 6.0)
    assert row_of(found, "feature_cosine", "v2f", "shuffled").value > -0.9
    assert row_of(found, "landmark_error").params["std"] == pytest.approx(0, abs=1e-9)


def test_shuffled_pictures_are_another_persons(tmp_path, seen):
    """Nobody keeps their picture, each is given once: the mean differences are those of one of few deals."""
    row = row_of(evaluate(written(tmp_path / "deal", {}), None), "image_l1", control="shuffled")
    mean = row.value * 255
    assert mean >= 50 - 1e-3
    assert mean / 20 == pytest.approx(round(mean / 20), abs=1e-4)


def test_pictures_without_landmarks_are_counted_and_listed(tmp_path, seen):
    folder = written(tmp_path / "lost", {"f2f": [10, 255, 110, 160, 210], "mean": [255] * 5})
    (tmp_path / "out").mkdir()
    found = evaluate(folder, None, "dlib", tmp_path / "out")
    assert seen == [("dlib", tmp_path / "out")]
    row = row_of(found, "landmark_error")
    assert (row.value, row.n, row.params["landmarks"]) == (0, 4, "dlib")
    nobody = row_of(found, "landmark_error", control="mean")
    assert (nobody.value, nobody.ci_method, nobody.n) == (None, NOBODY, 0)
    assert "f2f: 1 pictures without landmarks, their pairs left out (1 no face)" in found.notes
    assert "mean: 5 pictures without landmarks, their pairs left out (5 no face)" in found.notes
    assert "true: pictures changed before landmarks were found (1 greyscale)" in found.notes
    with (tmp_path / "out" / "left_out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {"identity": "p001", "picture": "f2f/p001.png", "reason": "no face"}
    assert len(rows) == 6
    json.loads(found.json())


def test_views_that_are_not_canonical_are_named(tmp_path, seen):
    views = {"canonical": 0, "unknown": 1, "wild": 1}
    for view, count in views.items():
        folder = written(tmp_path / view, {}, people={"view": ["" if view == "unknown" else view] * PEOPLE})
        said = [
            note for note in evaluate(folder, None).notes if note.startswith(f"view of the true pictures: 5 {view}")
        ]
        assert len(said) == count


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    """Weights of an alexnet that no initialisation draws; not a trained network."""
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]), pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.Linear, "reset_parameters", lambda self: None)
        torch.manual_seed(0)
        fresh = models.alexnet(weights=None).state_dict()
    tensors = {
        name: 2 * value + 0.1 * torch.randn(value.shape, generator=generator) * (value.ndim == 1)
        for name, value in fresh.items()
        if name.startswith("features.")
    }
    path = tmp_path_factory.mktemp("backbone") / "alexnet.safetensors"
    save_file(tensors, path)
    return path


def test_lpips_with_a_backbone(tmp_path, seen, backbone):
    """0 for equal pictures, more for more noise; without a backbone a note says so."""
    base = [RANDOM.integers(60, 190, (64, 64, 3)).astype(np.uint8) for _ in range(PEOPLE)]
    noisy = {
        kind: [np.clip(one + RANDOM.normal(0, size, one.shape), 0, 255).astype(np.uint8) for one in base]
        for kind, size in (("nearest", 5), ("mean", 40))
    }
    folder = read_reconstructions(write_reconstructions(tmp_path / "noise", TRUE, None, {"true": base, **noisy}))
    found = evaluate(folder, backbone)
    none, some, much = (row_of(found, "lpips", control=control).value for control in (None, "nearest", "mean"))
    assert none == pytest.approx(0, abs=1e-6)
    assert 1e-4 < some < much
    assert NO_LPIPS not in found.notes
    without = evaluate(folder, None)
    assert NO_LPIPS in without.notes
    assert not any(row.metric == "lpips" for row in without.rows)


def test_command(tmp_path, seen, capsys, backbone):
    folder = written(tmp_path / "folder", {})
    parser = ArgumentParser(exit_on_error=False)
    command.add_arguments(parser)
    words = [str(folder.root), "--lpips", str(backbone), "--landmarks", "dlib-hog", "--out", str(tmp_path), "--json"]
    assert command.run(parser.parse_args(words)) == 0
    found = json.loads(capsys.readouterr().out)
    assert {row["metric"] for row in found["rows"]} >= {"lpips", "image_l1", "identity_rank1"}
    assert seen == [("dlib-hog", tmp_path)]
    with pytest.raises(CheckpointError, match="missing or damaged"):
        command.run(parser.parse_args([str(folder.root), "--lpips", str(tmp_path / "none.safetensors")]))


def test_missing_and_misfit_pieces_are_named(tmp_path, seen):
    folder = written(tmp_path / "pieces", {})
    Image.fromarray(flat(10, 16)).save(folder.picture("f2f", "p002"))
    with pytest.raises(ImageError, match=r"pictures of one size, 32 x 32 px.*16 x 16 px in .*p002"):
        evaluate(folder, None)
    (folder.features("f2f") / "voice.npy").unlink()
    with pytest.raises(DatasetError, match=r"with voice\.npy, got none at .*features_f2f"):
        evaluate(folder, None)
    folder.picture("s2f", "p001").unlink()
    with pytest.raises(DatasetError, match=r"1 missing, .*p001"):
        read_reconstructions(folder.root)
