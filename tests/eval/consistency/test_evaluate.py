"""Variances, recognition and cosines against hand-made and brute-force figures; and a pipeline that paints tones."""

import json
from dataclasses import replace
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from jsonargparse import ArgumentParser
from scipy import stats
from torch.nn import functional as F

from eval.commands import consistency as command
from eval.consistency.evaluate import evaluate
from eval.consistency.group_rows import CLIPS, SEGMENTS, averaging_rows, control_rows, group_rows, paired_rows
from eval.consistency.segments import Parts, Window, durations, predicted_features
from eval.faces.recordings import Recording, reader_recordings, split_recordings
from eval.metrics import variance_components
from eval.metrics.clusters import Clusters, measured_row
from eval.metrics.scores import unit
from eval.metrics.variance_components import (
    Groups,
    components,
    grouped,
    mean_over,
    recognition_table,
    shuffled,
    shuffled_components,
    within_cosines,
    won,
)
from eval.results import UNDEFINED
from s2f.audio import load
from s2f.datasets import DatasetFolder
from s2f.errors import DatasetError, UsageError
from s2f.faces.features import face_features
from tests.eval.fake_population import TONES_HZ, FakePipeline, write_csv, write_population

RATE = 8000
LEAST_S = 0.75


class Painter(FakePipeline):
    """Loudness of three tones to a feature of four numbers; remembers every waveform."""

    def __init__(self):
        super().__init__()
        self.heard = []
        self.voice_encoder = SimpleNamespace(sample_rate_hz=RATE, min_seconds=LEAST_S, encode=self.encode)
        self.decoder = Canvas()

    def encode(self, waveforms):
        self.heard += list(waveforms.numpy())
        time = torch.arange(waveforms.shape[1]) / RATE
        waves = torch.stack([torch.exp(-2j * torch.pi * hz * time) for hz in TONES_HZ])
        levels = 2 * (waveforms.to(waves.dtype) @ waves.T / waveforms.shape[1]).abs() / 0.3
        return F.pad(4 * (levels.float() - 0.5), (0, 1), value=1.0)


class Canvas:
    """Draws the colour that a feature means; a decoder that normalises would not know the level."""

    config = SimpleNamespace(normalize_feature=False)

    def __call__(self, features):
        return SimpleNamespace(image=(features[:, :3] / 4 + 0.5).clamp(0, 1)[..., None, None].expand(-1, -1, 8, 8))


def tones(levels, seconds=1.0):
    time = np.arange(round(seconds * RATE)) / RATE
    sound = sum(0.3 * level * np.sin(2 * np.pi * hz * time) for level, hz in zip(levels, TONES_HZ, strict=True))
    return sound.astype(np.float32)


def feature(levels):
    return np.array([*(4 * (np.array(levels) - 0.5)), 1.0])


def recording(person, sound, speaker=None, gender="", source=None, face=None):
    def read(rate):
        return load((sound, RATE), rate).waveform

    return Recording(person, person, speaker or person, gender, source or person, read, face=face)


def raw(*groups, speakers=None, genders=None):
    """Groups whose rows keep their length."""
    rows = np.concatenate([np.reshape(group, (len(group), -1)) for group in groups]).astype(float)
    names = speakers or [f"s{number}" for number in range(len(groups))]
    return Groups(rows, np.array([len(group) for group in groups]), names, genders or [""] * len(groups))


def once(groups):
    return np.ones((1, len(groups.counts)))


def random_groups(people=14, size=5, noise=1.0, seed=0, sizes=(2, 3, 5)):
    random = np.random.default_rng(seed)
    centres = random.normal(size=(people, size))
    members = [centre + noise * random.normal(size=(sizes[k % len(sizes)], size)) for k, centre in enumerate(centres)]
    genders = ["f" if k % 2 else "m" for k in range(people)]
    return grouped(members, [f"s{k // 2}" for k in range(people)], genders)


def found(rows, metric, group="U", control=None, **params):
    chosen = [
        row
        for row in rows
        if (row.metric, row.group, row.params.get("control")) == (metric, group, control)
        and all(row.params.get(name) == value for name, value in params.items())
        and row.direction == "v2f"
    ]
    assert len(chosen) == 1
    return chosen[0]


def test_parts_of_variance_by_hand():
    """Grand mean 4: MSB = 3*4 + 2*9 = 30, MSW = 4/3, k0 = 5 - 13/5 = 2.4."""
    groups = raw([1, 2, 3], [6, 8])
    parts = components(groups, once(groups))
    assert parts.within[0] == pytest.approx(4 / 3)
    assert parts.between[0] == pytest.approx((30 - 4 / 3) / 2.4)
    assert parts.icc[0] == pytest.approx((30 - 4 / 3) / (30 + 1.4 * 4 / 3))


def test_intraclass_correlation_from_scipys_f():
    random = np.random.default_rng(0)
    members = [random.normal(random.normal(), 1.0, size) for size in (2, 5, 3, 7, 2, 4)]
    groups = raw(*members)
    ratio, sizes = stats.f_oneway(*members).statistic, groups.counts
    k0 = (sizes.sum() - (sizes**2).sum() / sizes.sum()) / (len(sizes) - 1)
    assert components(groups, once(groups)).icc[0] == pytest.approx((ratio - 1) / (ratio - 1 + k0))


def test_known_variances_are_recovered_whatever_the_sizes():
    random = np.random.default_rng(2)
    members = [random.normal(size=6) * 0.5 + random.normal(size=(size, 6)) for size in random.integers(2, 9, 1500)]
    groups = raw(*members)
    parts = components(groups, once(groups))
    assert parts.within[0] == pytest.approx(6, rel=0.03)
    assert parts.between[0] == pytest.approx(6 * 0.25, rel=0.06)
    assert parts.icc[0] == pytest.approx(0.2, abs=0.015)  # its standard error is 0.005
    row = measured_row(Clusters(groups.speakers), "icc", lambda draws: components(groups, draws).icc, {})
    assert row.ci_low < 0.2 < row.ci_high
    assert row.ci_high - row.ci_low < 0.05


def test_a_group_drawn_twice_is_two_groups():
    a, b, c = [[1.0, 0], [2, 1]], [[4.0, 4], [6, 5], [5, 3]], [[0.0, 9], [1, 7]]
    twice = components(raw(a, b, c), np.array([[2.0, 1.0, 0.0]]))
    plain = raw(a, a, b)
    assert np.allclose(np.array(twice), np.array(components(plain, once(plain))))


def test_one_row_each_puts_all_variance_between():
    values = np.random.default_rng(0).normal(size=(9, 3))
    groups = raw(*values[:, None])
    parts = components(groups, once(groups))
    assert (parts.within[0], parts.between[0]) == (0, pytest.approx(np.trace(np.cov(values.T))))


def brute_force(groups, alike=False):
    """Recognition and cosine between people by loops over segments."""
    owner = np.repeat(np.arange(len(groups.counts)), groups.counts)
    close = groups.features @ groups.features.T
    shares, pairs = [], []
    for a in range(len(groups.counts)):
        rivals = [b for b in range(len(groups.counts)) if groups.speakers[b] != groups.speakers[a]]
        rivals = [b for b in rivals if not alike or groups.genders[b] == groups.genders[a]]
        against = []
        for b in rivals:
            pairs.append(close[np.ix_(owner == a, owner == b)].mean())
            wins = [
                (close[i, j] > close[i, k]) + 0.5 * (abs(close[i, j] - close[i, k]) < 1e-9)
                for i in np.flatnonzero(owner == a)
                for j in np.flatnonzero(owner == a)
                for k in np.flatnonzero(owner == b)
                if i != j
            ]
            against.append(np.mean(wins))
        shares.append(np.mean(against))
    return np.mean(shares), np.mean(pairs)


@pytest.mark.parametrize("level", [SEGMENTS, CLIPS])
def test_figures_of_groups_by_brute_force(level):
    groups = random_groups()
    features = groups.features.copy()
    features[groups.starts[4]] = features[groups.starts[0]] = features[groups.starts[0] + 1]  # ties
    groups = replace(groups, features=features)
    rows = group_rows(groups, level, 2.0, {"split": "x"})
    for name, alike in (("U", False), ("G", True)):
        recognised, between = brute_force(groups, alike)
        assert found(rows, level.recognition, name).value == pytest.approx(recognised)
        assert found(rows, "cosine_between_people", name).value == pytest.approx(between)
    bounds = list(zip(groups.starts, groups.starts + groups.counts, strict=True))
    pairs = [[a @ b for a, b in combinations(features[first:end], 2)] for first, end in bounds]
    own = found(rows, level.within)
    assert own.value == pytest.approx(np.mean([np.mean(cosines) for cosines in pairs]))
    assert own.ci_low < own.value < own.ci_high
    assert (own.n, own.params["speakers"], own.ci_method) == (14, 7, "bootstrap over speakers")
    between = found(rows, "variance_between").value
    assert found(rows, "variance_between_over_faces").value == pytest.approx(between / 2)
    within = found(rows, "variance_within").value
    assert found(rows, "intraclass_correlation").value == pytest.approx(between / (between + within))


def test_two_people_of_one_speaker_never_meet():
    groups = random_groups(4)
    table, who = recognition_table(groups), Clusters(["s", "s", "t", "t"])
    sides = who.different
    assert sides.tolist() == [[False, False, True, True]] * 2 + [[True, True, False, False]] * 2
    alone = np.array([[1.0, 1, 0, 0], [3, 0, 0, 0]])
    assert np.isnan(won(table, sides)(alone)).all()
    assert np.isnan(mean_over(table.wins, sides)(alone)).all()


def test_shuffled_rows_have_no_groups():
    groups = random_groups(40, noise=0.3, sizes=(2, 4))
    rows = control_rows(groups, SEGMENTS, np.ones(5), 1.0, {})
    real = group_rows(groups, SEGMENTS, 1.0, {})
    icc = found(rows, "intraclass_correlation", control="shuffled")
    assert found(real, "intraclass_correlation").value > 0.7
    assert icc.value == pytest.approx(0, abs=0.01)
    assert icc.ci_low < -0.02 < 0.02 < icc.ci_high
    everything = groups.features @ groups.features.T
    mean = (everything.sum() - len(everything)) / (len(everything) * (len(everything) - 1))
    assert found(rows, "cosine_within_clip", control="shuffled").value == pytest.approx(mean, abs=0.005)
    assert found(rows, "cosine_between_people", control="shuffled").value == pytest.approx(mean, abs=0.02)
    told = found(rows, "segment_recognition", control="shuffled")
    assert told.ci_low < 0.5 < told.ci_high
    assert found(real, "segment_recognition").value > 0.85


def test_shuffled_figures_are_those_of_each_permutation(monkeypatch):
    monkeypatch.setattr(variance_components, "SHUFFLES", 1)
    groups = random_groups()
    cosines, parts = shuffled_components(groups, 3)
    one = shuffled(groups, 3)
    assert not np.allclose(one.features, groups.features)
    assert cosines == pytest.approx([within_cosines(one).mean()])
    assert np.allclose(np.array(parts), np.array(components(one, once(one))))


def test_one_mean_face_for_everybody_is_called_undefined():
    groups = random_groups()
    rows = control_rows(groups, SEGMENTS, np.arange(1.0, 6.0), 1.0, {})
    icc = found(rows, "intraclass_correlation", control="mean")
    assert (icc.value, icc.ci_low, icc.ci_high, icc.ci_method) == (None, None, None, UNDEFINED)
    for metric, value in {"cosine_within_clip": 1, "cosine_between_people": 1, "segment_recognition": 0.5}.items():
        assert found(rows, metric, control="mean").value == pytest.approx(value, abs=1e-12)
    for metric in ("variance_within", "variance_between", "variance_between_over_faces"):
        assert found(rows, metric, control="mean").value == pytest.approx(0, abs=1e-12)


def test_rounding_is_no_variance():
    random = np.random.default_rng(0)
    groups = raw(*(1 + 1e-9 * random.normal(size=(5, 3, 4))))
    assert np.isnan(components(groups, once(groups)).icc[0])
    louder = replace(groups, features=1 + 1e5 * (groups.features - 1))
    assert np.isfinite(components(louder, once(louder)).icc[0])


def test_averaging_takes_noise_away_as_it_should():
    """Rows a + e with |e|² = 3 |a|²: means of m have a cosine of 1 / (1 + 3 / m), and 1 / sqrt(1 + 3 / m) with a."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(40, 300))
    members = [centre + np.sqrt(3) * random.normal(size=(8 - 3 * (k > 33), 300)) for k, centre in enumerate(centres)]
    groups = grouped(members, [str(k) for k in range(40)])
    faces = [None if k == 5 else centre * 7 for k, centre in enumerate(centres)]
    rows = averaging_rows(groups, faces, SEGMENTS, {"split": "x"})
    for m in range(1, 5):
        half = found(rows, "split_half_cosine", segments=m)
        assert half.value == pytest.approx(1 / (1 + 3 / m), abs=0.03)
        assert half.n == 34  # the six with five rows are in no point of the curve
        assert found(rows, "split_half_cosine", control="shuffled", segments=m).value == pytest.approx(0, abs=0.02)
    for m in range(1, 9):
        own = found(rows, "cosine_to_own_face", segments=m)
        assert (own.value, own.n) == (pytest.approx(1 / np.sqrt(1 + 3 / m), abs=0.03), 33)
        assert found(rows, "cosine_to_own_face", control="shuffled", segments=m).value == pytest.approx(0, abs=0.02)
    assert len(rows) == 2 * 4 + 2 * 8
    same = grouped([[one] * 4 for one in np.eye(3)], ["a", "b", "c"])
    halves = [row for row in averaging_rows(same, [None] * 3, CLIPS, {}) if "control" not in row.params]
    assert [(row.metric, row.params["clips"], row.value) for row in halves] == [
        ("split_half_cosine", 1, pytest.approx(1)),
        ("split_half_cosine", 2, pytest.approx(1)),
    ]


def test_the_other_half_is_made_of_other_rows():
    """Two opposite rows: if a row could be in both halves, the cosine would not be -1."""
    groups = grouped([[np.eye(3)[k], -np.eye(3)[k]] for k in range(3)], ["a", "b", "c"])
    assert found(averaging_rows(groups, [None] * 3, SEGMENTS, {}), "split_half_cosine").value == pytest.approx(-1)


def test_pairs_and_their_control_by_hand():
    table = np.array([[0.9, 0.1, 0.5], [0.2, 0.8, 0.3], [0.4, 0.6, 0.7]])
    own, control = paired_rows("m", table.diagonal(), table, Clusters(["s", "s", "t"]), {"k": 1})
    assert own.value == pytest.approx(0.8)
    assert control.value == pytest.approx((0.5 + 0.3 + 0.4 + 0.6) / 4)
    assert control.params == {"k": 1, "control": "shuffled", "speakers": 2}


def test_segments_are_cut_at_the_right_samples():
    """Another tone in every segment and a tail that is in none."""
    colours = [(1, 0.2, 0.2), (0.2, 1, 0.2), (0.2, 0.2, 1)]
    sound = np.concatenate([tones(colour) for colour in colours] + [tones((0.5, 0.5, 0.5), 0.9)])
    one, short = recording("a", sound), recording("b", tones((1, 1, 1), 1.9))
    parts = Parts([one, short], durations([one, short], RATE), RATE)
    assert parts.sizes == [3.9 * RATE, 1.9 * RATE]
    (windows,) = parts.segments(1.0)
    assert windows == [Window(0, 0, RATE), Window(0, RATE, RATE), Window(0, 2 * RATE, RATE)]
    pipeline = Painter()
    features = predicted_features(pipeline, [one, short], [*windows, windows[0]])
    assert len(pipeline.heard) == 3
    for window, colour in zip(windows, colours, strict=True):
        assert features[window] == pytest.approx(feature(colour), abs=1e-3)
    assert Parts([one], [2 * RATE], RATE).segments(1.0) == [windows[:2]]
    assert Parts([one], [2 * RATE - 1], RATE).segments(1.0) == []


def test_a_short_part_is_repeated_to_the_encoders_minimum():
    one = recording("a", np.concatenate([tones((1, 0, 0), 0.5), tones((0, 1, 0), 0.5)]))
    pipeline = Painter()
    features = predicted_features(pipeline, [one], [Window(0, 0, RATE // 2)])
    assert [len(sound) for sound in pipeline.heard] == [LEAST_S * RATE]
    assert np.array_equal(pipeline.heard[0][RATE // 2 :], pipeline.heard[0][: RATE // 4])
    assert features[Window(0, 0, RATE // 2)] == pytest.approx(feature((1, 0, 0)), abs=0.01)


def test_features_do_not_depend_on_the_batches():
    random = np.random.default_rng(0)
    many = [recording(str(k), tones(random.random(3), 1.0 + k % 3)) for k in range(21)]
    windows = [Window(k, 0, RATE * (1 + k % 3)) for k in range(21)]
    together = predicted_features(Painter(), many, windows)
    for window in windows:
        assert together[window] == pytest.approx(predicted_features(Painter(), many, [window])[window], abs=1e-5)


def test_clips_of_a_person_come_from_different_sources():
    sizes = {"a1": 3, "a2": 2, "a3": 3, "b1": 3, "c1": 3, "c2": 1}
    sources = {"a1": "x", "a2": "x", "a3": "y", "b1": "z", "c1": "v", "c2": "w"}
    many = [recording(name[0], tones((1, 0, 0), size), source=sources[name]) for name, size in sizes.items()]
    parts = Parts(many, durations(many, RATE), RATE)
    assert parts.clips(2.0) == [[Window(0, 0, 2 * RATE), Window(2, 0, 2 * RATE)]]
    assert parts.clips(1.0)[1] == [Window(4, 0, RATE), Window(5, 0, RATE)]


def test_lengths_that_nobody_reaches_are_named():
    sizes = [int(seconds * RATE) for seconds in (9, 9, 4.5, 3)]
    many = [recording(str(k), tones((1, 0, 0)), speaker=f"s{max(k, 1)}") for k in range(4)]  # the first two share one
    parts = Parts(many, sizes, RATE)
    with pytest.raises(DatasetError, match=r"at least 9 s by two speakers.* 4\.50 s; drop 5, 9 from --lengths"):
        parts.sweep((2.0, 4.0, 5.0, 9.0))
    with pytest.raises(DatasetError, match=r"give --lengths of up to 4\.50 s"):
        parts.sweep((4.0, 5.0, 9.0))
    assert parts.sweep((2.0, 4.5)) == [[Window(k, 0, 2 * RATE), Window(k, 0, int(4.5 * RATE))] for k in range(3)]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return DatasetFolder(write_population(tmp_path_factory.mktemp("consistent") / "data", {"train": 60}))


LEVELS = {"a": (0.9, 0.3, 0.1), "b": (0.2, 0.3, 0.9), "c": (0.8, 0.7, 0.3), "d": (0.1, 0.1, 0.5)}


def everybody(**changed):
    """Four people with one steady tone each of three seconds, men loud in the first; faces a little beside."""
    sounds = {name: tones(levels, 3.0) for name, levels in LEVELS.items()} | changed
    return [
        recording(name, sound, gender="m" if name in "ac" else "f", face=3 * feature(LEVELS[name]) + (0, 0, 0, 1.0))
        for name, sound in sounds.items()
    ]


def test_steady_voices_are_perfectly_consistent(data):
    pipeline = Painter()
    report = evaluate(pipeline, data, everybody(), 1.0, (3, 0.5, 1, 3), {"split": "x"})
    rows = report.rows
    assert len(pipeline.heard) == 4 * 5  # three segments, the first of them also a length, 0.5 s and 3 s
    true = unit(np.stack([feature(levels) for levels in LEVELS.values()]))
    cosines = true @ true.T
    others = (cosines.sum() - 4) / 12
    assert found(rows, "cosine_within_clip").value == pytest.approx(1, abs=1e-5)
    assert found(rows, "cosine_between_people").value == pytest.approx(others, abs=1e-3)
    genders = (cosines[0, 2] + cosines[1, 3]) / 2
    assert found(rows, "cosine_between_people", "G").value == pytest.approx(genders, abs=1e-3)
    assert found(rows, "segment_recognition").value == 1
    assert found(rows, "intraclass_correlation").value == pytest.approx(1, abs=1e-5)
    assert found(rows, "variance_between").value == pytest.approx(np.trace(np.cov(true.T)), abs=1e-3)
    assert found(rows, "variance_between").params == {"split": "x", "seconds": 1.0, "of": "segments"}
    faces = unit(np.stack([one.face for one in everybody()]))
    own = np.sum(true * faces, axis=1).mean()
    for length in (0.5, 1.0, 3.0):
        assert found(rows, "gender_agreement", seconds=length).value == 1
        swapped = found(rows, "gender_agreement", control="shuffled", seconds=length).value
        assert swapped == pytest.approx(1 / 2, abs=0.02)  # two of each gender
    for length in (1.0, 3.0):
        assert found(rows, "cosine_to_own_face", seconds=length, of=None).value == pytest.approx(own, abs=1e-3)
    assert found(rows, "cosine_to_longest", seconds=1.0).value == pytest.approx(1, abs=1e-5)
    assert found(rows, "cosine_to_longest", control="shuffled", seconds=1.0).value == pytest.approx(others, abs=1e-3)
    assert [row.params["seconds"] for row in rows if row.metric == "cosine_to_longest"] == [0.5, 0.5, 1.0, 1.0]
    gain = found(rows, "cosine_to_own_face_difference")
    assert (gain.params["seconds"], gain.params["minus"]) == (3.0, 0.5)
    assert gain.value == pytest.approx(0, abs=0.02)
    assert any(note.startswith("no cosine_within_person") for note in report.notes)
    assert "parts of 0.5 s are repeated to 0.750 s, the encoder's shortest input" in report.notes
    assert "features are compared at unit length; this decoder also sees their lengths" in report.notes
    json.loads(report.json())
    assert report.protocol == "consistency/2"


def test_reference_is_the_spread_of_the_training_faces(data):
    pipeline = Painter()
    rows = evaluate(pipeline, data, everybody(), 1.0, (1, 2), {}).rows
    row = next(row for row in rows if row.direction == "rendered")
    paths = [data.path(face) for face in data.faces("train")]
    vectors = unit(face_features(pipeline.face_encoder, paths, pipeline.device).numpy())
    assert row.value == pytest.approx(np.trace(np.cov(vectors.T)))
    assert (row.metric, row.n, row.params["speakers"]) == ("variance_between", 60, 12)
    over = found(rows, "variance_between_over_faces")
    assert over.value == pytest.approx(found(rows, "variance_between", of="segments").value / row.value)
    constant = found(rows, "cosine_to_own_face", control="mean")
    faces = unit(np.stack([one.face for one in everybody()]))
    assert constant.value == pytest.approx((faces @ unit(vectors.mean(0))).mean(), abs=1e-6)


@pytest.mark.parametrize("view", ["canonical", "wild"])
def test_photos_are_the_reference_where_there_is_nothing_better(tmp_path, view):
    root = write_population(tmp_path / "data", {"train": 8})
    faces = [face | {"view": view} for face in DatasetFolder(root).faces("train")]
    second = [face | {"path": faces[k - 2]["path"], "view": "wild"} for k, face in enumerate(faces)]
    write_csv(root / "faces.csv", [*faces, *second])
    pipeline = Painter()
    row = evaluate(pipeline, DatasetFolder(root), everybody(), 1.0, (1, 2), {}).rows[-1]
    known = face_features(pipeline.face_encoder, [root / face["path"] for face in faces], pipeline.device).numpy()
    members = [[known[k], known[k - 2]] if view == "wild" else [known[k]] for k in range(8)]
    groups = grouped(members, list("abcdefgh"))
    assert row.value == pytest.approx(components(groups, once(groups)).between[0])
    assert (row.direction, row.params["faces"]) == {"wild": ("photo", 16), "canonical": ("rendered", 8)}[view]


def test_length_that_changes_the_answer(data):
    """One man sounds like a woman for a second; one woman's face and gender are unknown."""
    late = np.concatenate([tones((0.1, 0.3, 0.1), 1.0), tones((1.0, 0.3, 0.1), 4.0)])
    many = everybody(a=late, b=tones(LEVELS["b"], 5.0), c=tones(LEVELS["c"], 5.0), d=tones(LEVELS["d"], 5.0))
    many[1] = replace(many[1], face=None, gender="")
    report = evaluate(Painter(), data, many, 1.0, (1, 5), {})
    rows = report.rows
    assert found(rows, "gender_agreement", seconds=1.0).value == pytest.approx(2 / 3)
    assert found(rows, "gender_agreement", seconds=5.0).value == 1
    gain = found(rows, "gender_agreement_difference")
    assert (gain.value, gain.n) == (pytest.approx(1 / 3), 3)
    closer = found(rows, "cosine_to_own_face", seconds=5.0, of=None)
    true = [feature((1.0, 0.3, 0.1)), feature(LEVELS["c"]), feature(LEVELS["d"])]
    cosines = [unit(one) @ unit(many[k].face) for one, k in zip(true, (0, 2, 3), strict=True)]
    assert closer.n == 3
    assert closer.value == pytest.approx(np.mean(cosines), abs=0.02)
    turned = unit(feature((0.1, 0.3, 0.1))) @ unit(feature((0.82, 0.3, 0.1)))  # four fifths of five seconds are louder
    assert found(rows, "cosine_to_longest").value == pytest.approx((turned + 3) / 4, abs=1e-3)
    difference = found(rows, "cosine_to_own_face_difference").value
    assert difference == pytest.approx(closer.value - found(rows, "cosine_to_own_face", seconds=1.0, of=None).value)
    assert difference > 0.05
    assert found(rows, "cosine_within_clip").value < 0.98
    assert "1 recordings of unknown gender not in figures about gender" in report.notes


def test_what_is_left_out_is_counted(data):
    quiet = np.zeros(RATE, np.float32)
    steady = tones((0.5, 0.5, 0.5), 4.0)
    many = [
        *everybody(),
        recording("silent", np.zeros(3 * RATE, np.float32)),
        recording("short", tones((1, 0, 0), 1.5)),
        recording("gap", np.concatenate([steady[:RATE], quiet, steady[: 2 * RATE]])),
        recording("late", np.concatenate([quiet, steady])),
        recording("one", np.concatenate([quiet, steady[:RATE], quiet, quiet])),
    ]
    report = evaluate(Painter(), data, many, 1.0, (1, 3), {}, ["given"])
    assert report.notes[:9] == [
        "given",
        "0 of 9 people have recordings of several sources, 0 of them with 1 s of each",
        "1 recordings left out: silent, or shorter than 0.5 s",
        "2 recordings with fewer than two segments of 1 s not in them",
        "5 silent segments left out",
        "1 recordings with fewer than two audible segments",
        "2 recordings shorter than 3 s not in the length sweep",
        "2 recordings that begin with silence not in the length sweep",
        "5 recordings of unknown gender not in figures about gender",
    ]
    assert found(report.rows, "cosine_within_clip").n == 6
    assert found(report.rows, "cosine_to_longest").n == 5


def test_several_clips_of_a_person(data):
    """Clips of one person agree but for "a"; two people of one speaker are no different people."""
    many = []
    for name, levels in LEVELS.items():
        for clip in ("x", "y"):
            heard = LEVELS["b"] if (name, clip) == ("a", "y") else levels
            speaker = "ab" if name in "ab" else name
            many.append(recording(name, tones(heard, 2.5), speaker, "m", f"{name}{clip}"))
    rows = evaluate(Painter(), data, many, 1.0, (1, 2), {}).rows
    true = unit(np.stack([feature(levels) for levels in LEVELS.values()]))
    odd = true[0] @ true[1]
    within = found(rows, "cosine_within_person", of="clips")
    assert (within.value, within.n, within.params["speakers"]) == (pytest.approx((3 + odd) / 4, abs=1e-3), 4, 3)
    means = [(true[0] + true[1]) / 2, *true[1:]]
    pairs = [means[a] @ means[b] for a, b in combinations(range(4), 2) if (a, b) != (0, 1)]
    assert found(rows, "cosine_between_people", of="clips").value == pytest.approx(np.mean(pairs), abs=1e-3)
    assert found(rows, "cosine_within_clip").n == 8
    assert found(rows, "split_half_cosine", clips=1).value == pytest.approx((3 + odd) / 4, abs=1e-3)
    assert found(rows, "clip_recognition").value < 1
    shared = found(rows, "gender_agreement", seconds=2.0)
    assert (shared.n, shared.params["speakers"], shared.ci_method) == (8, 3, "wilson")
    assert shared.params["by_speaker"][0] < shared.value < shared.params["by_speaker"][1]


def test_what_cannot_be_evaluated_is_refused(data, tmp_path):
    for seconds, lengths in ((1.0, (1, 1)), (1.0, (0.4, 1)), (0.3, (1, 2)), (1.0, (1, np.inf)), (np.nan, (1, 2))):
        with pytest.raises(UsageError, match="two or more lengths, all of at least"):
            evaluate(Painter(), data, everybody(), seconds, lengths, {})
    with pytest.raises(DatasetError, match="sound of at least two speakers"):
        evaluate(Painter(), data, [replace(one, speaker="s") for one in everybody()], 1.0, (1, 2), {})
    late = [replace(one, read=lambda rate: np.r_[np.zeros(rate), tones((1, 0, 0))]) for one in everybody()]
    with pytest.raises(DatasetError, match="sound from the start"):
        evaluate(Painter(), data, late, 0.5, (0.5, 2), {})


def test_no_gender_probe_no_gender_rows(tmp_path):
    root = write_population(tmp_path / "data", {"train": 8})
    people = DatasetFolder(root).people.values()
    write_csv(root / "people.csv", [person | {"gender": "f"} for person in people])
    (root / "truth.csv").unlink()
    report = evaluate(Painter(), DatasetFolder(root), everybody(), 1.0, (1, 2), {})
    assert not [row for row in report.rows if row.metric.startswith("gender")]
    assert any(note.startswith("no gender_agreement: expected") for note in report.notes)


def test_recordings_of_a_split(tmp_path):
    root = write_population(tmp_path / "data", {"train": 4, "test": 4})
    voices = [
        {"identity": "id4", "path": "voices/id4.wav", "start_s": "", "video": "v"},
        {"identity": "id5", "path": "voices/id4.wav", "start_s": "", "video": ""},
        {"identity": "id5", "path": "voices/id4.wav", "start_s": "0.25", "video": ""},
        {"identity": "id6", "path": "voices/id6.wav", "start_s": "", "video": ""},
        {"identity": "id0", "path": "voices/id0.wav", "start_s": "", "video": ""},
    ]
    write_csv(root / "voices.csv", voices)
    faces = [face for face in DatasetFolder(root).faces("train", "test") if face["identity"] != "id6"]
    wild = {"identity": "id4", "path": "faces/id0.png", "view": "wild"}
    write_csv(root / "faces.csv", [wild, *faces])
    people = list(DatasetFolder(root).people.values())
    write_csv(
        root / "people.csv",
        [one | ({"gender": "", "speaker": ""} if one["identity"] == "id6" else {}) for one in people],
    )
    pipeline = Painter()
    heard, notes = split_recordings(pipeline, DatasetFolder(root), "test")
    assert notes == ["1 rows of voices.csv repeat a recording, which counts once"]
    assert [(one.person, one.speaker, one.gender, one.source) for one in heard] == [
        ("id4", "s4", "f", "v"),
        ("id5", "s5", "m", "voices/id4.wav"),
        ("id6", "id6", "", "voices/id6.wav"),
    ]
    assert [(one.name, one.age_class) for one in heard] == [("id4", ""), ("id4_0.25", ""), ("id6", "")]
    assert [len(one.read(RATE)) for one in heard] == [RATE, 0.75 * RATE, RATE]
    assert heard[2].face is None
    assert not np.allclose(heard[0].face, heard[1].face)
    mine = face_features(pipeline.face_encoder, [root / "faces" / "id4.png"], pipeline.device).numpy()[0]
    assert np.allclose(heard[0].face, mine)


def test_readers_are_those_no_training_heard(tmp_path):
    rows = [("r1", "f", "dev"), ("r2", "m", "train"), ("r3", "m", "dev")]
    for speaker, *_ in rows:
        soundfile.write(tmp_path / f"{speaker}.flac", tones((0.5, 0, 0)), RATE)
    table = [{"speaker": s, "gender": g, "split": p, "file": f"{s}.flac"} for s, g, p in rows]
    write_csv(tmp_path / "speakers.csv", table)
    heard = reader_recordings(tmp_path)
    assert [(one.person, one.speaker, one.gender, one.face) for one in heard] == [
        ("r1", "r1", "f", None),
        ("r3", "r3", "m", None),
    ]
    assert [(one.name, one.age_class) for one in heard] == [("r1", "adult"), ("r3", "adult")]
    assert len(heard[1].read(RATE)) == RATE
    write_csv(tmp_path / "speakers.csv", table[1:2])
    with pytest.raises(DatasetError, match="dev speakers"):
        reader_recordings(tmp_path)


def test_command(data, tmp_path, monkeypatch, capsys):
    for k in range(3):
        soundfile.write(tmp_path / f"r{k}.flac", tones((0.1 + 0.4 * k, 0.5, 0.3), 2.2), RATE)
    rows = [{"speaker": f"r{k}", "gender": "fmm"[k], "split": "dev", "file": f"r{k}.flac"} for k in range(3)]
    write_csv(tmp_path / "speakers.csv", rows)
    asked = []
    monkeypatch.setattr(
        "s2f.reconstruction.pipeline.Speech2FacePipeline",
        SimpleNamespace(from_pretrained=lambda *words: asked.append(words) or Painter()),
    )
    parser = ArgumentParser()
    command.add_arguments(parser)
    words = ["fake", str(data.root), "--voices", str(tmp_path), "--seconds", "1", "--lengths", "1", "2"]
    plotted = [*words, "--plots", str(tmp_path / "plots"), "--device", "cpu", "--json"]
    assert command.run(parser.parse_args(plotted)) == 0
    content = json.loads(capsys.readouterr().out)
    assert (content["protocol"], content["split_hash"], asked) == ("consistency/2", data.split_hash, [("fake", "cpu")])
    row = next(row for row in content["rows"] if row["metric"] == "cosine_within_clip")
    assert row["params"] == {"split": "dev", "voices": tmp_path.name, "seconds": 1.0, "of": "segments"}
    assert row["value"] == pytest.approx(1, abs=1e-3)
    assert (tmp_path / "plots" / "lengths.svg").is_file()
    assert command.run(parser.parse_args(words)) == 0
    assert "protocol consistency/2" in capsys.readouterr().out
