"""The normalised-face decoder: paper sizes, the shared first layer, and each optional part."""

import pytest
import torch

from decoder.normalized import NormalizedFaceDecoder
from decoder.warp import warp_image

TINY = {
    "feature_size": 12,
    "hidden_size": 10,
    "landmark_sizes": (8,),
    "base_channels": 4,
    "texture_channels": (4, 3),
    "image_size_px": 32,
    "warp_grid": 16,
}


def tiny(**changes):
    torch.manual_seed(0)
    return NormalizedFaceDecoder(**(TINY | changes)).eval()


def test_speech2face_variant_has_1000_first_units_and_224_px():
    with torch.device("meta"):
        decoder = NormalizedFaceDecoder()
        texture, landmarks = decoder.decode(torch.empty(2, 4096))
        assert decoder.first_layer(torch.empty(2, 4096)).shape == (2, 1000)
        kernels = [tuple(layer.weight.shape) for layer in decoder.deconvolutions]
    assert texture.shape == (2, 3, 224, 224)
    assert landmarks.shape == (2, 68, 2)
    assert kernels == [(256, 128, 5, 5), (128, 64, 5, 5), (64, 32, 5, 5), (32, 32, 5, 5)]
    assert decoder.base_size_px == 14
    assert sum(parameter.numel() for parameter in decoder.parameters()) == 56_600_067


def test_first_layer_is_linear_and_shared():
    decoder = tiny()
    feature = torch.randn(3, 12)
    torch.testing.assert_close(decoder.first_layer(feature), feature @ decoder.first.weight.T + decoder.first.bias)
    assert decoder.first_layer(feature).min() < 0
    decoder.first.weight.data.zero_()
    decoder.first.bias.data.zero_()
    texture, landmarks = decoder.decode(feature)
    torch.testing.assert_close(texture[0], texture[1])
    torch.testing.assert_close(landmarks[0], landmarks[1])


def test_image_is_the_clamped_texture_warped_from_mean_to_predicted_landmarks():
    decoder = tiny()
    decoder.set_statistics(torch.rand(68, 2) * 20 + 6)
    output = decoder(torch.randn(2, 12))
    mean = decoder.mean_landmarks.expand_as(output.landmarks)
    expected = warp_image(output.texture, mean, output.landmarks, 16).clamp(0, 1)
    torch.testing.assert_close(output.image, expected)
    assert output.image.min() >= 0
    assert output.image.max() <= 1


def test_starts_from_the_mean_face():
    decoder = tiny(learn_mean=True)
    picture = torch.rand(3, 32, 32)
    decoder.set_statistics(torch.rand(68, 2) * 32, picture)
    texture, _ = decoder.decode(torch.randn(1, 12))
    assert (texture[0] - picture).abs().max() < 0.05


def test_basis_adds_scaled_pictures():
    decoder = tiny(learn_mean=True, basis_size=2, basis_size_px=32)
    basis = torch.rand(2, 3, 32, 32)
    decoder.set_statistics(torch.rand(68, 2) * 32, torch.zeros(3, 32, 32), basis)
    for parameter in decoder.to_rgb.parameters():
        parameter.data.zero_()
    feature = torch.randn(1, 12)
    weights = decoder.coefficients(torch.relu(decoder.first_layer(feature)))[0]
    texture, _ = decoder.decode(feature)
    torch.testing.assert_close(texture[0], weights[0] * basis[0] + weights[1] * basis[1])


def test_feature_length_matters_only_without_normalisation():
    feature = torch.randn(1, 12)
    plain, normalised = tiny(), tiny(normalize_feature=True)
    assert not torch.allclose(plain(feature).texture, plain(3 * feature).texture)
    torch.testing.assert_close(normalised(feature).texture, normalised(3 * feature).texture)
    assert not torch.allclose(normalised.first_layer(feature), normalised.first_layer(3 * feature))


def test_wrong_features_and_sizes_are_refused():
    with pytest.raises(ValueError, match=r"expected face features \(B, 12\), got \(1, 13\)"):
        tiny()(torch.zeros(1, 13))
    with pytest.raises(ValueError, match="multiple of 4"):
        tiny(image_size_px=30)


def test_everything_trains():
    decoder = tiny(learn_mean=True, basis_size=2, basis_size_px=8).train()
    decoder.set_statistics(torch.rand(68, 2) * 20 + 6, torch.full((3, 32, 32), 0.5), torch.rand(2, 3, 8, 8))
    output = decoder(torch.randn(2, 12))
    (output.image.square().sum() + output.landmarks.sum()).backward()
    silent = [name for name, p in decoder.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert silent == []


def test_overfits_four_textures_beyond_their_mean():
    """The residual must learn: a decoder that only shows the mean picture keeps the loss it starts with."""
    decoder = tiny(texture_batch_norm=True, learn_mean=True, base_channels=8, texture_channels=(16, 16)).train()
    faces = torch.rand(4, 3, 8, 8).repeat_interleave(4, 2).repeat_interleave(4, 3)
    decoder.set_statistics(torch.rand(68, 2) * 20 + 6, faces.mean(0))
    features = torch.randn(4, 12)
    optimizer = torch.optim.Adam(decoder.parameters(), lr=5e-3)
    losses = []
    for _ in range(150):
        loss = (decoder.decode(features)[0] - faces).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.4 * losses[0]
