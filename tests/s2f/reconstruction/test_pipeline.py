"""The pipeline against its parts called by hand, its round trip, and its refusals."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import s2f
from s2f import audio
from s2f.errors import AudioError, AudioTooShort, CheckpointError, ImageError, UsageError
from s2f.reconstruction.pipeline import Speech2FacePipeline

RATE = 16000


def voice(hz, seconds=6.0):
    t = np.arange(round(seconds * RATE)) / RATE
    return sum(0.2 / k * np.sin(2 * np.pi * k * hz * t) for k in range(1, 6)).astype(np.float32), RATE


def pixels(images):
    return np.stack([np.asarray(image) for image in images]).astype(int)


def test_one_clip_equals_the_networks_called_by_hand(tiny_pipeline):
    samples, _ = voice(120)
    out = tiny_pipeline((samples, RATE))
    with torch.no_grad():
        feature = tiny_pipeline.voice_encoder.encode(torch.tensor(samples)[None])
        picture = tiny_pipeline.decoder(feature).image[0].permute(1, 2, 0).numpy()
    assert torch.equal(out.face_features, feature)
    assert (out.images[0].mode, out.images[0].size) == ("RGB", (32, 32))
    np.testing.assert_allclose(pixels(out.images)[0], picture * 255, atol=0.5001)
    assert out.warnings == [[]]


def test_clips_keep_their_order_and_warnings(tiny_pipeline):
    out = tiny_pipeline([voice(100), voice(220, seconds=4), voice(160, seconds=9)])
    assert len(out.images) == 3
    assert out.face_features.shape == (3, 16)
    assert [[note.split(":")[0] for note in notes] for notes in out.warnings] == [[], ["repeated"], ["cut"]]
    alone = tiny_pipeline(voice(220, seconds=4))
    torch.testing.assert_close(out.face_features[1:2], alone.face_features, rtol=1e-4, atol=1e-5)
    assert (out.face_features[0] - out.face_features[1]).abs().max() > 1e-3  # the voices do differ


def test_clips_of_one_speaker_make_one_face(tiny_pipeline):
    clips = [voice(100), voice(220, seconds=4), voice(160, seconds=9)]
    out = tiny_pipeline(clips, average=True)
    each = tiny_pipeline(clips).face_features
    length = each.norm(dim=1, keepdim=True)
    direction = (each / length).mean(0)
    by_hand = direction / direction.norm() * length.mean()
    torch.testing.assert_close(out.face_features, by_hand[None], rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        picture = tiny_pipeline.decoder(by_hand[None]).image[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(pixels(out.images)[0], picture * 255, atol=1.01)
    assert len(out.images) == len(out.samples) == 1
    assert [note.rpartition(": ")[0] for note in out.warnings[0]] == ["clip 2: repeated", "clip 3: cut"]
    mixed = tiny_pipeline(clips[::-1], average=True, batch_size=2).face_features
    torch.testing.assert_close(mixed, out.face_features, rtol=1e-4, atol=1e-5)


def test_averaging_one_clip_changes_nothing(tiny_pipeline):
    alone, averaged = tiny_pipeline(voice(100, seconds=4)), tiny_pipeline(voice(100, seconds=4), average=True)
    assert torch.equal(alone.face_features, averaged.face_features)
    assert alone.warnings == averaged.warnings


def test_an_average_takes_one_generator(tiny_pipeline):
    two = [torch.Generator(), torch.Generator()]
    with pytest.raises(UsageError, match="2 generators for 1 faces"):
        tiny_pipeline([voice(100), voice(220)], average=True, samples=1, generator=two)


def test_the_batch_size_does_not_matter(tiny_pipeline):
    clips = [voice(hz) for hz in (90, 120, 150, 180, 210)]
    whole = tiny_pipeline(clips, batch_size=5)
    for batch_size in (1, 2, 8):
        part = tiny_pipeline(clips, batch_size=batch_size)
        torch.testing.assert_close(part.face_features, whole.face_features, rtol=1e-4, atol=1e-5)
        assert np.abs(pixels(part.images) - pixels(whole.images)).max() <= 1


def test_repeating_is_what_the_caller_could_do(tiny_pipeline):
    samples, _ = voice(130, seconds=4)
    by_hand = np.concatenate([samples, samples[: 2 * RATE]])
    a, b = tiny_pipeline((samples, RATE)), tiny_pipeline((by_hand, RATE))
    assert torch.equal(a.face_features, b.face_features)


def test_loaded_clips_are_taken_if_they_fit(tiny_pipeline):
    clip = audio.load(voice(140), seconds=4)
    assert torch.equal(tiny_pipeline(clip, seconds=4).face_features, tiny_pipeline(voice(140), seconds=4).face_features)
    assert tiny_pipeline([clip], seconds=4).warnings == [["cut: the first 4 s of 6.00 s are used"]]
    with pytest.raises(AudioError, match=r"expected a clip of 6 s at 16000 Hz, got \(64000,\)"):
        tiny_pipeline(clip, seconds=6)


def test_seconds_change_what_is_heard(tiny_pipeline):
    samples = np.concatenate([voice(100, 3)[0], voice(250, 3)[0]])
    first = tiny_pipeline((samples, RATE), seconds=3).face_features
    assert torch.equal(first, tiny_pipeline(voice(100, 3), seconds=3).face_features)
    assert not torch.allclose(first, tiny_pipeline((samples, RATE), seconds=6).face_features)


@pytest.mark.parametrize("arguments", [{"seconds": 2.5}, {"seconds": float("nan")}, {"batch_size": 0}])
def test_unusable_arguments(tiny_pipeline, arguments):
    minimum = tiny_pipeline.voice_encoder.min_seconds
    with pytest.raises(
        UsageError, match=rf"seconds of at least {minimum:.3f} and a batch_size of at least 1, got 1 clip"
    ):
        tiny_pipeline(voice(100), **arguments)


def test_no_clips_and_bad_clips(tiny_pipeline):
    with pytest.raises(UsageError, match="expected at least one clip"):
        tiny_pipeline([])
    with pytest.raises(AudioTooShort):
        tiny_pipeline([voice(100), voice(100, seconds=0.2)])


def test_faces_from_photos_equal_the_networks_called_by_hand(tiny_pipeline):
    rng = np.random.default_rng(1)
    photos = [Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8)) for side in (32, 50, 80)]
    out = tiny_pipeline.reconstruct_from_face(photos, batch_size=2)
    assert out.warnings == [[], [], []]
    for photo, feature, picture in zip(photos, out.face_features, pixels(out.images), strict=True):
        tensor = torch.tensor(np.asarray(photo)).permute(2, 0, 1)[None] / 255
        with torch.no_grad():
            expected = tiny_pipeline.face_encoder.features(tiny_pipeline.face_encoder.prepare(tensor))
            drawn = tiny_pipeline.decoder(expected).image[0].permute(1, 2, 0).numpy()
        torch.testing.assert_close(feature[None], expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(picture, drawn * 255, atol=0.51)


def test_grey_photos_are_taken_and_oblong_ones_refused(tiny_pipeline):
    grey = Image.new("L", (40, 40), 90)
    same = Image.new("RGB", (40, 40), (90, 90, 90))
    results = [tiny_pipeline.reconstruct_from_face(photo).face_features for photo in (grey, same)]
    assert torch.equal(*results)
    with pytest.raises(ImageError, match="got 40 x 30 px"):
        tiny_pipeline.reconstruct_from_face(Image.new("RGB", (40, 30)))
    with pytest.raises(UsageError, match="at least one image"):
        tiny_pipeline.reconstruct_from_face([])


def test_save_and_load_give_the_same_bits(tiny_pipeline, tiny_checkpoint, tmp_path):
    loaded = Speech2FacePipeline.from_pretrained(tiny_checkpoint)
    loaded.save_pretrained(tmp_path / "again")
    for name in ("voice_encoder", "face_encoder", "decoder"):
        original, network = getattr(tiny_pipeline, name), getattr(loaded, name)
        assert not network.training
        for key in (key for key in original.config if not key.startswith("_")):
            assert json.dumps(network.config[key]) == json.dumps(original.config[key]), key
        (a,), (b,) = ((root / name).glob("*.safetensors") for root in (tiny_checkpoint, tmp_path / "again"))
        assert a.read_bytes() == b.read_bytes()
    a, b = tiny_pipeline(voice(100)), loaded(voice(100))
    assert torch.equal(a.face_features, b.face_features)
    np.testing.assert_array_equal(pixels(a.images), pixels(b.images))


def test_index_names_the_classes_as_s2f_exports_them(tiny_checkpoint):
    index = json.loads((tiny_checkpoint / "model_index.json").read_text())
    assert index["_class_name"] == "Speech2FacePipeline"
    assert index["voice_encoder"] == ["s2f", "Speech2FaceVoiceEncoder"]
    assert index["face_encoder"] == ["s2f", "CompactFaceEncoder"]
    assert index["decoder"] == ["s2f", "NormalizedFaceDecoder"]
    assert index["unexplained"] == [None, None]


def test_checkpoints_from_before_the_optional_part_load(tiny_checkpoint):
    path = tiny_checkpoint / "model_index.json"
    index = json.loads(path.read_text())
    del index["unexplained"]
    path.write_text(json.dumps(index))
    assert Speech2FacePipeline.from_pretrained(tiny_checkpoint).unexplained is None
    path.write_text(json.dumps(index | {"unexplained": ["s2f", "VGGFace"]}))
    with pytest.raises(CheckpointError, match="expected unexplained of class UnexplainedVariation"):
        Speech2FacePipeline.from_pretrained(tiny_checkpoint)
    path.write_text(json.dumps(index | {"unexplained": ["s2f", "UnexplainedVariation"]}))
    with pytest.raises(CheckpointError, match="copy the whole checkpoint"):
        Speech2FacePipeline.from_pretrained(tiny_checkpoint)


def test_vgg_face_is_a_face_encoder_too(tiny_pipeline, tmp_path):
    vgg = s2f.VGGFace(channels=(4,) * 5, fc_size=16, num_identities=3, image_size_px=32)
    Speech2FacePipeline(tiny_pipeline.voice_encoder, vgg, tiny_pipeline.decoder).save_pretrained(tmp_path / "vgg")
    loaded = Speech2FacePipeline.from_pretrained(tmp_path / "vgg")
    assert isinstance(loaded.face_encoder, s2f.VGGFace)
    assert loaded.reconstruct_from_face(Image.new("RGB", (32, 32))).face_features.shape == (1, 16)


def test_damaged_checkpoint_is_refused(tiny_checkpoint):
    (path,) = (tiny_checkpoint / "voice_encoder").glob("*.safetensors")
    state = load_file(path)
    del state["fc1.bias"]
    save_file(state, path)
    with pytest.raises(CheckpointError, match=r"missing fc1\.bias"):
        Speech2FacePipeline.from_pretrained(tiny_checkpoint)
    shutil.rmtree(tiny_checkpoint / "voice_encoder")
    with pytest.raises(CheckpointError, match="copy the whole checkpoint"):
        Speech2FacePipeline.from_pretrained(tiny_checkpoint)


def test_index_may_not_name_other_classes(tiny_checkpoint):
    path = tiny_checkpoint / "model_index.json"
    index = json.loads(path.read_text())
    for entry in (["os", "system"], ["s2f", "load_network"], None):
        path.write_text(json.dumps(index | {"decoder": entry}))
        with pytest.raises(CheckpointError, match="expected decoder of class NormalizedFaceDecoder"):
            Speech2FacePipeline.from_pretrained(tiny_checkpoint)


def test_networks_must_share_the_feature_size(tiny_pipeline):
    other = s2f.CompactFaceEncoder((4, 8), 12, num_identities=5, image_size_px=32)
    with pytest.raises(CheckpointError, match="voice_encoder 16, face_encoder 12, decoder 16"):
        Speech2FacePipeline(tiny_pipeline.voice_encoder, other, tiny_pipeline.decoder)


@pytest.mark.parametrize("device", ["toaster", "cuda:99", "meta"])
def test_devices_that_are_not_here(tiny_checkpoint, device):
    with pytest.raises(UsageError, match="expected a device of this machine"):
        Speech2FacePipeline.from_pretrained(tiny_checkpoint, device)


def test_nothing_needs_gradients_afterwards(tiny_pipeline):
    out = tiny_pipeline(voice(100))
    assert not out.face_features.requires_grad
    assert out.to_tuple()[0] is out.images
