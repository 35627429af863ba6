"""Other people's lists, in every form, against plain loops and scikit-learn."""

import itertools
import json
import pickle

import numpy as np
import pytest
from scipy.interpolate import interp1d
from scipy.optimize import brentq
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from eval.embeddings import retrieval
from eval.embeddings.folder import Embeddings, Samples
from eval.metrics.clusters import Clusters
from eval.metrics.scores import CrossScores, TableScores
from eval.metrics.two_way import accuracy, win_table
from eval.trial_lists.evaluate import evaluate_list
from eval.trial_lists.metrics import average_precision, pair_keys
from s2f.errors import DatasetError, UsageError

PEOPLE, EACH = 5, 3
RANDOM = np.random.default_rng(3)
PERSON = np.repeat(np.arange(PEOPLE), EACH)
CENTRES = RANDOM.normal(0, 1, (PEOPLE, 4))
VOICES, FACES = (CENTRES[PERSON] + RANDOM.normal(0, 1.2, (len(PERSON), 4)) for _ in range(2))
FACES[4], FACES[7] = FACES[0], FACES[1]  # two people with a face in common: ties
WAVS = [f"id1000{person}/aaaaaaaaaa{person}/0000{number}.wav" for person in range(PEOPLE) for number in range(EACH)]
JPGS = [f"P{person}/0000000{number}.jpg" for person in range(PEOPLE) for number in range(EACH)]
CLUSTERS = Clusters(range(PEOPLE))


def folder(metric="cosine", **changes):
    names = tuple(f"id1000{person}" for person in range(PEOPLE))
    voice = Samples("voice", VOICES, PERSON, {"path": [f"wav/{path}" for path in WAVS]})
    face = Samples("face", FACES, PERSON, {"path": JPGS})
    parts = {"voice": voice, "face": face, "identities": names, "metric": metric, "split_hash": "h"}
    return Embeddings(**{**parts, "about": {}, "notes": (), **changes})


def scores(metric="cosine"):
    if metric == "cosine":
        a, b = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in (VOICES, FACES))
        return (a @ b.T).round(6)
    return -np.linalg.norm(VOICES[:, None] - FACES, axis=2).round(6)


def write(path, content):
    path.write_bytes(content) if isinstance(content, bytes) else path.write_text(content)
    return path


def run(kind, *files, embeddings=None, skip_missing=False, clusters=CLUSTERS):
    report = evaluate_list(embeddings or folder(), kind, files, skip_missing, clusters)
    json.loads(report.json())
    return report


def questions(count, n, seed=0):
    """(count, 1 + n): probe, right candidate, wrong candidates of other people; rows of the tables."""
    random, rows = np.random.default_rng(seed), []
    for _ in range(count):
        probe = random.integers(len(PERSON))
        others = random.permutation([person for person in range(PEOPLE) if person != PERSON[probe]])[: n - 1]
        rows.append([probe, *(EACH * person + random.integers(EACH) for person in (PERSON[probe], *others))])
    return np.array(rows)


def wins_by_hand(rows, table):
    shares = []
    for probe, own, *others in rows:
        ties = sum(table[probe, other] == table[probe, own] for other in others)
        lost = any(table[probe, other] > table[probe, own] for other in others)
        shares.append(0 if lost else 1 / (1 + ties))
    return np.array(shares)


@pytest.mark.parametrize("metric", ["cosine", "l2"])
@pytest.mark.parametrize(("direction", "n"), [("v2f", 2), ("f2v", 2), ("v2f", 4)])
def test_matching_lines(tmp_path, metric, direction, n):
    rows = questions(200, n)
    table = scores(metric) if direction == "v2f" else scores(metric).T
    probes, candidates = (WAVS, JPGS) if direction == "v2f" else (JPGS, WAVS)
    lines = [" ".join([probes[row[0]], *(candidates[c] for c in row[1:])]) for row in rows]
    report = run("matching", write(tmp_path / "m.txt", "\n".join(lines) + "\n\n"), embeddings=folder(metric))
    shares = wins_by_hand(rows, table)
    assert direction == "f2v" or n == 4 or 0.5 in shares, "no ties, so that rule is not tested"
    by_people, binomial, *exact = report.rows
    assert (by_people.metric, by_people.direction, by_people.group) == ("accuracy", direction, "list")
    assert by_people.value == binomial.value == pytest.approx(shares.mean(), abs=1e-12)
    assert by_people.params == {"list": "m.txt", "n_way": n, "trials": 200}
    assert (by_people.chance, by_people.n) == (1 / n, PEOPLE)
    half = 2.576 * np.sqrt(shares.mean() * (1 - shares.mean()) / 200)
    assert (binomial.ci_low, binomial.ci_high) == pytest.approx((shares.mean() - half, shares.mean() + half))
    ties = int(((shares > 0) & (shares < 1)).sum())
    assert [note for note in report.notes if note.startswith(f"{ties} of 200 lines")] == list(
        report.notes[:1] if ties else []
    )
    assert [row.params["weighting"] for row in exact] == ["samples", "identities"]
    if n == 2:
        expected = accuracy(win_table(folder(metric).cross(direction)), "samples", "identities")[0]
        assert exact[0].value == pytest.approx(expected)
        assert (exact[0].group, exact[0].params["exact"]) == ("U", "all")


def test_the_interval_redraws_whole_people(tmp_path):
    lines = [f"{WAVS[3 * person]} {JPGS[3 * person]} {JPGS[(3 * person + 3) % 15]}" for person in range(PEOPLE)]
    path = write(tmp_path / "m.txt", "\n".join(lines[:1] * 500 + lines[1:]))
    table = scores()
    shares = wins_by_hand([[3 * p, 3 * p, (3 * p + 3) % 15] for p in range(PEOPLE)], table)
    assert len(set(shares)) > 1
    row = run("matching", path).rows[0]
    draws = [np.bincount(draw, minlength=PEOPLE) for draw in itertools.product(range(PEOPLE), repeat=PEOPLE)]
    counts = np.array([500, 1, 1, 1, 1])
    values = [(draw * counts) @ shares / (draw @ counts) for draw in draws]
    assert (row.ci_low, row.ci_high) == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])), abs=0.01)
    alone = run("matching", path, clusters=Clusters([0] * PEOPLE)).rows[0]
    assert (alone.ci_low, alone.ci_high) == (None, None)
    assert "none" in alone.ci_method


def test_matching_pickles(tmp_path):
    rows = questions(60, 2, seed=1)
    six = [(f"P{PERSON[v]}", WAVS[v], JPGS[f], f"P{PERSON[g]}", WAVS[g], JPGS[g]) for v, f, g in rows]
    content = {"wav_set": set(WAVS), "jpg_set": set(JPGS), "match_list": six}
    report = run("matching", write(tmp_path / "m.pkl", pickle.dumps(content)))
    listed = {row.direction: row.value for row in report.rows if row.group == "list"}
    back = [[f, v, g] for v, f, g in rows]
    assert listed == pytest.approx(
        {"v2f": wins_by_hand(rows, scores()).mean(), "f2v": wins_by_hand(back, scores().T).mean()}
    )
    people = [RANDOM.permutation(PEOPLE)[:4] * EACH for _ in range(50)]
    many = {"match_list": [[[WAVS[p] for p in four], [JPGS[p + 1] for p in four]] for four in people]}
    report = run("matching", write(tmp_path / "n.pickle", pickle.dumps(many)))
    for ways in (2, 3, 4):
        of_n = {r.direction: r.value for r in report.rows if r.group == "list" and r.params["n_way"] == ways}
        expected = wins_by_hand([[four[0], *(four[:ways] + 1)] for four in people], scores()).mean()
        reverse = wins_by_hand([[four[0] + 1, *four[:ways]] for four in people], scores().T).mean()
        assert of_n == pytest.approx({"v2f": expected, "f2v": reverse})
    assert sum("exact" in row.params for row in report.rows) == 2 * 2 * 3


def all_pairs():
    pairs = [(v, f) for v in range(len(PERSON)) for f in range(len(PERSON)) if (v * 7 + f) % 3 and v + f < 24]
    same = np.array([PERSON[v] == PERSON[f] for v, f in pairs])
    return pairs, same, np.array([scores()[v, f] for v, f in pairs])


def error_by_brentq(same, values):
    accepted, found, _ = roc_curve(same, values, drop_intermediate=False)
    return brentq(lambda x: 1 - x - interp1d(accepted, found)(x), 0, 1)


def old_name(path):
    person, video, number = path.split("/")
    return f"P{person[-1]}/{video}_00{number}"


def verification_file(tmp_path, form):
    pairs, same, _ = all_pairs()
    if form == "pickle":
        content = {"list": [[WAVS[v], JPGS[f], int(label)] for (v, f), label in zip(pairs, same, strict=True)]}
        return write(tmp_path / "v.pkl", pickle.dumps(content))
    lines = {
        "voice first": [f"{WAVS[v]} {JPGS[f]}" for v, f in pairs],
        "face first": [f"{JPGS[f]} {WAVS[v]}" for v, f in pairs],
        "FAME": [f"id{n:06d} {WAVS[v]} {JPGS[f]}" for n, (v, f) in enumerate(pairs)],
        "PINs": ["id,voice-speaker-id,face-speaker-id,label,voice-path,face-path"]
        + [
            f"{n},{PERSON[v]},{PERSON[f]},{int(PERSON[v] == PERSON[f])},{old_name(WAVS[v])},{JPGS[f]}"
            for n, (v, f) in enumerate(pairs)
        ],
    }
    return write(tmp_path / "v.txt", "\n".join(lines[form]))


@pytest.mark.parametrize("form", ["voice first", "face first", "FAME", "PINs", "pickle"])
def test_verification(tmp_path, form):
    _, same, values = all_pairs()
    report = run("verification", verification_file(tmp_path, form))
    auc, eer, *exact = report.rows
    assert auc.value == pytest.approx(roc_auc_score(same, values), abs=1e-12)
    assert eer.value == pytest.approx(error_by_brentq(same, values), abs=1e-9)
    for row in (auc, eer):
        assert row.ci_low < row.value < row.ci_high
        assert (row.direction, row.chance, row.n) == ("both", 0.5, PEOPLE)
        assert row.params["trials"] == len(same)
        assert row.params["matched"] == same.sum()
    table = scores().ravel()
    assert exact[0].value == pytest.approx(roc_auc_score((PERSON[:, None] == PERSON).ravel(), table), abs=1e-12)


def test_scores_of_a_submission(tmp_path):
    pairs, same, _ = all_pairs()
    distances = RANDOM.normal(0, 1, len(pairs)) - 1.5 * same
    order = RANDOM.permutation(len(pairs))
    submitted = "\n".join(f"id{n:06d} {distances[n]:.9f}" for n in order)
    files = verification_file(tmp_path, "FAME"), write(tmp_path / "sub.txt", submitted)
    report = run("verification", *files, embeddings=folder("joint"))
    assert [row.metric for row in report.rows] == ["auc", "eer"]
    assert report.rows[0].value == pytest.approx(roc_auc_score(same, -distances))
    assert report.rows[0].value > 0.7
    assert report.rows[1].value == pytest.approx(error_by_brentq(same, -distances), abs=1e-9)
    for broken in (submitted.replace("id000003", "id999999"), submitted + "\nid000003 0.5"):
        with pytest.raises(DatasetError, match=r"one score in sub.txt for every id of v.txt"):
            run("verification", files[0], write(tmp_path / "sub.txt", broken))


def test_labels_are_checked(tmp_path):
    path = verification_file(tmp_path, "pickle")
    content = pickle.loads(path.read_bytes())
    content["list"][5][2] = 1 - content["list"][5][2]
    wav, jpg, _ = content["list"][5]
    with pytest.raises(DatasetError, match=f"1 lines against the identities of the folder, first {wav} {jpg}"):
        run("verification", write(path, pickle.dumps(content)))
    pins = verification_file(tmp_path, "PINs").read_text().splitlines()
    pins[1] = pins[1].replace("0,0,0,1,", "0,0,0,0,")
    with pytest.raises(DatasetError, match=r"labels of v.txt that fit its ids"):
        run("verification", write(tmp_path / "v.txt", "\n".join(pins)))
    for candidates in (f"{JPGS[3]} {JPGS[0]}", f"{JPGS[0]} {JPGS[1]}"):
        with pytest.raises(DatasetError, match=r"the probe's person in the first place only"):
            run("matching", write(tmp_path / "m.txt", f"{WAVS[0]} {candidates}"))
    with pytest.raises(DatasetError, match="pairs of one person and pairs of two"):
        run("verification", write(tmp_path / "v.txt", f"{WAVS[0]} {JPGS[0]}"))


def test_average_precision_is_scikit_learns():
    random = np.random.default_rng(5)
    for _ in range(30):
        people, owners = random.integers(0, 4, 6), random.integers(0, 4, 9)
        table = random.integers(0, 3, (6, 9)).astype(float)
        cross = CrossScores(TableScores(table), people, owners, 4)
        queries, gallery = random.permutation(6)[:4], random.permutation(9)[:7]
        values, chance = average_precision(cross, queries, gallery)
        for query, value, level in zip(queries, values, chance, strict=True):
            own = owners[gallery] == people[query]
            assert value == pytest.approx(average_precision_score(own, table[query, gallery]) if own.any() else 0)
            places = itertools.combinations(range(1, 8), int(own.sum()))
            orders = [np.mean(np.arange(1, own.sum() + 1) / ranks) for ranks in places] if own.any() else [0]
            assert level == pytest.approx(np.mean(orders))


def test_retrieval_in_every_form(tmp_path):
    queries, gallery = [0, 4, 8, 9, 13], [1, 2, 5, 7, 8, 11, 12, 14, 0]
    own = PERSON[queries][:, None] == PERSON[gallery]
    expected = [average_precision_score(*pair) for pair in zip(own, scores()[np.ix_(queries, gallery)], strict=True)]
    wavs, jpgs = [WAVS[q] for q in queries], [JPGS[g] for g in gallery]
    two = [
        write(tmp_path / "wav.csv", "VoxCeleb1 ID\twav\n" + "\n".join(f"id\t{path}" for path in wavs)),
        write(tmp_path / "jpg.csv", "\n".join(jpgs)),
    ]
    for files in ([write(tmp_path / "r.txt", f"{' '.join(wavs)}\n{' '.join(jpgs)}\n")], two):
        row, exact = run("retrieval", *files).rows
        whole = retrieval.evaluate(folder(), CLUSTERS, ks=(), galleries=(), control=False)
        assert exact.value == whole.rows[0].value
        assert (exact.group, exact.direction, exact.params["exact"]) == ("U", "v2f", "all")
        assert (row.metric, row.direction, row.group) == ("map", "v2f", "list")
        assert row.value == pytest.approx(np.mean(expected), abs=1e-12)
        assert row.ci_low < row.value < row.ci_high
        assert (row.n, row.params["trials"], row.params["gallery"]) == (5, 5, 9)
    assert {row.direction for row in run("retrieval", *two[::-1]).rows} == {"f2v"}
    lost = run("retrieval", write(tmp_path / "r.txt", f"{' '.join(wavs)}\n{JPGS[0]} {JPGS[3]}"))
    assert any(note.startswith("3 queries of r.txt have nobody of theirs") for note in lost.notes)


def test_retrieval_groups_are_averaged(tmp_path):
    groups = [[0, 3, 6, 7], [1, 4, 9, 12, 13, 14]]
    content = {"retrieval_lists": [[(WAVS[i], JPGS[i], f"P{PERSON[i]}") for i in group] for group in groups]}
    rows = [
        row for row in run("retrieval", write(tmp_path / "r.pkl", pickle.dumps(content))).rows if row.group == "list"
    ]
    for row, table in zip(rows, (scores(), scores().T), strict=True):
        means = []
        for group in groups:
            own = PERSON[group][:, None] == PERSON[group]
            part = table[np.ix_(group, group)]
            means.append(np.mean([average_precision_score(*pair) for pair in zip(own, part, strict=True)]))
        assert row.value == pytest.approx(np.mean(means), abs=1e-12)
        assert row.params["gallery"] == [4, 6]
    assert [row.direction for row in rows] == ["v2f", "f2v"]
    content["retrieval_lists"][0][0] = (WAVS[0], JPGS[0], "P1")
    with pytest.raises(DatasetError, match="one identity of the folder for each name"):
        run("retrieval", write(tmp_path / "r.pkl", pickle.dumps(content)))


def test_missing_files_are_refused_or_counted(tmp_path):
    rows = questions(50, 2)
    lines = [f"{WAVS[v]} {JPGS[f]} {JPGS[g]}" for v, f, g in rows]
    absent = [*lines, f"{WAVS[0]} {JPGS[0]} Zoe/1.jpg", f"Zoe/1.wav {JPGS[0]} {JPGS[3]}"]
    path = write(tmp_path / "m.txt", "\n".join(absent))
    with pytest.raises(
        DatasetError, match=r"1 voice paths, first Zoe/1.wav and 1 face paths, first Zoe/1.jpg"
    ) as error:
        run("matching", path)
    assert "skip_missing" in error.value.fix
    report = run("matching", path, skip_missing=True)
    assert report.rows[0].params["trials"] == 50
    assert report.rows[0].value == pytest.approx(wins_by_hand(rows, scores()).mean())
    assert report.notes[0].startswith("2 of 52 lines of m.txt left out")
    pairs = verification_file(tmp_path, "pickle")
    content = pickle.loads(pairs.read_bytes())
    content["list"].insert(0, ["Zoe/1.wav", JPGS[0], 1])
    _, same, values = all_pairs()
    kept = run("verification", write(pairs, pickle.dumps(content)), skip_missing=True)
    assert kept.rows[0].value == pytest.approx(roc_auc_score(same, values))
    with pytest.raises(DatasetError, match="embed these files too"):
        run("matching", write(tmp_path / "m.txt", "a/1.wav b/1.jpg c/1.jpg"), skip_missing=True)
    searches = write(tmp_path / "r.txt", f"{WAVS[0]} Zoe/1.wav\n{JPGS[0]} {JPGS[3]}")
    with pytest.raises(DatasetError, match="1 voice paths"):
        run("retrieval", searches)
    assert run("retrieval", searches, skip_missing=True).notes[0].startswith("1 of 4 paths of r.txt left out")


@pytest.mark.parametrize(
    ("kind", "content", "says"),
    [
        ("matching", "a/1.wav b/1.jpg\n", r"line 1: a/1.wav b/1.jpg; give lines `probe positive"),
        ("matching", "a/1.wav b/1.jpg c/1.jpg\na/1.wav b/1.jpg\n", "line 2: a/1.wav b/1.jpg"),
        ("matching", pickle.dumps({"list": [["a", "b", 1]]}), "with `match_list` in x, got keys list"),
        ("matching", pickle.dumps({"match_list": [("a", 1, "b", "c", "d", "e")]}), "line 1: .'a', 1"),
        ("verification", "1,2,2,1,a.wav\n", "line 1: 1 2 2 1 a.wav"),
        ("verification", "a/1.wav 0.5\n", "line 1: a/1.wav 0.5"),
        ("verification", pickle.dumps([["a", "b", 1]]), "got a list"),
        ("retrieval", "a/1.wav\n", "known form, got x, line 1: a/1.wav"),
        ("retrieval", pickle.dumps({"retrieval_lists": [[]]}), "with `retrieval_lists`"),
        ("verification", "\n", "an empty file"),
        ("verification", b"\xff\xfe1\x00", "text or a pickle"),
    ],
)
def test_unknown_forms_show_themselves(tmp_path, kind, content, says):
    with pytest.raises(DatasetError, match=says):
        run(kind, write(tmp_path / "x", content))


def test_files_and_tables_that_do_not_fit(tmp_path):
    path = write(tmp_path / "m.txt", f"{WAVS[0]} {JPGS[0]} {JPGS[3]}")
    with pytest.raises(UsageError, match="2 files"):
        run("matching", path, path)
    with pytest.raises(UsageError, match="0 files"):
        run("retrieval")
    with pytest.raises(DatasetError, match="no file"):
        run("matching", tmp_path / "none.txt")
    same = Samples("face", FACES, PERSON, {"path": WAVS})
    with pytest.raises(DatasetError, match="can be told apart"):
        run("matching", write(path, f"{WAVS[0]} {WAVS[0]} {WAVS[3]}"), embeddings=folder(face=same))


def test_keys_of_pairs_over_blocks():
    random = np.random.default_rng(1)
    table = random.integers(0, 5, (300, 40)).astype(float)
    probes, candidates = random.integers(0, 300, 400), random.integers(0, 40, (400, 3))
    keys = pair_keys(TableScores(table), probes, candidates)
    assert (keys == table[probes[:, None], candidates]).all()
