"""The Speech2Face voice encoder: the paper's table, the temporal-only pooling, and its limits."""

import pytest
import torch

from encoders.voice.speech2face import Speech2FaceVoiceEncoder

SMALL = {"channels": (4, 4, 4, 4, 4, 4, 4, 4, 4), "hidden_size": 8, "feature_size": 6}
TABLE = [  # facts of the paper's Table 1 in the VALID reading: channels, frames, frequencies after each block
    (64, 595, 254),
    (64, 592, 251),
    (128, 294, 248),
    (128, 145, 245),
    (128, 71, 242),
    (256, 34, 239),
    (512, 31, 236),
    (512, 14, 117),
    (512, 6, 57),
]


def small(**changes):
    torch.manual_seed(0)
    return Speech2FaceVoiceEncoder(**(SMALL | changes)).eval()


def test_paper_size_parameters_and_layer_table():
    """Exactly 148,062,976 parameters; the sizes of every layer follow on the meta device, without the arithmetic."""
    with torch.device("meta"):
        encoder = Speech2FaceVoiceEncoder()
        assert sum(parameter.numel() for parameter in encoder.parameters()) == 148_062_976
        convolutions = sum(p.numel() for p in encoder.convolutions.parameters())
        assert convolutions == 11_735_296
        assert encoder.fc1.in_features == 29_184
        x = torch.empty(1, 2, 598, 257)
        seen = []
        for block, (convolution, norm) in enumerate(zip(encoder.convolutions, encoder.norms, strict=True), start=1):
            x = convolution(x)
            assert norm.num_features == x.shape[1]
            if block in encoder.config.pooled_blocks:
                x = encoder.pool(x)
            seen.append(tuple(x.shape[1:]))
        assert seen == TABLE
        assert encoder(torch.empty(2, 2, 598, 257)).shape == (2, 4096)


def test_three_seconds_leave_one_frame_and_less_is_refused():
    encoder = small()
    assert encoder.min_frames == 259
    assert encoder.min_seconds == pytest.approx(2.605)
    assert encoder(torch.randn(1, 2, 298, 257)).shape == (1, 6)
    assert encoder(torch.randn(1, 2, 259, 257)).shape == (1, 6)
    with pytest.raises(ValueError, match=r"at least 259 frames \(2.60 s\), got 258"):
        encoder(torch.randn(1, 2, 258, 257))


@pytest.mark.parametrize("shape", [(2, 300, 257), (1, 1, 300, 257), (1, 2, 300, 256)])
def test_wrong_spectrograms_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected a spectrogram \(B, 2, T, 257\)"):
        small()(torch.zeros(shape))


def test_strides_and_channels_must_pair_up():
    with pytest.raises(ValueError, match="9 channels and 1 strides"):
        small(strides=((1, 1),))


def test_last_block_averages_time_before_its_relu():
    """Recomputed by hand from the ninth convolution on: mean over time, ReLU, batch norm, channel-major flatten."""
    encoder = small()
    for norm in encoder.norms:  # a batch norm that does something
        norm.running_mean.uniform_(-0.5, 0.5)
        norm.running_var.uniform_(0.5, 2)
    kept = {}
    encoder.convolutions[8].register_forward_hook(lambda _m, _i, output: kept.update(ninth=output))
    result = encoder(torch.randn(2, 2, 598, 257))
    ninth = kept["ninth"]
    assert ninth.shape == (2, 4, 6, 57)
    norm = encoder.norms[8]
    pooled = torch.relu(ninth.sum(2) / 6)
    scaled = (pooled - norm.running_mean[None, :, None]) / torch.sqrt(norm.running_var + norm.eps)[None, :, None]
    scaled = scaled * norm.weight[None, :, None] + norm.bias[None, :, None]
    flat = torch.stack([torch.cat([sample[channel] for channel in range(4)]) for sample in scaled])
    expected = torch.relu(flat @ encoder.fc1.weight.T + encoder.fc1.bias) @ encoder.fc2.weight.T + encoder.fc2.bias
    torch.testing.assert_close(result, expected)


def test_relu_comes_before_batch_norm():
    """A batch norm that only shifts by -1 leaves values below 0 after the block: impossible with the ReLU last."""
    encoder = small()
    encoder.norms[0].bias.data.fill_(-1.0)
    kept = {}
    encoder.norms[0].register_forward_hook(lambda _m, inputs, output: kept.update(before=inputs[0], after=output))
    encoder(torch.randn(1, 2, 298, 257))
    assert kept["before"].min() >= 0
    assert kept["after"].min() < -0.5


def test_pooling_is_along_time_only():
    """Shifting the sound in frequency changes the feature; repeating it in time hardly does."""
    encoder = small(channels=(8,) * 9, hidden_size=32)
    for convolution in encoder.convolutions:
        convolution.weight.data.mul_(2.5)  # keep the signal alive through nine untrained layers
    sound = torch.randn(1, 2, 1, 257).expand(1, 2, 298, 257) * 20  # stationary in time
    longer = sound[:, :, :1].expand(1, 2, 800, 257)
    moved = sound.roll(60, dims=3)
    base = encoder(sound)
    torch.testing.assert_close(encoder(longer), base, rtol=1e-3, atol=1e-3)
    assert (encoder(moved) - base).norm() > 0.05 * base.norm()


def test_batch_does_not_matter_in_eval_and_there_is_no_last_activation():
    encoder = small()
    waveform = torch.randn(5, 48000) * 0.1
    together = encoder.encode(waveform)
    torch.testing.assert_close(together[3:4], encoder.encode(waveform[3:4]), rtol=1e-4, atol=1e-5)
    assert (together < 0).any()


def test_frequency_strides_keep_the_time_limits():
    strides = ((1, 2), (1, 2), *((1, 1),) * 5, (2, 2), (2, 2))
    encoder = small(strides=strides)
    assert encoder.min_frames == 259
    assert encoder.encode(torch.randn(1, 48000) * 0.1).shape == (1, 6)
