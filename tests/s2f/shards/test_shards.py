"""Feature shards: what is packed comes back, in the same bytes each time, also after an interruption."""

import csv
import hashlib
import io
import json
import shutil
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import webdataset

import s2f
from s2f.cli import main
from s2f.datasets import DatasetFolder, read_member
from s2f.errors import AssetMissing, CheckpointError, DatasetError, ImageError, OutputError, UsageError
from s2f.faces.features import face_features
from s2f.shards import writing
from s2f.shards.reading import index_shards, read_face_feature
from s2f.shards.writing import write_shards
from tests import programs
from tests.s2f.tiny_data import write_csv, write_dataset

RATE = 16000
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def encoder():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return s2f.CompactFaceEncoder((4, 8), 16, num_identities=5, image_size_px=32).eval()


@pytest.fixture(scope="module")
def packed(tiny_dataset, encoder, tmp_path_factory) -> Path:
    """The tiny dataset in tars of four samples; only to be read."""
    out = tmp_path_factory.mktemp("packed") / "shards"
    write_shards(DatasetFolder(tiny_dataset), encoder, out, samples_per_shard=4)
    return out


@pytest.fixture
def own_dataset(tmp_path) -> Path:
    """A copy of the tiny dataset that a test may damage."""
    return write_dataset(tmp_path / "own")


@pytest.fixture
def own_shards(packed, tmp_path) -> Path:
    """A copy of the shards that a test may damage."""
    return Path(shutil.copytree(packed, tmp_path / "shards"))


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def facts_of(root: Path, row: dict[str, str]) -> dict:
    with tarfile.open(root / row["path"]) as archive:
        return json.load(archive.extractfile(f"{row['key']}.json"))


# --- what is packed comes back ----------------------------------------------------------------------------------------


def test_sound_and_feature_are_those_of_the_source(packed, tiny_dataset, encoder):
    source, data = DatasetFolder(tiny_dataset), DatasetFolder(packed)
    assert data.sharded
    assert not source.sharded
    original = {row["identity"]: row for row in source.voices("train", "val", "test")}
    rows = data.voices("train", "val", "test")
    assert {row["identity"] for row in rows} == set(original)
    for row in rows:
        expected = source.voice(original[row["identity"]], RATE)
        np.testing.assert_array_equal(data.voice(row, RATE), expected)  # the source has 16 bit
        facts = facts_of(packed, row)
        assert facts["voice"] == f"{row['identity']}.wav"
        assert facts["split"] == source.people[row["identity"]]["split"]
        assert facts["face"] in (f"faces/{row['identity']}_{view}.png" for view in ("canonical", "wild"))
        feature = read_face_feature(packed, row)
        assert (feature.dtype, feature.shape) == (np.float32, (16,))
        own = face_features(encoder, [tiny_dataset / facts["face"]], CPU)[0].numpy()
        np.testing.assert_allclose(feature, own, rtol=2**-10, atol=1e-6)
    views = {facts_of(packed, row)["face"].rpartition("_")[2] for row in rows}
    assert len(views) == 2, "the choice among a person's pictures never varies"


def test_a_part_of_a_24_bit_recording_is_cut_once_and_rounded_to_half_a_step(own_dataset, encoder, tmp_path):
    tone = 0.9 * np.sin(np.arange(3 * 44100) / 50)
    soundfile.write(own_dataset / "id0.wav", tone, 44100, subtype="PCM_24")
    voices = table(own_dataset / "voices.csv")
    voices[0] |= {"start_s": "0.5", "duration_s": "1.25"}
    write_csv(own_dataset / "voices.csv", voices)
    source, out = DatasetFolder(own_dataset), tmp_path / "out"
    write_shards(source, encoder, out)
    data = DatasetFolder(out)
    row = next(row for row in data.voices("train") if row["identity"] == "id0")
    assert {"start_s", "duration_s"}.isdisjoint(row)
    assert facts_of(out, row)["start_s"] == "0.5"
    waveform = data.voice(row, RATE)
    assert len(waveform) == 1.25 * RATE
    assert np.abs(waveform - source.voice(voices[0], RATE)).max() <= 0.5 / 2**15 + 1e-7
    assert soundfile.info(io.BytesIO(read_member(out, row, "audio"))).subtype == "PCM_16"


def test_face_is_of_the_same_video_where_both_name_one(own_dataset, encoder, tmp_path):
    voices, faces = table(own_dataset / "voices.csv"), table(own_dataset / "faces.csv")
    voices = [row | {"video": "b", "take": "ü,1"} for row in voices]
    videos = {"id0": ("a", "b"), "id1": ("b", "a"), "id2": ("c", "d")}
    faces = [row | {"video": videos.get(row["identity"], ("", ""))[k % 2]} for k, row in enumerate(faces)]
    write_csv(own_dataset / "voices.csv", voices)
    write_csv(own_dataset / "faces.csv", faces)
    write_shards(DatasetFolder(own_dataset), encoder, tmp_path / "out")
    rows = {row["identity"]: row for row in DatasetFolder(tmp_path / "out").voices("train")}
    assert facts_of(tmp_path / "out", rows["id0"])["face"] == "faces/id0_wild.png"
    assert facts_of(tmp_path / "out", rows["id1"])["face"] == "faces/id1_canonical.png"
    assert facts_of(tmp_path / "out", rows["id2"])["face"].startswith("faces/id2_")
    assert (rows["id3"]["video"], rows["id3"]["take"]) == ("b", "ü,1")


def test_webdataset_reads_the_same_samples(packed):
    rows = {row["key"]: row for row in table(packed / "voices.csv")}
    urls = sorted(map(str, packed.glob("*.tar")))
    samples = list(webdataset.WebDataset(urls, shardshuffle=False, empty_check=False))
    assert [sample["__key__"] for sample in samples] == list(rows)
    for sample in samples:
        row = rows[sample["__key__"]]
        assert sample["flac"] == read_member(packed, row, "audio")
        feature = np.load(io.BytesIO(sample["face.npy"]))
        assert feature.dtype == np.float16
        np.testing.assert_array_equal(feature, read_face_feature(packed, row))
        assert json.loads(sample["json"]) == facts_of(packed, row)


def test_tables_and_what_made_them(packed, tiny_dataset, encoder, tmp_path):
    source, data = DatasetFolder(tiny_dataset), DatasetFolder(packed)
    assert (packed / "people.csv").read_bytes() == (tiny_dataset / "people.csv").read_bytes()
    assert data.split_hash == source.split_hash
    columns = "identity path key audio_offset audio_bytes face_offset face_bytes video"
    assert list(data.voices("train")[0]) == columns.split()
    names = ["test-000000.tar", "train-000000.tar", "train-000001.tar", "val-000000.tar"]
    assert sorted(path.name for path in packed.glob("*.tar")) == names
    rows = table(packed / "voices.csv")
    assert [row["path"] for row in rows] == sorted(row["path"] for row in rows)
    for row in rows:
        assert row["path"].startswith(data.people[row["identity"]]["split"] + "-")
    assert [row["key"] for row in rows if row["path"].startswith("train")] != [f"{k:09d}" for k in range(6)]
    encoder.save_pretrained(tmp_path)
    (weights,) = tmp_path.glob("*.safetensors")
    made = json.loads((packed / "dataset.json").read_text())
    assert made == {
        "command": "s2f shards",
        "s2f": s2f.__version__,
        "split_hash": source.split_hash,
        "data_hash": source.data_hash,
        "face_encoder": "CompactFaceEncoder",
        "face_encoder_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "feature_size": 16,
        "sample_rate_hz": RATE,
        "samples_per_shard": 4,
        "shards": {"train": 2, "val": 1, "test": 1},
        "samples": {"train": 6, "val": 2, "test": 1},
        "rows_without_split": 0,
        "rows_skipped": 0,
    }


def test_people_without_a_split_are_left_out_and_counted(own_dataset, encoder, tmp_path):
    people = table(own_dataset / "people.csv")
    write_csv(own_dataset / "people.csv", [{**row, "split": row["split"].replace("val", "")} for row in people])
    write_csv(own_dataset / "truth.csv", [{"identity": "id0", "voice_pitch": "1"}])
    made = write_shards(DatasetFolder(own_dataset), encoder, tmp_path / "out")
    assert made["rows_without_split"] == 2
    assert made["samples"] == {"train": 6, "val": 0, "test": 1}
    assert sorted(path.name for path in (tmp_path / "out").glob("*.tar")) == ["test-000000.tar", "train-000000.tar"]
    assert (tmp_path / "out" / "truth.csv").read_bytes() == (own_dataset / "truth.csv").read_bytes()


# --- the same bytes each time -----------------------------------------------------------------------------------------


def test_two_runs_write_the_same_bytes(packed, tiny_dataset, encoder, tmp_path):
    write_shards(DatasetFolder(tiny_dataset), encoder, tmp_path / "again", samples_per_shard=4)
    assert contents(tmp_path / "again") == contents(packed)


def test_a_shard_is_packed_in_chunks(packed, tiny_dataset, encoder, tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "CHUNK", 3)
    write_shards(DatasetFolder(tiny_dataset), encoder, tmp_path / "out", samples_per_shard=4)
    rows = table(packed / "voices.csv")
    assert table(tmp_path / "out" / "voices.csv") == rows
    for row in rows:
        assert read_member(tmp_path / "out", row, "audio") == read_member(packed, row, "audio")
        feature, expected = read_face_feature(tmp_path / "out", row), read_face_feature(packed, row)
        np.testing.assert_allclose(feature, expected, rtol=2**-9, atol=1e-6)


def test_an_interrupted_run_is_resumed(packed, tiny_dataset, encoder, tmp_path, monkeypatch):
    out, done = tmp_path / "out", []

    def interrupted(*arguments):
        if done:
            raise KeyboardInterrupt
        done.append(arguments)
        return face_features(*arguments)

    monkeypatch.setattr(writing, "face_features", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_shards(DatasetFolder(tiny_dataset), encoder, out, samples_per_shard=4)
    monkeypatch.undo()
    assert [path.name for path in out.glob("*.tar")] == ["train-000000.tar"]
    with pytest.raises(DatasetError, match=r"4 shards .* 3 missing, first test-000000\.tar; .* resume `s2f shards`"):
        index_shards(out)
    before = (out / "train-000000.tar").stat()
    write_shards(DatasetFolder(tiny_dataset), encoder, out, samples_per_shard=4)
    after = (out / "train-000000.tar").stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)
    assert contents(out) == contents(packed)


@pytest.mark.slow
def test_two_processes_write_the_same_folder(own_dataset, encoder, tmp_path):
    damage(own_dataset)
    write_shards(DatasetFolder(own_dataset), encoder, tmp_path / "one", samples_per_shard=2, skip_bad=True)
    encoder.save_pretrained(tmp_path / "encoder")
    words = ["-m", "s2f", "shards", own_dataset, tmp_path / "two", "--face_encoder", tmp_path / "encoder"]
    done = programs.run([*words, "--samples_per_shard", "2", "--skip_bad"], processes=2)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(" samples in ") == 1
    two = contents(tmp_path / "two")
    assert len(two) > 6
    assert two == contents(tmp_path / "one")


def test_other_data_settings_or_content_are_refused(own_shards, tiny_dataset, own_dataset, encoder, tmp_path):
    data = DatasetFolder(tiny_dataset)
    with pytest.raises(OutputError, match="another samples_per_shard; repeat the old settings"):
        write_shards(data, encoder, own_shards, samples_per_shard=5)
    with pytest.raises(OutputError, match="another sample_rate_hz"):
        write_shards(data, encoder, own_shards, samples_per_shard=4, sample_rate_hz=8000)
    other = s2f.CompactFaceEncoder((4, 8), 16, num_identities=5, image_size_px=32).eval()
    with pytest.raises(OutputError, match="another face_encoder_sha256"):
        write_shards(data, other, own_shards, samples_per_shard=4)
    with (own_dataset / "faces.csv").open("a") as file:
        file.write("id0,faces/id0_canonical.png,wild\n")
    with pytest.raises(OutputError, match="another data_hash"):
        write_shards(DatasetFolder(own_dataset), encoder, own_shards, samples_per_shard=4)
    (own_shards / "plan.json").write_text("[1]")
    with pytest.raises(OutputError, match=r"plan\.json"):
        write_shards(data, encoder, own_shards, samples_per_shard=4)
    with pytest.raises(OutputError, match="with other content"):
        write_shards(data, encoder, tiny_dataset)
    with pytest.raises(OutputError, match="a writable output folder"):
        write_shards(data, encoder, own_shards / "plan.json" / "x")
    with pytest.raises(UsageError, match="got 0 and 16000 Hz"):
        write_shards(data, encoder, tmp_path / "out", samples_per_shard=0)
    for device in ("gpu", "cuda:99"):
        with pytest.raises(UsageError, match=f"a device of this machine, got '{device}'"):
            write_shards(data, encoder, tmp_path / "out", device=device)


# --- rows that cannot be used -----------------------------------------------------------------------------------------


def damage(root: Path) -> None:
    """Make one recording, one picture and one part unusable, and take one person's pictures away."""
    (root / "id1.wav").write_text("no sound")
    for view in ("canonical", "wild"):
        (root / f"faces/id2_{view}.png").write_text("no picture")
    voices = table(root / "voices.csv")
    voices[3]["duration_s"] = "0.2"
    write_csv(root / "voices.csv", voices)
    write_csv(root / "faces.csv", [row for row in table(root / "faces.csv") if row["identity"] != "id4"])


def interrupt(*_):
    raise KeyboardInterrupt


def test_an_unusable_recording_is_named_and_what_was_written_stays(own_dataset, encoder, tmp_path, monkeypatch):
    data, out = DatasetFolder(own_dataset), tmp_path / "out"
    (own_dataset / "id7.wav").write_text("no sound")
    with pytest.raises(DatasetError, match=r"recordings .* that can be used, got .*id7\.wav: .*skip_bad") as caught:
        write_shards(data, encoder, out, samples_per_shard=2)
    assert caught.value.fix
    assert sorted(path.name for path in out.glob("*.tar")) == [f"train-{k:06d}.tar" for k in range(3)]
    kept = (out / "train-000000.tar").stat().st_mtime_ns
    made = write_shards(data, encoder, out, samples_per_shard=2, skip_bad=True)
    assert made["rows_skipped"] == 1
    assert (out / "train-000000.tar").stat().st_mtime_ns == kept
    (row,) = table(out / "skipped.csv")
    assert (row["key"], row["path"]) == ("000000007", "id7.wav")
    assert "not audio" in row["reason"]
    assert "id7" not in {row["identity"] for row in DatasetFolder(out).voices("train", "val", "test")}
    shutil.copy(own_dataset / "id6.wav", own_dataset / "id7.wav")
    monkeypatch.setattr(writing, "face_features", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_shards(data, encoder, out, samples_per_shard=2)
    monkeypatch.undo()
    assert not (out / "val-000000.tar").exists(), "the tar without the row outlived its mention in skipped.csv"
    made = write_shards(data, encoder, out, samples_per_shard=2)
    assert (made["rows_skipped"], made["samples"]["val"]) == (0, 2)
    assert not (out / "skipped.csv").exists()
    assert (out / "train-000000.tar").stat().st_mtime_ns == kept


def test_an_unusable_picture_is_named(own_dataset, encoder, tmp_path):
    (own_dataset / "faces/id8_canonical.png").write_text("no picture")
    (own_dataset / "faces/id8_wild.png").write_text("no picture")
    with pytest.raises(ImageError, match=r"faces/id8_\w+\.png"):
        write_shards(DatasetFolder(own_dataset), encoder, tmp_path / "out")
    write_csv(own_dataset / "faces.csv", [r for r in table(own_dataset / "faces.csv") if r["identity"] != "id5"])
    with pytest.raises(DatasetError, match=r"a picture for every voice, got none for id5 .*; add one"):
        write_shards(DatasetFolder(own_dataset), encoder, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_skipped_rows_are_the_same_after_an_interruption(own_dataset, encoder, tmp_path, monkeypatch):
    damage(own_dataset)
    data = DatasetFolder(own_dataset)
    made = write_shards(data, encoder, tmp_path / "whole", samples_per_shard=1, skip_bad=True)
    skipped = table(tmp_path / "whole" / "skipped.csv")
    assert [row["path"] for row in skipped] == ["id1.wav", "id2.wav", "id3.wav", "id4.wav"]
    for row, word in zip(skipped, ("not audio", "faces/id2_", "0.20 s", "none for id4"), strict=True):
        assert word in row["reason"]
    assert (made["rows_skipped"], made["samples"]["train"]) == (4, 2)
    stop_at = iter(range(3))

    def interrupted(*arguments):
        if next(stop_at, None) is None:
            raise KeyboardInterrupt
        return face_features(*arguments)

    monkeypatch.setattr(writing, "face_features", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_shards(data, encoder, tmp_path / "parts", samples_per_shard=1, skip_bad=True)
    monkeypatch.undo()
    write_shards(data, encoder, tmp_path / "parts", samples_per_shard=1, skip_bad=True)
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def test_features_beyond_float16_are_refused(tiny_dataset, encoder, tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "face_features", lambda *given: 1e6 * face_features(*given))
    with pytest.raises(CheckpointError, match=r"up to 65504, got \S+ for .*faces/id\d_\w+\.png"):
        write_shards(DatasetFolder(tiny_dataset), encoder, tmp_path / "out")


def test_columns_of_shards_in_the_source_are_refused(packed, own_dataset, encoder, tmp_path):
    rows = [row | {"key": "1"} for row in table(own_dataset / "voices.csv")]
    write_csv(own_dataset / "voices.csv", rows)
    with pytest.raises(DatasetError, match="a column key; rename"):
        write_shards(DatasetFolder(own_dataset), encoder, tmp_path / "out")


def test_without_webdataset_the_extra_is_named_and_reading_works(packed, tiny_dataset, encoder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "webdataset", None)
    with pytest.raises(AssetMissing, match=r"install s2f\[shards\]"):
        write_shards(DatasetFolder(tiny_dataset), encoder, tmp_path / "out")
    assert read_face_feature(packed, table(packed / "voices.csv")[0]).shape == (16,)


# --- damaged and foreign shards ---------------------------------------------------------------------------------------


def test_wrong_places_in_a_tar(own_shards):
    data = DatasetFolder(own_shards)
    row = data.voices("test")[0]
    wrong = str(int(row["audio_offset"]) + 512)
    with pytest.raises(DatasetError, match=rf"at byte {wrong} of .*test-000000\.tar, got .*s2f shards --index"):
        data.voice(row | {"audio_offset": wrong}, RATE)
    with pytest.raises(DatasetError, match=r"of face at byte \d+ of .*; copy the tar again"):
        read_face_feature(own_shards, row | {"face_offset": row["audio_offset"]})
    for cells in ({"path": "none.tar"}, {"audio_offset": "x"}, {"audio_offset": "-9"}, {"audio_bytes": ""}):
        with pytest.raises(DatasetError, match="audio_offset and audio_bytes within"):
            read_member(own_shards, row | cells, "audio")
    with pytest.raises(DatasetError, match=r"a npy file of numbers, got .* in sample 000000008"):
        read_face_feature(own_shards, row | {"face_bytes": "140"})
    with (own_shards / "test-000000.tar").open("r+b") as file:
        file.truncate(int(row["audio_offset"]) + 100)
    with pytest.raises(DatasetError, match="got 100 bytes that begin"):
        data.voice(row, RATE)


@pytest.mark.parametrize("array", [np.array(["a"]), np.zeros((2, 2)), np.array([np.nan]), np.arange(3)])
def test_a_feature_is_one_finite_vector(array, tmp_path):
    np.save(tmp_path / "f.npy", array)
    size = (tmp_path / "f.npy").stat().st_size
    row = {"path": "f.npy", "key": "7", "face_offset": "0", "face_bytes": str(size)}
    with pytest.raises(DatasetError, match=r"a finite float face feature \(D,\), got .* in sample 7"):
        read_face_feature(tmp_path, row)


def write_tar(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def foreign(key: str, **facts) -> dict[str, bytes]:
    sound, feature = io.BytesIO(), io.BytesIO()
    soundfile.write(sound, np.random.default_rng(len(key)).normal(0, 0.1, RATE), RATE, format="FLAC")
    np.save(feature, np.arange(4, dtype=np.float16))
    kinds = {"json": json.dumps(facts).encode(), "flac": sound.getvalue(), "face.npy": feature.getvalue()}
    return {f"{key}.{kind}": content for kind, content in kinds.items()}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--index", "DIR", "--skip_bad"], "`--index FOLDER` alone, got --skip_bad beside it"),
        (["DATA", "--index", "DIR"], "`--index FOLDER` alone, got DATA beside it"),
        (["--index", ""], "a folder of tars to index, got an empty name"),
        (["DATA", "OUT"], "got no --face_encoder"),
        ([], "got no DATA, OUT, --face_encoder"),
    ],
)
def test_packing_or_indexing(words, message, capsys):
    assert main(["shards", *words]) == 2
    assert message in capsys.readouterr().err


def test_shards_made_elsewhere_are_indexed(tmp_path, capsys):
    first = foreign("d/x", identity="p", split="train", speaker="s", video="v", fps=25, note=None, start_s=3)
    write_tar(tmp_path / "a.tar", first | {"d/x.txt": b"ignored", "readme": b""})
    write_tar(tmp_path / "b.tar", foreign("y", identity="p", split="train") | foreign("x", identity="q", split="val"))
    with pytest.raises(DatasetError, match=r"none at .*people\.csv; .*s2f shards --index"):
        DatasetFolder(tmp_path)
    assert main(["shards", "--index", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path}: 3 samples\n"
    data = DatasetFolder(tmp_path)
    assert {k: list(v.values()) for k, v in data.people.items()} == {"p": ["p", "train", "s"], "q": ["q", "val", ""]}
    rows = data.voices("train", "val")
    assert [(row["path"], row["key"]) for row in rows] == [("a.tar", "d/x"), ("b.tar", "y"), ("b.tar", "x")]
    assert (rows[0]["video"], rows[0]["fps"], rows[0]["note"]) == ("v", "25", "")
    assert "start_s" not in rows[0]
    assert data.sharded
    assert len(data.voice(rows[2], RATE)) == RATE
    assert read_face_feature(tmp_path, rows[1]).tolist() == [0, 1, 2, 3]
    (tmp_path / "voices.csv").unlink()
    with pytest.raises(DatasetError, match=r"none at .*voices\.csv; .*s2f shards --index"):
        data.voices("train")


def test_bad_tars_are_named(tmp_path, capsys):
    path, sample = tmp_path / "a.tar", foreign("x", identity="p", split="train")
    assert main(["shards", "--index", str(tmp_path)]) == 2
    assert "check the path" in capsys.readouterr().err
    for kind, lacking in (("flac", "flac"), ("face.npy", r"face\.npy"), ("json", "json")):
        write_tar(path, {name: content for name, content in sample.items() if name != f"x.{kind}"})
        with pytest.raises(DatasetError, match=rf"sample x of .*a\.tar without {lacking}"):
            index_shards(tmp_path)
    for facts in (b"{", b"[1]", b"{}", b'{"identity": ""}'):
        write_tar(path, sample | {"x.json": facts})
        with pytest.raises(DatasetError, match=r"with an identity for every sample, got sample x of .*a\.tar"):
            index_shards(tmp_path)
    write_tar(path, sample | foreign("y", identity="p", split="val"))
    with pytest.raises(DatasetError, match="p in two"):
        index_shards(tmp_path)
    with tarfile.open(path, "a") as archive:
        archive.addfile(tarfile.TarInfo("x.json"))
    with pytest.raises(DatasetError, match=r"x\.json twice"):
        index_shards(tmp_path)
    assert not list(tmp_path.glob("*.csv"))


def test_a_tar_cut_anywhere_is_refused(packed, tmp_path):
    with tarfile.open(packed / "train-000000.tar") as archive:
        members = archive.getmembers()
    whole = (packed / "train-000000.tar").read_bytes()
    places = {0, 100, len(whole) // 2}
    for member in members[-3:]:
        places |= {member.offset, member.offset + 100, member.offset_data, member.offset_data + member.size // 2}
    for place in places:
        (tmp_path / "a.tar").write_bytes(whole[:place])
        with pytest.raises(DatasetError, match=r"a complete, uncompressed tar .*a\.tar \(.+\); copy it again"):
            index_shards(tmp_path)


# --- hash of the tables, command line ---------------------------------------------------------------------------------


def test_data_hash_is_that_of_the_tables(own_dataset, tiny_dataset):
    expected = hashlib.sha256()
    for name in ("people.csv", "voices.csv", "faces.csv", "landmarks.csv"):
        content = (own_dataset / name).read_bytes()
        expected.update(f"{name}\0{len(content)}\0".encode() + content)
    first = DatasetFolder(own_dataset).data_hash
    assert first == DatasetFolder(tiny_dataset).data_hash == expected.hexdigest()
    (own_dataset / "notes.csv").write_text("x\n")
    assert DatasetFolder(own_dataset).data_hash == first
    text = (own_dataset / "voices.csv").read_text()
    (own_dataset / "voices.csv").write_text(text.replace("3.5", "3.4", 1))
    changed = DatasetFolder(own_dataset).data_hash
    (own_dataset / "voices.csv").write_text(text)
    (own_dataset / "truth.csv").write_text("identity\nid0\n")
    assert len({first, changed, DatasetFolder(own_dataset).data_hash}) == 3


def test_command(run, refused, packed, own_dataset, encoder, tmp_path):
    encoder.save_pretrained(tmp_path / "face")
    options = ("--face-encoder", tmp_path / "face", "--samples-per-shard", 4)
    out = tmp_path / "out"
    code, printed, _ = run("shards", own_dataset, out, *options)
    assert code == 0
    said = "0 rows without a split and 0 unusable ones left out"
    assert printed == f"{out}: 9 samples in 4 shards; {said}\n"
    assert contents(out) == contents(packed)
    (own_dataset / "id0.wav").write_text("no sound")
    assert "id0.wav" in refused("shards", own_dataset, tmp_path / "new", *options)
    code, printed, _ = run("shards", own_dataset, tmp_path / "new", *options, "--skip-bad")
    assert (code, printed.rpartition("; ")[2]) == (0, said.replace("0 unusable", "1 unusable") + "\n")
    assert "face_encoder" in refused("shards", own_dataset, out)
