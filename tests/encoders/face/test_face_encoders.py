"""VGG-Face and the compact face encoder behind one interface."""

import pytest
import torch
from torch.nn import functional as F

from encoders.face.compact import CompactFaceEncoder
from encoders.face.vgg_face import CONVOLUTIONS_PER_BLOCK, VGGFace

TINY_VGG = {"channels": (2, 3, 4, 5, 6), "fc_size": 8, "num_identities": 5, "image_size_px": 32}
TINY = {"channels": (4, 8), "feature_size": 12, "num_identities": 5, "image_size_px": 16}


@pytest.fixture(params=["vgg_face", "compact"])
def encoder(request):
    torch.manual_seed(0)
    network = VGGFace(**TINY_VGG) if request.param == "vgg_face" else CompactFaceEncoder(**TINY)
    return network.eval()


def test_vgg_face_paper_size():
    with torch.device("meta"):
        network = VGGFace()
        assert sum(parameter.numel() for parameter in network.parameters()) == 145_002_878
        assert len(network.state_dict()) == 32
        assert network.state_dict()["conv5_3.weight"].shape == (512, 512, 3, 3)
        assert network.state_dict()["fc6.weight"].shape == (4096, 25088)
    assert network.embedding_dim == 4096
    assert network.num_identities == 2622


def test_vgg_face_against_plain_arithmetic():
    """Rebuilt from its state dict with functional calls: RGB means on 0..255, ReLU after every layer but fc8."""
    torch.manual_seed(1)
    network = VGGFace(**TINY_VGG).eval()
    weights = network.state_dict()
    image = torch.rand(2, 3, 32, 32)
    means = torch.tensor([129.1863, 104.7624, 93.5940])
    x = torch.stack([image[:, c] * 255 - means[c] for c in range(3)], dim=1)
    for block, count in enumerate(CONVOLUTIONS_PER_BLOCK, start=1):
        for layer in range(1, count + 1):
            name = f"conv{block}_{layer}"
            x = F.relu(F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1))
        x = F.max_pool2d(x, 2, 2)
    x = F.relu(x.reshape(2, -1) @ weights["fc6.weight"].T + weights["fc6.bias"])
    x = F.relu(x @ weights["fc7.weight"].T + weights["fc7.bias"])
    output = network(image)
    torch.testing.assert_close(output.feature, x)
    torch.testing.assert_close(output.logits, x @ weights["fc8.weight"].T + weights["fc8.bias"])
    assert output.feature.min() >= 0


def test_vgg_face_dropout_acts_in_training_only():
    torch.manual_seed(0)
    network = VGGFace(**(TINY_VGG | {"fc_size": 64}))
    image = torch.rand(4, 3, 32, 32)
    network.train()
    assert not torch.equal(network(image).logits, network(image).logits)
    network.eval()
    assert torch.equal(network(image).logits, network(image).logits)


def test_compact_features_have_fixed_length_and_logits_are_scaled_cosines():
    torch.manual_seed(0)
    network = CompactFaceEncoder(**TINY).eval()
    feature, logits = network(torch.rand(3, 3, 16, 16))
    torch.testing.assert_close(feature.norm(dim=-1), torch.full((3,), 12**0.5))
    for sample in range(3):
        for identity in range(5):
            cosine = F.cosine_similarity(feature[sample], network.identities[identity], dim=0)
            assert logits[sample, identity].item() == pytest.approx(24 * cosine.item(), abs=1e-4)
    torch.testing.assert_close(network.logits(feature * 0.01), logits)


def test_contract_size_is_exact_and_prepare_reaches_it(encoder):
    size = encoder.image_size_px
    big = torch.rand(2, 3, 2 * size, 2 * size)
    with pytest.raises(ValueError, match="call `prepare` first"):
        encoder.features(big)
    assert encoder.features(encoder.prepare(big)).shape == (2, encoder.embedding_dim)
    same = torch.rand(1, 3, size, size)
    assert encoder.prepare(same) is same
    with pytest.raises(ValueError, match="square RGB"):
        encoder.prepare(torch.rand(1, 3, 20, 30))


def test_prepare_is_an_antialiased_resize(encoder):
    """Halving a checkerboard must give its mean, not one of its colours."""
    size = 2 * encoder.image_size_px
    board = ((torch.arange(size)[:, None] + torch.arange(size)) % 2).float().expand(1, 3, size, size)
    small = encoder.prepare(board)
    torch.testing.assert_close(small, torch.full_like(small, 0.5), atol=0.02, rtol=0)


def test_channel_order_and_batch_independence(encoder):
    size = encoder.image_size_px
    images = torch.rand(4, 3, size, size)
    together = encoder.features(images)
    torch.testing.assert_close(together[2:3], encoder.features(images[2:3]), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(together, encoder.features(images.flip(1)))


def test_sizes_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="multiple of 32, got 100"):
        VGGFace(image_size_px=100)
    with pytest.raises(ValueError, match="multiple of 8"):
        CompactFaceEncoder(**(TINY | {"image_size_px": 20}))
