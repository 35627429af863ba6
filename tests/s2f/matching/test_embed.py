"""The embeddings folder: rows equal the model's own, interrupted calls go on, unusable files are said."""

import csv
import json
import shutil

import numpy as np
import pytest
import torch

from s2f.cli import main
from s2f.datasets import DatasetFolder
from s2f.errors import OutputError
from s2f.faces.images import load_image
from s2f.matching import embed as embedding
from s2f.matching.model import MatchingModel
from s2f.training.matching.task import MatchingArguments, build_model
from tests.s2f.training.matching_runs import KIM, SHARED, SVHF


def checkpoint(folder, recipe, **options):
    """Write an untrained model; returns its folder."""
    torch.manual_seed(0)
    build_model(MatchingArguments(**SHARED, **(recipe | options), data="", output_dir="")).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def kim(tmp_path_factory):
    return checkpoint(tmp_path_factory.mktemp("kim") / "model", KIM, voice_seconds=2.0)


def table(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_rows_are_the_models_own_in_the_order_of_the_tables(kim, tiny_dataset, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["embed", str(kim), str(tiny_dataset), "-o", str(out), "--split", "train"]) == 0
    assert "6 voices and 12 faces, compared by l2; 0 unusable" in capsys.readouterr().out
    data, model = DatasetFolder(tiny_dataset), MatchingModel.from_pretrained(kim)
    voice, face = np.load(out / "voice.npy"), np.load(out / "face.npy")
    assert (voice.dtype, voice.shape, face.shape) == (np.float32, (6, 128), (12, 128))
    rows = table(out / "voice.csv")
    assert [row["identity"] for row in rows] == [f"id{k}" for k in range(6)]
    assert [row["gender"] for row in rows] == list("fmfmfm")
    for number, row in enumerate(data.voices("train")):
        waveform = torch.from_numpy(data.voice(row, 22050))[None, : 2 * 22050]
        assert np.allclose(voice[number], model.embed_voice(waveform, 22050)[0], atol=1e-6)
    for number, row in enumerate(table(out / "face.csv")):
        image = model.face_encoder.prepare(load_image(data.root / row["path"])[None])
        assert np.allclose(face[number], model.embed_face(image)[0], atol=1e-6)
    about = json.loads((out / "embeddings.json").read_text())
    assert (about["metric"], about["split"], about["split_hash"]) == ("l2", "train", data.split_hash)
    assert set(about["weights_sha256"]) == {"voice_encoder", "face_encoder", "head"}
    assert sorted(path.name for path in out.iterdir()) == [
        "embeddings.json", "face.csv", "face.npy", "voice.csv", "voice.npy",
    ]  # fmt: skip


def test_an_interrupted_call_goes_on_and_ends_with_the_same_bytes(kim, tiny_dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(embedding, "CHUNK", 2)
    data, model = DatasetFolder(tiny_dataset), MatchingModel.from_pretrained(kim)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    embedding.write_embeddings(model, kim, data, "train", whole)
    seen, embed = [], model.embed_face

    def stops(image, dynamic=None):
        seen.append(1)
        if len(seen) == 6:
            raise KeyboardInterrupt
        return embed(image, dynamic)

    monkeypatch.setattr(model, "embed_face", stops)
    with pytest.raises(KeyboardInterrupt):
        embedding.write_embeddings(model, kim, data, "train", parts)
    assert not parts.exists()
    embedding.write_embeddings(model, kim, data, "train", parts)
    assert len(seen) == 6 + 12 - 4  # four faces were finished before
    for path in whole.iterdir():
        assert path.read_bytes() == (parts / path.name).read_bytes(), path.name
    with pytest.raises(OutputError, match="a new folder"):
        embedding.write_embeddings(model, kim, data, "train", parts)


def test_a_device_or_checkpoint_that_is_none_is_refused(kim, tiny_dataset, tmp_path, capsys):
    words = [str(tiny_dataset), "-o", str(tmp_path / "out")]
    assert main(["embed", str(kim), *words, "--device", "tpu7"]) == 2
    assert "a device of this machine" in capsys.readouterr().err
    assert main(["embed", "starter", *words]) == 2
    assert "a checkpoint of train_matching.py, got Speech2FacePipeline" in capsys.readouterr().err


def test_an_unfinished_folder_of_another_model_is_refused(kim, tiny_dataset, tmp_path):
    data, out = DatasetFolder(tiny_dataset), tmp_path / "out"
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "progress.json").write_text('{"about": {"metric": "cosine"}}')
    with pytest.raises(OutputError, match="of the same model and data, got one of another; remove it"):
        embedding.write_embeddings(MatchingModel.from_pretrained(kim), kim, data, "train", out)


def test_unusable_files_stop_it_or_are_left_out_and_listed(kim, tiny_dataset, tmp_path, capsys):
    folder = tmp_path / "data"
    shutil.copytree(tiny_dataset, folder)
    (folder / "id1.wav").write_bytes(b"no sound")
    (folder / "faces" / "id2_wild.png").write_bytes(b"no picture")
    words = ["embed", str(kim), str(folder), "-o", str(tmp_path / "out"), "--split", "train"]
    assert main(words) == 2
    assert "id1.wav" in capsys.readouterr().err
    assert main([*words, "--skip_bad"]) == 0
    assert "5 voices and 11 faces" in capsys.readouterr().out
    assert [row["identity"] for row in table(tmp_path / "out" / "voice.csv")] == ["id0", "id2", "id3", "id4", "id5"]
    assert np.isfinite(np.load(tmp_path / "out" / "voice.npy")).all()
    about = json.loads((tmp_path / "out" / "embeddings.json").read_text())
    assert "id1.wav" in about["voice"]["left_out"][0]
    assert "id2_wild.png" in about["face"]["left_out"][0]


def test_a_joint_scorer_writes_the_features_that_its_head_scores(tiny_dataset, tmp_path):
    folder = checkpoint(tmp_path / "model", SVHF)
    model, data = MatchingModel.from_pretrained(folder), DatasetFolder(tiny_dataset)
    about = embedding.write_embeddings(model, folder, data, "test", tmp_path / "out")
    assert about["metric"] == "joint"
    voice, face = (torch.from_numpy(np.load(tmp_path / "out" / f"{name}.npy")) for name in ("voice", "face"))
    images = torch.cat([model.face_encoder.prepare(load_image(data.path(row))[None]) for row in data.faces("test")])
    clip = model.heard(data.voice(data.voices("test")[0], 16000))
    with torch.inference_mode():
        scores = model.head.scores(voice[:1, None], face[None, :2])
    assert torch.allclose(scores, model.score(clip, images[None], 16000), atol=1e-6)


def test_too_short_a_clip_is_repeated(kim):
    model = MatchingModel.from_pretrained(kim)
    clip = model.heard(np.arange(3, dtype=np.float32))
    assert clip.shape == (1, 2 * 22050)
    assert clip[0, :5].tolist() == [0, 1, 2, 0, 1]
    model.voice_seconds = None
    assert model.heard(np.zeros(10 * 22050, np.float32)).shape == (1, 10 * 22050)
    shortest = model.heard(np.zeros(3, np.float32))
    assert model.voice_features(shortest, 22050).shape == (1, 8)
