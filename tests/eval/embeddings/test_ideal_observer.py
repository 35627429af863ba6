"""The ideal observer of a written folder: against pair-by-pair counting, and beside population.json."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from eval.embeddings.ideal_observer import IDEAL, ideal_scores, recorded_recall
from eval.reconstructions.features import KS, evaluate
from eval.reconstructions.folder import read_reconstructions
from s2f.datasets import DatasetFolder
from s2f.errors import DatasetError
from s2f.simulate.population.face_statistics import AGE_KNOTS_YEARS, BASIS
from s2f.simulate.population.ideal_observer import ideal_figures
from s2f.simulate.population.joint_law import Population, Sharing, Voice
from tests.eval.fake_population import write_csv
from tests.eval.reconstruction_folders import write_reconstructions

PEOPLE = 35
TEST = tuple(f"id{number}" for number in range(PEOPLE) if number % 7)


def small_law() -> Population:
    random = np.random.default_rng(0)
    mean = 3 + random.normal(0, 0.1, (2, len(AGE_KNOTS_YEARS), len(BASIS)))
    slope = random.normal(0, 0.1, (len(BASIS), 2))
    effect = random.normal(0, 0.02, (3, len(BASIS)))
    return Population(Sharing({}), 0.5, -0.2, mean, effect, slope, 0.01 * np.eye(len(BASIS)))


def drawn_people(law: Population) -> tuple[list, list]:
    random, ages = np.random.default_rng(1), {"child": 9.0, "adult": 40.0, "elder": 70.0}
    voices = []
    for number in range(PEOPLE):
        kind = list(ages)[number % 3]
        voices.append(Voice("fm"[number % 2], kind, ages[kind], *(float(x) for x in random.normal(size=3))))
    return voices, [law.draw_face(voice, random) for voice in voices]


def truth_row(name, voice, face) -> dict:
    row = {"identity": name, "gender": face.gender, "age_years": face.age_years}
    row |= {f"voice_{key}": value for key, value in asdict(voice).items()}
    row |= {f"ethnic_mix_{place}": share for place, share in enumerate(face.mix)}
    return row | {f"planted_{key}": float(np.exp(x)) for key, x in zip(BASIS, face.log_measures, strict=True)}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Dataset folder with its law; test people are all but every seventh."""
    root, law = tmp_path_factory.mktemp("population"), small_law()
    voices, faces = drawn_people(law)
    names = [f"id{number}" for number in range(PEOPLE)]
    splits = ["test" if name in TEST else "train" for name in names]
    write_csv(root / "people.csv", [{"identity": n, "split": s} for n, s in zip(names, splits, strict=True)])
    write_csv(root / "truth.csv", [truth_row(*one) for one in zip(names, voices, faces, strict=True)][::-1])
    chosen = [place for place, name in enumerate(names) if name in TEST]
    scores = law.log_likelihood_ratio([voices[k] for k in chosen], [faces[k] for k in chosen])
    figures = ideal_figures(scores, np.array([voices[k].gender for k in chosen]))
    ideal = [row | {"params": row["params"] | {"split": "test"}} for row in figures]
    stored = {key: np.asarray(value).tolist() for key, value in vars(law).items() if key != "sharing"}
    (root / "population.json").write_text(json.dumps({"law": stored, "sharing": asdict(law.sharing), "ideal": ideal}))
    return DatasetFolder(root), law, voices, faces


@pytest.fixture(scope="module")
def folder(written, tmp_path_factory):
    data, *_ = written
    root, random = tmp_path_factory.mktemp("drawn") / "folder", np.random.default_rng(2)
    people = {"identity": sorted(TEST)}
    true = random.normal(size=(len(TEST), 3))
    return read_reconstructions(write_reconstructions(root, true, people=people, split_hash=data.split_hash))


def test_recall_against_counting_pair_by_pair(written, folder):
    data, law, voices, faces = written
    places = [int(name[2:]) for name in sorted(TEST)]
    above = []
    for k in places:
        ratio = [law.log_likelihood_ratio([voices[k]], [faces[other]])[0, 0] for other in places]
        above.append(sum(value > ratio[places.index(k)] for value in ratio))
    rows = [row for row in evaluate(folder, data, control=False).rows if row.params.get("by") == IDEAL]
    assert [row.params["k"] for row in rows] == list(KS)
    for row in rows:
        assert row.value == pytest.approx(np.mean([count < row.params["k"] for count in above]))
        assert (row.direction, row.n, row.chance) == ("v2f", len(TEST), pytest.approx(row.params["k"] / len(TEST)))
    assert rows[0].value > 2 * rows[0].chance
    assert rows[-1].value > rows[0].value


def test_recorded_figures_are_met(written, folder):
    """population.json was written from the drawn numbers, these are read back from the tables."""
    data, *_ = written
    recorded = recorded_recall(data, "test", len(TEST))
    rows = {row.params["k"]: row for row in evaluate(folder, data, control=False).rows if row.params.get("by") == IDEAL}
    stored = json.loads((data.root / "population.json").read_text())["ideal"]
    both = [
        {
            row["params"]["k"]: row["value"]
            for row in stored
            if (row["metric"], row["direction"], row["group"]) == ("recall", way, "U")
        }
        for way in ("v2f", "f2v")
    ]
    assert both[0] != both[1]
    assert set(recorded) == {1, 5, 10}
    for k, value in recorded.items():
        assert rows[k].value == pytest.approx(value)
        assert rows[k].params["recorded"] == pytest.approx(value, rel=1e-3)
    assert "recorded" not in rows[2].params
    assert recorded_recall(data, "val", len(TEST)) == recorded_recall(data, "test", len(TEST) - 1) == {}


def test_order_follows_the_people_asked_for(written):
    data, law, voices, faces = written
    names = list(TEST)
    keys = [
        ideal_scores(data, order, data.split_hash).scores.keys(slice(None), slice(None))
        for order in (names, names[::-1])
    ]
    assert (keys[0] == keys[1][::-1, ::-1]).all()
    assert (keys[0] != keys[1]).any()
    chosen = [[side[int(name[2:])] for name in names] for side in (voices, faces)]
    assert (keys[0].argsort(1) == law.log_likelihood_ratio(*chosen).argsort(1)).all()


def test_no_truth_of_these_people(written, folder, tmp_path):
    data, *_ = written
    with pytest.raises(DatasetError, match="the truth of the people evaluated, got split hash"):
        ideal_scores(data, TEST, "f" * 64)
    with pytest.raises(DatasetError, match="none for stranger"):
        ideal_scores(data, [*TEST, "stranger"], data.split_hash)
    (tmp_path / "people.csv").write_text((data.root / "people.csv").read_text())
    with pytest.raises(DatasetError, match=r"truth\.csv"):
        ideal_scores(DatasetFolder(tmp_path), TEST, data.split_hash)
    (tmp_path / "truth.csv").write_text("identity,voice_gender\nid1,f\n")
    with pytest.raises(DatasetError, match="none named voice_age_class"):
        ideal_scores(DatasetFolder(tmp_path), TEST, data.split_hash)
    (tmp_path / "truth.csv").write_text((data.root / "truth.csv").read_text())
    with pytest.raises(DatasetError, match="the law of a population"):
        evaluate(folder, DatasetFolder(tmp_path))
