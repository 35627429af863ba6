"""What is found in copies of VoxCeleb1, its faces and VoxCeleb2: empty files in the published folders."""

import os
import sys
from pathlib import Path

import pytest

from s2f.errors import DatasetError, UsageError
from s2f.prepare.adaptors import voxceleb1, voxceleb1_faces, voxceleb2
from s2f.prepare.adaptors.celebrity_folders import near, part, person
from s2f.prepare.sources.found import Sources, Tables
from s2f.prepare.sources.people_tables import voxceleb1_id
from tests.s2f.prepare.empty_trees import faces, touch, voices

HEADER = "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\n"
META = HEADER + "id10001\tA.J._Buckley\tm\tIreland\tdev\nid10270\tEartha_Kitt\tf\tUSA\ttest\n"
RECORDINGS = ("id10001/1zcIwhmdeo4/00001.wav", "id10001/_-zcIwhmde4/00002.wav", "id10270/5r0dWxy17C8/00001.wav")
NAMES = ("A.J._Buckley/gaQqIoV_aLY_0000001.wav", "Eartha_Kitt/5r0dWxy17C8_0000012.wav")
PICTURES = ("A.J._Buckley/1.6/gaQqIoV_aLY/0000375.jpg", "A.J._Buckley/1.6/gaQqIoV_aLY/0000400.jpg")
PARTS_2 = ("id00012/21Uxsk56VDQ/00001", "id00012/21Uxsk56VDQ/00002", "id00017/01dfn2spqyE/00001")


def scan(module, root: Path, *named: Path) -> Sources:
    return module.ADAPTOR.scan(root, Tables(named))


# --- what the copies have in common ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "known"),
    [
        *(("id10001", True), ("id11251", True), ("id10000", False), ("id11252", False), ("id00012", False)),
        *(("ID10001", False), ("id10001x", False), ("id1001", False), ("id\uff110001", False), ("", False)),
    ],
)
def test_ids_of_voxceleb1(text, known):
    assert voxceleb1_id(text) is known


def test_a_folder_says_who_it_is():
    empty = dict.fromkeys(("gender", "nationality", "split", "name", "voxceleb_id", "vggface_id", "vggface2_id"), "")
    assert person("id00012", split="test") == empty | {"identity": "id00012", "voxceleb_id": "id00012", "split": "test"}
    assert person("n000001") == empty | {"identity": "n000001", "vggface2_id": "n000001"}
    name = {"identity": "A.J._Buckley", "vggface_id": "A.J._Buckley", "name": "A.J. Buckley"}
    assert person("A.J._Buckley") == empty | name


@pytest.mark.parametrize(
    ("folders", "split"),
    [
        *(("dev/wav", "train"), ("vox2_test_mp4/mp4", "test"), ("Train", "train"), ("dev/test", "test")),
        *(("wav", ""), ("devices/latest", ""), ("", "")),
    ],
)
def test_the_part_a_folder_names(folders, split):
    assert part(folders.split("/")) == split


def test_tables_lie_in_the_copy_beside_it_or_in_its_meta_folder(tmp_path):
    root = tmp_path / "wav"
    for place in (root, tmp_path, root / "meta", root / "meta_info", root / "vox1"):
        touch(tmp_path, f"{place.relative_to(tmp_path)}/vox1_meta.csv")
        assert near(Tables(), root).find("vox1_meta.csv") == place / "vox1_meta.csv"
        (place / "vox1_meta.csv").unlink()


# --- VoxCeleb1 ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["", "wav", "wav/wav", "VoxCeleb1/dev/wav", "vox1_dev_wav/wav"])
def test_voxceleb1_at_any_level(tmp_path, place):
    touch(tmp_path / place, *RECORDINGS)
    found = scan(voxceleb1, tmp_path)
    below = f"{place}/" if place else ""
    assert voices(found) == {(path.split("/")[0], below + path, path.split("/")[1]) for path in RECORDINGS}
    assert set(found.people) == {"id10001", "id10270"}
    assert {row["voxceleb_id"] for row in found.people.values()} == {"id10001", "id10270"}
    assert found.passed_over == []
    assert found.faces == []


def test_voxceleb1_people_are_completed_from_the_table(tmp_path):
    touch(tmp_path, *(f"wav/{path}" for path in RECORDINGS))
    (tmp_path / "vox1_meta.csv").write_text(META)
    found = scan(voxceleb1, tmp_path / "wav")
    assert found.people["id10001"] == {
        "identity": "id10001",
        "gender": "m",
        "nationality": "Ireland",
        "split": "train",
        "name": "A.J. Buckley",
        "voxceleb_id": "id10001",
        "vggface_id": "A.J._Buckley",
        "vggface2_id": "",
    }
    assert found.people["id10270"]["split"] == "test"
    assert found.missing == ["3 of 153,516 recordings are here", "2 of 1,251 people are here"]


def test_voxceleb1_says_what_a_partial_copy_lacks(tmp_path):
    touch(tmp_path, "dev/wav/" + RECORDINGS[0])
    found = scan(voxceleb1, tmp_path)
    assert found.people["id10001"]["split"] == "train"
    assert found.missing == [
        "vox1_meta.csv is not there, so name, vggface_id, gender, nationality stay empty; name it with --metadata",
        "1 of 153,516 recordings are here",
        "1 of 1,251 people are here",
        "nobody of the test part (40 people)",
    ]
    touch(tmp_path / "other", "test/wav/" + RECORDINGS[2])
    assert scan(voxceleb1, tmp_path / "other").missing[-1] == "nobody of the dev part (1,211 people)"


def test_a_whole_voxceleb1_lacks_nothing(tmp_path):
    lines = [f"id{number}\tName_{number}\tm\tUSA\tdev" for number in range(10001, 11252)]
    (tmp_path / "vox1_meta.csv").write_text(HEADER + "\n".join(lines))
    touch(tmp_path, *(f"id{number}/video/00001.wav" for number in range(10001, 11252)))
    assert scan(voxceleb1, tmp_path).missing == ["1,251 of 153,516 recordings are here"]


@pytest.mark.parametrize("place", ["", "voxceleb1_wav", "a/b"])
def test_voxceleb1_first_release(tmp_path, place):
    strange = ('Zoë "Z." Yew/gaQqIoV-aLY_0000003.WAV', "Drea de Matteo/___________/0000001_0000001.wav")
    touch(tmp_path / place, *NAMES, strange[0])
    (tmp_path / "vox1_meta.csv").write_text(META)
    found = scan(voxceleb1, tmp_path)
    below = f"{place}/" if place else ""
    assert voices(found) == {
        ("A.J._Buckley", below + NAMES[0], "gaQqIoV_aLY"),
        ("Eartha_Kitt", below + NAMES[1], "5r0dWxy17C8"),
        ('Zoë "Z." Yew', below + strange[0], "gaQqIoV-aLY"),
    }
    assert found.people["Eartha_Kitt"]["voxceleb_id"] == "id10270"
    assert found.people["Eartha_Kitt"]["gender"] == "f"
    assert found.people['Zoë "Z." Yew']["voxceleb_id"] == ""
    assert found.missing == ["3 of 1,251 people are here"]


def test_voxceleb1_never_takes_a_recording_twice(tmp_path):
    touch(tmp_path, "dev/wav/" + RECORDINGS[0], "all/" + RECORDINGS[0], "all/id10001/1zcIwhmdeo4/00001.flac", *NAMES)
    found = scan(voxceleb1, tmp_path)
    assert voices(found) == {("id10001", "all/id10001/1zcIwhmdeo4/00001.flac", "1zcIwhmdeo4")}
    reasons = dict(found.passed_over)
    assert reasons["all/" + RECORDINGS[0]] == "the same recording as all/id10001/1zcIwhmdeo4/00001.flac"
    assert reasons["dev/wav/" + RECORDINGS[0]] == "the same recording as all/id10001/1zcIwhmdeo4/00001.flac"
    assert {reasons[name] for name in NAMES} == {"the first release of VoxCeleb1; a later one lies beside it"}
    assert len(found.passed_over) == 4


def test_voxceleb1_passes_over_other_sound(tmp_path):
    others = ("noise/free-sound/noise.wav", "id00012/video/00001.m4a", "id10001/video/readme.wav", "loose.wav")
    hidden = (".cache/id10002/v/00001.wav", "__MACOSX/id10003/v/00001.wav", "id10001/v/._00001.wav", "iden_split.txt")
    touch(tmp_path, RECORDINGS[0], *others, *hidden)
    found = scan(voxceleb1, tmp_path)
    assert voices(found) == {("id10001", RECORDINGS[0], "1zcIwhmdeo4")}
    assert {path for path, _ in found.passed_over} == set(others)
    assert dict(found.passed_over)["id00012/video/00001.m4a"] == "id00012 is nobody of VoxCeleb1"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no names but Unicode ones")
def test_names_that_are_no_text_are_passed_over(tmp_path):
    touch(tmp_path, NAMES[0])
    folder = os.fsencode(tmp_path) + b"/Jos\xe9"
    os.mkdir(folder)
    with open(folder + b"/gaQqIoV_aLY_0000001.wav", "w"):
        pass
    found = scan(voxceleb1, tmp_path)
    assert set(found.people) == {"A.J._Buckley"}
    assert found.passed_over == [(repr("Jos\udce9/gaQqIoV_aLY_0000001.wav"), "the name is not UTF-8")]


def test_links_to_folders_are_followed(tmp_path):
    touch(tmp_path / "disk2", *RECORDINGS)
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "wav").symlink_to(tmp_path / "disk2", target_is_directory=True)
    found = scan(voxceleb1, tmp_path / "copy")
    assert {voice.path for voice in found.voices} == {f"wav/{path}" for path in RECORDINGS}


@pytest.mark.parametrize("module", [voxceleb1, voxceleb1_faces, voxceleb2])
def test_nothing_is_an_error_that_names_the_layout(tmp_path, module):
    touch(tmp_path, "notes.txt", "loose.wav", "loose.jpg")
    with pytest.raises(DatasetError) as caught:
        scan(module, tmp_path)
    assert module.ADAPTOR.layout[0] in caught.value.expected
    assert str(tmp_path) in caught.value.expected
    with pytest.raises(UsageError, match="check the spelling"):
        scan(module, tmp_path / "nowhere")


@pytest.mark.parametrize("module", [voxceleb1, voxceleb1_faces])
def test_a_damaged_table_is_an_error(tmp_path, module):
    touch(tmp_path, *RECORDINGS, *PICTURES)
    (tmp_path / "vox1_meta.csv").write_text(META + "id10002\n")
    with pytest.raises(DatasetError, match=r"line 4 of .*vox1_meta"):
        scan(module, tmp_path)


# --- faces of VoxCeleb1 ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["", "unzippedFaces", "CMBiometrics/unzippedFaces"])
def test_faces_of_voxceleb1(tmp_path, place):
    touch(tmp_path / place, *PICTURES, "Dr._Dre/1.6/0_laIeN-Q44/0007400.JPG")
    (tmp_path / "vox1_meta.csv").write_text(META)
    found = scan(voxceleb1_faces, tmp_path)
    below = f"{place}/" if place else ""
    assert faces(found) == {
        ("A.J._Buckley", below + PICTURES[0], "gaQqIoV_aLY", "crop"),
        ("A.J._Buckley", below + PICTURES[1], "gaQqIoV_aLY", "crop"),
        ("Dr._Dre", f"{below}Dr._Dre/1.6/0_laIeN-Q44/0007400.JPG", "0_laIeN-Q44", "crop"),
    }
    assert [face.frame_s for face in found.faces] == [15.0, 16.0, 296.0]
    assert {face.columns["factor"] for face in found.faces} == {"1.6"}
    assert found.people["A.J._Buckley"]["voxceleb_id"] == "id10001"
    assert found.missing == ["2 of 1,251 people are here"]


def test_faces_of_voxceleb1_with_several_factors_or_none(tmp_path):
    video = "gaQqIoV_aLY"
    both = [f"A/{factor}/{video}/0000025.jpg" for factor in ("1.0", "1.6", "2.0")]
    touch(tmp_path, *both, f"B/1.0/{video}/0000025.jpg", f"B/2/{video}/0000050.png", f"C/{video}/0000075.jpg")
    found = scan(voxceleb1_faces, tmp_path)
    assert {(face.identity, face.path.split("/")[1], face.columns.get("factor")) for face in found.faces} == {
        ("A", "1.6", "1.6"),
        ("B", "1.0", "1.0"),
        ("B", "2", "2"),
        ("C", video, None),
    }
    assert sorted(found.passed_over) == [(path, f"the same picture as {both[1]}") for path in (both[0], both[2])]
    assert "voxceleb_id, gender, nationality stay empty" in found.missing[0]


def test_faces_of_voxceleb1_pass_over_other_pictures(tmp_path):
    others = ("cover.jpg", "A.J._Buckley/1.6/gaQqIoV_aLY/3/01.jpg", "A.J._Buckley/1.6/gaQqIoV_aLY/thumb.jpg")
    others += ("1.6/gaQqIoV_aLY/0000375.jpg",)
    touch(tmp_path, *PICTURES, *others)
    found = scan(voxceleb1_faces, tmp_path)
    assert {face.path for face in found.faces} == set(PICTURES)
    assert {path for path, _ in found.passed_over} == set(others)


# --- VoxCeleb2 ------------------------------------------------------------------------------------------------------


def test_voxceleb2_with_sound_and_films(tmp_path):
    for below, end in (("dev/aac", "m4a"), ("dev/mp4", "mp4")):
        touch(tmp_path / below, *(f"{path}.{end}" for path in PARTS_2[:2]))
    touch(tmp_path, f"test/aac/{PARTS_2[2]}.m4a", f"test/mp4/{PARTS_2[2]}.MP4")
    (tmp_path / "vox2_meta.csv").write_text(
        "VoxCeleb2 ID ,VGGFace2 ID ,Gender ,Set \nid00012 ,n000012 ,m ,dev \nid00017 ,n000099 ,f ,test \n"
    )
    (tmp_path / "identity_meta.csv").write_text(
        'Class_ID, Name, Sample_Num, Flag, Gender\nn000099, "Ann_Lee",9,1, f,\n'
    )
    found = scan(voxceleb2, tmp_path)
    assert voices(found) == {
        ("id00012", f"dev/aac/{PARTS_2[0]}.m4a", "21Uxsk56VDQ"),
        ("id00012", f"dev/aac/{PARTS_2[1]}.m4a", "21Uxsk56VDQ"),
        ("id00017", f"test/aac/{PARTS_2[2]}.m4a", "01dfn2spqyE"),
    }
    assert faces(found) == {
        ("id00012", f"dev/mp4/{PARTS_2[0]}.mp4", "21Uxsk56VDQ", "crop"),
        ("id00012", f"dev/mp4/{PARTS_2[1]}.mp4", "21Uxsk56VDQ", "crop"),
        ("id00017", f"test/mp4/{PARTS_2[2]}.MP4", "01dfn2spqyE", "crop"),
    }
    assert found.people["id00017"] == {
        "identity": "id00017",
        "gender": "f",
        "nationality": "",
        "split": "test",
        "name": "Ann Lee",
        "voxceleb_id": "id00017",
        "vggface_id": "",
        "vggface2_id": "n000099",
    }
    assert found.people["id00012"]["split"] == "train"
    assert found.passed_over == []
    assert found.missing == ["3 of 1,128,246 recordings are here", "2 of 6,112 people are here"]


def test_voxceleb2_takes_each_part_from_its_best_file_alone(tmp_path):
    touch(
        tmp_path, *(f"{below}/{PARTS_2[0]}.{end}" for below, end in (("aac", "M4A"), ("a_wav", "wav"), ("mp4", "mp4")))
    )
    touch(tmp_path, *(f"{below}/{PARTS_2[1]}.{end}" for below, end in (("a_wav", "wav"), ("mp4", "mp4"))))
    touch(tmp_path, f"mp4/{PARTS_2[2]}.mp4", f"more/{PARTS_2[2]}.mp4")
    found = scan(voxceleb2, tmp_path)
    assert {voice.path for voice in found.voices} == {
        f"aac/{PARTS_2[0]}.M4A",
        f"a_wav/{PARTS_2[1]}.wav",
        f"more/{PARTS_2[2]}.mp4",
    }
    films = {f"mp4/{PARTS_2[0]}.mp4", f"mp4/{PARTS_2[1]}.mp4", f"more/{PARTS_2[2]}.mp4"}
    assert {face.path for face in found.faces} == films
    assert dict(found.passed_over) == {
        f"a_wav/{PARTS_2[0]}.wav": f"the same recording as aac/{PARTS_2[0]}.M4A",
        f"mp4/{PARTS_2[2]}.mp4": f"the same recording as more/{PARTS_2[2]}.mp4",
    }


@pytest.mark.parametrize("place", ["", "aac", "dev/aac", "vox2_dev_aac/dev/aac"])
def test_voxceleb2_at_any_level_says_what_it_lacks(tmp_path, place):
    touch(tmp_path / place, f"{PARTS_2[0]}.m4a")
    missing = scan(voxceleb2, tmp_path).missing
    assert missing[0].startswith("vox2_meta.csv is not there, so gender, vggface2_id stay empty")
    assert missing[1].startswith("identity_meta.csv is not there, so name stays empty")
    assert missing[2:4] == ["1 of 1,128,246 recordings are here", "1 of 6,112 people are here"]
    assert missing[-1] == "no films (mp4), so there are no faces"
    assert ("nobody of the test part (118 people)" in missing) is ("dev" in place)


def test_voxceleb2_leaves_voxceleb1_alone(tmp_path):
    touch(tmp_path, f"vox2/aac/{PARTS_2[0]}.m4a", "vox1/wav/" + RECORDINGS[0], "vox2/aac/id00012/intro.m4a")
    found = scan(voxceleb2, tmp_path)
    assert set(found.people) == {"id00012"}
    assert dict(found.passed_over) == {
        "vox1/wav/" + RECORDINGS[0]: "id10001 is of VoxCeleb1",
        "vox2/aac/id00012/intro.m4a": "not <id>/<video>/<number>.m4a, .wav or .mp4",
    }
