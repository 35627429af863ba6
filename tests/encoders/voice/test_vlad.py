"""NetVLAD and GhostVLAD against a double loop, and what sets the ghosts apart."""

import math

import pytest
import torch

from encoders.voice.vlad import VLAD


@pytest.fixture
def sets():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 4, 7, generator=generator) * 2, torch.randn(2, 5, 7, generator=generator) * 2


def by_loops(local, scores, centres):
    """The definition, one number at a time."""
    pooled = []
    for features, logits in zip(local.tolist(), scores.tolist(), strict=True):
        pieces = []
        for k, centre in enumerate(centres.tolist()):
            total = [0.0] * len(centre)
            for n in range(len(logits[0])):
                mass = math.exp(logits[k][n]) / sum(math.exp(row[n]) for row in logits)
                total = [t + mass * (row[n] - c) for t, row, c in zip(total, features, centre, strict=True)]
            length = math.sqrt(sum(t * t for t in total))
            pieces += [t / length for t in total]
        pooled.append(pieces)
    return torch.tensor(pooled)


@pytest.mark.parametrize("ghosts", [0, 2])
def test_equals_the_definition(sets, ghosts):
    local, scores = sets
    vlad = VLAD(5 - ghosts, 4)
    torch.testing.assert_close(vlad(local, scores), by_loops(local, scores, vlad.centres))


def test_each_cluster_has_unit_length_and_the_whole_has_not(sets):
    pooled = VLAD(3, 4)(*sets)
    torch.testing.assert_close(pooled.view(2, 3, 4).norm(dim=2), torch.ones(2, 3))
    torch.testing.assert_close(pooled.norm(dim=1), torch.full((2,), math.sqrt(3)))


def test_a_ghost_mutes_a_feature(sets):
    """A local feature given to a ghost counts as if it were not there; given to a cluster it counts."""
    local, scores = sets
    vlad = VLAD(3, 4)
    muted, heard = scores.clone(), scores.clone()
    muted[:, 4, 2] = 60.0
    heard[:, 0, 2] = 60.0
    kept = [0, 1, 3, 4, 5, 6]
    without = vlad(local[:, :, kept], scores[:, :, kept])
    torch.testing.assert_close(vlad(local, muted), without)
    assert (vlad(local, heard) - without).abs().max() > 0.05


def test_order_of_the_set_does_not_matter(sets):
    local, scores = sets
    order = torch.tensor([3, 1, 6, 0, 2, 5, 4])
    vlad = VLAD(3, 4)
    torch.testing.assert_close(vlad(local[:, :, order], scores[:, :, order]), vlad(local, scores))


def test_gradients(sets):
    local, scores = (tensor[:, :, :3].double().requires_grad_() for tensor in sets)
    vlad = VLAD(3, 4).double()
    assert torch.autograd.gradcheck(vlad, (local, scores))
    vlad(local, scores)[:, 0].sum().backward()
    assert (vlad.centres.grad[0] != 0).all()
    assert (vlad.centres.grad[1:] == 0).all()


def test_an_empty_cluster_is_finite(sets):
    """No mass at all: zeros, and finite gradients."""
    local, scores = sets[0].requires_grad_(), sets[1].clone()
    scores[:, 0] = -1000.0
    pooled = VLAD(3, 4)(local, scores)
    assert (pooled[:, :4] == 0).all()
    pooled.sum().backward()
    assert local.grad.isfinite().all()


def test_wrong_sizes_are_refused(sets):
    local, scores = sets
    for bad in [(local[:, :3], scores), (local, scores[:, :2]), (local[:, :, 1:], scores)]:
        with pytest.raises(ValueError, match=r"expected local features \(B, 4, N\).* got .*; give one row"):
            VLAD(3, 4)(*bad)
