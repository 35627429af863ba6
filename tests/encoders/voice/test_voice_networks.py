"""What every voice network of the matching line keeps: lengths, batches, gradients, limits, checkpoints."""

import pytest
import torch

from encoders.voice.sizes import size_after, smallest_before
from s2f.checkpoints.encoders import VOICE_ENCODERS, load_voice_encoder
from tests.encoders.voice.test_fast_resnet import SMALL as FAST
from tests.encoders.voice.test_soundnet import SMALL as SOUNDNET
from tests.encoders.voice.test_thin_resnet import SMALL as THIN
from tests.encoders.voice.test_vgg_m import SMALL as VGG_M

SMALL = {"vgg_m": VGG_M, "soundnet": SOUNDNET, "thin_resnet": THIN, "fast_resnet": FAST}
every_network = pytest.mark.parametrize("name", SMALL)


def small(name):
    """A small network whose batch norms have seen noise."""
    torch.manual_seed(0)
    encoder = VOICE_ENCODERS[name](**SMALL[name])
    for _ in range(10):
        encoder.encode(torch.randn(4, 8000) * 0.1)
    return encoder.eval()


@every_network
def test_clips_of_any_length_and_alone_or_in_a_batch(name):
    encoder = small(name)
    for samples in (8000, 10_001):
        waveform = torch.randn(4, samples) * torch.tensor([[0.1], [0.001], [0.2], [0.05]])
        together = encoder.encode(waveform)
        assert together.shape == (4, encoder.embedding_dim)
        assert together.std(dim=0).max() > 1e-3
        for row in range(4):
            alone = encoder.encode(waveform[row : row + 1])
            torch.testing.assert_close(together[row : row + 1], alone, rtol=1e-4, atol=1e-5)


@every_network
def test_gradients_reach_every_parameter(name):
    encoder = small(name).train()
    feature = encoder.encode(torch.randn(4, 8000) * 0.1)
    (feature * torch.randn(feature.shape)).sum().backward()
    for key, parameter in encoder.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert parameter.ndim == 1 or parameter.grad.abs().max() > 0, key


@every_network
def test_shortest_clip(name):
    encoder = small(name)
    least = round(encoder.min_seconds * encoder.sample_rate_hz)
    assert encoder.encode(torch.randn(1, least) * 0.1).isfinite().all()
    with pytest.raises(ValueError, match=r"expected a waveform .* got \(1, \d+\); add a batch dimension or repeat"):
        encoder.encode(torch.randn(1, least - 1))


@every_network
def test_front_end_stays_exact_under_autocast(name):
    encoder = small(name)
    waveform = torch.randn(2, 8000) * 0.1
    seen = []
    encoder.front_end.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    plain = encoder.encode(waveform)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = encoder.encode(waveform)
    assert seen[1].dtype == torch.float32
    assert torch.equal(seen[0], seen[1])
    assert (mixed.float() - plain).norm() < 0.1 * plain.norm()


@every_network
def test_front_end_is_what_the_config_says(name):
    encoder = VOICE_ENCODERS[name](**SMALL[name])
    options = {key: value for key, value in vars(encoder.front_end).items() if isinstance(value, int | float)}
    del options["training"]
    assert options
    assert {key: encoder.config[key] for key in options} == options


@every_network
def test_checkpoint_rebuilds_network_and_front_end(name, tmp_path):
    encoder = small(name)
    encoder.save_pretrained(tmp_path)
    again = load_voice_encoder(tmp_path)
    assert type(again) is type(encoder)
    waveform = torch.randn(2, 8000) * 0.1
    assert torch.equal(again.encode(waveform), encoder.encode(waveform))
    assert again.min_seconds == encoder.min_seconds


def test_sizes_against_running_the_layers():
    """One axis, layers of several kinds: the smallest size is the first that leaves one value."""
    for windows in [[(7, 2, 1), (3, 2, 0)], [(4, 2, 2)], [(2, 2, 0), (1, 2, 0)], [(8, 2, 4), (3, 3, 0), (5, 1, 0)]]:
        layers = [torch.nn.Conv1d(1, 1, kernel, stride, padding) for kernel, stride, padding in windows]
        for size in range(smallest_before(windows), 70):
            assert torch.nn.Sequential(*layers)(torch.zeros(1, 1, size)).shape[2] == size_after(size, windows) >= 1
        assert smallest_before(windows) == 1 or size_after(smallest_before(windows) - 1, windows) < 1
