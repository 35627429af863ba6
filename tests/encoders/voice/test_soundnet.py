"""SoundNet up to conv6: lengths, parameters and order of layers of the released code."""

import pytest
import torch
from torch import nn

from encoders.voice.soundnet import SoundNet

LENGTHS = [  # 10 s at 22,050 Hz: channels and length after every convolution and pooling
    (16, 110251),
    (16, 13781),
    (32, 6891),
    (32, 861),
    (64, 431),
    (128, 216),
    (256, 109),
    (256, 27),
    (512, 14),
]
SMALL = {"channels": (2, 3, 4, 4, 5, 6)}


def test_lengths_of_ten_seconds():
    with torch.device("meta"):
        encoder = SoundNet()
        x, seen = torch.empty(2, 1, 220_500), []
        for layer in encoder.trunk:
            x = layer(x)
            if isinstance(layer, nn.Conv1d | nn.MaxPool1d):
                seen.append(tuple(x.shape[1:]))
        assert seen == LENGTHS
        assert encoder(torch.empty(2, 1, 220_500)).shape == (2, 512)
    assert (encoder.embedding_dim, encoder.sample_rate_hz) == (512, 22050)


def test_parameters_by_hand():
    kernels = [(64, 1, 16), (32, 16, 32), (16, 32, 64), (8, 64, 128), (4, 128, 256), (4, 256, 512)]
    convolutions = sum(size * before * after + after for size, before, after in kernels)
    norms = 2 * (16 + 32 + 64 + 128 + 256 + 512)
    assert (convolutions, norms) == (772_080, 2_016)
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in SoundNet().parameters()) == convolutions + norms


def test_order_is_convolution_norm_relu_pool():
    trunk = SoundNet(**SMALL).trunk
    kinds = "".join(type(layer).__name__[0] for layer in trunk)
    assert kinds == "CBRM" + "CBRM" + "CBR" + "CBR" + "CBRM" + "CBR"
    assert {layer.eps for layer in trunk if isinstance(layer, nn.BatchNorm1d)} == {1e-5}


def test_samples_are_times_256_and_conv6_is_averaged_after_its_relu():
    torch.manual_seed(0)
    encoder = SoundNet(**SMALL)
    waveform = torch.rand(3, 44100) * 2 - 1
    encoder.encode(waveform)  # fills the running statistics
    encoder.eval()
    values = []
    encoder.trunk[-1].register_forward_hook(lambda _module, inputs, _output: values.append(inputs[0]))
    result = encoder.encode(waveform)
    assert (values[0] < 0).any()
    assert values[0].shape == (3, 6, 3)
    by_hand = torch.stack([row.clamp(min=0).sum(1) / row.shape[1] for row in values[0]])
    torch.testing.assert_close(result, by_hand)
    torch.testing.assert_close(encoder((waveform * 256)[:, None]), result)
    assert not torch.allclose(encoder(waveform[:, None]), result)


def test_shortest_clip():
    encoder = SoundNet(**SMALL).eval()
    assert encoder.min_samples == 4574
    assert encoder.min_seconds == pytest.approx(4574 / 22050)
    assert encoder(torch.randn(1, 1, 4574)).shape == (1, 6)
    with pytest.raises(ValueError, match="expected at least 4574 samples, got 4573; repeat"):
        encoder(torch.randn(1, 1, 4573))
    with pytest.raises(RuntimeError, match="size"):
        encoder.trunk(torch.randn(1, 1, 4573))  # so 4574 is not only a promise


@pytest.mark.parametrize("shape", [(1, 22050), (1, 2, 22050)])
def test_wrong_inputs_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected samples \(B, 1, S\), got .*; compute them with `front_end`"):
        SoundNet(**SMALL)(torch.zeros(shape))


def test_six_channels():
    with pytest.raises(ValueError, match="expected 6 channels, got 5; "):
        SoundNet(channels=(2, 3, 4, 4, 5))
