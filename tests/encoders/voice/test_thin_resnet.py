"""Thin ResNet-34: the sizes of the released code, the number of parameters, its block and its pooling."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from encoders.voice.thin_resnet import Bottleneck, ThinResNet34

SIZES = [(64, 128, 125), (96, 128, 125), (128, 64, 63), (256, 32, 32), (512, 16, 16), (512, 7, 16)]
SMALL = {
    "stem_channels": 4,
    "widths": ((3, 3, 4), (3, 3, 4), (4, 4, 6), (4, 4, 6)),
    "blocks": (1, 2, 1, 1),
    "clusters": 3,
    "ghost_clusters": 2,
    "feature_size": 6,
    "window_samples": 100,
    "hop_samples": 80,
    "fft_size": 128,
}


def parameters(*networks):
    return sum(parameter.numel() for network in networks for parameter in network.parameters())


def test_sizes_of_250_frames():
    """Stem with its pooling, conv2 to conv5, mpool2, x_fc, assignment: 257 x 250 ends as 16 local features."""
    with torch.device("meta"):
        encoder = ThinResNet34(ghost_clusters=2)
        assert [len(stage) for stage in encoder.stages] == [2, 3, 3, 3]
        x, seen = torch.empty(2, 1, 257, 250), []
        for part in [encoder.stem, *encoder.stages, encoder.pool]:
            x = part(x)
            seen.append(tuple(x.shape[1:]))
        assert seen == SIZES
        assert encoder.x_fc(x).shape == (2, 512, 1, 16)
        assert encoder.assignment(x).shape == (2, 10, 1, 16)
        assert encoder.fc6.in_features == 4096
        assert encoder(torch.empty(2, 1, 257, 250)).shape == (2, 512)
    assert encoder.embedding_dim == 512
    assert encoder.min_seconds == 257 / 16000  # half an FFT is mirrored at both ends


def test_parameters_by_hand():
    """Convolutions without bias and two numbers per normalised channel, stage by stage."""

    def block(before, a, b, c, project=False):
        count = before * a + 9 * a * b + b * c + 2 * (a + b + c)
        return count + (before * c + 2 * c if project else 0)

    stem = 49 * 64 + 2 * 64
    conv2 = block(64, 48, 48, 96, project=True) + block(96, 48, 48, 96)
    conv3 = block(96, 96, 96, 128, project=True) + 2 * block(128, 96, 96, 128)
    conv4 = block(128, 128, 128, 256, project=True) + 2 * block(256, 128, 128, 256)
    conv5 = block(256, 256, 256, 512, project=True) + 2 * block(512, 256, 256, 512)
    assert stem + conv2 + conv3 + conv4 + conv5 == 3_690_240
    x_fc, fc6 = 7 * 512 * 512 + 512, 4096 * 512 + 512
    one_cluster = 7 * 512 + 1  # of the assignment
    plain = 3_690_240 + x_fc + 8 * one_cluster + 8 * 512 + fc6
    assert plain == 7_656_200
    with torch.device("meta"):
        encoder = ThinResNet34()
        assert parameters(encoder.stem, encoder.stages) == 3_690_240
        assert parameters(encoder) == plain
        # the released network has two ghost centres of 512 more, which nothing reads: 7,664,394
        assert parameters(ThinResNet34(ghost_clusters=2)) == plain + 2 * one_cluster == 7_664_394 - 2 * 512


@pytest.mark.parametrize(("stride", "project"), [(2, True), (1, True), (1, False)])
def test_bottleneck_by_hand(stride, project):
    torch.manual_seed(0)
    block = Bottleneck(6, (3, 4, 6), stride, project)
    x = torch.randn(5, 6, 8, 9)
    for _ in range(20):
        block(x)
    block.eval()

    def normalized(values, norm):
        assert norm.eps == 1e-3
        return F.batch_norm(values, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=1e-3)

    first, second, third = block.residual[0], block.residual[2], block.residual[4]
    y = torch.relu(normalized(F.conv2d(x[:, :, ::stride, ::stride], first[0].weight), first[1]))
    y = torch.relu(normalized(F.conv2d(F.pad(y, (1, 1, 1, 1)), second[0].weight), second[1]))
    y = normalized(F.conv2d(y, third[0].weight), third[1])
    shortcut = x
    if project:
        shortcut = normalized(F.conv2d(x[:, :, ::stride, ::stride], block.shortcut[0].weight), block.shortcut[1])
    torch.testing.assert_close(block(x), torch.relu(y + shortcut))


def test_assignment_reads_the_trunk_and_x_fc_is_rectified():
    """From the pooled maps on, recomputed one local feature at a time; the ghosts' mass is lost."""
    torch.manual_seed(0)
    encoder = ThinResNet34(**SMALL).eval()
    nn.init.uniform_(encoder.assignment.bias, -1, 1)
    signal = torch.randn(2, 1, 65, 60)
    maps = encoder.pool(encoder.stages(encoder.stem(signal)))
    assert maps.shape == (2, 6, 1, 4)
    sums = torch.zeros(2, 3, 6)
    for column in maps[:, :, 0].unbind(2):
        local = torch.relu(column @ encoder.x_fc.weight[:, :, 0, 0].T + encoder.x_fc.bias)
        mass = torch.softmax(column @ encoder.assignment.weight[:, :, 0, 0].T + encoder.assignment.bias, dim=1)
        sums += mass[:, :3, None] * (local[:, None] - encoder.vlad.centres)
    pooled = (sums / sums.norm(dim=2, keepdim=True)).reshape(2, 18)
    expected = pooled @ encoder.fc6.weight.T + encoder.fc6.bias
    assert (expected < 0).any()
    torch.testing.assert_close(encoder(signal), torch.relu(expected))


def test_weights_start_orthogonal():
    encoder = ThinResNet34(**SMALL)
    for weight in [encoder.x_fc.weight, encoder.stages[0][0].residual[2][0].weight, encoder.vlad.centres]:
        rows = weight.flatten(1)
        torch.testing.assert_close(rows @ rows.T, torch.eye(len(rows)))
    assert not any(layer.bias.any() for layer in (encoder.x_fc, encoder.assignment, encoder.fc6))


def test_height_of_the_last_convolutions_follows_from_the_fft():
    tall = ThinResNet34(**SMALL | {"fft_size": 256})
    assert (tall.x_fc.kernel_size, tall.assignment.kernel_size) == ((3, 1), (3, 1))
    assert tall.eval()(torch.randn(1, 1, 129, 9)).shape == (1, 6)
    least = SMALL | {"window_samples": 66, "hop_samples": 66}
    assert ThinResNet34(**least | {"fft_size": 66}).x_fc.kernel_size == (1, 1)
    with pytest.raises(ValueError, match="fft_size of at least 66, got 64; "):
        ThinResNet34(**least | {"fft_size": 64, "window_samples": 64, "hop_samples": 64})


def test_shortest_clip_and_wrong_inputs():
    encoder = ThinResNet34(**SMALL).eval()
    assert encoder.min_frames == 2
    assert encoder(torch.randn(1, 1, 65, 2)).shape == (1, 6)
    with pytest.raises(ValueError, match="expected at least 2 frames, got 1; repeat"):
        encoder(torch.randn(1, 1, 65, 1))
    for shape in [(1, 65, 20), (1, 2, 65, 20), (1, 1, 64, 20)]:
        with pytest.raises(ValueError, match=r"expected a spectrogram \(B, 1, 65, T\), got .*; compute it with"):
            encoder(torch.zeros(shape))
    with pytest.raises(ValueError, match="got 3 for 4 stages; "):
        ThinResNet34(**SMALL | {"blocks": (1, 1, 1)})
