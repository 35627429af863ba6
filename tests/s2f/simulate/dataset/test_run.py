"""Simulated dataset folders: splits by speaker, tables, resumption, the same bytes for the same seed."""

import csv
import hashlib
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile
from PIL import Image

from s2f.datasets import DatasetFolder
from s2f.errors import DatasetError, OutputError
from s2f.faces.craniofacial import MEASURES, craniofacial_measures
from s2f.simulate.dataset import run as running
from s2f.simulate.dataset.config import SimulateConfig
from s2f.simulate.dataset.run import deal_identities, simulate, split_speakers
from s2f.simulate.dataset.truth import expected_measures, load_population
from s2f.simulate.population.face_statistics import BASIS, fit_natural_law
from s2f.simulate.population.joint_law import Voice
from s2f.simulate.population.solve import correlations_of
from s2f.simulate.voice.recordings import Recording, read_voices
from tests.programs import FORKS
from tests.s2f.simulate.small_makehuman import write_makehuman

RATE = 16000
LATENTS = ("age_years", "pitch", "tract", "timbre")
SPEAKERS = {f"{gender}{k}": (gender, "dev" if k == 4 else "train") for k in range(5) for gender in "fm"}


def write_voices(root: Path, speakers: dict[str, tuple[str, str]]) -> Path:
    """A voices folder with one second of a vowel per speaker."""
    root.mkdir(parents=True, exist_ok=True)
    rows = ["speaker,gender,split,file"]
    for number, (speaker, (gender, split)) in enumerate(speakers.items()):
        f0 = (200 if gender == "f" else 110) * (1 + 0.03 * (number % 5))
        sound = np.diff(np.floor(np.arange(RATE) * f0 / RATE), prepend=0.0)
        for formant in (500, 1500, 2500, 3500):
            centre, radius = formant * (1.15 if gender == "f" else 1) * (1 + 0.01 * (number % 4)), 0.98
            sound = scipy.signal.lfilter([1], [1, -2 * radius * np.cos(2 * np.pi * centre / RATE), radius**2], sound)
        soundfile.write(root / f"{speaker}.wav", (0.4 * sound / np.abs(sound).max()).astype(np.float32), RATE)
        rows.append(f"{speaker},{gender},{split},{speaker}.wav")
    (root / "speakers.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return root


def table(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module", autouse=True)
def few_draws():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "fit_natural_law", partial(fit_natural_law, draws=120))
        yield


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> SimulateConfig:
    root = tmp_path_factory.mktemp("simulate")
    return SimulateConfig(
        out=str(root / "out"),
        voices=str(write_voices(root / "voices", SPEAKERS)),
        makehuman=str(write_makehuman(root / "checkout")),
        identities=6,
        views=1,
        canonical_size_px=64,
        workers=1,
        cache=str(root / "cache"),
        correlations=dict.fromkeys(MEASURES, 0.0) | {"intercanthal_index": 0.3},
        mix_sharing=0.0,
    )


@pytest.fixture(scope="module")
def dataset(config) -> Path:
    return simulate(config)


# --- voices and splits ----------------------------------------------------------------------------------------------


def speakers_list(count: int) -> list[Recording]:
    marks = ["dev" if k % 5 == 0 else "train" for k in range(count)]
    return [Recording(f"s{k}", "fm"[k % 2], marks[k], f"s{k}.wav", 1.0) for k in range(count)]


def test_splits_are_disjoint_by_speaker_and_dev_is_test(config):
    recordings = speakers_list(100)
    split = split_speakers(recordings, 0)
    assert {r.speaker for r in recordings if r.split == "dev"} == {s for s, part in split.items() if part == "test"}
    gender = {r.speaker: r.gender for r in recordings}
    validation = [gender[s] for s, part in split.items() if part == "val"]
    assert (validation.count("f"), validation.count("m")) == (4, 4)
    assert split != split_speakers(recordings, 1)
    dealt = [r.speaker for r in deal_identities(recordings, split, replace(config, identities=250))]
    counts = np.unique(dealt, return_counts=True)[1]
    assert (len(counts), counts.min(), counts.max()) == (100, 2, 3)
    fewer = deal_identities(recordings, split, replace(config, identities=30))
    assert [r.speaker for r in fewer] == dealt[:30]
    tested = deal_identities(recordings, split, replace(config, identities=50, only="test"))
    assert {split[r.speaker] for r in tested} == {"test"}


def test_several_recordings_of_a_speaker_are_all_used(config):
    recordings = [Recording("s", "f", "train", f"{k}.wav", 1.0) for k in range(3)]
    dealt = deal_identities(recordings, {"s": "train"}, replace(config, identities=40))
    assert {r.path for r in dealt} == {"0.wav", "1.wav", "2.wav"}


def test_librispeech_layout(tmp_path):
    (tmp_path / "SPEAKERS.TXT").write_text(
        ";ID |SEX|SUBSET |MINUTES|NAME\n14 | F | train-clean-360 | 25.0 | A | B\n17 | M | dev-clean | 8 | C\n"
        "19 | M | train-other-500 | 8 | Not unpacked\n",
        encoding="utf-8",
    )
    for part in ("train-clean-360/14/208", "dev-clean/17/363"):
        (tmp_path / part).mkdir(parents=True)
        soundfile.write(tmp_path / part / "x.flac", np.zeros(8000, np.float32), 16000)
    found = [(r.speaker, r.gender, r.split, r.duration_s) for r in read_voices(tmp_path)]
    assert found == [("14", "f", "train", 0.5), ("17", "m", "dev", 0.5)]


THREE_PARTS = r"(?s)expected .*, got .*; \w+"


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("speaker,gender,split,file\n", ValueError),
        ("speaker,gender,split,file\na,x,train,a.wav\n", ValueError),
        ("speaker,gender,split,file\na,f,test,a.wav\n", ValueError),
        ("speaker,gender,split,file\na,f,train,absent.wav\n", FileNotFoundError),
        ("speaker,gender,split,file\na,f,train\n", FileNotFoundError),
        ("speaker,gender,split,file\na,f,train,speakers.csv\n", ValueError),
        ("name,gender\n", ValueError),
        (None, FileNotFoundError),
    ],
)
def test_bad_voices(tmp_path, content, error):
    if content is not None:
        (tmp_path / "speakers.csv").write_text(content, encoding="utf-8")
    with pytest.raises(error, match=THREE_PARTS):
        read_voices(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [("speakers.csv", b"speaker,gender,split,file\nfr\xfch,f,train,a.wav\n"), ("SPEAKERS.TXT", b"14 | F\n")],
)
def test_damaged_lists(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DatasetError, match=THREE_PARTS):
        read_voices(tmp_path)


# --- the dataset folder ---------------------------------------------------------------------------------------------


def test_tables_keep_their_contract(dataset):
    people = table(dataset / "people.csv")
    assert list(people[0]) == ["identity", "gender", "age", "ethnicity", "split", "speaker"]
    assert [p["identity"] for p in people] == [f"id{k:05d}" for k in range(6)]
    assert all(p["gender"] == SPEAKERS[p["speaker"]][0] for p in people)
    assert all((p["split"] == "test") == (p["speaker"] in ("f4", "m4")) for p in people)
    voices = table(dataset / "voices.csv")
    assert list(voices[0]) == ["identity", "path", "video"]
    assert all(soundfile.info(dataset / v["path"]).samplerate == RATE for v in voices)
    faces = table(dataset / "faces.csv")
    assert [f["view"] for f in faces].count("canonical") == 6
    assert [f["view"] for f in faces].count("wild") == 6
    sizes = {f["view"]: Image.open(dataset / f["path"]).size for f in faces}
    assert sizes == {"canonical": (64, 64), "wild": (112, 112)}
    landmarks = table(dataset / "landmarks.csv")
    assert list(landmarks[0]) == ["path", *(f"{axis}{i}" for i in range(68) for axis in "xy")]
    assert [row["path"] for row in landmarks] == [f["path"] for f in faces]
    assert not list(dataset.rglob("*.tmp"))


def test_truth_tells_planted_and_reached_measures(dataset):
    truth = {row["identity"]: row for row in table(dataset / "truth.csv")}
    data = DatasetFolder(dataset)
    rows = [row for row in data.faces("train", "val", "test") if row["view"] == "canonical"]
    points = (data.landmarks_of(rows) + 0.5) * 224 / 64 - 0.5
    for name, values in craniofacial_measures(points).items():
        stored = [float(truth[row["identity"]][f"mesh_{name}"]) for row in rows]
        assert values == pytest.approx(stored, rel=0.05)  # landmarks.csv is rounded to hundredths of a pixel of 64
    columns = truth["id00000"]
    assert {f"planted_{name}" for name in BASIS} <= set(columns)
    assert {f"expected_{name}" for name in (*MEASURES, "face_height")} <= set(columns)
    assert {"voice_gender", "voice_age_class", "voice_pitch", "change_pitch", "gender", "age_years"} <= set(columns)


def test_population_json_holds_law_correlations_and_ideal_figures(dataset, config):
    told = json.loads((dataset / "population.json").read_text(encoding="utf-8"))
    assert [row["measure"] for row in told["correlations"]] == list(MEASURES)
    assert {row["measure"]: row["planted"] for row in told["correlations"]} == config.sharing.resolved()
    assert {row["group"] for row in told["ideal"]} == {"U", "G"}
    assert np.array(told["law"]["slope"]).shape == (10, 2)
    assert told["sharing"]["age_spread"] == config.age_spread
    assert (dataset / "summary.html").is_file()
    assert (dataset / "contact_sheet.png").is_file()


def test_the_law_is_read_back(dataset, config, tmp_path):
    law = load_population(dataset)
    found = correlations_of(law)
    assert found == pytest.approx(config.sharing.resolved(), abs=1e-6)
    truth = table(dataset / "truth.csv")
    voices = [Voice(r["voice_gender"], r["voice_age_class"], *(float(r[f"voice_{k}"]) for k in LATENTS)) for r in truth]
    expected = expected_measures(law, voices)
    assert expected["nose_width"] == pytest.approx([float(r["expected_nose_width"]) for r in truth])
    with pytest.raises(DatasetError, match=THREE_PARTS):
        load_population(tmp_path)


def test_voices_without_pictures_are_the_same(config, dataset, tmp_path):
    bare = files_of(simulate(replace(config, out=str(tmp_path / "bare"), pictures=False)))
    full = files_of(dataset)
    assert not [name for name in bare if name.startswith(("canonical", "wild", "contact"))]
    same = [name for name in full if name.startswith(("voices", "truth", "people", "population"))]
    assert len(same) == 10
    assert all(bare[name] == full[name] for name in same)
    assert table(tmp_path / "bare" / "faces.csv") == []


def test_only_the_test_split(config, tmp_path):
    out = simulate(replace(config, out=str(tmp_path / "test"), only="test", pictures=False))
    assert {p["speaker"] for p in table(out / "people.csv")} == {"f4", "m4"}


def test_dataset_json_says_what_it_is(dataset):
    summary = json.loads((dataset / "dataset.json").read_text(encoding="utf-8"))
    lines = sorted(f"{p['identity']},{p['split']}" for p in table(dataset / "people.csv"))
    assert summary["split_hash"] == hashlib.sha256("\n".join(lines).encode()).hexdigest()
    assert sum(summary["splits"].values()) == summary["identities"] == 6
    assert "synthetic" in summary["statement"]


def test_same_seed_same_bytes_whatever_the_number(config, dataset, tmp_path):
    fewer = files_of(simulate(replace(config, out=str(tmp_path / "fewer"), identities=3)))
    full = files_of(dataset)
    pictures = [name for name in fewer if name.startswith(("canonical/", "wild/", "voices/"))]
    assert len(pictures) == 9
    assert all(fewer[name] == full[name] for name in pictures)
    other = files_of(simulate(replace(config, out=str(tmp_path / "other"), identities=2, seed=1)))
    assert other["canonical/id00000.png"] != full["canonical/id00000.png"]


@pytest.mark.slow
@pytest.mark.parametrize("start", ["forkserver", "spawn"])
def test_pool_gives_the_same_bytes(config, dataset, tmp_path, monkeypatch, start):
    """The real pool spawns its processes; those of a server that has imported everything do the same sooner."""
    if start == "forkserver":
        monkeypatch.setattr(running.multiprocessing, "get_context", lambda asked: {"spawn": FORKS}[asked])
    assert files_of(simulate(replace(config, out=str(tmp_path / "pool"), workers=2))) == files_of(dataset)


def test_resume_keeps_pictures_and_redraws_missing_ones(config, tmp_path, monkeypatch):
    config = replace(config, out=str(tmp_path / "out"), identities=2)
    out = simulate(config)
    before = files_of(out)
    (out / "wild" / "id00001" / "0.jpg").unlink()
    (out / "people.csv").unlink()
    kept = (out / "canonical" / "id00000.png").stat().st_mtime_ns
    monkeypatch.setattr(running, "render_canonical", lambda *_: pytest.fail("drew a picture that was there"))
    simulate(config)
    assert files_of(out) == before
    assert (out / "canonical" / "id00000.png").stat().st_mtime_ns == kept


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"identities": 1}, ValueError),
        ({"correlations": {"nose": 0.1}}, ValueError),
        ({"age_spread": -1.0}, ValueError),
        ({"workers": 0}, ValueError),
        ({"seed": 1}, ValueError),
        ({"identities": 7}, ValueError),
        ({"makehuman": "absent"}, FileNotFoundError),
        ({"makehuman_assets": "absent"}, FileNotFoundError),
        ({"voices": "absent"}, FileNotFoundError),
    ],
)
def test_bad_settings(config, dataset, change, error):
    with pytest.raises(error, match=THREE_PARTS):
        simulate(replace(config, **change))


def test_a_foreign_folder_is_left_alone(config, tmp_path):
    (tmp_path / "letter.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ValueError, match=THREE_PARTS):
        simulate(replace(config, out=str(tmp_path)))
    with pytest.raises(ValueError, match=THREE_PARTS):
        simulate(replace(config, out=str(tmp_path / "letter.txt" / "below")))
    assert [p.name for p in tmp_path.iterdir()] == ["letter.txt"]
    (tmp_path / "config.json").write_text("mine too", encoding="utf-8")
    with pytest.raises(OutputError, match=THREE_PARTS):
        simulate(replace(config, out=str(tmp_path)))


def test_a_cache_that_cannot_be_written(config, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=THREE_PARTS):
        simulate(replace(config, out=str(tmp_path / "out"), cache=str(tmp_path / "file" / "cache")))


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"makehuman": "absent"}, "expected a MakeHuman checkout"),
        ({"voices": "absent"}, "in the voices folder, got"),
        ({"identities": 0}, "expected identities of at least 2, got 0"),
        ({"out": "letter.txt/below"}, "expected a writable output folder"),
        ({"out": "."}, "with other content; give another folder"),
    ],
)
def test_command_says_one_sentence(refused, config, tmp_path, monkeypatch, change, part):
    (tmp_path / "letter.txt").write_text("mine", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    options = {"out": "new", "voices": config.voices, "makehuman": config.makehuman, "cache": config.cache} | change
    out = options.pop("out")
    words = [f"--{name}={value}" for name, value in options.items()]
    assert part in refused("simulate", out, *words)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]
