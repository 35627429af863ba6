"""Every matching loss against a hand-worked case, a naive loop in float64, its degenerate batch, and its gradient."""

import math

import pytest
import torch
from torch.nn import functional as F

from s2f.errors import RecipeError
from s2f.matching.losses import (
    contrastive,
    focal,
    hardest,
    identity_cross_entropy,
    n_pair,
    on_sphere,
    softmax_distance,
    sphere_triplet,
)


def normal(*shape, seed=0, scale=1.0):
    return scale * torch.randn(*shape, dtype=torch.double, generator=torch.Generator().manual_seed(seed))


def grads(loss, *inputs):
    return torch.autograd.grad(loss, inputs)


def test_softmax_distance_is_the_printed_norm():
    positive, negative = normal(50, scale=3).abs(), normal(50, seed=1, scale=3).abs()
    printed = (torch.stack([positive, negative], -1).softmax(-1) - torch.tensor([0.0, 1.0])).square().sum(-1)
    torch.testing.assert_close(softmax_distance(positive, negative), printed)
    one = softmax_distance(torch.tensor([math.log(3.0), 1.0]), torch.tensor([0.0, 1.0]))  # p+ of 3/4 and 1/2
    assert one.tolist() == pytest.approx([2 * 0.75**2, 0.5])


def test_softmax_distance_stands_any_distance_and_pulls_the_right_way():
    far, near = torch.tensor([1e4, 0.0], requires_grad=True), torch.tensor([0.0, 1e4], requires_grad=True)
    loss = softmax_distance(far, near)
    assert loss.tolist() == [2.0, 0.0]
    assert all(gradient.isfinite().all() for gradient in grads(loss.sum(), far, near))
    positive, negative = normal(5).requires_grad_(), normal(5, seed=1).requires_grad_()
    nearer, further = grads(softmax_distance(positive, negative).sum(), positive, negative)
    assert (nearer > 0).all()
    assert (further < 0).all()


def test_hardest_keeps_the_largest_and_their_gradients_only():
    losses = torch.tensor([0.3, 2.0, -1.0, 2.5, 0.0], requires_grad=True)
    kept = hardest(losses, 2)
    assert kept.tolist() == [2.5, 2.0]
    assert grads(kept.sum(), losses)[0].tolist() == [0, 1, 0, 1, 0]
    assert sorted(hardest(losses, 5).tolist()) == sorted(losses.tolist())
    for wrong in (0, 6):
        with pytest.raises(RecipeError, match=f"expected 1 to 5 hard examples of a batch of 5, got {wrong}"):
            hardest(losses, wrong)


def test_contrastive_by_hand():
    distance = torch.tensor([3.0, 0.5, 3.0, 0.5, 2.0])
    match = torch.tensor([True, True, False, False, False])
    assert contrastive(distance, match, 2.0).tolist() == [4.5, 0.125, 0.0, 1.125, 0.0]
    assert contrastive(distance, match, 4.0).tolist() == [4.5, 0.125, 0.5, 6.125, 2.0]
    moved = distance.clone().requires_grad_()
    (gradient,) = grads(contrastive(moved, match, 2.0).sum(), moved)
    assert gradient.tolist() == [3.0, 0.5, 0.0, -1.5, 0.0]


def test_on_sphere_keeps_directions_and_stands_a_vector_of_length_zero():
    x = normal(4, 3) * torch.tensor([1e-6, 1.0, 1e3, 0.0], dtype=torch.double)[:, None]
    x.requires_grad_()
    ball = on_sphere(x, 128.0)
    torch.testing.assert_close(ball[:3].norm(dim=-1), torch.full((3,), 128.0, dtype=torch.double))
    torch.testing.assert_close(F.cosine_similarity(ball[:3], x[:3], eps=1e-12), torch.ones(3, dtype=torch.double))
    assert ball[3].tolist() == [0, 0, 0]
    (gradient,) = grads((ball * normal(4, 3, seed=1)).sum(), x)
    torch.testing.assert_close(gradient[3], 128 * normal(4, 3, seed=1)[3])
    assert gradient.isfinite().all()
    assert (gradient[:3] * x[:3]).sum(-1).abs().max() < 1e-9  # along the sphere: the length does not matter


def naive_triplets(voice, face, voice_label, face_label, margin):
    losses = []
    for v, own in zip(voice, voice_label, strict=True):
        for positive, p in zip(face, face_label, strict=True):
            for negative, n in zip(face, face_label, strict=True):
                if p == own and n != own:
                    losses.append(max(0.0, (math.dist(v, positive) - math.dist(v, negative) + margin)))
    return losses


def test_sphere_triplet_equals_three_loops():
    voice, face = on_sphere(normal(5, 4), 8.0), on_sphere(normal(7, 4, seed=1), 8.0)
    labels = torch.tensor([0, 0, 1, 2, 3]), torch.tensor([2, 0, 1, 1, 0, 4, 0])  # 3 has no face, 4 no voice
    for margin in (0.5, 1.0, 3.0):
        wanted = naive_triplets(voice.tolist(), face.tolist(), *(label.tolist() for label in labels), margin)
        loss, triplets = sphere_triplet(voice, face, *labels, margin)
        assert triplets == len(wanted) == 2 * 3 * 4 + 2 * 5 + 1 * 6
        assert loss.item() == pytest.approx(sum(wanted) / len(wanted))
        assert min(wanted) == 0 < max(wanted)  # the mean is over triplets that cost nothing, too
    order = torch.tensor([4, 1, 0, 3, 2])
    assert sphere_triplet(voice[order], face, labels[0][order], labels[1], 3.0)[0].item() == pytest.approx(loss.item())


def test_sphere_triplet_by_hand():
    """On a line: voices at 0 and 2, their faces at 1 and 3, so 1 - 3 + 4 = 2 and 1 - 1 + 4 = 4."""
    voice, face = torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [3.0]])
    label = torch.tensor([0, 1])
    loss, triplets = sphere_triplet(voice, face, label, label, 4.0)  # one tensor for both sides
    assert (loss.item(), triplets) == ((2 + 4) / 2, 2)


def test_sphere_triplet_is_exact_at_radius_128_in_any_batch():
    """Positives .01 away: the usual shortcut for distances reads them as 0 or .06 from 26 rows on."""
    voice = F.normalize(normal(40, 64), dim=-1) * 128
    face = F.normalize(voice + normal(40, 64, seed=1, scale=1e-3), dim=-1) * 128
    label = torch.arange(40)
    near, far = (voice - face).norm(dim=-1), torch.cdist(voice, face, compute_mode="donot_use_mm_for_euclid_dist")
    wanted = (near[:, None] - far + 300).clamp_min(0)[~torch.eye(40, dtype=torch.bool)]
    loss, triplets = sphere_triplet(voice.float(), face.float(), label, label, 300.0)
    assert triplets == 40 * 39
    assert loss.item() == pytest.approx(wanted.mean().item(), abs=1e-4)
    by_shortcut = torch.cdist(voice.float(), face.float()).diag()
    assert (by_shortcut - near).abs().max() > 0.02


def test_sphere_triplet_of_one_identity_is_a_zero_that_has_gradients():
    voice, face = normal(3, 4).requires_grad_(), normal(2, 4, seed=1).requires_grad_()
    loss, triplets = sphere_triplet(voice, face, torch.tensor([5, 5, 5]), torch.tensor([5, 5]), 1.0)
    assert (loss.item(), triplets) == (0.0, 0)
    assert all(not gradient.any() for gradient in grads(loss, voice, face))
    loss, triplets = sphere_triplet(voice, face, torch.tensor([5, 5, 5]), torch.tensor([6, 7]), 1.0)
    assert (loss.item(), triplets) == (0.0, 0)


def test_identity_cross_entropy_is_the_printed_sum_without_any_normalisation():
    embedding, classifier = normal(4, 3, scale=2), normal(6, 3, seed=1)
    label = torch.tensor([5, 0, 2, 2])
    found = identity_cross_entropy(embedding, classifier, label)
    for value, x, y in zip(found, embedding.tolist(), label.tolist(), strict=True):
        powers = [math.exp(sum(a * b for a, b in zip(row, x, strict=True))) for row in classifier.tolist()]
        assert value.item() == pytest.approx(-math.log(powers[y] / sum(powers)), rel=1e-10)
    assert not torch.allclose(identity_cross_entropy(embedding * 2, classifier, label), found)
    assert not torch.allclose(identity_cross_entropy(embedding, classifier * 2, label), found)
    high = identity_cross_entropy(torch.tensor([[1e4]]), torch.tensor([[1.0], [-1.0]]), torch.tensor([1]))
    assert high.item() == 2e4


def test_focal_by_hand_and_its_limits():
    p = torch.tensor([0.9, 0.5, 0.01], dtype=torch.double)
    torch.testing.assert_close(focal(-p.log()), (1 - p) ** 2 * -p.log())
    torch.testing.assert_close(focal(-p.log(), 5.0), (1 - p) ** 5 * -p.log())
    torch.testing.assert_close(focal(-p.log(), 0.0), -p.log())
    for gamma in (0.0, 0.5, 2.0):
        certain = torch.zeros(2, requires_grad=True)
        loss = focal(certain, gamma)
        assert loss.tolist() == [0, 0]
        assert grads(loss.sum(), certain)[0].isfinite().all()
    small = focal(torch.tensor([1e-6])).item()
    assert small == pytest.approx(1e-18, rel=1e-4, abs=0)  # 1 - exp(-x) in float32 would be 5 % off


def naive_n_pair(anchor, candidate, label, constant):
    unit = [[value / math.hypot(*row) for value in row] for row in candidate]

    def dot(a, b):
        return sum(x * y for x, y in zip(a, b, strict=True))

    losses = []
    for i, a in enumerate(anchor):
        others = sum(math.exp(dot(a, unit[j])) for j in range(len(unit)) if label[j] != label[i])
        losses.append(math.log(constant + others / math.exp(dot(a, unit[i]))))
    return losses


def test_n_pair_equals_the_printed_ratio():
    anchor, candidate, label = normal(6, 4, scale=2), normal(6, 4, seed=1, scale=3), torch.tensor([0, 1, 2, 1, 3, 0])
    for constant in (1.0, 3.4, 5.4):
        wanted = naive_n_pair(anchor.tolist(), candidate.tolist(), label.tolist(), constant)
        assert n_pair(anchor, candidate, label, constant).tolist() == pytest.approx(wanted, rel=1e-10)


def test_n_pair_normalises_the_candidate_and_not_the_anchor():
    anchor, candidate, label = normal(5, 4), normal(5, 4, seed=1), torch.arange(5)
    found = n_pair(anchor, candidate, label, 3.4)
    torch.testing.assert_close(n_pair(anchor, candidate * 7, label, 3.4), found)
    assert not torch.allclose(n_pair(anchor * 7, candidate, label, 3.4), found, rtol=0.1)


def test_the_constant_of_the_code_is_5_4():
    """The authors' sum runs over all j, and their mask makes the term of j = i exp(0)."""
    anchor, candidate, label = normal(5, 4), normal(5, 4, seed=1), torch.arange(5)
    scores = anchor @ F.normalize(candidate, dim=-1).T
    exponent = (scores - scores.diagonal()[:, None]) * (1 - torch.eye(5))
    as_coded = torch.log(1 + 3.4 + exponent.exp().sum(1))
    torch.testing.assert_close(n_pair(anchor, candidate, label, 5.4), as_coded)


def test_n_pair_without_negatives_and_with_large_scores():
    anchor, candidate = normal(3, 4).requires_grad_(), normal(3, 4, seed=1).requires_grad_()
    for label in (torch.tensor([2, 2, 2]), torch.tensor([2])):
        loss = n_pair(anchor[: len(label)], candidate[: len(label)], label, 3.4)
        torch.testing.assert_close(loss, torch.full_like(loss, math.log(3.4)))
        assert all(not gradient.any() for gradient in grads(loss.sum(), anchor, candidate))
    loss = n_pair(anchor.float() * 1e5, candidate.float(), torch.arange(3), 3.4)
    assert loss.isfinite().all()
    assert loss.max() > 1e3
    assert n_pair(anchor, torch.zeros(3, 4, dtype=torch.double), torch.arange(3), 3.4).isfinite().all()
    with pytest.raises(RecipeError, match="constant m > 0"):
        n_pair(anchor, candidate, torch.arange(3), 0.0)


def test_gradcheck():
    def check(loss, *inputs):
        assert torch.autograd.gradcheck(loss, tuple(value.requires_grad_() for value in inputs))

    match, label = torch.tensor([True, False, True, False]), torch.tensor([0, 1, 2, 0])
    check(softmax_distance, normal(4), normal(4, seed=1))
    check(lambda x: hardest(x, 2), normal(4))
    check(lambda x: contrastive(x, match, 1.0), normal(4).abs())
    check(lambda x: on_sphere(x, 3.0), normal(4, 3))
    faces = torch.tensor([0, 1, 2])
    check(lambda v, f: sphere_triplet(v, f, label, faces, 1.0)[0], normal(4, 3), normal(3, 3, seed=1))
    check(lambda x, w: identity_cross_entropy(x, w, label), normal(4, 3), normal(5, 3, seed=1))
    check(lambda x: focal(x, 2.0), normal(4).abs())
    check(lambda a, c: n_pair(a, c, label, 3.4), normal(4, 3), normal(4, 3, seed=1))


def test_half_precision_and_autocast_are_computed_in_float32():
    voice, face, classifier = (normal(6, 8, seed=seed, scale=5).bfloat16() for seed in range(3))
    label = torch.tensor([0, 1, 2, 3, 4, 0])
    exact = [value.float() for value in (voice, face, classifier)]

    def losses(voice, face, classifier):
        return [
            n_pair(voice, face, label, 3.4),
            identity_cross_entropy(voice, classifier, label),
            sphere_triplet(voice, face, label, label, 20.0)[0],
            sphere_triplet(voice, face, label, label + 9, 1.0)[0],
            on_sphere(voice, 128.0),
            softmax_distance(voice[:, 0], face[:, 0]),
            contrastive(voice[:, 0].abs(), label > 2, 2.0),
        ]

    wanted = losses(*exact)
    halved = losses(voice, face, classifier)
    with torch.autocast("cpu", torch.bfloat16):
        results = [halved, losses(*exact), losses(voice, face, classifier)]
    for result in results:
        for found, value in zip(result, wanted, strict=True):
            assert found.dtype == torch.float32
            torch.testing.assert_close(found, value, rtol=1e-6, atol=1e-6)
