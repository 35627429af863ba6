"""Random questions for joint scorers: how they are drawn, what their figures mean, and heads of saved models."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import stats

from eval.embeddings.checkpoint_heads import head_scorers
from eval.embeddings.folder import Embeddings, Samples
from eval.embeddings.groups import Grouping
from eval.embeddings.sampled_matching import JointScorers, asked, draw_tuples, evaluate_joint, mean_over_trials, wins
from eval.metrics.clusters import Clusters
from eval.metrics.n_way import n_way
from eval.metrics.two_way import accuracy, win_table
from s2f.checkpoints.provenance import weights_sha256
from s2f.errors import DatasetError, UsageError
from s2f.matching.two_way import track_probabilities
from s2f.training.matching.task import MatchingArguments, build_model
from tests.s2f.training.matching_runs import KIM, SHARED, SVHF

PEOPLE = 8
COUNTS = np.array([1, 5, 2, 3, 4, 1, 2, 6])
PROBES, CANDIDATES = np.repeat(np.arange(PEOPLE), COUNTS), np.repeat(np.arange(PEOPLE), COUNTS[::-1])
EVERYBODY = Grouping("U", (), np.zeros(PEOPLE, int), ("",))


def vectors(identity, seed, size=5):
    centres = np.random.default_rng(7).normal(0, 1, (PEOPLE, size))
    return (centres[identity] + np.random.default_rng(seed).normal(0, 1.2, (len(identity), size))).astype(np.float32)


def folder(metric="cosine", size=5, **columns):
    voice = Samples("voice", vectors(PROBES, 1, size), PROBES, {})
    face = Samples("face", vectors(CANDIDATES, 2, size), CANDIDATES, columns)
    names = tuple(f"p{person}" for person in range(PEOPLE))
    return Embeddings(voice, face, names, metric, "h", {}, ())


def dots(embeddings):
    """A scorer of pairs, asked as if it were a joint one."""
    a, b = (
        side / np.linalg.norm(side, axis=1, keepdims=True)
        for side in (embeddings.voice.vectors, embeddings.face.vectors)
    )
    ask = {
        "v2f": lambda probes, candidates: np.einsum("bd,bnd->bn", a[probes], b[candidates]),
        "f2v": lambda probes, candidates: np.einsum("bd,bnd->bn", b[probes], a[candidates]),
    }
    return JointScorers(ask, list(np.arange(len(b))[:, None]))


def test_rules_of_a_draw():
    cells = np.array([0, 0, 0, 1, 1, 1, 1, -1])
    allowed = (cells[:, None] == cells) & (cells[:, None] >= 0)
    drawn = draw_tuples(PROBES, CANDIDATES, PEOPLE, 3, 20_000, 0, allowed)
    person, others = PROBES[drawn.probes], CANDIDATES[drawn.candidates]
    right = others == person[:, None]
    assert (right.sum(1) == 1).all()
    assert (right.argmax(1) == drawn.place).all()
    assert (np.diff(np.sort(others, axis=1), axis=1) > 0).all()
    assert (cells[others] == cells[person][:, None]).all()
    assert 7 not in person
    for seen, expected in (
        (drawn.place, np.full(3, 1 / 3)),
        (drawn.probes, np.where(PROBES < 7, 1 / (PROBES < 7).sum(), 0)),
        (others[~right & (person == 6)[:, None]], np.array([0, 0, 0, 1, 1, 1, 0, 0]) / 3),
        (drawn.candidates[right & (person == 1)[:, None]], (CANDIDATES == 1) / 2),
        (drawn.candidates[others == 4], (CANDIDATES == 4) / 3),
    ):
        counts = np.bincount(seen, minlength=len(expected))
        assert counts[expected == 0].sum() == 0
        assert stats.chisquare(counts[expected > 0], len(seen) * expected[expected > 0]).pvalue > 1e-3


def test_people_first_and_the_same_seed():
    by_person = draw_tuples(PROBES, CANDIDATES, PEOPLE, 2, 20_000, 0, weighting="identities")
    counts = np.bincount(PROBES[by_person.probes])
    assert stats.chisquare(counts).pvalue > 1e-3
    again = draw_tuples(PROBES, CANDIDATES, PEOPLE, 2, 20_000, 0, weighting="identities")
    assert all((a == b).all() for a, b in zip(by_person, again, strict=True))
    assert (by_person.probes != draw_tuples(PROBES, CANDIDATES, PEOPLE, 2, 20_000, 1).probes).any()


def test_all_others_at_once_and_too_few_rivals():
    drawn = draw_tuples(PROBES, CANDIDATES, PEOPLE, PEOPLE, 300)
    assert (np.sort(CANDIDATES[drawn.candidates], axis=1) == np.arange(PEOPLE)).all()
    alone = np.eye(PEOPLE, dtype=bool)
    for ways, allowed in ((PEOPLE + 1, None), (1, None), (2, alone), (2, np.zeros((PEOPLE, PEOPLE), bool))):
        with pytest.raises(UsageError, match="at least two candidates"):
            draw_tuples(PROBES, CANDIDATES, PEOPLE, ways, 10, 0, allowed)
    with pytest.raises(UsageError, match="one or more questions, got 0"):
        draw_tuples(PROBES, CANDIDATES, PEOPLE, 2, 0)


def test_wins_by_hand():
    scores = np.array([[3, 1, 2], [1, 1, 0], [1, 1, 1], [0, 5, 5], [2, 1, 3.0]])
    assert wins(scores, np.array([0, 1, 2, 2, 0])).tolist() == [1, 1 / 2, 1 / 3, 1 / 2, 0]


@pytest.mark.parametrize("direction", ["v2f", "f2v"])
@pytest.mark.parametrize("weighting", ["samples", "identities"])
def test_a_pair_scorer_is_found_as_good_as_it_is(direction, weighting):
    embeddings = folder()
    cross = embeddings.cross(direction)
    scorer = dots(embeddings).ask[direction]
    cells = np.array([0, 0, 0, 1, 1, 1, 1, 1])
    for ways, allowed in ((2, None), (2, cells[:, None] == cells), (3, None)):
        drawn = draw_tuples(
            cross.probe_identity, cross.candidate_identity, PEOPLE, ways, 100_000, 3, allowed, weighting
        )
        found = asked(scorer, drawn).mean()
        if ways == 2:
            exact = accuracy(win_table(cross), weighting, "identities", allowed)[0]
        else:
            exact = n_way(cross, 3, "identities", np.arange(PEOPLE)).accuracy(weighting)[1]
        assert found == pytest.approx(exact, abs=3.3 * np.sqrt(exact * (1 - exact) / 100_000))


def test_report_of_a_pair_scorer():
    embeddings = folder()
    halves = Grouping("G", ("gender",), np.array([0, 0, 0, 1, 1, 1, 2, -1]), ("f", "m", "x"))
    report = evaluate_joint(embeddings, dots(embeddings), ["v2f", "f2v"], [EVERYBODY, halves], Clusters(range(PEOPLE)))
    rows = [row for row in report.rows if row.direction == "v2f"]
    assert [(row.group, row.params.get("control")) for row in rows] == [
        (group, None) for group in ("U", "U", "G", "G", "G: f", "G: f", "G: m", "G: m")
    ] + [("U", "shuffled")] * 2
    table = win_table(embeddings.cross("v2f"))
    exact = accuracy(table, "samples", "identities")[0]
    by_people, binomial = rows[:2]
    assert binomial.ci_low <= exact <= binomial.ci_high
    half = 2.576 * np.sqrt(binomial.value * (1 - binomial.value) / 10_000)
    assert binomial.ci_high - binomial.value == pytest.approx(half)
    assert by_people.ci_high - by_people.ci_low > 4 * half
    assert (by_people.n, by_people.chance, by_people.params["trials"]) == (PEOPLE, 0.5, 10_000)
    cells = np.where(halves.cells == 2, -1, halves.cells)
    allowed = (cells[:, None] == cells) & (cells[:, None] >= 0)
    assert rows[2].value == pytest.approx(accuracy(table, "samples", "identities", allowed)[0], abs=0.02)
    parts = [rows[4], rows[6]]
    assert sum(row.params["trials"] for row in parts) == 10_000
    assert [row.n for row in parts] == [3, 3]
    assert rows[2].value == pytest.approx(sum(row.value * row.params["trials"] for row in parts) / 10_000)
    assert exact > 0.7
    assert rows[-1].value < 0.6
    assert report.protocol == "matching-sampled/1"
    assert any("1 people" in note for note in report.notes)


def test_clusters_are_redrawn_together():
    person, values = np.repeat(np.arange(8), 50), np.repeat([1.0, 0, 1, 0, 1, 0, 1, 0], 50)
    apart = mean_over_trials(person, values, Clusters(np.arange(8)))
    pairs = mean_over_trials(person, values, Clusters(np.arange(8) // 2))
    assert apart[0] == pairs[0] == 0.5
    assert apart[2] - apart[1] > 0.4
    assert pairs[2] - pairs[1] == pytest.approx(0), "each pair of people has both outcomes"
    weighted = mean_over_trials(person, values, Clusters(np.arange(8)), np.where(values > 0, 3.0, 1.0))
    assert weighted[0] == pytest.approx(0.75)
    few = mean_over_trials(person[:50], values[:50], Clusters(np.arange(8)))
    assert few[:3] == (1.0, None, None)


def test_scores_that_cannot_be_compared_are_refused():
    drawn = draw_tuples(PROBES, CANDIDATES, PEOPLE, 2, 10)
    for scorer in (lambda p, c: np.full(c.shape, np.nan), lambda p, c: np.zeros(len(p))):
        with pytest.raises(UsageError, match="a finite score for each"):
            asked(scorer, drawn)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Folders of small untrained models with weights that make a difference, by name."""
    recipes = {
        "static": SVHF,
        "nway": SVHF | {"query_pooling": True, "ways": 3, "direction": "f2v"},
        "pairs": KIM | {"method": "pair_classification", "loss_weights": {"match": 1.0}},
    }
    folders = {}
    for name, recipe in recipes.items():
        torch.manual_seed(0)
        model = build_model(MatchingArguments(**SHARED, **recipe, data="", output_dir="")).eval()
        for parameter in model.head.parameters():
            torch.nn.init.normal_(parameter)
        folders[name] = tmp_path_factory.mktemp(name) / "model"
        model.save_pretrained(folders[name])
        folders[name] = SimpleNamespace(path=folders[name], model=model)
    return folders


def joint(saved, sizes=None, **columns):
    about = {"checkpoint": str(saved.path)}
    about["weights_sha256"] = {name: weights_sha256(saved.path / name) for name, _ in saved.model.named_children()}
    voice_size, face_size = saved.model.row_sizes
    made = folder("joint", voice_size, **columns)
    face = Samples("face", vectors(CANDIDATES, 2, face_size), CANDIDATES, columns)
    return Embeddings(made.voice, face, made.identities, "joint", "h", about, ())


@pytest.mark.parametrize(
    ("name", "directions", "ways"), [("static", ["v2f"], 2), ("nway", ["f2v"], 3), ("pairs", ["v2f", "f2v"], 2)]
)
def test_heads_are_asked_in_their_directions(saved, name, directions, ways):
    embeddings = joint(saved[name])
    scorers = head_scorers(embeddings)
    assert list(scorers.ask) == directions
    report = evaluate_joint(embeddings, scorers, directions, [EVERYBODY], Clusters(range(PEOPLE)), ways, 300)
    for direction in directions:
        identities = (PROBES, CANDIDATES) if direction == "v2f" else (CANDIDATES, PROBES)
        drawn = draw_tuples(*identities, PEOPLE, ways, 300)
        won = []
        for probe, candidates, place in zip(*drawn, strict=True):
            one, many = torch.tensor([probe]), torch.tensor(candidates)
            voice, face = (one, many) if direction == "v2f" else (many, one)
            features = (
                torch.from_numpy(embeddings.voice.vectors)[voice],
                torch.from_numpy(embeddings.face.vectors)[face],
            )
            with torch.inference_mode():
                won.append(int(saved[name].model.head.scores(*(side[None] for side in features))[0].argmax()) == place)
        assert 0.1 < np.mean(won) < 0.9
        found = next(row for row in report.rows if row.direction == direction)
        assert found.value == pytest.approx(np.mean(won))
    if other := {"v2f", "f2v"} - set(directions):
        with pytest.raises(UsageError, match=f"directions of this head: {directions[0]}, got {other.pop()}"):
            evaluate_joint(embeddings, scorers, ["v2f", "f2v"], [EVERYBODY], Clusters(range(PEOPLE)))


def test_other_weights_are_refused(saved):
    embeddings = joint(saved["static"])
    with pytest.raises(UsageError, match="which made the embeddings"):
        head_scorers(embeddings, saved["nway"].path)
    assert head_scorers(embeddings, saved["static"].path).ask.keys() == {"v2f"}
    for lacking in (folder("joint"), folder("cosine")):
        with pytest.raises(DatasetError, match="which weights they are of"):
            head_scorers(lacking)


def test_tracks_of_several_rows_are_averaged(saved):
    tracks = [f"t{row // 2}" for row in range(len(CANDIDATES))]
    embeddings = joint(saved["static"], track=tracks)
    scorers = head_scorers(embeddings)
    assert sum(map(len, scorers.faces)) == len(CANDIDATES)
    assert max(map(len, scorers.faces)) == 2
    assert all(len(set(CANDIDATES[rows])) == 1 for rows in scorers.faces), "a track of two people"
    scores = scorers.ask["v2f"](np.array([3]), np.array([[0, 4]]))
    first, second = (torch.from_numpy(embeddings.face.vectors[scorers.faces[place]]) for place in (0, 4))
    voice = torch.from_numpy(embeddings.voice.vectors[3])
    expected = track_probabilities(saved["static"].model.head, voice, (first, second))
    assert scores[0] == pytest.approx(expected.numpy(), abs=1e-6)
    report = evaluate_joint(embeddings, scorers, ["v2f"], [EVERYBODY], Clusters(range(PEOPLE)), count=50)
    assert report.rows[0].params["trials"] == 50
    with pytest.raises(UsageError, match="two tracks to be compared, got 3"):
        evaluate_joint(embeddings, scorers, ["v2f"], [EVERYBODY], Clusters(range(PEOPLE)), n_ways=3, count=50)
    for name in ("nway", "pairs"):
        with pytest.raises(UsageError, match="an SVHF head trained for v2f"):
            head_scorers(joint(saved[name], track=tracks))
    single = head_scorers(joint(saved["nway"], track=[f"t{row}" for row in range(len(CANDIDATES))]))
    assert list(single.ask) == ["f2v"]
