"""ONNX files in onnxruntime against PyTorch: three clip lengths, two batches, and what the file says of itself."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import s2f
from encoders.voice.fast_resnet import FastResNetSE34L
from encoders.voice.vgg_m import VGGMVoice
from s2f.errors import CheckpointError, OutputError
from s2f.weights import onnx_export
from s2f.weights.onnx_export import export_onnx
from s2f.weights.onnx_operators import TRANSLATIONS

BATCHES, SECONDS = (1, 3), (2.605, 3.9, 6.0)


@pytest.fixture(scope="module")
def exported(tiny_pipeline, tmp_path_factory):
    folder = tmp_path_factory.mktemp("onnx")
    tiny_pipeline.save_pretrained(folder / "tiny")
    return folder / "onnx", export_onnx(folder / "tiny", folder / "onnx")


def session(path):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def worst(path, name, module, inputs):
    """Largest difference of the first output over several inputs."""
    run, found = session(path), 0.0
    for given in inputs:
        with torch.inference_mode():
            expected = module(given)
        found = max(found, float(np.abs(run.run(None, {name: given.numpy()})[0] - expected.numpy()).max()))
    return found


def clips(rate, seconds=SECONDS):
    random = torch.Generator().manual_seed(1)
    return [0.2 * torch.randn(batch, round(rate * length), generator=random) for batch in BATCHES for length in seconds]


def test_the_smallest_network(tiny_pipeline, tmp_path):
    tiny_pipeline.face_encoder.save_pretrained(tmp_path / "one")
    (found,) = export_onnx(tmp_path / "one", tmp_path / "onnx")
    assert found.agrees
    pictures = [torch.rand(batch, 3, 32, 32) for batch in BATCHES]
    features = tiny_pipeline.face_encoder.features
    assert worst(tmp_path / "onnx" / found.file, "image", features, pictures) <= 1e-4


@pytest.mark.slow
def test_the_voice_encoder_at_any_length(exported, tiny_pipeline):
    folder, _ = exported
    encoder = tiny_pipeline.voice_encoder
    assert worst(folder / "voice_encoder.onnx", "waveform", encoder.encode, clips(16000)) <= 1e-4


@pytest.mark.slow
def test_the_face_encoder(exported, tiny_pipeline):
    folder, _ = exported
    pictures = [torch.rand(batch, 3, 32, 32) for batch in BATCHES]
    assert worst(folder / "face_encoder.onnx", "image", tiny_pipeline.face_encoder.features, pictures) <= 1e-4


@pytest.mark.slow
def test_the_decoder_warps_as_pytorch_does(exported, tiny_pipeline):
    """Landmarks move by several of 32 pixels, so that the spline matters."""
    folder, _ = exported
    decoder = tiny_pipeline.decoder
    features = [torch.randn(batch, 16, generator=torch.Generator().manual_seed(batch)) for batch in BATCHES]
    with torch.inference_mode():
        moved = (decoder(features[1]).landmarks - decoder.mean_landmarks).abs().max()
    assert moved > 3
    assert worst(folder / "decoder.onnx", "feature", lambda f: decoder(f).image, features) <= 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(
    "encoder",
    [
        FastResNetSE34L(filters=(8,) * 4, blocks=(1, 1, 1, 1), feature_size=6),
        VGGMVoice(channels=(3,) * 5, fc_sizes=(6, 5)),
    ],
    ids=lambda encoder: type(encoder).__name__,
)
def test_other_front_ends(encoder, tmp_path):
    """Log mel bands with a Hamming window; mirrored magnitudes after a filter that runs through the clip."""
    encoder.eval().save_pretrained(tmp_path / "one")
    (found,) = export_onnx(tmp_path / "one", tmp_path / "onnx")
    assert found.file == "network.onnx"
    assert worst(tmp_path / "onnx" / "network.onnx", "waveform", encoder.encode, clips(16000, (1.1, 2.0))) <= 1e-4


class Solve(torch.nn.Module):
    def forward(self, a, b):
        return torch.linalg.solve_ex(a, b).result + 0


@pytest.mark.slow
def test_linear_systems(tmp_path):
    """Against numpy; a permutation has nothing but zeros where elimination without pivots would divide."""
    free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC}
    program = torch.onnx.export(
        Solve().eval(),
        (torch.randn(2, 7, 7).double(), torch.randn(2, 7, 2).double()),
        dynamo=True,
        input_names=["a", "b"],
        dynamic_shapes={"a": free, "b": free},
        custom_translation_table=TRANSLATIONS,
        verbose=False,
    )
    program.save(str(tmp_path / "solve.onnx"))
    run, random = session(tmp_path / "solve.onnx"), np.random.default_rng(0)
    for size in (1, 5, 40):
        a, b = random.normal(size=(3, size, size)), random.normal(size=(3, size, 2))
        a[1] = np.roll(np.eye(size), 1, axis=0)
        found = run.run(None, {"a": a, "b": b})[0]
        np.testing.assert_allclose(found, np.linalg.solve(a, b), rtol=1e-9, atol=1e-9)


@pytest.mark.slow
def test_a_file_says_what_it_takes(exported):
    folder, found = exported
    assert {file.name for file in found} == {"voice_encoder", "face_encoder", "decoder"}
    assert all(file.agrees for file in found)
    assert {name for file in found for name, _, _ in file.differences} == {"feature", "image", "landmarks"}
    assert all(0 < worst <= 1e-4 for file in found for _, worst, _ in file.differences)
    for file in found:
        model = onnx.load(folder / file.file)
        onnx.checker.check_model(model)
        facts = json.loads({prop.key: prop.value for prop in model.metadata_props}["s2f"])
        assert len(facts["weights_sha256"]) == 16
        assert list(facts["inputs"]) == [value.name for value in model.graph.input]
        assert list(facts["outputs"]) == [value.name for value in model.graph.output]
        assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param, "the batch is free"
    voice = onnx.load(folder / "voice_encoder.onnx")
    assert voice.graph.input[0].type.tensor_type.shape.dim[1].dim_param, "so is the length"
    facts = json.loads({prop.key: prop.value for prop in voice.metadata_props}["s2f"])
    assert (facts["sample_rate_hz"], round(facts["min_seconds"], 3)) == (16000, 2.605)
    assert {node.domain for node in voice.graph.node} == {""}, "standard operators alone"


def test_refusals(tiny_checkpoint, tmp_path, monkeypatch):
    with pytest.raises(OutputError, match="does not exist yet"):
        export_onnx(tiny_checkpoint, tmp_path)
    s2f.UnexplainedVariation(4, 2).save_pretrained(tmp_path / "unexplained")
    with pytest.raises(CheckpointError, match="a voice encoder, a face encoder or a decoder"):
        export_onnx(tmp_path / "unexplained", tmp_path / "out")
    found = (("feature", 1e-3, 100.0), ("image", 0.5, 1.0))  # the first is small beside its values
    monkeypatch.setattr(onnx_export, "_compare", lambda path, graph: found)
    with pytest.raises(CheckpointError, match=r"within 0\.0001 of PyTorch, got differences of .*0\.5 \(image\)"):
        export_onnx(tiny_checkpoint / "face_encoder", tmp_path / "out")
    assert not (tmp_path / "out").exists()
