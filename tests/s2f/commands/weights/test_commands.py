"""`s2f weights`: the commands, what they print and how they refuse."""

import copy
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import s2f
from s2f import cli
from s2f.checkpoints.hashes import write_manifest
from s2f.checkpoints.model_card import CardFacts
from s2f.errors import CheckpointError
from s2f.weights.verify import verify
from tests.s2f.weights.networks.test_ir_resnet import saved, state_of


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    return saved(state_of((4, 4, 6, 8), squeeze=False), tmp_path_factory.mktemp("files") / "ir50.pth")


def test_import_describes_what_it_did(run, published, tmp_path):
    out = tmp_path / "ir50"
    code, said, _ = run("weights", "import", "ir50", published, "-o", out, "--channel-order", "bgr")
    assert code == 0
    assert "changed: input channels of the first convolution reversed from BGR to RGB" in said
    assert said.rstrip().endswith("whole")
    record = json.loads((out / "source.json").read_text())
    assert record["sha256"] in said
    assert (record["kind"], record["channel_order"], record["file"]) == ("ir50", "bgr", "ir50.pth")
    card = (out / "README.md").read_text()
    for words in ("license: other", "ir50.pth", record["sha256"], "BGR", "`image_mean` [127.5, 127.5, 127.5]"):
        assert words in card
    assert verify(out).ok
    assert run("weights", "verify", out)[0] == 0


def test_import_twice_makes_the_same_files(run, published, tmp_path):
    for name in ("a", "b"):
        assert run("weights", "import", "ir50", published, "-o", tmp_path / name, "--channel_order", "rgb")[0] == 0
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == ["README.md", "SHA256SUMS", "config.json", "diffusion_pytorch_model.safetensors", "source.json"]
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def refused(capsys, *words):
    """One sentence on standard error, exit code 2."""
    code = cli.main([str(word) for word in words])
    out, err = capsys.readouterr()
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("s2f weights: error: ")
    return err


def test_refusals(published, tmp_path, capsys):
    out = tmp_path / "out"
    assert "'ir50', 'fast_resnet'" in refused(capsys, "weights", "import", "resnet", published, "-o", out)
    assert "SHA-256 00ff" in refused(
        capsys, "weights", "import", "ir50", published, "-o", out, "--channel_order", "rgb", "--sha256", "00FF"
    )
    assert "--channel_order rgb or bgr" in refused(capsys, "weights", "import", "ir50", published, "-o", out)
    assert "a channel order for networks of pictures" in refused(
        capsys, "weights", "import", "vggvox", a_voice(tmp_path), "-o", out, "--channel_order", "rgb"
    )
    assert "a reference for a network of pictures" in refused(
        capsys, "weights", "import", "vggvox", a_voice(tmp_path), "-o", out, "--reference", tmp_path
    )
    assert "did you mean reference?" in refused(
        capsys, "weights", "import", "ir50", published, "-o", out, "--refrence", "x"
    )
    assert "does not exist yet" in refused(capsys, "weights", "import", "ir50", published, "-o", tmp_path)
    assert "expected" in refused(capsys, "weights", "import", "ir_se50", published, "-o", out)
    assert not out.exists()
    assert not list(tmp_path.glob("*.partial"))


def a_voice(tmp_path):
    from tests.s2f.weights.file_writers import write_simplenn
    from tests.s2f.weights.networks.test_vgg_m import VOICE, simple_layers, stream_params

    write_simplenn(tmp_path / "voice.mat", simple_layers(stream_params(VOICE, 5, 1, normed=False)), {}, "net")
    return tmp_path / "voice.mat"


def test_help_lists_the_commands_and_the_kinds(run):
    assert "publish a checkpoint" in run("weights", "--help")[1]
    said = " ".join(run("weights", "import", "--help")[1].split())
    assert "vgg_face_caffe: VGG_FACE.caffemodel (Caffe)" in said
    assert run("weights")[0] == 2


def test_verify_answers_no(run, tiny_checkpoint):
    (tiny_checkpoint / "extra").touch()
    code, said, _ = run("weights", "verify", tiny_checkpoint, "--json")
    assert code == 1
    assert json.loads(said)["faults"] == ["extra is not listed"]


def test_card_and_push(run, tiny_checkpoint, finished_run, tmp_path):
    code, said, _ = run("weights", "card", tiny_checkpoint, "--license", "other", "--run", finished_run, "--title", "T")
    assert code == 0
    assert said.strip() == str(tiny_checkpoint / "README.md")
    code, said, _ = run("weights", "push", tiny_checkpoint, "--to_folder", tmp_path / "public")
    assert code == 0
    assert verify(tmp_path / "public").ok


def test_networks_that_cannot_be_loaded_are_neither_described_nor_published(
    run, tiny_checkpoint, tiny_pipeline, finished_run, tmp_path
):
    path = tiny_checkpoint / "decoder" / "diffusion_pytorch_model.safetensors"
    state = load_file(path)
    name = next(iter(state))
    save_file(state | {name: torch.full_like(state[name], torch.nan)}, path, {"format": "pt"})
    write_manifest(tiny_checkpoint)
    for words in (["card", tiny_checkpoint, "--license", "other", "--run", finished_run], ["push", tiny_checkpoint]):
        code, _, said = run("weights", *words, *(["--to_folder", tmp_path / "public"] if words[0] == "push" else []))
        assert code == 2
        assert f"NaN or infinite values in {name}" in said
    broken = copy.deepcopy(tiny_pipeline.decoder)
    torch.nn.init.constant_(next(broken.parameters()), torch.nan)
    pipeline = s2f.Speech2FacePipeline(tiny_pipeline.voice_encoder, tiny_pipeline.face_encoder, broken)
    with pytest.raises(CheckpointError, match="NaN or infinite"):
        pipeline.push_to_hub(to_folder=tmp_path / "public", card=CardFacts("other", str(finished_run)))
    assert not (tmp_path / "public").exists()


@pytest.mark.slow
def test_export(run, tmp_path, tiny_checkpoint):
    code, said, _ = run("weights", "export", tiny_checkpoint / "face_encoder", "-o", tmp_path / "onnx")
    assert code == 0
    assert "network.onnx: image (batch, 3, 32, 32) RGB in [0, 1] -> feature (batch, 16)" in said
    assert (tmp_path / "onnx" / "network.onnx").stat().st_size > 1000


def test_an_interrupted_import_leaves_nothing(published, tmp_path, monkeypatch):
    from s2f.weights import convert

    def stop(folder):
        raise KeyboardInterrupt

    monkeypatch.setattr(convert, "write_manifest", stop)
    with pytest.raises(KeyboardInterrupt):
        convert.import_weights("ir50", published, tmp_path / "out", "rgb")
    assert not (tmp_path / "out").exists()


def test_half_precision_files_become_float32(published, tmp_path):
    from s2f.checkpoints.encoders import load_face_encoder
    from s2f.weights.convert import import_weights

    state = torch.load(published, weights_only=True)
    torch.save({name: value.half() for name, value in state.items()}, tmp_path / "half.pth")
    import_weights("ir50", published, tmp_path / "whole", "rgb")
    source = import_weights("ir50", tmp_path / "half.pth", tmp_path / "half", reference=tmp_path / "whole")
    assert source.channel_order == "rgb"
    encoder = load_face_encoder(tmp_path / "half")
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.float32}
    kernel = encoder.input_layer[0].weight.detach().numpy()
    assert np.array_equal(kernel, state["input_layer.0.weight"].half().float().numpy())
