"""What five adaptors find: exactly what lies there, in whole copies and in torn ones."""

import shutil
from collections import Counter
from pathlib import Path

import pytest

from s2f.errors import DatasetError, UsageError
from tests.s2f.prepare.cast import CAST
from tests.s2f.prepare.empty_trees import touch
from tests.s2f.prepare.scans import SCANS, faces, genders, scan, splits, voices
from tests.s2f.prepare.trees import write_lines


@pytest.mark.parametrize("name", SCANS)
def test_every_source_is_a_file_of_a_known_person(trees, name):
    sources = scan(name, trees(name))
    assert len(sources.people) == len(CAST)
    assert all(row["identity"] == identity for identity, row in sources.people.items())
    used = [source.path for source in (*sources.voices, *sources.faces)]
    assert used
    assert all((sources.root / path).is_file() for path in (*used, *(path for path, _ in sources.passed_over)))
    assert {source.identity for source in (*sources.voices, *sources.faces)} == set(sources.people)
    assert not set(used) & {path for path, _ in sources.passed_over}


@pytest.mark.parametrize("name", SCANS)
def test_every_media_file_is_used_or_accounted_for(trees, name):
    root = trees(name)
    sources = scan(name, root)
    used = {source.path for source in (*sources.voices, *sources.faces)} | {path for path, _ in sources.passed_over}
    media = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*")
        if path.suffix.lower() in (".wav", ".flac", ".mp4", ".flv", ".jpg", ".png")
    }
    nameless = {path for path in media if path.startswith("mavceleb_v1_test")}
    assert media - nameless == used
    assert len(nameless) == sum(int(line.split()[0]) for line in sources.missing if line.split()[1] == "files")


@pytest.mark.parametrize("name", SCANS)
def test_nothing_of_that_dataset(tmp_path, name):
    touch(tmp_path, "notes.txt", ".hidden/1001_DFA_ANG_XX.wav")
    write_lines(tmp_path / "avspeech_train.csv", f"{CAST[0].youtube},1,2,0.5,0.5")
    with pytest.raises(DatasetError, match="no such files"):
        scan(name, tmp_path)
    with pytest.raises(UsageError, match="existing folder"):
        scan(name, tmp_path / "elsewhere")


@pytest.mark.parametrize("name", SCANS)
def test_a_table_named_by_the_user_must_exist(trees, name):
    with pytest.raises(DatasetError, match="--metadata"):
        scan(name, trees(name), Path("no-such-table.csv"))


@pytest.mark.parametrize("name", SCANS)
def test_the_order_is_the_same_every_time_and_names_are_all_that_counts(copy, name):
    root = copy(name)
    before = scan(name, root)
    for path in [path for path in root.rglob("*") if path.is_file() and path.suffix.lower() not in (".csv", ".txt")]:
        path.write_bytes(b"")
    after = scan(name, root)
    assert (after.voices, after.faces, after.people) == (before.voices, before.faces, before.people)


# --- CREMA-D --------------------------------------------------------------------------------------------------------


def test_crema_d_finds_clips_and_actors(trees):
    sources = scan("crema_d", trees("crema_d"))
    stems = [f"{1001 + who.number}_DFA_ANG_XX" for who in CAST]
    sound = {stem: f"AudioWAV/{stem}.wav" for stem in stems} | {stems[8]: f"VideoFlash/{stems[8]}.flv"}
    odd = ("1004", "AudioWAV/1004_ITH_SAD_X.wav", "1004_ITH_SAD_XX", 0.0, None)
    assert voices(sources) == sorted([(stem[:4], sound[stem], stem, 0.0, None) for stem in stems] + [odd], key=str)
    films = {*stems, "1004_ITH_SAD_XX"}
    assert faces(sources) == sorted((stem[:4], f"VideoFlash/{stem}.flv", stem, "scene") for stem in films)
    assert genders(sources) == {str(1001 + who.number): who.gender for who in CAST}
    assert sources.voices[0].columns == {"emotion": "ANG", "level": "XX", "sentence": "DFA"}
    assert [face.columns for face in sources.faces if face.video == "1004_ITH_SAD_XX"] == [
        {"emotion": "SAD", "level": "XX", "sentence": "ITH"}
    ]
    chosen = [(row["age"], row["ethnicity"], row["race"]) for row in list(sources.people.values())[:3]]
    assert chosen == [("20", "Caucasian", "Caucasian"), ("42", "Hispanic", ""), ("58", *["African American"] * 2)]
    assert {row["language"] for row in sources.people.values()} == {"English"}
    assert sources.missing == [
        "9 of 91 actors are here",
        "9 of 7,442 clips have a sound file; 1 take their sound from the film",
        "10 of 7,442 clips have a film",
    ]
    assert sources.passed_over == []


@pytest.mark.parametrize("folder", ["AudioWAV", "VideoFlash", ""])
def test_crema_d_from_one_of_its_folders_or_from_above(copy, folder):
    root = copy("crema_d")
    whole = scan("crema_d", root)
    other = scan("crema_d", root / folder) if folder else scan("crema_d", root.parent)
    prefix = "" if folder else f"{root.name}/"
    assert [voice.path for voice in other.voices] == [prefix + voice.path for voice in whole.voices]
    assert [face.path for face in other.faces] == [prefix + face.path for face in whole.faces]
    assert folder == "" or other.people == whole.people
    assert folder or other.missing[-1].startswith("VideoDemographics.csv is not there")


def test_crema_d_without_some_folders(copy):
    root = copy("crema_d")
    (root / "VideoDemographics.csv").unlink()
    shutil.rmtree(root / "AudioWAV")
    sources = scan("crema_d", root)
    assert len(sources.voices) == len(sources.faces) == 10
    assert {voice.path for voice in sources.voices} == {face.path for face in sources.faces}
    assert set(genders(sources).values()) == {""}
    assert sources.missing[-1] == "VideoDemographics.csv is not there: gender, age and ethnicity stay empty"
    touch(root, "AudioWAV/1001_dfa_ang_xx.WAV", "AudioMP3/1001_DFA_ANG_XX.mp3", "AudioWAV/take2.wav")
    shutil.rmtree(root / "VideoFlash")
    touch(root, "VideoFlash/1001_DFA_ANG_XX.MP4")
    sources = scan("crema_d", root)
    assert [voice.path for voice in sources.voices] == ["AudioWAV/1001_dfa_ang_xx.WAV"]
    assert [face.path for face in sources.faces] == ["VideoFlash/1001_DFA_ANG_XX.MP4"]
    assert [path for path, _ in sources.passed_over] == ["AudioWAV/take2.wav", "AudioMP3/1001_DFA_ANG_XX.mp3"]
    shutil.rmtree(root / "AudioWAV")
    shutil.rmtree(root / "AudioMP3")
    touch(root, "sound/1001_DFA_ANG_XX.m4a")
    sources = scan("crema_d", root)
    assert [voice.path for voice in sources.voices] == ["sound/1001_DFA_ANG_XX.m4a"]
    assert [face.path for face in sources.faces] == ["VideoFlash/1001_DFA_ANG_XX.MP4"]


@pytest.mark.parametrize("line", ['1002,x,"Male","Asian","Hispanic"', '1002,20,"?","Asian","Hispanic"', "1002,20"])
def test_crema_d_damaged_table(tmp_path, line):
    touch(tmp_path, "AudioWAV/1001_DFA_ANG_XX.wav")
    write_lines(tmp_path / "VideoDemographics.csv", "ActorID,Age,Sex,Race,Ethnicity", "1001,5,Male,Asian,No", line)
    with pytest.raises(DatasetError, match=r"in line 3 of .*VideoDemographics\.csv; "):
        scan("crema_d", tmp_path)


# --- LibriSpeech ----------------------------------------------------------------------------------------------------


def test_librispeech_finds_utterances_and_splits(trees):
    sources = scan("librispeech", trees("librispeech"))
    subsets = ["train-clean-100"] * 5 + ["dev-clean"] * 2 + ["test-clean"] * 2
    expected = [
        (str(20 + n), f"LibriSpeech/{subset}/{20 + n}/{1000 + n}/{20 + n}-{1000 + n}-{take:04d}.flac", str(1000 + n))
        for n, subset in enumerate(subsets)
        for take in (0, 1)
    ]
    assert voices(sources) == [(*row, 0.0, None) for row in expected]
    assert sources.faces == []
    assert genders(sources) == {str(20 + who.number): who.gender for who in CAST}
    own = ["train"] * 5 + ["val"] * 2 + ["test"] * 2
    assert splits(sources) == {str(20 + n): split for n, split in enumerate(own)}
    assert sources.people["21"]["name"] == "|CBW|Simon"
    assert sources.people["20"]["name"] == "Ada Alder"
    assert {row["language"] for row in sources.people.values()} == {"English"}
    assert sources.missing == ["without the subsets train-clean-360, train-other-500, dev-other, test-other"]


@pytest.mark.parametrize(("place", "people"), [("LibriSpeech", 9), ("LibriSpeech/dev-clean", 2)])
def test_librispeech_from_further_down(trees, place, people):
    root = trees("librispeech")
    sources, whole = scan("librispeech", root / place), scan("librispeech", root)
    assert len(sources.people) == people
    assert sources.people == {identity: whole.people[identity] for identity in sources.people}
    assert {f"{place}/{voice.path}" for voice in sources.voices} <= {voice.path for voice in whole.voices}


def test_librispeech_without_speakers_and_with_strange_files(copy):
    root = copy("librispeech")
    shutil.rmtree(root / "LibriSpeech" / "train-clean-100")
    lines = (root / "LibriSpeech" / "SPEAKERS.TXT").read_text().splitlines()
    write_lines(root / "LibriSpeech" / "SPEAKERS.TXT", *lines[:-1])
    touch(root, "LibriSpeech/dev-clean/25/1005/25-1005-0009.FLAC", "LibriSpeech/dev-clean/25/1005/cover.mp3")
    sources = scan("librispeech", root)
    assert Counter(splits(sources).values()) == {"val": 2, "test": 2}
    assert len([voice for voice in sources.voices if voice.identity == "25"]) == 3
    assert [path for path, _ in sources.passed_over] == ["LibriSpeech/dev-clean/25/1005/cover.mp3"]
    assert sources.missing[-1] == "SPEAKERS.TXT does not name 1 of the speakers, first 28"
    (root / "LibriSpeech" / "SPEAKERS.TXT").unlink()
    sources = scan("librispeech", root)
    assert set(genders(sources).values()) == {""}
    assert sources.missing[-1] == "SPEAKERS.TXT is not there: genders and names stay empty"


def test_librispeech_subset_is_the_nearest_folder(tmp_path):
    touch(tmp_path, "train-clean-100/dev-clean/1/2/1-2-0000.flac")
    assert splits(scan("librispeech", tmp_path)) == {"1": "val"}


def test_librispeech_subset_from_the_table_where_no_folder_tells(tmp_path):
    touch(tmp_path, "mine/84-121123-0000.flac")
    write_lines(tmp_path / "SPEAKERS.TXT", ";x", "84 | F | dev-other | 8.02 | A | B", end="\r\n", bom=True)
    assert scan("librispeech", tmp_path).people == {
        "84": {
            "identity": "84",
            "gender": "f",
            "language": "English",
            "name": "A | B",
            "subset": "dev-other",
            "split": "val",
        }
    }


@pytest.mark.parametrize("line", ["20 | F | dev-clean", "20 | X | dev-clean | 8 | A", "x | F | dev-clean | 8 | A"])
def test_librispeech_damaged_table(tmp_path, line):
    touch(tmp_path, "20-1-0000.flac")
    write_lines(tmp_path / "SPEAKERS.TXT", "; comment", "", line)
    with pytest.raises(DatasetError, match=r"in line 3 of .*SPEAKERS\.TXT; "):
        scan("librispeech", tmp_path)


# --- MAV-Celeb ------------------------------------------------------------------------------------------------------


def test_mav_celeb_finds_the_training_people(trees):
    sources = scan("mav_celeb", trees("mav_celeb"))
    expected_voices, expected_faces, people = [], [], {}
    for who in CAST:
        version, languages = ("v1", ("English", "Urdu")) if who.number < 7 else ("v3", ("English", "German"))
        identity = f"{version}_id{who.number + 1:04d}"
        people[identity] = (who.gender, "/".join(sorted(languages)), "train", who.name.replace("_", " "))
        for language in languages:
            video = language[0] + who.youtube[1:] if version == "v1" else ""
            place = f"id{who.number + 1:04d}/{language}/{video}{'/' if video else ''}"
            expected_voices.append((identity, f"{version}/voices/{place}00000.wav", video, language))
            expected_faces.append((identity, f"{version}/faces/{place}0010125.jpg", video, language, "crop"))
    assert sorted((one.identity, one.path, one.video, one.columns["language"]) for one in sources.voices) == sorted(
        expected_voices
    )
    assert sorted(
        (one.identity, one.path, one.video, one.columns["language"], one.framing) for one in sources.faces
    ) == sorted(expected_faces)
    columns = ("gender", "language", "split", "name")
    assert {who: tuple(row[name] for name in columns) for who, row in sources.people.items()} == people
    assert sources.missing[:2] == [
        "v1: 7 of 64 people of the training set are here",
        "v3: 2 of 50 people of the training set are here",
    ]
    assert [line.split()[:4] for line in sources.missing[2:]] == [
        ["2", "files", "directly", "in"],
        ["2", "files", "directly", "in"],
    ]


@pytest.mark.parametrize("place", ["v1", "v1/voices", "v1/faces"])
def test_mav_celeb_from_further_down(trees, place):
    root = trees("mav_celeb")
    sources = scan("mav_celeb", root / place, root)
    whole = scan("mav_celeb", root)
    assert sources.people == {who: row for who, row in whole.people.items() if who.startswith("v1")}
    assert {f"v1/{voice.path}" for voice in sources.voices} < {voice.path for voice in whole.voices}


def test_mav_celeb_keeps_versions_apart_and_says_what_it_does_not_know(tmp_path):
    touch(tmp_path, "mavceleb_v1_train/voices/id0001/Urdu/a/00000.wav", "MAV-Celeb_v2/faces/id0001/Hindi/b/1.JPG")
    touch(tmp_path, "v2/mav-celeb.v3/voices/id0001/German/a/00000.wav")
    touch(tmp_path, "rest/voices/id0001/English/c/00000.wav", "rest/voices/id0001/readme.wav", "rest/other/x.wav")
    sources = scan("mav_celeb", tmp_path)
    languages = {identity: row["language"] for identity, row in sources.people.items()}
    assert languages == {"v1_id0001": "Urdu", "v2_id0001": "Hindi", "v3_id0001": "German", "id0001": "English"}
    assert set(genders(sources).values()) == {""}
    text = "\n".join(sources.missing)
    assert "the version is unknown" in text
    assert "v1_meta.csv is not there" in text
    assert "3 people have no faces, first id0001" in text
    assert "1 people have no voices, first v2_id0001" in text


def test_mav_celeb_damaged_table(tmp_path):
    touch(tmp_path, "v1/voices/id0001/Urdu/a/00000.wav")
    write_lines(tmp_path / "v1_meta.csv", "ids,name,gender", "id0001,A B,unknown")
    with pytest.raises(DatasetError, match=r"in line 2 of .*v1_meta\.csv; "):
        scan("mav_celeb", tmp_path)
