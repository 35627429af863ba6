"""What is found in copies of HQ-VoxCeleb: empty files in the published folders."""

import pytest

from s2f.errors import DatasetError
from s2f.prepare.adaptors import hq_voxceleb
from s2f.prepare.sources.found import Tables
from tests.s2f.prepare.empty_trees import faces, touch

HEADER = "Class_ID,Name,Sample_Num,Flag,Gender_x,VoxCeleb2ID,VGGFace2ID,Gender_y,Set\n"


def scan(root, *named):
    return hq_voxceleb.ADAPTOR.scan(root, Tables(named))


def test_original_pictures_come_before_masked_ones(tmp_path):
    touch(tmp_path / "vox1" / "origin_faces", "Alex_Borstein/1.jpg", "Alex_Borstein/2.JPG")
    touch(tmp_path / "vox1" / "masked_faces", "Alex_Borstein/1.jpg", "Bear_Grylls/1.jpg")
    touch(tmp_path / "vox2" / "origin_faces", "Aco_Petrović/1.jpg")
    touch(tmp_path, "samples/Alex_Borstein/1.jpg", "vox1/mel_spectrograms/Alex_Borstein/id10026_x_00001.pickle")
    found = scan(tmp_path)
    assert faces(found) == {
        ("Alex_Borstein", "vox1/origin_faces/Alex_Borstein/1.jpg", "", "crop"),
        ("Alex_Borstein", "vox1/origin_faces/Alex_Borstein/2.JPG", "", "crop"),
        ("Bear_Grylls", "vox1/masked_faces/Bear_Grylls/1.jpg", "", "crop"),
        ("Aco_Petrović", "vox2/origin_faces/Aco_Petrović/1.jpg", "", "crop"),
    }
    assert dict(found.passed_over) == {
        "vox1/masked_faces/Alex_Borstein/1.jpg": "origin_faces has pictures of this person",
        "samples/Alex_Borstein/1.jpg": "not below vox1 or vox2 in origin_faces/<Name> or masked_faces/<Name>",
    }
    assert found.missing == [
        "vox1: vox1_meta.csv is not there, so voxceleb_id, gender, split stay empty; name it with --metadata",
        "vox2: full_vox2_meta.csv is not there, so voxceleb_id, gender, split stay empty; name it with --metadata",
        "3 of 3,638 people are here",
        "4 of 8,028 pictures are here",
    ]
    assert {row["split"] for row in found.people.values()} == {""}


@pytest.mark.parametrize("half", ["vox1", "vox2"])
def test_one_half_is_enough(tmp_path, half):
    touch(tmp_path / half / "masked_faces", "Alex_Borstein/1.jpg")
    found = scan(tmp_path / half)
    assert faces(found) == {("Alex_Borstein", "masked_faces/Alex_Borstein/1.jpg", "", "crop")}
    assert found.people["Alex_Borstein"]["vggface_id"] == ("Alex_Borstein" if half == "vox1" else "")
    assert [sentence[:4] for sentence in found.missing if "--metadata" in sentence] == [half]


def test_own_split_is_by_the_last_digit_of_the_row(tmp_path):
    rows = [f"id{10001 + n}\tFirst_{n}\tm\tUSA\tdev" for n in range(23)]
    (tmp_path / "vox1").mkdir()
    (tmp_path / "vox1" / "vox1_meta.csv").write_text(
        "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\n" + "\n".join(rows)
    )
    rows = [f"n{n:06d},Second_{n},9,1,f,id{n:05d},n{n:06d},f,test" for n in reversed(range(30))]
    (tmp_path / "meta_info").mkdir()
    (tmp_path / "meta_info" / "full_vox2_meta.csv").write_text(HEADER + "\n".join(rows))
    touch(tmp_path / "vox1" / "origin_faces", *(f"First_{n}/1.jpg" for n in range(23)), "Not_Listed/1.jpg")
    touch(tmp_path / "vox2" / "origin_faces", *(f"Second_{n}/1.jpg" for n in range(0, 30, 3)))
    people = scan(tmp_path).people
    assert {n for n in range(23) if people[f"First_{n}"]["split"] == "test"} == {8, 18}
    assert {n for n in range(23) if people[f"First_{n}"]["split"] == "val"} == {9, 19}
    rows_of = {n: 29 - n for n in range(0, 30, 3)}  # the second table is backwards
    expected = {n: {8: "test", 9: "val"}.get(row % 10, "train") for n, row in rows_of.items()}
    assert {n: people[f"Second_{n}"]["split"] for n in rows_of} == expected
    assert set(expected.values()) == {"train", "val", "test"}
    assert people["Not_Listed"]["split"] == ""
    assert (people["First_8"]["voxceleb_id"], people["First_8"]["gender"]) == ("id10009", "m")
    assert (people["Second_3"]["voxceleb_id"], people["Second_3"]["vggface2_id"]) == ("id00003", "n000003")


def test_namesakes_of_the_halves_are_two_people(tmp_path):
    touch(tmp_path, "vox1/origin_faces/Ann_Lee/1.jpg", "vox2/origin_faces/Ann_Lee/1.jpg")
    (tmp_path / "full_vox2_meta.csv").write_text(HEADER + "n000009,Ann_Lee,9,1,f,id00009,n000009,f,dev\n")
    found = scan(tmp_path)
    assert faces(found) == {
        ("Ann_Lee", "vox1/origin_faces/Ann_Lee/1.jpg", "", "crop"),
        ("Ann_Lee (vox2)", "vox2/origin_faces/Ann_Lee/1.jpg", "", "crop"),
    }
    assert found.people["Ann_Lee"]["voxceleb_id"] == ""
    assert found.people["Ann_Lee (vox2)"]["voxceleb_id"] == "id00009"


def test_nothing_is_an_error(tmp_path):
    touch(tmp_path, "samples/Alex_Borstein/1.jpg")
    with pytest.raises(DatasetError, match="a copy of HQ-VoxCeleb below"):
        scan(tmp_path)
