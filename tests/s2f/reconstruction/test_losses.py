"""Every loss against a hand-worked case or a naive loop, its degenerate batch, and its gradient."""

import math

import pytest
import torch

from s2f.errors import RecipeError
from s2f.reconstruction.losses import (
    decoder_layer_l1,
    distillation,
    feature_cosine,
    gradient_l1,
    landmark_mse,
    normalized_l2,
    pixel_l1,
    speech2face_terms,
    texture_l1,
    weighted_total,
)


def test_decoder_layer_l1_sums_units_and_averages_the_batch():
    prediction = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    target = torch.tensor([[0.0, 4.0, 3.0], [1.0, -1.0, 5.0]])
    assert decoder_layer_l1(prediction, target).item() == pytest.approx((1 + 2 + 0 + 1 + 1 + 5) / 2)


def test_normalized_l2_by_hand_and_as_cosine():
    prediction, target = torch.tensor([[3.0, 4.0], [1.0, 0.0]]), torch.tensor([[0.0, 2.0], [-5.0, 0.0]])
    by_hand = ((0.6**2 + 0.2**2) + 4.0) / 2
    assert normalized_l2(prediction, target).item() == pytest.approx(by_hand, abs=1e-6)
    a, b = torch.randn(9, 5), torch.randn(9, 5)
    cosine = torch.stack([(x @ y) / (x.norm() * y.norm()) for x, y in zip(a, b, strict=True)])
    torch.testing.assert_close(normalized_l2(a, b), (2 - 2 * cosine).mean())
    torch.testing.assert_close(normalized_l2(a * 7, b * 0.1), normalized_l2(a, b))


def test_distillation_is_the_printed_sum():
    """Loop over -sum_i p_i(a) log p_i(b) with p_i = exp(a_i / T) / sum_j exp(a_j / T)."""
    a, b = torch.randn(4, 6, dtype=torch.double) * 3, torch.randn(4, 6, dtype=torch.double) * 3
    for temperature in (1.0, 2.0):
        total = 0.0
        for sample in range(4):
            p_a = [math.exp(value / temperature) for value in a[sample].tolist()]
            p_b = [math.exp(value / temperature) for value in b[sample].tolist()]
            total -= sum(x / sum(p_a) * math.log(y / sum(p_b)) for x, y in zip(p_a, p_b, strict=True))
        assert distillation(b, a, temperature).item() == pytest.approx(total / 4, rel=1e-10)


def test_distillation_is_smallest_at_the_target_and_not_symmetric():
    target = torch.randn(3, 8)
    entropy = distillation(target, target)
    assert entropy > 0
    for _ in range(10):
        assert distillation(target + torch.randn(3, 8), target) > entropy
    other = torch.randn(3, 8)
    assert not torch.allclose(distillation(other, target), distillation(target, other))
    torch.testing.assert_close(distillation(target + 5.0, target), entropy)


def test_descent_moves_every_term_towards_the_target():
    torch.manual_seed(0)
    first, identity = torch.nn.Linear(6, 4), torch.nn.Linear(6, 5)
    face = torch.randn(2, 6)
    for name in ("decoder", "normalized", "distillation"):
        voice = torch.randn(2, 6, requires_grad=True)
        before = speech2face_terms(voice, face, first, identity)[name]
        (gradient,) = torch.autograd.grad(before, voice)
        after = speech2face_terms(voice - 1e-2 * gradient, face, first, identity)[name]
        assert after < before


def test_terms_vanish_at_the_target_and_targets_carry_no_gradient():
    first, identity = torch.nn.Linear(6, 4), torch.nn.Linear(6, 5)
    face = torch.randn(2, 6, requires_grad=True)
    voice = face.detach().clone().requires_grad_()
    terms = speech2face_terms(voice, face, first, identity)
    assert terms["decoder"].item() == 0
    assert terms["normalized"].item() == pytest.approx(0, abs=1e-6)
    torch.testing.assert_close(terms["distillation"], distillation(identity(face), identity(face)))
    (gradient,) = torch.autograd.grad(terms["distillation"], voice)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-6, rtol=0)


@pytest.mark.parametrize("term", [decoder_layer_l1, normalized_l2, distillation, feature_cosine])
def test_gradcheck_and_batch_mean(term):
    torch.manual_seed(0)
    a = torch.randn(3, 5, dtype=torch.double, requires_grad=True)
    b = torch.randn(3, 5, dtype=torch.double)
    assert torch.autograd.gradcheck(lambda x: term(x, b), a)
    singles = torch.stack([term(a[i : i + 1], b[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(term(a, b), singles.mean())
    order = torch.tensor([2, 0, 1])
    torch.testing.assert_close(term(a[order], b[order]), term(a, b))


def test_landmark_mse_and_texture_l1_by_hand():
    points, target = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), torch.tensor([[[1.0, 0.0], [0.0, 4.0]]])
    assert landmark_mse(points, target).item() == pytest.approx((0 + 4 + 9 + 0) / 4)
    image, zero = torch.tensor([[[[0.5, -0.25], [0.0, 1.0]]]]), torch.zeros(1, 1, 2, 2)
    assert texture_l1(image, zero).item() == pytest.approx(1.75 / 4)
    mask = torch.tensor([[[1.0, 0.0], [0.0, 3.0]]])
    assert texture_l1(image, zero, mask).item() == pytest.approx((0.5 + 3 * 1.0) / 4)
    colour = image.expand(2, 3, 2, 2)
    assert texture_l1(colour, torch.zeros_like(colour), mask).item() == pytest.approx(3.5 / 4)


def test_pixel_l1_by_hand():
    """Sums over channels, rows and columns, mean over the images: two pictures of 2 x 1 x 3 values that all differ."""
    target = torch.tensor([[[[0.0, 0.5, 1.0]], [[0.25, 0.5, 0.75]]], [[[0.0, 0.0, 0.0]], [[1.0, 1.0, 1.0]]]])
    error = torch.tensor([[[[0.5, -0.5, 0.0]], [[-0.25, 0.25, 0.125]]], [[[3.0, 0.0, 0.0]], [[0.0, -2.0, 0.0]]]])
    assert pixel_l1(target + error, target).item() == (1.625 + 5.0) / 2
    assert pixel_l1(target, target + error).item() == (1.625 + 5.0) / 2
    assert pixel_l1(target, target).item() == 0
    first, second = (pixel_l1((target + error)[i : i + 1], target[i : i + 1]).item() for i in range(2))
    assert (first, second) == (1.625, 5.0)


def test_pixel_l1_grows_with_the_picture_and_not_with_the_batch():
    error = torch.full((1, 3, 4, 5), -0.5)
    assert pixel_l1(error, torch.zeros_like(error)).item() == 3 * 4 * 5 * 0.5
    wide, many = error.repeat(1, 1, 2, 3), error.repeat(7, 1, 1, 1)
    assert pixel_l1(wide, torch.zeros_like(wide)).item() == 6 * 30
    assert pixel_l1(many, torch.zeros_like(many)).item() == 30
    assert pixel_l1(2 * error, torch.zeros_like(error)).item() == 2 * 30  # L1, not its square


def test_pixel_l1_pulls_every_pixel_alike():
    """The gradient is the sign of the error over the number of images, in the prediction; minus that in the target."""
    prediction = torch.tensor([[[[0.9, 0.2]]], [[[0.1, 7.0]]]], requires_grad=True)
    target = torch.full((2, 1, 1, 2), 0.5, requires_grad=True)
    pixel_l1(prediction, target).backward()
    sign = torch.tensor([[[[0.5, -0.5]]], [[[-0.5, 0.5]]]])
    assert torch.equal(prediction.grad, sign)
    assert torch.equal(target.grad, -sign)


def test_feature_cosine_sign_and_range():
    a = torch.tensor([[2.0, 0.0]])
    assert feature_cosine(a, a * 5).item() == pytest.approx(-1)
    assert feature_cosine(a, -a).item() == pytest.approx(1)
    assert feature_cosine(a, torch.tensor([[0.0, 1.0]])).item() == pytest.approx(0)


def test_gradient_l1_ignores_offsets_and_sees_edges():
    image = torch.rand(1, 3, 4, 4)
    assert gradient_l1(image + 0.3, image).item() == pytest.approx(0, abs=1e-6)
    edge = torch.zeros(1, 1, 2, 2)
    edge[..., 1] = 1.0  # two horizontal differences of 1, no vertical ones
    assert gradient_l1(edge, torch.zeros_like(edge)).item() == pytest.approx(1.0)


def test_weighted_total_by_hand_and_unknown_names():
    terms = {"a": torch.tensor(2.0), "b": torch.tensor(3.0)}
    assert weighted_total(terms, {"a": 0.5, "b": 2.0}).item() == pytest.approx(7.0)
    assert weighted_total(terms, {"a": 0.0, "b": 2.0}).item() == pytest.approx(6.0)
    for wrong in ({"c": 1.0}, {"b": 1.0}, {}, {"a": 0.0, "b": 0.0}, {"a": 1.0, "b": 1.0, "c": 1.0}):
        with pytest.raises(RecipeError, match="expected loss_weights for a, b, not all 0"):
            weighted_total(terms, wrong)
    assert weighted_total(terms, {"a": 1.0, "b": 1.0, "c": 0.0}).item() == pytest.approx(5.0)


def test_a_zero_weight_keeps_a_broken_term_out():
    terms = {"a": torch.tensor(2.0), "b": torch.tensor(float("nan"))}
    assert weighted_total(terms, {"a": 1.0, "b": 0.0}).item() == 2.0
