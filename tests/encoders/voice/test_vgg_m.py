"""The voice stream of SVHF-Net: the sizes that Fig. 8 prints, the number of parameters, the order of its layers."""

import pytest
import torch
from torch import nn

from encoders.voice.vgg_m import VGGMVoice

FIGURE_8 = [  # channels and sizes after conv1, mpool1, conv2, mpool2, conv3, conv4, conv5, mpool5
    (96, 254, 148),
    (96, 126, 73),
    (256, 62, 36),
    (256, 30, 17),
    (256, 30, 17),
    (256, 30, 17),
    (256, 30, 17),
    (256, 9, 8),
]
SMALL = {"channels": (4,) * 5, "fc_sizes": (8, 6), "window_samples": 100, "hop_samples": 80, "fft_size": 128}


def parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_sizes_of_figure_8():
    with torch.device("meta"):
        encoder = VGGMVoice()
        x, seen = torch.empty(2, 1, 512, 300), []
        for layer in encoder.trunk:
            x = layer(x)
            if isinstance(layer, nn.Conv2d | nn.MaxPool2d):
                seen.append(tuple(x.shape[1:]))
        assert seen == FIGURE_8
        assert encoder.fc6[0].kernel_size == (9, 1)
        assert encoder.fc6(x).shape == (2, 4096, 1, 8)
        assert encoder(torch.empty(2, 1, 512, 300)).shape == (2, 1024)
    assert encoder.embedding_dim == 1024


def test_columns_of_longer_clips_are_the_pooling_widths_of_the_released_code():
    frames, columns = range(100, 1001, 100), [2, 5, 8, 11, 14, 17, 20, 23, 27, 30]
    with torch.device("meta"):
        trunk = VGGMVoice(**SMALL).trunk
        assert [trunk(torch.empty(1, 1, 128, width)).shape[3] for width in frames] == columns


def test_parameters_by_hand():
    convolutions = (49 * 96 + 96) + (25 * 96 * 256 + 256) + 3 * (9 * 256 * 256 + 256)
    connected = (9 * 256 * 4096 + 4096) + (4096 * 1024 + 1024)
    norms = 2 * (96 + 4 * 256 + 4096 + 1024)
    assert convolutions + connected + norms == 16_038_784
    wider = 128 * (9 * 256 + 1) + 256 * 9 * 128 + 2 * 128  # VGGVox: 384 channels after the third convolution
    with torch.device("meta"):
        assert parameters(VGGMVoice()) == 16_038_784
        assert parameters(VGGMVoice(channels=(96, 256, 384, 256, 256))) == 16_038_784 + wider


def test_every_layer_is_normalised_before_its_relu_and_pooled_after():
    encoder = VGGMVoice(**SMALL)
    kinds = "".join(type(layer).__name__[0] for layer in [*encoder.trunk, *encoder.fc6, *encoder.fc7])
    assert kinds == "CBRM" + "CBRM" + "CBR" + "CBR" + "CBRM" + "CBR" + "CBR"


def test_columns_are_averaged_after_the_relu_of_fc6():
    """From fc6 on, recomputed by hand at 1.55 s: 5 columns instead of the 8 of 3 s."""
    torch.manual_seed(0)
    encoder = VGGMVoice(**SMALL)
    signal = torch.randn(6, 1, 128, 193)
    for _ in range(20):
        encoder(signal)  # fills the running statistics
    encoder.eval()
    maps = encoder.trunk(signal)
    assert maps.shape == (6, 4, 1, 5)
    columns = torch.einsum("bcft,dcf->bdt", maps, encoder.fc6[0].weight[..., 0]) + encoder.fc6[0].bias[:, None]
    norm6, norm7 = encoder.fc6[1], encoder.fc7[1]
    scale = norm6.weight / torch.sqrt(norm6.running_var + norm6.eps)
    columns = torch.relu((columns - norm6.running_mean[:, None]) * scale[:, None] + norm6.bias[:, None])
    units = columns.sum(2) / 5 @ encoder.fc7[0].weight[:, :, 0, 0].T + encoder.fc7[0].bias
    units = (units - norm7.running_mean) / torch.sqrt(norm7.running_var + norm7.eps) * norm7.weight + norm7.bias
    assert (units < 0).any()
    torch.testing.assert_close(encoder(signal), torch.relu(units), rtol=1e-4, atol=1e-5)


def test_shortest_clip():
    encoder = VGGMVoice(**SMALL).eval()
    assert encoder.min_frames == 65
    with torch.device("meta"):
        assert VGGMVoice().min_seconds == pytest.approx(0.65)
    assert encoder(torch.randn(1, 1, 128, 65)).shape == (1, 6)
    with pytest.raises(ValueError, match="expected at least 65 frames, got 64; repeat"):
        encoder(torch.randn(1, 1, 128, 64))
    with pytest.raises(RuntimeError, match="size"):
        encoder.trunk(torch.randn(1, 1, 128, 64))  # so 65 is not only a promise


def test_smallest_fft_and_numbers_per_layer():
    sizes = SMALL | {"window_samples": 98, "fft_size": 98}
    assert VGGMVoice(**sizes).fc6[0].kernel_size == (1, 1)
    with pytest.raises(ValueError, match="fft_size of at least 97, got 96; "):
        VGGMVoice(**sizes | {"fft_size": 96})
    with pytest.raises(ValueError, match="expected 5 channels and 2 fc_sizes, got 4 and 2; "):
        VGGMVoice(channels=(4,) * 4)
