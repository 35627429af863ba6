"""The same people under different names."""

from pathlib import Path

import pytest

from s2f.errors import DatasetError
from s2f.prepare.join import join
from s2f.prepare.sources.found import FaceSource, Sources, Tables, VoiceSource

VOX1 = "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\nid10001\tA.J._Buckley\tm\tIreland\tdev\n"
VOX1 += "id10362\tHarry_Connick_Jr.\tm\tUSA\tdev\n"
VOX2 = "VoxCeleb2 ID ,VGGFace2 ID ,Gender ,Set \nid00012 ,n000012 ,m ,dev \nid00134 ,n000140 ,f ,dev \n"
IDENTITY = 'Class_ID, Name, Sample_Num, Flag, Gender\nn000004, "A._J._Buckley",387,1, m,\n'
IDENTITY += 'n000012, "Aaron_Ashmore",382,1, m,\nn000140, "Ai-Ai_de_las_Alas",446,1, f,\n'
FULL = "Class_ID,Name,Sample_Num,Flag,Gender_x,VoxCeleb2ID,VGGFace2ID,Gender_y,Set\n"
FULL += "n000012,Aaron_Ashmore,382,1,m,id00012,n000012,m,dev\n"


def heard(root: Path, **people: dict[str, str]) -> Sources:
    rows = {identity: {"identity": identity} | row for identity, row in people.items()}
    return Sources(root / "voices", rows, [VoiceSource(identity, f"{identity}/1.wav", "v1") for identity in people])


def seen(root: Path, **people: dict[str, str]) -> Sources:
    rows = {identity: {"identity": identity} | row for identity, row in people.items()}
    pictures = [FaceSource(identity, f"{identity}/1.jpg", "v1", "crop", frame_s=2.0) for identity in people]
    return Sources(root / "faces", rows, faces=pictures)


def tables(root: Path, **content: str) -> Tables:
    for name, text in content.items():
        (root / f"{name}.csv").write_text(text, encoding="utf-8")
    return Tables(tuple(root / f"{name}.csv" for name in content))


def pairs(found: Sources) -> dict[str, str]:
    """Identity of each picture's person by the folder it lies in."""
    return {face.path.split("/")[0]: face.identity for face in found.faces}


@pytest.mark.parametrize(
    ("voice", "face"),
    [
        (("A.J._Buckley", {}), ("A.J._Buckley", {})),
        (("x", {"voxceleb_id": "id10001"}), ("y", {"voxceleb_id": "ID10001"})),
        (("x", {"vggface2_id": "n000004"}), ("n000004", {"vggface2_id": "n000004"})),
        (("x", {"vggface_id": "A.J._Buckley"}), ("y", {"vggface_id": "a.j. buckley"})),
        (("x", {"name": "A.J. Buckley"}), ("y", {"vggface_id": "A._J._Buckley"})),
    ],
)
def test_people_share_an_identity_an_id_or_a_name(tmp_path, voice, face):
    other = {"voxceleb_id": "id10002", "vggface_id": "A.R._Rahman", "name": "A.R. Rahman", "vggface2_id": "n000006"}
    voices = heard(tmp_path, **dict([voice]), Rahman=other)
    found = join(voices, seen(tmp_path, **dict([face])), Tables())
    assert pairs(found) == {face[0]: voice[0]}


@pytest.mark.parametrize(
    ("voice", "face", "known"),
    [
        ({"voxceleb_id": "id10001"}, {"vggface_id": "A.J._Buckley"}, {"vox1_meta": VOX1}),
        ({"vggface_id": "A.J._Buckley"}, {"voxceleb_id": "id10001"}, {"vox1_meta": VOX1}),
        ({"voxceleb_id": "id10362"}, {"vggface_id": "Harry_Connick_Jr"}, {"vox1_meta": VOX1}),
        ({"voxceleb_id": "id00134"}, {"vggface2_id": "n000140"}, {"vox2_meta": VOX2}),
        ({"voxceleb_id": "id00012"}, {"name": "Aaron Ashmore"}, {"full_vox2_meta": FULL}),
        ({"voxceleb_id": "id00012"}, {"name": "Aaron Ashmore"}, {"vox2_meta": VOX2, "identity_meta": IDENTITY}),
        ({"voxceleb_id": "id10001"}, {"vggface2_id": "n000004"}, {"vox1_meta": VOX1, "identity_meta": IDENTITY}),
    ],
)
def test_published_tables_say_who_is_who(tmp_path, voice, face, known):
    voices, faces = heard(tmp_path, speaker=voice), seen(tmp_path, portrait=face)
    assert pairs(join(voices, faces, tables(tmp_path, **known))) == {"portrait": "speaker"}
    for name in known:
        (tmp_path / f"{name}.csv").unlink()
    for name in known:  # with one of two tables alone they stay strangers
        partly = {other: text for other, text in known.items() if other != name}
        with pytest.raises(DatasetError, match=r"none of 1 among 1 by identity, id or name; name vox1_meta\.csv"):
            join(voices, faces, tables(tmp_path, **partly))
        for other in partly:
            (tmp_path / f"{other}.csv").unlink()


def test_the_result_has_the_voices_and_two_roots(tmp_path):
    voices = heard(tmp_path, id10001={"name": "Ann", "split": "test", "gender": "f"}, id10002={"name": "Bob"})
    voices.people["silent"] = {"identity": "silent"}
    voices.faces = [FaceSource("id10001", "own.jpg")]
    voices.missing, voices.passed_over = ["no wav folder"], [("a.wav", "damaged")]
    faces = seen(tmp_path, Ann={"name": "ann", "age": "40", "split": "train", "nationality": "UK"}, Cid={"name": "Cid"})
    faces.missing, faces.passed_over = ["2 of 9 people"], [("b.jpg", "loose")]
    found = join(voices, faces, Tables())
    assert (found.root, found.faces_root) == (tmp_path / "voices", tmp_path / "faces")
    assert found.voices == voices.voices
    assert found.faces == [FaceSource("id10001", "Ann/1.jpg", "v1", "crop", frame_s=2.0)]
    filled = {"identity": "id10001", "name": "Ann", "split": "test", "gender": "f", "age": "40", "nationality": "UK"}
    assert found.people == {"id10001": filled, "id10002": voices.people["id10002"]}
    assert found.missing == [
        "no wav folder",
        "faces: 2 of 9 people",
        "1 of 2 people with voices have no face, first id10002",
        "1 of 2 people with faces have no voice, first Cid",
        "1 faces of the dataset with the voices are not used: they come from the other one",
    ]
    assert found.passed_over == [("a.wav", "damaged"), ("b.jpg", "loose")]
    assert "age" not in voices.people["id10001"]


def test_the_own_split_is_that_of_the_voices(tmp_path):
    people = join(
        heard(tmp_path, Ann={"split": ""}), seen(tmp_path, Ann={"split": "train", "age": "9"}), Tables()
    ).people
    assert people == {"Ann": {"identity": "Ann", "split": "", "age": "9"}}


def test_one_root_stays_one(tmp_path):
    voices, faces = heard(tmp_path, Ann={}), seen(tmp_path, Ann={})
    faces.root = voices.root
    assert join(voices, faces, Tables()).faces_root is None


def test_genders_that_differ_are_counted_and_the_voices_kept(tmp_path):
    genders = {"Ann": ("f", "m"), "Bob": ("m", "f"), "Cid": ("", "m"), "Dan": ("m", ""), "Eve": ("f", "f")}
    voices = heard(tmp_path, **{name: {"gender": one} for name, (one, _) in genders.items()})
    faces = seen(tmp_path, **{name: {"gender": other} for name, (_, other) in genders.items()})
    found = join(voices, faces, Tables())
    assert [row["gender"] for row in found.people.values()] == ["f", "m", "m", "m", "f"]
    first = "Ann (f with the voice, m with the face)"
    assert found.missing == [f"the gender of 2 people differs, first {first}; that of the voice is kept"]


def test_a_name_of_two_people_matches_nobody(tmp_path):
    namesakes = {"n000001": {"name": "Kevin Smith"}, "n000002": {"name": "Kevin_Smith"}, "Ann": {}}
    voices = heard(tmp_path, id10644={"name": "Kevin Smith"}, Ann={})
    found = join(voices, seen(tmp_path, **namesakes), Tables())
    assert pairs(found) == {"Ann": "Ann"}
    assert any("2 people with faces are not matched" in note and "n000001, n000002" in note for note in found.missing)
    voices = heard(tmp_path, **namesakes)
    found = join(voices, seen(tmp_path, id10644={"name": "Kevin Smith"}, Ann={}), Tables())
    assert pairs(found) == {"Ann": "Ann"}
    assert any("1 people with faces are not matched" in note and "id10644" in note for note in found.missing)


def test_a_name_of_two_people_links_no_tables_either(tmp_path):
    known = tables(tmp_path, vox1_meta=VOX1, identity_meta=IDENTITY)
    voices = heard(tmp_path, id10001={"voxceleb_id": "id10001"}, Ann={})
    namesake = {"name": "A.J. Buckley"}
    for others in ({}, {"another": namesake}):
        faces = seen(tmp_path, n000004={"vggface2_id": "n000004"} | namesake, Ann={}, **others)
        assert pairs(join(voices, faces, known)) == ({"Ann": "Ann"} if others else {"Ann": "Ann", "n000004": "id10001"})


def test_an_id_of_two_people_with_voices_matches_neither(tmp_path):
    voices = heard(tmp_path, one={"voxceleb_id": "id10001"}, two={"voxceleb_id": "id10001"}, Ann={})
    found = join(voices, seen(tmp_path, face={"voxceleb_id": "id10001"}, Ann={}), Tables())
    assert pairs(found) == {"Ann": "Ann"}
    assert any("1 people with faces are not matched" in note and ": face" in note for note in found.missing)


def test_a_name_of_two_people_of_a_table_matches_nobody(tmp_path):
    twice = IDENTITY + 'n009999, "Aaron_Ashmore",9,1, m,\n'
    known = tables(tmp_path, vox2_meta=VOX2, identity_meta=twice)
    voices = heard(tmp_path, id00012={"voxceleb_id": "id00012"}, id00134={"voxceleb_id": "id00134"})
    faces = seen(tmp_path, ashmore={"name": "Aaron Ashmore"}, alas={"name": "Ai-Ai de las Alas"})
    found = join(voices, faces, known)
    assert pairs(found) == {"alas": "id00134"}
    assert any("1 people with faces are not matched" in note and "ashmore" in note for note in found.missing)
    assert pairs(join(voices, seen(tmp_path, n000012={"vggface2_id": "n000012"}), known)) == {"n000012": "id00012"}


def test_an_id_of_two_people_of_a_table_links_neither(tmp_path):
    known = tables(tmp_path, vox2_meta=VOX2 + "id00999 ,n000140 ,f ,dev \n")
    faces = seen(tmp_path, n000140={"vggface2_id": "n000140"}, n000012={"vggface2_id": "n000012"})
    for people in (("id00134", "id00999", "id00012"), ("id00134", "id00012")):
        voices = heard(tmp_path, **{identity: {"voxceleb_id": identity} for identity in people})
        assert pairs(join(voices, faces, known)) == {"n000012": "id00012"}


def test_another_id_says_that_it_is_another_person(tmp_path):
    voices = heard(tmp_path, id10644={"voxceleb_id": "id10644", "name": "Kevin Smith"}, Ann={})
    faces = seen(tmp_path, kevin={"voxceleb_id": "id10645", "name": "Kevin Smith"}, Ann={})
    found = join(voices, faces, Tables())
    assert pairs(found) == {"Ann": "Ann"}
    assert any("another id contradicts it: kevin" in note for note in found.missing)


def test_someone_in_both_voxcelebs_is_one_person(tmp_path):
    voices = heard(tmp_path, id10017={"voxceleb_id": "id10017", "name": "Ajay Devgan"})
    faces = seen(tmp_path, n000154={"vggface2_id": "n000154", "voxceleb_id": "id00154", "name": "Ajay_Devgan"})
    found = join(voices, faces, Tables())
    assert pairs(found) == {"n000154": "id10017"}
    assert found.people["id10017"]["voxceleb_id"] == "id10017"


def test_two_folders_of_one_person_are_both_used(tmp_path):
    voices = heard(tmp_path, id10001={"voxceleb_id": "id10001", "name": "A.J. Buckley"})
    faces = seen(tmp_path, by_id={"voxceleb_id": "id10001"}, by_name={"name": "A.J. Buckley"})
    assert pairs(join(voices, faces, Tables())) == {"by_id": "id10001", "by_name": "id10001"}


def test_tables_in_the_copies_are_found_and_their_damage_is_named(tmp_path):
    voices, faces = heard(tmp_path, id10001={"voxceleb_id": "id10001"}), seen(tmp_path, A={"name": "A.J._Buckley"})
    faces.root.mkdir()
    (faces.root / "vox1_meta.csv").write_text(VOX1)
    assert pairs(join(voices, faces, Tables())) == {"A": "id10001"}
    (faces.root / "vox1_meta.csv").write_text(VOX1 + "id10002\n")
    with pytest.raises(DatasetError, match=r"line 4 of .*vox1_meta"):
        join(voices, faces, Tables())
