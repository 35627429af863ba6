"""The heads: published forms by hand, factorised layers against joined ones, and queries that make no sense."""

import pytest
import torch
from torch.nn import functional as F

from s2f.checkpoints.loading import load_network
from s2f.errors import UsageError
from s2f.matching.heads import HEADS, EmbeddingHead, NWayScorer, PairClassifier, StaticScorer


def features(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def made(kind, **options):
    torch.manual_seed(3)
    return kind(**options).eval()


def test_paper_sizes():
    """Counts by hand: Kim 512 -> 128 -> 128 twice; SVHF 3072 -> 1024 -> 512 -> 2 with two batch norms."""
    with torch.device("meta"):
        kim = EmbeddingHead(512, 512)
        assert sum(p.numel() for p in kim.parameters()) == 2 * (512 * 128 + 128 + 128 * 128 + 128)
        static = StaticScorer()
        layers = 3072 * 1024 + 1024 + 1024 * 512 + 512 + 512 * 2 + 2
        assert sum(p.numel() for p in static.parameters()) == layers + 2 * (1024 + 512)
        wen = EmbeddingHead(512, 512, form="normalized")
        assert sum(p.numel() for p in wen.parameters()) == 2 * (2 * 512 + 512 * 128)
    drawn = made(StaticScorer)
    assert abs(drawn.layers[0].weight.std().item() - 0.01) < 1e-4
    assert drawn.layers[0].bias.abs().max() == 0


def test_mlp_is_two_layers_and_the_euclidean_distance():
    head = made(EmbeddingHead, voice_size=5, face_size=4, embedding_dim=3, hidden_size=6)
    voice, face = features(2, 5), features(3, 4, seed=1)
    first, _, second = head.voice
    by_hand = torch.clamp(voice @ first.weight.T + first.bias, min=0) @ second.weight.T + second.bias
    assert torch.allclose(head.embed_voice(voice), by_hand, atol=1e-6)
    table = head.pair_scores(voice, face)
    for i in range(2):
        for j in range(3):
            expected = -(head.embed_voice(voice)[i] - head.embed_face(face)[j]).square().sum().sqrt()
            assert torch.isclose(table[i, j], expected, atol=1e-6)
    assert head.metric == "l2"


def test_sphere_has_the_radius_and_ignores_length():
    head = made(EmbeddingHead, voice_size=5, face_size=4, form="sphere", embedding_dim=3, radius=128.0)
    voice = features(6, 5)
    assert torch.allclose(head.embed_voice(voice).norm(dim=1), torch.full((6,), 128.0), rtol=1e-5)
    line = head.voice[0](voice)
    assert torch.allclose(head.embed_voice(voice), 128 * line / line.norm(dim=1, keepdim=True), atol=1e-4)


def test_normalized_form_is_the_published_code():
    """Batch norm, ReLU, a layer without bias, dropout on the embedding in training only; cosine."""
    head = made(EmbeddingHead, voice_size=5, face_size=5, form="normalized", embedding_dim=64, dropout=0.5)
    assert head.voice[2].bias is None
    voice, face = features(8, 5), features(8, 5, seed=1)
    norm, linear = head.voice[0], head.voice[2]
    normed = (voice - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
    assert torch.allclose(head.embed_voice(voice), torch.relu(normed) @ linear.weight.T, atol=1e-5)
    expected = F.cosine_similarity(head.embed_voice(voice)[:, None], head.embed_face(face)[None], dim=-1)
    assert torch.allclose(head.pair_scores(voice, face), expected, atol=1e-6)
    head.train()
    dropped = (head.embed_voice(voice) == 0).float().mean().item()
    assert 0.4 < dropped < 0.6


def test_pair_classifier_is_a_layer_on_both_features_joined():
    head = made(PairClassifier, voice_size=5, face_size=4, hidden_size=7)
    voice, face = features(3, 5), features(2, 4, seed=1)
    for i in range(3):
        for j in range(2):
            joined = torch.cat([voice[i], face[j]])
            expected = head.out(torch.relu(head.hidden(joined)))[0]
            assert torch.isclose(head.pair_scores(voice, face)[i, j], expected, atol=1e-6)


@pytest.mark.parametrize("direction", ["v2f", "f2v"])
def test_static_scorer_joins_candidates_first_and_the_anchor_last(direction):
    head = made(StaticScorer, feature_size=4, sizes=(6, 5), direction=direction)
    anchor, candidates = features(3, 4), features(3, 2, 4, seed=1)
    asked = (anchor[:, None], candidates) if direction == "v2f" else (candidates, anchor[:, None])
    joined = torch.cat([candidates[:, 0], candidates[:, 1], anchor], dim=1)
    assert torch.allclose(head.scores(*asked), F.log_softmax(head.layers(joined), dim=1))
    three = (anchor[:, None], features(3, 3, 4)) if direction == "v2f" else (features(3, 3, 4), anchor[:, None])
    with pytest.raises(UsageError, match=r"two candidates, got 3; use the N-way"):
        head.scores(*three)
    with pytest.raises(UsageError, match=f"queries {direction}"):
        head.scores(*asked[::-1])


def test_query_pooling_takes_any_number_and_sees_the_others():
    """Each candidate is joined with the mean of its query; moving them moves the answers, and only their order."""
    head = made(NWayScorer, feature_size=4, sizes=(6, 5))
    voice = features(2, 1, 4)
    for count in (2, 3, 7):
        faces = features(2, count, 4, seed=count)
        scores = head.scores(voice, faces)
        assert torch.allclose(scores.exp().sum(1), torch.ones(2), atol=1e-6)
        order = torch.randperm(count, generator=torch.Generator().manual_seed(1))
        assert torch.allclose(head.scores(voice, faces[:, order]), scores[:, order], atol=1e-6)
        logits = [
            head.layers(torch.cat([faces[0, k], faces[0].mean(0), voice[0, 0]])[None])[0, 0] for k in range(count)
        ]
        assert torch.allclose(scores[0], F.log_softmax(torch.stack(logits), dim=0), atol=1e-6)
    changed = faces.clone()
    changed[:, 0] += 3
    logit_of_last = [head.scores(voice, x)[:, -1] - head.scores(voice, x)[:, -2] for x in (faces, changed)]
    assert not torch.allclose(*logit_of_last)


def test_pair_heads_answer_both_ways_and_not_many_to_many():
    head = made(EmbeddingHead, voice_size=4, face_size=4)
    voice, face = features(2, 1, 4), features(2, 3, 4, seed=1)
    table = torch.stack([head.pair_scores(voice[k], face[k])[0] for k in range(2)])
    assert torch.equal(head.scores(voice, face), table)
    assert head.scores(face, voice).shape == (2, 3)
    with pytest.raises(UsageError, match="one voice or one face in a query, got 3 voices and 3 faces"):
        head.scores(face, face)


@pytest.mark.parametrize("kind", sorted(HEADS))
def test_heads_are_saved_and_loaded_strictly(kind, tmp_path):
    sizes = {"feature_size": 4} if "Scorer" in kind else {"voice_size": 4, "face_size": 4}
    head = made(HEADS[kind], **sizes)
    head.save_pretrained(tmp_path)
    loaded = load_network(HEADS[kind], tmp_path)
    voice, face = features(2, 1, 4), features(2, 2, 4, seed=1)
    assert torch.equal(loaded.scores(voice, face), head.scores(voice, face))


@pytest.mark.parametrize("form", ["foo", "", "MLP"])
def test_an_unknown_form_is_refused_and_not_taken_for_another(form):
    with pytest.raises(UsageError, match=rf"a known form of an EmbeddingHead, got '{form}'; "):
        EmbeddingHead(4, 4, form=form)
    with pytest.raises(UsageError, match="choose from mlp, sphere, normalized"):
        EmbeddingHead(4, 4, form="foo")
