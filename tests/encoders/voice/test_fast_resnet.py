"""Fast ResNet-34: sizes, parameters by hand, the order inside its block, its attention over time."""

import math

import pytest
import torch
from torch.nn import functional as F

from encoders.voice.fast_resnet import FastResNetSE34L, SEBlock, SelfAttentivePooling

SIZES = [(16, 20, 300), (16, 20, 300), (32, 10, 150), (64, 5, 75), (128, 5, 75)]
SMALL = {
    "filters": (4, 4, 6, 8),
    "blocks": (1, 2, 1, 1),
    "se_reduction": 2,
    "feature_size": 6,
    "mel_bands": 16,
    "window_samples": 100,
    "hop_samples": 80,
    "fft_size": 128,
}


def dot(left, right):
    return sum(a * b for a, b in zip(left, right, strict=True))


def test_sizes_of_40_bands_and_300_frames():
    with torch.device("meta"):
        encoder = FastResNetSE34L()
        assert [len(stage) for stage in encoder.stages] == [3, 4, 6, 3]
        x, seen = torch.empty(2, 1, 40, 300), []
        for part in [encoder.stem, *encoder.stages]:
            x = part(x)
            seen.append(tuple(x.shape[1:]))
        assert seen == SIZES
        assert encoder(torch.empty(2, 1, 40, 300)).shape == (2, 512)
    assert encoder.embedding_dim == 512
    assert encoder.min_seconds == 257 / 16000  # half an FFT is mirrored at both ends
    assert [type(layer).__name__ for layer in encoder.stem] == ["Conv2d", "BatchNorm2d", "ReLU"]


def test_parameters_by_hand():
    def block(before, after):
        convolutions = 9 * before * after + 9 * after * after + 4 * after
        excitation = 2 * after * (after // 8) + after // 8 + after
        return convolutions + excitation + (before * after + 2 * after if before != after else 0)

    stem = 49 * 16 + 2 * 16
    conv2 = 3 * block(16, 16)
    conv3 = block(16, 32) + 3 * block(32, 32)
    conv4 = block(32, 64) + 5 * block(64, 64)
    conv5 = block(64, 128) + 2 * block(128, 128)
    assert (stem, conv2, conv3, conv4, conv5) == (816, 14_262, 71_376, 434_224, 833_712)
    attention, last = 128 * 128 + 128 + 128, 128 * 512 + 512
    total = stem + conv2 + conv3 + conv4 + conv5 + attention + last
    assert total == 1_437_078
    assert total - 256 * 129 == 1_404_054  # with 256 units at the end: the 1.4 million of its authors
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in FastResNetSE34L().parameters()) == total


@pytest.mark.parametrize(("after", "stride"), [(4, 1), (6, 1), (4, 2)])
def test_block_by_hand(after, stride):
    """Convolution, ReLU, norm, convolution, norm, excitation, shortcut, ReLU."""
    torch.manual_seed(0)
    block = SEBlock(4, after, stride, reduction=2)
    x = torch.randn(5, 4, 7, 8)
    for _ in range(20):
        block(x)
    block.eval()

    def normalized(values, norm):
        return F.batch_norm(values, norm.running_mean, norm.running_var, norm.weight, norm.bias)

    first, _, norm1, second, norm2, gate = block.residual
    y = normalized(torch.relu(F.conv2d(x, first.weight, stride=stride, padding=1)), norm1)
    y = normalized(F.conv2d(y, second.weight, padding=1), norm2)
    squeezed = torch.relu(y.sum((2, 3)) / (y.shape[2] * y.shape[3]) @ gate.squeeze.weight.T + gate.squeeze.bias)
    gates = 1 / (1 + torch.exp(-(squeezed @ gate.excite.weight.T + gate.excite.bias)))
    shortcut = x
    if (after, stride) != (4, 1):
        shortcut = normalized(F.conv2d(x[:, :, ::stride, ::stride], block.shortcut[0].weight), block.shortcut[1])
    torch.testing.assert_close(block(x), torch.relu(y * gates[:, :, None, None] + shortcut))


def test_attention_by_loops():
    torch.manual_seed(0)
    pool = SelfAttentivePooling(3)
    frames = torch.randn(2, 5, 3) * 3
    matrix, bias, vector = pool.hidden.weight.tolist(), pool.hidden.bias.tolist(), pool.attention.weight[0].tolist()
    for clip, pooled in zip(frames.tolist(), pool(frames), strict=True):
        powers = []
        for frame in clip:
            hidden = [math.tanh(dot(row, frame) + b) for row, b in zip(matrix, bias, strict=True)]
            powers.append(math.exp(dot(vector, hidden)))
        expected = [dot(powers, column) / sum(powers) for column in zip(*clip, strict=True)]
        torch.testing.assert_close(pooled, torch.tensor(expected))


def test_mean_over_frequency_then_attention_over_time():
    torch.manual_seed(0)
    encoder = FastResNetSE34L(**SMALL).eval()
    signal = torch.randn(2, 1, 16, 40)
    maps = encoder.stages(encoder.stem(signal))
    assert maps.shape == (2, 8, 2, 10)
    frames = (maps[:, :, 0] + maps[:, :, 1]).transpose(1, 2) / 2
    weights = torch.softmax(torch.tanh(encoder.pool.hidden(frames)) @ encoder.pool.attention.weight[0], dim=1)
    expected = torch.einsum("bt,btc->bc", weights, frames) @ encoder.fc.weight.T + encoder.fc.bias
    assert (expected < 0).any()
    torch.testing.assert_close(encoder(signal), expected)


def test_weights_start_as_in_the_released_code():
    """Kaiming normal by fan-out for convolutions, Xavier normal for the attention vector."""
    torch.manual_seed(0)
    stem = FastResNetSE34L(**SMALL).stem[0].weight
    assert stem.std().item() == pytest.approx(math.sqrt(2 / (4 * 49)), rel=0.15)
    assert SelfAttentivePooling(400).attention.weight.std().item() == pytest.approx(math.sqrt(2 / 401), rel=0.15)


def test_wrong_inputs_and_sizes_are_refused():
    encoder = FastResNetSE34L(**SMALL).eval()
    assert encoder(torch.randn(1, 1, 16, 1)).shape == (1, 6)
    for shape in [(1, 16, 20), (1, 2, 16, 20), (1, 1, 40, 20)]:
        with pytest.raises(ValueError, match=r"expected a spectrogram \(B, 1, 16, T\), got .*; compute it with"):
            encoder(torch.zeros(shape))
    for wrong in [{"blocks": (1, 1, 1)}, {"filters": (4, 4, 6)}, {"se_reduction": 5}]:
        with pytest.raises(
            ValueError, match=r"expected four filters of at least .*, got .*; give one number per stage"
        ):
            FastResNetSE34L(**SMALL | wrong)
