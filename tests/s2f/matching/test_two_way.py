"""Exact two-way matching against a loop over every trial."""

import numpy as np
import pytest
import torch

from s2f.matching.heads import EmbeddingHead, MatchingHead, NWayScorer, StaticScorer
from s2f.matching.two_way import accuracy, track_probabilities, win_shares
from s2f.simulate.population.ideal_observer import ideal_figures


class Places(MatchingHead):
    """Prefers the higher product of features, with a bias for the first place that a test can see."""

    def __init__(self, bias: float) -> None:
        super().__init__()
        self.bias = bias

    def scores(self, voice, face):
        products = (voice * face).sum(-1)
        return products + torch.tensor([self.bias, 0.0])


def people(count: int, size: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, size, generator=generator), torch.randn(count, size, generator=generator)


@pytest.mark.parametrize("direction", ["v2f", "f2v"])
def test_pair_heads_count_every_trial_and_agree_with_the_ideal_observers_counting(direction):
    torch.manual_seed(0)
    head = EmbeddingHead(3, 3, embedding_dim=2, hidden_size=4).eval()
    voice, face = people(9)
    wins = win_shares(head, voice, face, direction)
    table = head.pair_scores(voice, face)
    for i in range(9):
        for j in range(9):
            own, other = table[i, i], table[i, j] if direction == "v2f" else table[j, i]
            assert wins[i, j] == (0.5 if own == other else float(own > other))
    genders = np.array(list("ffmfmmmfm"))
    same = torch.from_numpy(genders[:, None] == genders)
    rows = {
        (row["direction"], row["group"]): row["value"]
        for row in ideal_figures(table.detach().double().numpy(), genders)
        if row["metric"] == "accuracy" and row["params"]["n_way"] == 2
    }
    assert accuracy(wins)[0] == pytest.approx(rows[direction, "U"])
    assert accuracy(wins, same)[0] == pytest.approx(rows[direction, "G"])


def test_equal_scores_are_half_a_win():
    head = EmbeddingHead(3, 3).eval()
    voice, face = people(4)
    face[2] = face[1]
    wins = win_shares(head, voice, face, "v2f")
    assert wins[1, 2] == wins[2, 1] == 0.5
    assert (wins.diagonal() == 0.5).all()


@pytest.mark.parametrize("bias", [0.0, 0.5, 100.0])
def test_both_places_are_tried(bias):
    """A head that always takes the first place wins half of its trials, whatever the features say."""
    voice, face = people(5)
    wins = win_shares(Places(bias), voice, face, "v2f")
    products = voice @ face.T
    for i in range(5):
        for j in range(5):
            if i != j:
                first, second = products[i, i] + bias > products[i, j], products[i, i] > products[i, j] + bias
                assert wins[i, j] == (float(first) + float(second)) / 2
    if bias == 100:
        assert accuracy(wins) == (0.5, 5)


@pytest.mark.parametrize("kind", [StaticScorer, NWayScorer])
@pytest.mark.parametrize("direction", ["v2f", "f2v"])
def test_joint_scorers_are_asked_one_trial_at_a_time(kind, direction):
    torch.manual_seed(0)
    head = kind(feature_size=3, sizes=(8, 4), direction=direction).eval()
    for layer in head.layers:
        if isinstance(layer, torch.nn.Linear):
            torch.nn.init.normal_(layer.weight)
    voice, face = people(6)
    wins = win_shares(head, voice, face, direction)
    probes, others = (voice, face) if direction == "v2f" else (face, voice)
    for i in range(6):
        for j in set(range(6)) - {i}:
            won = []
            for pair, own in (((i, j), 0), ((j, i), 1)):
                anchor, candidates = probes[i][None, None], others[list(pair)][None]
                asked = (anchor, candidates) if direction == "v2f" else (candidates, anchor)
                won.append(float(head.scores(*asked)[0].argmax() == own))
            assert wins[i, j] == np.mean(won)
    assert 0 < accuracy(wins)[0] < 1


def test_accuracy_weighs_probes_equally_and_leaves_out_those_without_negatives():
    wins = torch.tensor([[0.5, 1.0, 1.0], [0.0, 0.5, 1.0], [1.0, 1.0, 0.5]])
    assert accuracy(wins) == (pytest.approx((1 + 0.5 + 1) / 3), 3)
    allowed = torch.tensor([[1, 1, 0], [1, 1, 1], [0, 0, 1]], dtype=torch.bool)
    assert accuracy(wins, allowed) == (pytest.approx((1 + 0.5) / 2), 2)
    nobody = accuracy(wins, torch.zeros(3, 3, dtype=torch.bool))
    assert np.isnan(nobody[0])
    assert nobody[1] == 0


def test_the_answers_for_aligned_sights_of_two_tracks_are_averaged():
    """Seven sights against three: stride floor(7 / 2) = 3 leaves sights 0, 3 and 6 of the longer one."""
    torch.manual_seed(0)
    head = StaticScorer(feature_size=3, sizes=(8,)).eval()
    for parameter in head.layers.parameters():
        torch.nn.init.normal_(parameter)
    voice, long, short = torch.randn(3), torch.randn(7, 3), torch.randn(3, 3)
    pairs = [(long[0], short[0]), (long[3], short[1]), (long[6], short[2])]
    expected = torch.stack([head.scores(voice[None, None], torch.stack(pair)[None])[0].exp() for pair in pairs]).mean(0)
    assert torch.allclose(track_probabilities(head, voice, (long, short)), expected, atol=1e-6)
    turned = track_probabilities(head, voice, (short, long))
    assert turned.sum().item() == pytest.approx(1)
    assert not torch.allclose(turned, expected, atol=1e-4)
