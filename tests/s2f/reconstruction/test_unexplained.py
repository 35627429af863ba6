"""What the voice leaves open: the Gaussian against known ones, shares against hand-computed cases, the command."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

import s2f
from s2f.checkpoints.loading import load_network
from s2f.checkpoints.provenance import Provenance, SampleProvenance
from s2f.cli import main
from s2f.datasets import DatasetFolder
from s2f.errors import CheckpointError, DatasetError, UsageError
from s2f.reconstruction.fit_unexplained import (
    HeldOut,
    explained_share,
    fit_slope,
    held_out_features,
    shares,
    within,
)
from s2f.reconstruction.pipeline import Speech2FacePipeline
from s2f.reconstruction.unexplained import UnexplainedVariation, decoder_scale

SIZE, RANK = 12, 3


@pytest.fixture(scope="module")
def known():
    """Mean (D,), covariance (D, D) of rank 3 and 50,000 residuals drawn from them with numpy."""
    random = np.random.default_rng(0)
    factor, mean = random.normal(size=(SIZE, RANK)), random.normal(size=SIZE)
    residuals = random.normal(size=(50_000, RANK)) @ factor.T + mean
    return mean, factor @ factor.T, torch.from_numpy(residuals)


def test_fit_recovers_a_known_gaussian(known):
    mean, covariance, residuals = known
    model = UnexplainedVariation.fit(residuals, RANK)
    np.testing.assert_allclose(model.mean, mean, atol=0.03)
    np.testing.assert_allclose(model.factor @ model.factor.T, covariance, atol=0.02 * np.abs(covariance).max())
    np.testing.assert_allclose(model.factor @ model.factor.T, np.cov(residuals.numpy().T), atol=1e-4)


def test_lower_rank_keeps_the_largest_directions(known):
    _, covariance, residuals = known
    values, vectors = np.linalg.eigh(np.cov(residuals.numpy().T))
    model = UnexplainedVariation.fit(residuals, 1)
    best = values[-1] * np.outer(vectors[:, -1], vectors[:, -1])
    np.testing.assert_allclose(model.factor @ model.factor.T, best, atol=1e-4)
    assert np.trace(best) < np.trace(covariance)


def test_draws_have_the_fitted_distribution(known):
    mean, covariance, residuals = known
    model = UnexplainedVariation.fit(residuals, RANK, slope=0.5)
    predicted = torch.randn(1, SIZE, generator=torch.Generator().manual_seed(1))
    draws = model(predicted, 20_000, [torch.Generator().manual_seed(2)])[0].numpy()
    np.testing.assert_allclose(draws.mean(0), mean + 0.5 * predicted[0].numpy(), atol=0.06)
    np.testing.assert_allclose(np.cov(draws.T), covariance, atol=0.05 * np.abs(covariance).max())


def test_draws_depend_on_seed_and_clip_alone(known):
    model = UnexplainedVariation.fit(known[2], RANK)
    predicted = torch.randn(3, SIZE)

    def draw(features, count, *seeds):
        return model(features, count, [torch.Generator().manual_seed(seed) for seed in seeds])

    three = draw(predicted, 4, 7, 8, 9)
    assert three.shape == (3, 4, SIZE)
    torch.testing.assert_close(draw(predicted[1:2], 2, 8), three[1:2, :2])
    assert torch.equal(draw(predicted, 4, 7, 8, 9), three)
    assert not torch.allclose(draw(predicted, 4, 7, 8, 10)[2], three[2])
    assert (three[:, 0] - three[:, 1]).abs().max() > 0.01


@pytest.mark.parametrize("rank", [0, 5, 6])
def test_rank_out_of_range(rank):
    with pytest.raises(UsageError, match=f"expected a rank of 1 to 4 for 5 people, got {rank}; "):
        UnexplainedVariation.fit(torch.randn(5, 9), rank)


def test_round_trip(known, tmp_path):
    model = UnexplainedVariation.fit(known[2], RANK, slope=0.123456789)
    model.save_pretrained(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "diffusion_pytorch_model.safetensors"]
    loaded = load_network(UnexplainedVariation, tmp_path)
    assert (loaded.config.slope, loaded.embedding_dim) == (0.123456789, SIZE)
    assert torch.equal(loaded.mean, model.mean)
    assert torch.equal(loaded.factor, model.factor)


def test_scale_is_the_decoders(tiny_pipeline):
    feature = torch.tensor([[3.0, 0, 4, 0]])
    assert decoder_scale(feature, False) is feature
    torch.testing.assert_close(decoder_scale(feature, True), torch.tensor([[1.2, 0, 1.6, 0]]))
    normalizing = s2f.NormalizedFaceDecoder(
        16, 8, (4,), base_channels=4, texture_channels=(4,), image_size_px=8, warp_grid=4, normalize_feature=True
    ).eval()
    feature = torch.randn(2, 16)
    pictures = [normalizing(x).image for x in (feature, decoder_scale(feature, True))]
    torch.testing.assert_close(*pictures)


def test_provenance_names_the_draw():
    text = SampleProvenance("starter", "0123", seed=7, number=2, samples=4).text()
    assert text["sample"] == "a draw of what the voice does not determine (sample 2 of 4, seed 7)"
    assert {**text, "sample": ""} == {**Provenance("starter", "0123", seed=7).text(), "sample": ""}


# --- how much the voice explains --------------------------------------------------------------------------------------


def test_slope_and_share_of_hand_computed_cases():
    all_of = np.zeros(4)
    face = np.array([[0.0, 5], [2, 5], [0, 5], [2, 5]])
    voice = np.array([[0.0, 0], [4, 0], [0, 0], [4, 0]])
    assert fit_slope(within(face, all_of), within(voice, all_of)) == 0.5
    assert explained_share(face, voice, all_of) == 1
    assert explained_share(face, -voice, all_of) == 0  # never the wrong way round
    assert explained_share(face, 0 * voice, all_of) == 0
    assert explained_share(face, voice[::-1], np.array(["a", "a", "b", "b"])) == 0
    noisy = face + np.array([[1, 0], [1, 0], [-1, 0], [-1, 0]])  # half of the variance is the voice's
    assert explained_share(noisy, voice, all_of) == pytest.approx(0.5)
    assert explained_share(noisy, voice, np.array([0, 0, 1, 1])) == pytest.approx(1)
    assert math.isnan(explained_share(0 * face, voice, all_of))


def test_share_is_the_squared_correlation_of_scipy():
    from scipy.stats import linregress

    random = np.random.default_rng(1)
    predicted = random.normal(size=200)
    face = predicted + random.normal(size=200)
    line = linregress(predicted, face)
    a, b = face[:, None], predicted[:, None]
    assert fit_slope(a - a.mean(), b - b.mean()) == pytest.approx(line.slope)
    assert explained_share(a, b, np.zeros(200)) == pytest.approx(line.rvalue**2)


def people_with(link_within, count=300):
    """Faces that differ by gender, and within gender follow the prediction with a weight."""
    random = np.random.default_rng(2)
    gender = np.array(["f", "m"] * (count // 2))
    offset = 3.0 * (gender == "m")[:, None] * np.eye(6)[0]
    voice = random.normal(size=(count, 6))
    face = offset + link_within * voice + random.normal(size=(count, 6))
    return HeldOut(face, offset + voice, gender, np.arange(count).astype(str))


def test_gender_alone_explains_nothing_within_gender():
    found = shares(people_with(0.0), repeats=60)
    assert found["U"]["value"] > 0.05
    assert found["U"]["ci_low"] < found["U"]["value"] < found["U"]["ci_high"]
    assert max(found[group]["value"] for group in ("G", "f", "m")) < 0.01
    assert max(abs(row["shuffled"]) for row in found.values()) < 0.02
    assert [found[group]["n"] for group in ("U", "G", "f", "m")] == [300, 300, 150, 150]


def test_a_link_within_gender_is_seen():
    found = shares(people_with(1.0), repeats=60)
    assert found["G"]["value"] == pytest.approx(0.5, abs=0.06)
    assert found["G"]["ci_low"] > 0.4
    assert abs(found["G"]["shuffled"]) < 0.02


def test_held_out_features_equal_the_networks_called_by_hand(tiny_pipeline, tiny_dataset):
    data = DatasetFolder(tiny_dataset)
    people = held_out_features(tiny_pipeline, data, "train")
    assert people.face.shape == people.predicted.shape == (6, 16)
    assert people.gender.tolist() == list("fmfmfm")
    first = data.identities("train")[0]
    pictures = [Image.open(tiny_dataset / "faces" / f"{first}_{view}.png") for view in ("canonical", "wild")]
    features = tiny_pipeline.reconstruct_from_face(pictures).face_features
    direction = torch.nn.functional.normalize(features, dim=1).mean(0)
    expected = direction / direction.norm() * features.norm(dim=1).mean()
    np.testing.assert_allclose(people.face[0], expected, rtol=1e-2, atol=1e-2)  # pictures rounded to bytes there
    heard = tiny_pipeline(tiny_dataset / f"{first}.wav").face_features[0]
    np.testing.assert_allclose(people.predicted[0], heard, rtol=1e-4, atol=1e-5)
    with pytest.raises(DatasetError, match="three people with voice and face in val, got 2"):
        held_out_features(tiny_pipeline, data, "val")


# --- the command ------------------------------------------------------------------------------------------------------


COMMAND = ["weights", "fit-unexplained"]


def test_command_adds_the_part(tiny_checkpoint, tiny_dataset, capsys):
    before = json.loads((tiny_checkpoint / "model_index.json").read_text())
    words = [*COMMAND, str(tiny_checkpoint), str(tiny_dataset), "--split", "train", "--rank", "2"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "6 people, 6 speakers of train" in printed
    assert "within gender" in printed
    index = json.loads((tiny_checkpoint / "model_index.json").read_text())
    assert index == before | {"unexplained": ["s2f", "UnexplainedVariation"]}
    assert not list(tiny_checkpoint.glob("*.partial"))
    pipeline = Speech2FacePipeline.from_pretrained(tiny_checkpoint)
    assert pipeline.unexplained.config.rank == 2
    people = held_out_features(pipeline, DatasetFolder(tiny_dataset), "train")
    residuals = people.face - pipeline.unexplained.config.slope * people.predicted
    np.testing.assert_allclose(pipeline.unexplained.mean, residuals.mean(0), atol=1e-5)
    weights = (tiny_checkpoint / "unexplained" / "diffusion_pytorch_model.safetensors").read_bytes()
    assert main(words) == 0  # fitting again replaces it with the same
    assert (tiny_checkpoint / "unexplained" / "diffusion_pytorch_model.safetensors").read_bytes() == weights


def test_command_refuses_and_leaves_the_folder_alone(tiny_checkpoint, tiny_dataset, capsys):
    index = (tiny_checkpoint / "model_index.json").read_bytes()
    common = [str(tiny_checkpoint), str(tiny_dataset), "--split", "train"]
    for words, message in (
        ([*common, "--rank", "6"], "expected a rank of 1 to 5 for 6 people, got 6"),
        ([*common, "--rank", "many"], "rank"),
        ([*common[:2], "--split", "val"], "three people"),
        ([str(tiny_dataset), str(tiny_dataset)], "model_index.json"),
    ):
        assert main([*COMMAND, *words]) == 2
        assert message in capsys.readouterr().err
    assert (tiny_checkpoint / "model_index.json").read_bytes() == index
    assert not (tiny_checkpoint / "unexplained").exists()


# --- the pipeline -----------------------------------------------------------------------------------------------------


def tone(hz, seconds=6.0):
    t = np.arange(round(seconds * 16000)) / 16000
    return (0.3 * np.sin(2 * np.pi * hz * t)).astype(np.float32), 16000


def pixels(images):
    return np.stack([np.asarray(image) for image in images]).astype(int)


@pytest.fixture(scope="module")
def varying(tiny_pipeline):
    """The tiny pipeline with a part that varies a lot."""
    random = torch.Generator().manual_seed(3)
    model = UnexplainedVariation.fit(2 * torch.randn(50, 16, generator=random), 4, slope=0.8)
    parts = (tiny_pipeline.voice_encoder, tiny_pipeline.face_encoder, tiny_pipeline.decoder)
    return Speech2FacePipeline(*parts, model)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def test_samples_leave_the_faces_as_they_are(varying, tiny_pipeline):
    clips = [tone(100), tone(180), tone(260)]
    plain = tiny_pipeline(clips)
    assert plain.samples == [[], [], []]
    out = varying(clips, samples=2, generator=seeded(0))
    assert torch.equal(out.face_features, plain.face_features)
    np.testing.assert_array_equal(pixels(out.images), pixels(plain.images))
    assert [len(samples) for samples in out.samples] == [2, 2, 2]
    assert all(np.abs(pixels([a]) - pixels([b])).max() > 2 for a, b in (out.samples[0], out.samples[2]))


def test_samples_equal_the_parts_called_by_hand(varying):
    out = varying(tone(120), samples=3, generator=seeded(5))
    drawn = varying.unexplained(out.face_features, 3, [seeded(5)])[0]
    with torch.no_grad():
        expected = varying.decoder(drawn).image.permute(0, 2, 3, 1).numpy() * 255
    np.testing.assert_allclose(pixels(out.samples[0]), expected, atol=0.51)


def test_samples_depend_on_seed_and_not_on_batches(varying):
    clips = [tone(100), tone(200)]
    first = varying(clips, samples=3, generator=[seeded(1), seeded(1)])
    again = varying(clips, samples=3, generator=[seeded(1), seeded(1)], batch_size=1)
    alone = varying(clips[1], samples=2, generator=seeded(1))
    other = varying(clips, samples=3, generator=[seeded(1), seeded(2)])
    for a, b in zip(first.samples, again.samples, strict=True):
        assert np.abs(pixels(a) - pixels(b)).max() <= 1
    assert np.abs(pixels(alone.samples[0]) - pixels(first.samples[1][:2])).max() <= 1
    assert np.abs(pixels(other.samples[1]) - pixels(first.samples[1])).max() > 2


def test_samples_are_refused_where_they_cannot_be_drawn(varying, tiny_pipeline):
    with pytest.raises(
        CheckpointError, match=r"expected a checkpoint with the part `unexplained`.*got one without it; fit"
    ):
        tiny_pipeline(tone(100), samples=1)
    with pytest.raises(UsageError, match="samples=-1"):
        varying(tone(100), samples=-1)
    with pytest.raises(UsageError, match="2 generators for 1 faces"):
        varying(tone(100), samples=1, generator=[seeded(0), seeded(1)])


def test_pipeline_round_trip_with_the_part(varying, tmp_path):
    varying.save_pretrained(tmp_path / "whole")
    index = json.loads((tmp_path / "whole" / "model_index.json").read_text())
    assert index["unexplained"] == ["s2f", "UnexplainedVariation"]
    loaded = Speech2FacePipeline.from_pretrained(tmp_path / "whole")
    a, b = (pipeline(tone(90), samples=2, generator=seeded(4)) for pipeline in (varying, loaded))
    np.testing.assert_array_equal(pixels(a.samples[0]), pixels(b.samples[0]))


def test_part_of_another_size_is_refused(tiny_pipeline):
    parts = (tiny_pipeline.voice_encoder, tiny_pipeline.face_encoder, tiny_pipeline.decoder)
    with pytest.raises(CheckpointError, match="unexplained 9"):
        Speech2FacePipeline(*parts, UnexplainedVariation(9, 2))


def test_draws_reach_a_normalizing_decoder_at_its_scale(tiny_pipeline):
    decoder = s2f.NormalizedFaceDecoder(
        16, 8, (4,), base_channels=4, texture_channels=(4,), image_size_px=8, warp_grid=4, normalize_feature=True
    ).eval()
    model = UnexplainedVariation.fit(torch.randn(40, 16), 4, slope=0.5)
    pipeline = Speech2FacePipeline(tiny_pipeline.voice_encoder, tiny_pipeline.face_encoder, decoder, model)
    out = pipeline(tone(100), samples=1, generator=seeded(0))
    unit = out.face_features / out.face_features.norm() * math.sqrt(16)
    with torch.no_grad():
        expected = decoder(model(unit, 1, [seeded(0)])[0]).image[0].permute(1, 2, 0).numpy() * 255
    np.testing.assert_allclose(pixels(out.samples[0])[0], expected, atol=0.51)
