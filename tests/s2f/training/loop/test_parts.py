"""Parts of training that can be checked by hand: data order, schedules, pairing, clips, masks."""

import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from s2f.datasets import DatasetFolder
from s2f.errors import BadFile, DatasetError, RecipeError
from s2f.faces.features import direction_means
from s2f.training.decoder.arguments import DecoderArguments
from s2f.training.decoder.task import DecoderTask, Samples, head_mask
from s2f.training.loop.arguments import TrainingArguments, build_network
from s2f.training.loop.optimizer import build_optimizer, learning_rate
from s2f.training.loop.sampler import StepSampler
from s2f.training.speech2face.pairs import TableFaces
from s2f.training.speech2face.task import Speech2FaceArguments, VoiceClips, pair_targets


def arguments(**changes):
    return TrainingArguments(data="d", output_dir="o", **changes)


def test_sampler_sees_every_item_once_an_epoch():
    batches = list(StepSampler(items=10, batch_size=4, seed=0, start=0, stop=5, rank=0, processes=1))
    flat = [pair for batch in batches for pair in batch]
    assert sorted(item for epoch, item in flat if epoch == 0) == list(range(10))
    assert sorted(item for epoch, item in flat if epoch == 1) == list(range(10))
    assert [i for e, i in flat if e == 0] != [i for e, i in flat if e == 1]


def test_sampler_resumes_and_shards_the_same_order():
    def batches(**changes):
        settings = {"items": 11, "batch_size": 4, "seed": 5, "start": 0, "stop": 6, "rank": 0, "processes": 1}
        return list(StepSampler(**(settings | changes)))

    whole = batches()
    assert batches(start=4) == whole[4:]
    assert batches(seed=6) != whole
    two = [batches(batch_size=2, rank=rank, processes=2) for rank in (0, 1)]
    assert [a + b for a, b in zip(*two, strict=True)] == whole


def test_learning_rate_schedules_by_hand():
    paper = arguments(lr_scheduler="exponential", lr_decay=0.95, lr_decay_steps=10000)
    assert learning_rate(9999, 10**6, paper) == pytest.approx(1e-3)
    assert learning_rate(10000, 10**6, paper) == pytest.approx(0.95e-3)
    assert learning_rate(25000, 10**6, paper) == pytest.approx(0.95**2 * 1e-3)
    cosine = arguments(lr_scheduler="cosine", lr_warmup_steps=10)
    assert learning_rate(0, 110, cosine) == pytest.approx(1e-3 / 11)
    assert learning_rate(10, 110, cosine) == pytest.approx(1e-3)
    assert learning_rate(60, 110, cosine) == pytest.approx(0.5e-3)
    assert learning_rate(110, 110, cosine) == pytest.approx(0)
    assert learning_rate(77, 110, arguments()) == 1e-3


def test_optimizer_takes_the_papers_numbers_and_only_trainable_parameters():
    module = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    module[0].requires_grad_(False)
    adam = build_optimizer(module, arguments(adam_beta1=0.5, adam_epsilon=1e-4))
    assert type(adam) is torch.optim.Adam
    assert adam.param_groups[0]["betas"] == (0.5, 0.999)
    assert adam.param_groups[0]["eps"] == 1e-4
    assert len(adam.param_groups[0]["params"]) == 2
    with pytest.raises(RecipeError, match="weight_decay 0 with adam"):
        build_optimizer(module, arguments(weight_decay=0.1))


def test_unknown_network_options_name_the_nearest():
    with pytest.raises(RecipeError, match="did you mean out_features"):
        build_network(torch.nn.Linear, {"in_features": 2, "out_feature": 3})


def rows(*pairs):
    return [{"identity": identity, "path": f"{k}", "video": video} for k, (identity, video) in enumerate(pairs)]


def test_pairing_prefers_the_same_video():
    faces = rows(("a", "v1"), ("a", "v2"), ("b", ""))
    voices = rows(("a", "v2"), ("a", "v9"), ("b", ""))
    features = torch.eye(3)
    paired = pair_targets(voices, faces, features, "face")
    assert paired.candidates == [[1], [0, 1], [2]]
    assert paired.features is features
    with pytest.raises(DatasetError, match="none for c"):
        pair_targets(rows(("c", "")), faces, features, "face")


def test_direction_means_average_directions_at_the_mean_length():
    features = torch.tensor([[4.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
    means = direction_means(features, [[0, 1], [2]])
    torch.testing.assert_close(means[0], torch.tensor([3.0, 3.0]) / 2**0.5)
    torch.testing.assert_close(means[1], features[2])


def test_recording_mean_is_over_everybody_with_the_recording():
    faces = rows(("a", ""), ("a", ""), ("b", ""), ("c", ""))
    voices = [{"identity": identity, "path": path} for identity, path in (("a", "x"), ("b", "x"), ("c", "y"))]
    targets = pair_targets(voices, faces, torch.eye(4), "recording_mean")
    assert targets.candidates == [[0], [0], [1]]
    torch.testing.assert_close(targets.features[0], torch.tensor([1.0, 1.0, 1.0, 0.0]) / 3**0.5)
    torch.testing.assert_close(targets.features[1], torch.eye(4)[3])
    apart = [row | {"start_s": str(k)} for k, row in enumerate(voices)]
    assert pair_targets(apart, faces, torch.eye(4), "recording_mean").candidates == [[0], [1], [2]]


def clips(tiny_dataset, **changes):
    settings = Speech2FaceArguments(data="", output_dir="", face_encoder="", decoder="", seconds=3.0, **changes)
    data = DatasetFolder(tiny_dataset)
    return VoiceClips(data, data.voices("train")[:2], TableFaces([[0], [1, 2, 3]]), settings, 16000)


def test_clips_depend_on_seed_epoch_and_item_alone(tiny_dataset):
    data = clips(tiny_dataset, crop="random")
    first = data[0, 1]
    assert first["waveform"].shape == (48000,)
    again = clips(tiny_dataset, crop="random", cached_clips=2)[0, 1]
    assert torch.equal(first["waveform"], again["waveform"])
    assert first["target"] == again["target"]
    assert not torch.equal(first["waveform"], data[1, 1]["waveform"])
    assert {data[epoch, 1]["target"] for epoch in range(20)} == {1, 2, 3}
    other = clips(tiny_dataset, crop="random", seed=1)
    assert not torch.equal(first["waveform"], other[0, 1]["waveform"])


def test_clips_travel_to_worker_processes(tiny_dataset):
    """However workers are started (spawn pickles the dataset), the items are the same."""
    data = clips(tiny_dataset, crop="random", cached_clips=1)
    copy = pickle.loads(pickle.dumps(data))
    assert torch.equal(copy[3, 1]["waveform"], data[3, 1]["waveform"])
    assert len(data.cache) == 1
    assert torch.equal(data[3, 1]["waveform"], copy[3, 1]["waveform"])


def test_errors_keep_their_sentence_through_a_worker(tiny_dataset, tmp_path):
    (tmp_path / "id0.wav").write_bytes(b"not audio")
    data = clips(tiny_dataset)
    data.data.root = tmp_path
    loader = DataLoader(data, batch_sampler=[[(0, 0)]], num_workers=1)
    with pytest.raises(BadFile) as caught:
        next(iter(loader))
    assert str(caught.value).startswith("expected files that can be used, got id0.wav (expected an audio file")
    assert "--skip_bad true" in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_morphs_need_two_people():
    arguments = DecoderArguments(data="", output_dir="", face_encoder="", morph_share=0.5, morph_people=1)
    with pytest.raises(RecipeError, match="morph_people >= 2, got 1"):
        DecoderTask(None, arguments, torch.device("cpu"))


def test_leading_clips_are_the_beginning(tiny_dataset):
    import soundfile

    samples, _ = soundfile.read(tiny_dataset / "id0.wav", dtype="float32")
    np.testing.assert_array_equal(clips(tiny_dataset)[0, 0]["waveform"].numpy(), samples[:48000])
    np.testing.assert_array_equal(clips(tiny_dataset)[7, 0]["waveform"].numpy(), samples[:48000])


def test_head_mask_is_one_inside_and_background_outside():
    points = torch.zeros(68, 2)
    points[:, 0] = 112.0
    points[0, 0], points[16, 0] = 70.0, 154.0
    points[17:27, 1], points[8, 1] = 90.0, 170.0
    mask = head_mask(points, 224, 0.3)
    assert mask.shape == (1, 224, 224)
    assert mask[0, 110, 112] > 0.99
    assert mask[0, 5, 5] == pytest.approx(0.3, abs=1e-3)
    assert mask[0, 220, 20] == pytest.approx(0.3, abs=1e-3)
    torch.testing.assert_close(head_mask(points, 224, 1.0), torch.ones(1, 224, 224))


class FourFaces:
    """Stands in for `Faces`: person k has one feature, texture and landmark set of its own."""

    features = means = torch.eye(4) * 3
    textures = (torch.arange(4.0) * 60).to(torch.uint8)[:, None, None, None].expand(4, 3, 2, 2)
    landmarks = torch.arange(4.0)[:, None, None].expand(4, 68, 2)

    def __len__(self):
        return 4

    def feature(self, person, mean_share, random):
        return self.features[person]


def decoder_samples(**changes):
    return Samples(FourFaces(), DecoderArguments(data="", output_dir="", face_encoder="", **changes))


def test_samples_without_morphs_or_noise_are_the_people():
    sample = decoder_samples()[0, 2]
    torch.testing.assert_close(sample["feature"], torch.tensor([0.0, 0.0, 3.0, 0.0]))
    assert sample["texture"][0, 0, 0].item() == pytest.approx(120 / 255)
    assert sample["landmarks"][5, 1].item() == 2.0


def test_morphs_use_one_set_of_weights_and_keep_the_length():
    seen = 0
    for epoch in range(20):
        sample = decoder_samples(morph_share=1.0, morph_people=4)[epoch, 1]
        assert sample["feature"].norm().item() == pytest.approx(3.0, rel=1e-5)
        weights = sample["feature"] / sample["feature"].sum()  # the people's unit features are the axes
        expected = (weights * torch.arange(4.0)).sum().item()
        assert sample["landmarks"][0, 0].item() == pytest.approx(expected, abs=1e-4)
        assert sample["texture"][0, 0, 0].item() == pytest.approx(expected * 60 / 255, abs=1e-4)
        seen += int((weights > 0).sum()) > 1
    assert seen > 10


def test_feature_noise_has_the_stated_size():
    clean = decoder_samples()[0, 0]["feature"]
    noise = torch.stack([decoder_samples(feature_noise=0.2)[epoch, 0]["feature"] - clean for epoch in range(400)])
    assert noise.std().item() == pytest.approx(0.2 * 3 / 2, rel=0.1)  # root mean square of the feature: 3 / sqrt(4)
