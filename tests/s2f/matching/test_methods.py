"""The systems' losses on a batch: which pairs they compare, and how terms are weighted and chosen."""

import math

import pytest
import torch
from torch.nn import functional as F

from s2f.matching.heads import EmbeddingHead, PairClassifier, StaticScorer
from s2f.matching.methods import (
    CandidateClassification,
    ContrastivePairs,
    PairClassification,
    SoftmaxDistanceTriplet,
    SphereTriplets,
    TwoLevelAlignment,
    distances,
)
from s2f.matching.reweighting import IdentityWeights


def features(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def head(form: str = "mlp", **options) -> EmbeddingHead:
    torch.manual_seed(1)
    return EmbeddingHead(5, 4, form=form, embedding_dim=3, **options).eval()


def triplets(direction: str, count: int = 6):
    """Features, labels and the place of the positive in each of `count` triplets."""
    voice, face = features(count, 1, 5), features(count, 2, 4, seed=1)
    anchor = torch.arange(count)[:, None]
    place = torch.arange(count) % 2
    candidates = torch.stack([torch.where(place == k, torch.arange(count), 90 + k) for k in range(2)], dim=1)
    if direction == "v2f":
        return voice, face, anchor, candidates, place
    return features(count, 2, 5), features(count, 1, 4, seed=1), candidates, anchor, place


@pytest.mark.parametrize("direction", ["v2f", "f2v"])
def test_softmax_distance_takes_the_match_as_positive(direction):
    voice, face, voice_label, face_label, place = triplets(direction)
    model = head()
    losses = []
    for k in range(6):
        far = [
            (
                model.embed_voice(voice[k])[min(c, len(voice[k]) - 1)]
                - model.embed_face(face[k])[min(c, len(face[k]) - 1)]
            )
            .norm()
            .item()
            for c in range(2)
        ]
        positive, negative = far[place[k]], far[1 - place[k]]
        share = math.exp(positive) / (math.exp(positive) + math.exp(negative))
        losses.append(share**2 + (1 - share - 1) ** 2)
    terms = SoftmaxDistanceTriplet().terms(model, voice, face, voice_label, face_label)
    assert terms["triplet"].item() == pytest.approx(sum(losses) / 6, rel=1e-5)


def test_hardest_triplets_are_used_from_their_step_on():
    """Before: the first three of six. From the step on: the three with the largest losses."""
    batch = triplets("v2f")[:4]
    each = [SoftmaxDistanceTriplet().terms(head(), *(x[k : k + 1] for x in batch))["triplet"].item() for k in range(6)]
    method = SoftmaxDistanceTriplet(used=3, hardest_from_step=120)
    for step, expected in ((0, each[:3]), (119, each[:3]), (120, sorted(each)[-3:]), (5000, sorted(each)[-3:])):
        method.step = step
        needed = [values[: method.items] for values in batch]
        assert method.terms(head(), *needed)["triplet"].item() == pytest.approx(sum(expected) / 3, rel=1e-5)
    assert sum(each[:3]) != pytest.approx(sum(sorted(each)[-3:]))


@pytest.mark.parametrize("direction", ["v2f", "f2v"])
def test_candidate_classification_is_the_cross_entropy_of_the_place(direction):
    torch.manual_seed(0)
    model = StaticScorer(feature_size=4, sizes=(6,), direction=direction).eval()
    voice, face, voice_label, face_label, place = triplets(direction)
    voice = voice[..., :4]
    scores = model.scores(voice, face)
    expected = -sum(scores[k, place[k]].item() for k in range(6)) / 6
    term = CandidateClassification().terms(model, voice, face, voice_label, face_label)["place"]
    assert term.item() == pytest.approx(expected, rel=1e-5)


def test_pairs_are_pulled_together_or_pushed_apart_by_their_labels():
    voice, face = features(4, 1, 5), features(4, 1, 4, seed=1)
    labels, others = torch.arange(4)[:, None], torch.tensor([0, 9, 2, 9])[:, None]
    model = head()
    far = distances(model, voice, face)[:, 0].tolist()
    expected = [0.5 * far[0] ** 2, 0.5 * max(0, 1.5 - far[1]) ** 2, 0.5 * far[2] ** 2, 0.5 * max(0, 1.5 - far[3]) ** 2]
    term = ContrastivePairs(margin=1.5).terms(model, voice, face, labels, others)["contrastive"]
    assert term.item() == pytest.approx(sum(expected) / 4, rel=1e-5)
    classifier = PairClassifier(5, 4, 6).eval()
    logits = [classifier.pair_scores(voice[k], face[k])[0, 0].item() for k in range(4)]
    chances = [1 / (1 + math.exp(-logit)) for logit in logits]
    own = [chances[0], 1 - chances[1], chances[2], 1 - chances[3]]
    term = PairClassification().terms(classifier, voice, face, labels, others)["match"]
    assert term.item() == pytest.approx(-sum(map(math.log, own)) / 4, rel=1e-5)


def test_sphere_triplets_form_all_of_a_batch_of_identities():
    """Three identities with two voices and two faces: 3 * 2 * 2 * 4 = 48 triplets, in a loop."""
    voice, face = features(3, 2, 5), features(3, 2, 4, seed=1)
    label = torch.tensor([[4, 4], [7, 7], [1, 1]])
    model = head("sphere", radius=128.0)
    voices, faces, flat = model.embed_voice(voice.flatten(0, 1)), model.embed_face(face.flatten(0, 1)), label.flatten()
    hinges = [
        max(0.0, ((voices[a] - faces[p]).norm() - (voices[a] - faces[n]).norm() + 1).item())
        for a in range(6) for p in range(6) for n in range(6)
        if flat[a] == flat[p] and flat[a] != flat[n]
    ]  # fmt: skip
    assert len(hinges) == 48
    term = SphereTriplets(margin=1.0).terms(model, voice, face, label, label)["triplet"]
    assert term.item() == pytest.approx(sum(hinges) / 48, rel=1e-4)


def alignment(mode: str, gamma: float | None = None) -> TwoLevelAlignment:
    torch.manual_seed(2)
    weights = IdentityWeights(5, mode)
    weights.weight.copy_(torch.tensor([1.0, 0.0, 0.5, 1.0, 0.25]))
    return TwoLevelAlignment(weights, 3, mode, gamma)


def parts(method: TwoLevelAlignment, voice, face, label, constant: float):
    """Cross-entropies and N-pair losses of each sample, one by one."""
    model = head("normalized")
    v, x = model.embed_voice(voice[:, 0]), model.embed_face(face[:, 0])
    identity, explicit = [], []
    for i in range(len(label)):
        identity.append(sum(F.cross_entropy(e[i] @ method.classifier.T, label[i, 0]).item() for e in (x, v)))
        total = 0.0
        for anchor, candidate in ((v, x), (x, v)):
            near = [(anchor[i] @ candidate[j] / candidate[j].norm()).item() for j in range(len(label))]
            total += math.log(constant + sum(math.exp(near[j] - near[i]) for j in range(len(label)) if j != i))
        explicit.append(total)
    return identity, explicit


def test_alignment_in_paper_mode_is_equations_8_to_11():
    voice, face, label = features(3, 1, 5).abs(), features(3, 1, 4, seed=1).abs(), torch.tensor([[0], [2], [4]])
    method = alignment("paper")
    identity, explicit = parts(method, voice, face, label, 3.4)
    share = [1 / 1.75, 0.5 / 1.75, 0.25 / 1.75]
    terms = method.terms(head("normalized"), voice, face, label, label)
    assert terms["identity"].item() == pytest.approx(sum(s * x for s, x in zip(share, identity, strict=True)), rel=1e-5)
    assert terms["explicit"].item() == pytest.approx(sum(s * x for s, x in zip(share, explicit, strict=True)), rel=1e-5)


def test_alignment_in_code_mode_has_its_constant_its_mean_and_its_bug():
    voice, face, label = features(3, 1, 5).abs(), features(3, 1, 4, seed=1).abs(), torch.tensor([[0], [2], [4]])
    method = alignment("code")
    identity, explicit = parts(method, voice, face, label, 5.4)
    weight = [5 / 2.75 * w for w in (1, 0.5, 0.25)]
    terms = method.terms(head("normalized"), voice, face, label, label)
    assert terms["identity"].item() == pytest.approx(sum(identity) / 3 * sum(weight) / 3, rel=1e-5)
    expected = sum(w * x for w, x in zip(weight, explicit, strict=True)) / 3 / 2
    assert terms["explicit"].item() == pytest.approx(expected, rel=1e-5)


def test_focal_loss_replaces_the_cross_entropies_alone():
    voice, face, label = features(3, 1, 5).abs(), features(3, 1, 4, seed=1).abs(), torch.tensor([[0], [2], [4]])
    plain, focused = alignment("paper"), alignment("paper", gamma=2.0)
    terms = focused.terms(head("normalized"), voice, face, label, label)
    before = plain.terms(head("normalized"), voice, face, label, label)
    assert terms["explicit"].item() == pytest.approx(before["explicit"].item())
    assert terms["identity"] < before["identity"]


def test_hardness_follows_only_while_weights_are_learned():
    voice, face, label = features(3, 1, 5).abs(), features(3, 1, 4, seed=1).abs(), torch.tensor([[0], [2], [4]])
    method = alignment("paper", gamma=2.0)
    method.terms(head("normalized"), voice, face, label, label)
    assert (method.weights.hardness == 14).all()
    method.observes = True
    method.terms(head("normalized"), voice, face, label, label)
    identity, _ = parts(method, voice, face, label, 3.4)
    moved = [0.9 * 14 + 0.1 * x for x in identity]
    assert method.weights.hardness[[0, 2, 4]].tolist() == pytest.approx(moved, rel=1e-5)
    assert (method.weights.hardness[[1, 3]] == 14).all()


def test_a_batch_of_excluded_people_teaches_nothing_and_is_finite():
    voice, face, label = features(2, 1, 5), features(2, 1, 4, seed=1), torch.tensor([[1], [1]])
    method, model = alignment("paper"), head("normalized")
    terms = method.terms(model, voice, face, label, label)
    (terms["identity"] + terms["explicit"]).backward()
    assert terms["identity"] == terms["explicit"] == 0
    assert all((p.grad == 0).all() for p in model.parameters() if p.grad is not None)
