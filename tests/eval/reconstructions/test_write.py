"""The reconstructions folder: pictures and features are the pipeline's own, controls those of brute force."""

import csv
import json
import shutil

import numpy as np
import pytest
import soundfile
import torch
from jsonargparse import ArgumentParser
from PIL import Image

import s2f
from eval.commands import reconstruct as command
from eval.embeddings.folder import read_embeddings
from eval.reconstructions import chunks
from eval.reconstructions import draw as drawing
from eval.reconstructions.folder import PICTURES, read_reconstructions
from eval.reconstructions.write import write_reconstructions
from s2f.datasets import DatasetFolder
from s2f.errors import BadFile, DatasetError, OutputError, UsageError
from s2f.faces.images import load_image, resize, to_pil
from tests.eval.fake_population import write_csv

RATE, SIZE_PX = 16000, 32
TRAIN, TEST = [f"a{number}" for number in range(9)], [f"b{number}" for number in range(8)]
FEATURES = ("3s", "4s", "f2f", "s2f", "nearest", "mean")
DRAWN = ["b0", "b1", "b2", "b3", "b4", "b7"]  # b5 has no picture, b6 no voice


def picture(path, seed, size_px=SIZE_PX):
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3)).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(coarse).resize((size_px, size_px)).save(path)


def write_people(root):
    """Voices change after 3 s; b0 and b1 share one, b2's lasts 3.5 s. b3 and a1 have a wild picture first."""
    for number, name in enumerate(TRAIN + TEST):
        picture(root / "faces" / f"{name}.png", number, 20 if name == "b4" else SIZE_PX)
        time = np.arange(round((3.5 if name == "b2" else 4.2) * RATE)) / RATE
        pitch_hz = 90 * 1.17 ** np.where(time < 3, number % 8, number * 5 % 8)
        sound = sum(0.2 / k * np.sin(2 * np.pi * pitch_hz * k * time) for k in range(1, 6))
        soundfile.write(root / f"{name}.wav", sound, RATE)
    faces = [{"identity": name, "path": f"faces/{name}.png", "view": "canonical"} for name in TRAIN + TEST]
    for place, name in ((1, "a1"), (13, "b3")):
        picture(root / "faces" / f"{name}_wild.png", 100 + place)
        faces.insert(place, {"identity": name, "path": f"faces/{name}_wild.png", "view": "wild"})
    write_csv(root / "faces.csv", [row for row in faces if row["identity"] not in ("a4", "b5")])
    heard = {name: f"{name}.wav" for name in TEST if name != "b6"} | {"b1": "b0.wav"}
    voices = [{"identity": name, "path": path} for name, path in heard.items()]
    write_csv(root / "voices.csv", [*voices, {"identity": "b2", "path": "b7.wav"}])
    splits = {name: "train" for name in TRAIN} | {name: "test" for name in TEST}
    people = [
        {"identity": name, "gender": "fm"[number % 2], "split": split, "speaker": "x" if name in ("b0", "b1") else ""}
        for number, (name, split) in enumerate(splits.items())
    ]
    write_csv(root / "people.csv", people)
    return root


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return DatasetFolder(write_people(tmp_path_factory.mktemp("data")))


@pytest.fixture(scope="module")
def checkpoint(data, tmp_path_factory):
    """A pipeline of few weights; the features of the voices point in many directions."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        voice = s2f.Speech2FaceVoiceEncoder(channels=(4,) * 9, hidden_size=16, feature_size=16)
        face = s2f.CompactFaceEncoder((4, 8), 16, num_identities=5, image_size_px=16)
        decoder = s2f.NormalizedFaceDecoder(
            16, 16, (8,), base_channels=8, texture_channels=(4, 4), image_size_px=SIZE_PX, warp_grid=8
        )
        for weight in (one for network in (voice, decoder) for one in network.parameters() if one.ndim > 1):
            torch.nn.init.kaiming_normal_(weight)
    pipeline = s2f.Speech2FacePipeline(voice.eval(), face.eval(), decoder.eval())
    with torch.no_grad():
        voice.fc2.bias -= pipeline([data.root / f"{name}.wav" for name in TEST], seconds=4.0).face_features.mean(0)
    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    pipeline.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def pipeline(checkpoint):
    return s2f.Speech2FacePipeline.from_pretrained(checkpoint)


@pytest.fixture(scope="module")
def written(pipeline, checkpoint, data, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "CHUNK", 2)
        write_reconstructions(pipeline, checkpoint, data, "test", [4.0, 3.0], out)
    return read_reconstructions(out)


def draw(pipeline, checkpoint, data, out, seconds=(3.0,), **options):
    return write_reconstructions(pipeline, checkpoint, data, "test", seconds, out, **options)


def table(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def pixels(path):
    return np.asarray(Image.open(path)).astype(int)


def feature(pipeline, path):
    with torch.inference_mode():
        return pipeline.face_encoder.features(pipeline.face_encoder.prepare(load_image(path)[None]))[0].numpy()


def training(pipeline, data):
    """Canonical pictures of the training people, a4 has none, and their features."""
    paths = [data.root / "faces" / f"{name}.png" for name in TRAIN if name != "a4"]
    return paths, np.stack([feature(pipeline, path) for path in paths])


def side(written, name, which="voice"):
    return np.load(written.features(name) / f"{which}.npy")


@pytest.mark.slow
def test_one_by_one_the_pipeline_gives_the_same(written, pipeline, data):
    voices = {"b1": "b0.wav"}
    for place, name in enumerate(DRAWN):
        clip, photo = data.root / voices.get(name, f"{name}.wav"), data.root / "faces" / f"{name}.png"
        for seconds in (3.0, 4.0):
            predicted = pipeline(clip, seconds=seconds)
            vector = side(written, f"{seconds:g}s")[place]
            assert np.allclose(vector, predicted.face_features[0], atol=1e-5)
        assert abs(pixels(written.picture("s2f", name)) - np.asarray(predicted.images[0]).astype(int)).max() <= 1
        seen = pipeline.reconstruct_from_face(Image.open(photo))
        assert abs(pixels(written.picture("f2f", name)) - np.asarray(seen.images[0]).astype(int)).max() <= 1
        for kind in FEATURES:
            assert np.allclose(side(written, kind, "face")[place], feature(pipeline, photo), atol=1e-5)
        for kind in ("f2f", "s2f"):
            assert np.allclose(side(written, kind)[place], feature(pipeline, written.picture(kind, name)), atol=1e-5)
    assert abs(side(written, "3s") - side(written, "4s"))[2:].max() > 1e-3
    assert abs(side(written, "f2f") - side(written, "s2f")).min(1).max() > 1e-3


def test_true_pictures_keep_their_pixels_and_others_get_the_decoders_size(written, data):
    for name in DRAWN:
        source = data.root / "faces" / f"{name}.png"
        expected = to_pil(resize(load_image(source)[None], SIZE_PX)[0]) if name == "b4" else Image.open(source)
        assert np.array_equal(pixels(written.picture("true", name)), np.asarray(expected))
    assert {Image.open(path).size for path in written.root.rglob("*.png")} == {(SIZE_PX, SIZE_PX)}


def test_nearest_is_that_of_brute_force_at_the_longest_length(written, pipeline, data):
    paths, features = training(pipeline, data)
    cosines = {}
    for seconds in ("3s", "4s"):
        cosines[seconds] = np.array([
            [np.dot(one, other) / np.linalg.norm(one) / np.linalg.norm(other) for other in features]
            for one in side(written, seconds).astype(np.float64)
        ])  # fmt: skip
    best = cosines["4s"].argmax(1)
    assert len(set(best)) > 1
    assert (best != cosines["3s"].argmax(1)).any()
    assert np.allclose(side(written, "nearest"), features[best], atol=1e-5)
    rows = table(written.features("nearest") / "voice.csv")
    assert [row["nearest"] for row in rows] == [paths[place].stem for place in best]
    for name, place in zip(DRAWN, best, strict=True):
        assert np.array_equal(pixels(written.picture("nearest", name)), pixels(paths[place]))


def test_nearest_goes_by_direction_and_takes_the_first_of_equals():
    known = torch.tensor([[10.0, 5.0], [0.1, 0.0], [3.0, 0.0], [-8.0, 9.0]])
    features = torch.tensor([[2.0, 0.1], [0.0, 7.0], [1e-3, 5e-4]])
    assert drawing.nearest_rows(features, known).tolist() == [1, 3, 0]


def test_mean_is_the_decoded_mean_direction_of_training_people(written, pipeline, data):
    features = training(pipeline, data)[1].astype(np.float64)
    lengths = np.linalg.norm(features, axis=1)
    direction = (features / lengths[:, None]).sum(0)
    mean = lengths.mean() * direction / np.linalg.norm(direction)
    assert np.allclose(side(written, "mean"), mean, atol=1e-4)
    with torch.inference_mode():
        face = to_pil(pipeline.decoder(torch.from_numpy(mean[None]).float()).image[0])
    for name in DRAWN:
        assert abs(pixels(written.picture("mean", name)) - np.asarray(face).astype(int)).max() <= 1
    assert len({written.picture("mean", name).read_bytes() for name in DRAWN}) == 1


def test_tables_say_who_is_shown_and_who_is_not(written, data):
    assert list(written.people) == DRAWN
    assert list(written.people["b3"]) == [
        "identity", "gender", "age", "ethnicity", "nationality", "language", "split", "speaker", "voice", "face",
        "view",
    ]  # fmt: skip
    assert {row["view"] for row in written.people.values()} == {"canonical"}
    assert (written.people["b4"]["gender"], written.people["b3"]["face"]) == ("m", "faces/b3.png")
    assert (written.people["b1"]["voice"], written.people["b1"]["speaker"]) == ("b0.wav", "x")
    assert (written.people["b2"]["voice"], written.people["b2"]["speaker"]) == ("b2.wav", "")
    about = written.about
    assert about["left_out"] == [
        {"identity": "b5", "reason": "no picture"},
        {"identity": "b6", "reason": "no voice"},
    ]
    assert about["training_left_out"] == [{"identity": "a4", "reason": "no picture"}]
    assert (about["people"], about["training_people"], about["seed"], about["split"]) == (6, 8, 0, "test")
    assert (about["split_hash"], about["data_hash"]) == (data.split_hash, data.data_hash)
    assert (about["seconds"], about["repeated"]) == ([3.0, 4.0], {"3s": 0, "4s": 1})
    assert set(about["weights_sha256"]) == {"voice_encoder", "face_encoder", "decoder"}
    assert sorted(path.name for path in written.root.iterdir()) == sorted(
        [*PICTURES, *(f"features_{name}" for name in FEATURES), "people.csv", "reconstructions.json"]
    )


def test_every_folder_of_features_reads_though_two_people_share_a_voice(written, data):
    for name in FEATURES:
        found = read_embeddings(written.features(name))
        assert list(found.identities) == DRAWN
        assert (found.metric, found.notes, found.split_hash) == ("cosine", (), data.split_hash)
        assert found.voice.columns["speaker"] == ["x", "x", "", "", "", ""]
        assert found.about["left_out"] == written.about["left_out"]
        assert side(written, name).dtype == np.float32
        assert found.about.get("seconds") == {"3s": 3.0, "mean": None, "f2f": None}.get(name, 4.0)


def test_drawn_pictures_say_what_they_were_made_from(written):
    for kind, word in (("s2f", "from a voice"), ("f2f", "from the features of a picture"), ("mean", "mean face")):
        text = Image.open(written.picture(kind, "b0")).text
        assert (text["ai_generated"], text["checkpoint"]) == ("true", "tiny")
        assert word in text["note"]
    for kind in ("true", "nearest"):
        assert Image.open(written.picture(kind, "b0")).text == {}


def test_an_interrupted_call_goes_on_and_ends_with_the_same_bytes(
    written, pipeline, checkpoint, data, tmp_path, monkeypatch
):
    monkeypatch.setattr(chunks, "CHUNK", 2)
    read, save, out = drawing.read_person, drawing.save_png, tmp_path / "out"
    saved, heard, trained = [], [], []

    def stops(picture, path, provenance):
        saved.append(path)
        if len(saved) == 2 * 3 + 3:  # in the second chunk, whose F2F pictures are there already
            raise KeyboardInterrupt
        save(picture, path, provenance)

    def whole(training=None, **options):
        return draw(pipeline, checkpoint, data, out, **({"seconds": (3.0, 4.0)} | options), training=training)

    monkeypatch.setattr(drawing, "save_png", stops)
    with pytest.raises(KeyboardInterrupt):
        whole()
    assert not out.exists()
    monkeypatch.setattr(drawing, "read_person", lambda *args: heard.append(args[1].identity) or read(*args))
    monkeypatch.setattr(drawing, "picture_features", counting(drawing.picture_features, trained))
    shutil.copytree(data.root, tmp_path / "other")
    with (tmp_path / "other" / "people.csv").open("a") as file:
        file.write("c0,f,train,\n")
    for other in ({"seed": 1}, {"people": 6}, {"seconds": (3.0,)}, {"training": DatasetFolder(tmp_path / "other")}):
        with pytest.raises(OutputError, match="one of others; remove it"):
            whole(**other)
    whole()
    assert (heard, sum(trained)) == (DRAWN[2:], 2 * len(DRAWN[2:]))  # no training picture again
    files = [path.relative_to(out) for path in out.rglob("*") if path.is_file()]
    assert len(files) == 6 * 5 + 6 * 5 + 2
    for path in files:
        assert (out / path).read_bytes() == (written.root / path).read_bytes(), path
    assert not (tmp_path / "out.partial").exists()
    with pytest.raises(OutputError, match="a new folder"):
        whole()


def counting(function, counts):
    """The function, which also notes how many pictures it gets."""
    return lambda pipeline, pictures: counts.append(len(pictures)) or function(pipeline, pictures)


def test_unusable_files_stop_it_or_are_left_out_and_listed(pipeline, checkpoint, data, tmp_path, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK", 1)  # chunks in which nobody is left
    root = tmp_path / "data"
    shutil.copytree(data.root, root)
    (root / "b2.wav").write_bytes(b"no sound")
    soundfile.write(root / "b3.wav", np.zeros(5 * RATE), RATE)
    (root / "faces" / "b4.png").write_bytes(b"no picture")
    Image.new("RGB", (20, 30)).save(root / "faces" / "b7.png")
    (root / "faces" / "a6.png").unlink()
    bad, out = DatasetFolder(root), tmp_path / "out"
    with pytest.raises(BadFile, match=r"a6\.png"):
        draw(pipeline, checkpoint, bad, out)
    with pytest.raises(BadFile, match=r"b2\.wav"):
        draw(pipeline, checkpoint, bad, out, training=data)
    shutil.rmtree(tmp_path / "out.partial")
    about = draw(pipeline, checkpoint, bad, out, skip_bad=True)
    assert list(read_reconstructions(out).people) == ["b0", "b1"]
    assert [row["identity"] for row in about["left_out"]] == ["b2", "b3", "b4", "b5", "b6", "b7"]
    reasons = [row["reason"] for row in about["left_out"]]
    for reason, word in zip(reasons, ("b2.wav", "silence", "b4.png", "no picture", "no voice", "20 x 30"), strict=True):
        assert word in reason
    assert [row["identity"] for row in about["training_left_out"]] == ["a4", "a6"]
    assert sorted(path.stem for path in (out / "s2f").iterdir()) == ["b0", "b1"]
    assert json.loads((out / "reconstructions.json").read_text()) == about
    (root / "b0.wav").unlink()
    with pytest.raises(DatasetError, match=r"two people .* can be used, got 0"):
        draw(pipeline, checkpoint, bad, tmp_path / "none", skip_bad=True)


def test_a_random_choice_of_people_is_part_of_a_larger_one(pipeline, checkpoint, data, tmp_path):
    chosen = {}
    for count, seed in ((2, 0), (4, 0), (2, 5)):
        out = tmp_path / f"{count}_{seed}"
        about = draw(pipeline, checkpoint, data, out, people=count, seed=seed)
        chosen[count, seed] = list(read_reconstructions(out).people)
        assert (about["people"], about["seed"]) == (count, seed)
        assert chosen[count, seed] == sorted(chosen[count, seed])
    assert len(chosen[4, 0]) == 4
    assert set(chosen[2, 0]) < set(chosen[4, 0])
    assert chosen[2, 0] != chosen[2, 5]
    for wrong in ({"people": 7}, {"people": 1}, {"seed": -1}):
        with pytest.raises(UsageError, match="2 to 6 people"):
            draw(pipeline, checkpoint, data, tmp_path / "new", **wrong)


@pytest.mark.parametrize("seconds", [(), (3.0, 3.0), (3.0, 3.0000001), (2.0,), (-3.0,), (float("inf"),)])
def test_lengths_that_cannot_be_heard_or_told_apart_are_refused(pipeline, checkpoint, data, tmp_path, seconds):
    with pytest.raises(UsageError, match=r"different seconds of at least 2\.605"):
        draw(pipeline, checkpoint, data, tmp_path / "out", seconds)
    assert not list(tmp_path.iterdir())


def test_training_people_may_be_in_another_folder(pipeline, checkpoint, data, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(data.root, root)
    people = table(root / "people.csv")
    write_csv(root / "people.csv", [row for row in people if row["split"] == "test"])
    alone, out = DatasetFolder(root), tmp_path / "out"
    with pytest.raises(DatasetError, match=r"training people .* with --training"):
        draw(pipeline, checkpoint, alone, out)
    about = draw(pipeline, checkpoint, alone, out, training=data)
    assert (about["training_people"], about["training_data_hash"]) == (8, data.data_hash)
    assert about["data_hash"] == alone.data_hash != data.data_hash
    write_csv(root / "people.csv", [row | {"identity": f"x/{row['identity']}"} for row in people])
    for name in ("voices.csv", "faces.csv"):
        write_csv(root / name, [row | {"identity": f"x/{row['identity']}"} for row in table(root / name)])
    with pytest.raises(DatasetError, match="names of files, got 'x/b0'"):
        draw(pipeline, checkpoint, DatasetFolder(root), tmp_path / "new")


def test_the_command_prints_what_was_drawn(checkpoint, data, written, tmp_path, capsys):
    parser = ArgumentParser(exit_on_error=False)
    command.add_arguments(parser)
    words = [str(checkpoint), str(data.root), "-o", str(tmp_path / "out"), "--seconds", "4", "3", "--people", "6"]
    assert command.run(parser.parse_args(words)) == 0
    said = "6 people heard for 3 s (0 shorter ones repeated) and 4 s (1 shorter ones repeated), 2 left out; "
    assert said + "controls from 8 training people, 1 left out" in capsys.readouterr().out
    for name in FEATURES:
        path = f"features_{name}/voice.npy"
        assert np.allclose(np.load(tmp_path / "out" / path), np.load(written.root / path), atol=1e-5)
