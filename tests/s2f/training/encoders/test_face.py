"""Every face encoder that a recipe may name trains in the module of train_face.py."""

from typing import get_args, get_type_hints

import pytest
import torch

from s2f.checkpoints.encoders import FACE_ENCODERS, load_face_encoder
from s2f.training.encoders.face import FaceArguments, FaceModule
from s2f.training.loop.arguments import build_network

TINY = {
    "compact": {"channels": (4, 8), "feature_size": 6, "image_size_px": 16},
    "vgg_face": {"channels": (8,) * 5, "fc_size": 16, "image_size_px": 32},
    "vgg_m": {"channels": (4,) * 5, "fc_sizes": (8, 6), "image_size_px": 32},
    "vgg16_pooled": {"channels": (4,) * 4 + (6,), "batch_norm": True, "image_size_px": 32},
    "ir": {"units": (1, 1), "widths": (4, 6), "feature_size": 6, "image_size_px": 16},
}


def test_recipes_may_name_every_registered_encoder():
    assert set(get_args(get_type_hints(FaceArguments)["encoder"])) == set(FACE_ENCODERS) == set(TINY)


@pytest.mark.parametrize("name", TINY)
def test_a_step_and_the_way_through_a_folder(name, tmp_path):
    torch.manual_seed(0)
    encoder = build_network(FACE_ENCODERS[name], TINY[name] | {"num_identities": 3})
    module = FaceModule(encoder, augment=True, side_tasks=False).train()
    size = encoder.image_size_px
    batch = {
        "image": torch.randint(0, 256, (6, 3, size, size), dtype=torch.uint8),
        "label": torch.tensor([0, 1, 2, 0, 1, 2]),
    }
    module(batch)["identity"].backward()
    gradients = [parameter.grad for parameter in module.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
    assert sum(bool(gradient.any()) for gradient in gradients) > len(gradients) // 2
    encoder.eval().save_pretrained(tmp_path)
    loaded = load_face_encoder(tmp_path)
    image = batch["image"].float() / 255
    feature, logits = loaded(image)
    assert feature.shape == (6, loaded.embedding_dim)
    torch.testing.assert_close(feature, encoder.features(image))
    torch.testing.assert_close(logits, encoder.logits(feature))
