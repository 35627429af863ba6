"""What is found in copies of VGGFace, VGG_ALL_FRONTAL and VGGFace2: empty files in the published folders."""

import pytest

from s2f.errors import DatasetError, UsageError
from s2f.prepare.adaptors import vggface, vggface2
from s2f.prepare.sources.found import Tables
from tests.s2f.prepare.empty_trees import faces, touch

META = "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\nid10003\tAamir_Khan\tm\tIndia\tdev\n"
PICTURES = ("Aamir_Khan/00000819.jpg", "Aamir_Khan/00000820.JPG", "Zoë O'Yew/1.png", 'A. "B." C/x y.jpeg')
ADAPTORS = {"vggface": vggface.ADAPTOR, "vgg_all_frontal": vggface.ALL_FRONTAL}


@pytest.mark.parametrize("place", ["", "images", "a/b/c"])
@pytest.mark.parametrize(
    ("name", "framing", "official"), [("vggface", "scene", 2622), ("vgg_all_frontal", "crop", 1225)]
)
def test_vggface_at_any_level(tmp_path, name, framing, official, place):
    place = "VGG_ALL_FRONTAL" if name == "vgg_all_frontal" and place else place
    touch(tmp_path / "copy" / place, *PICTURES)
    (tmp_path / "vox1_meta.csv").write_text(META)
    found = ADAPTORS[name].scan(tmp_path / "copy", Tables())
    below = f"{place}/" if place else ""
    assert faces(found) == {(path.split("/")[0], below + path, "", framing) for path in PICTURES}
    assert found.people["Aamir_Khan"]["voxceleb_id"] == "id10003"
    assert found.people["Aamir_Khan"]["gender"] == "m"
    assert found.people["Zoë O'Yew"]["vggface_id"] == "Zoë O'Yew"
    assert found.people["Zoë O'Yew"]["voxceleb_id"] == ""
    assert found.missing == [f"3 of {official:,} people are here"]
    assert found.passed_over == []


def test_pictures_on_another_level_are_passed_over(tmp_path):
    others = ("cover.jpg", "Aamir_Khan/old/1.jpg", "figures/a/b.jpg")
    touch(tmp_path, *PICTURES, *others, "Aamir_Khan/.hidden.jpg", "licence.txt")
    found = vggface.ADAPTOR.scan(tmp_path, Tables())
    assert {face.path for face in found.faces} == set(PICTURES)
    assert {path for path, _ in found.passed_over} == set(others)
    assert "voxceleb_id, gender, nationality stay empty" in found.missing[0]


@pytest.mark.parametrize("place", ["VGG_ALL_FRONTAL", "data/vgg_all_frontal"])
def test_crops_are_not_read_as_scenes(tmp_path, place):
    touch(tmp_path / place, *PICTURES)
    for root in (tmp_path, tmp_path / place):
        with pytest.raises(DatasetError, match="s2f prepare vgg_all_frontal"):
            vggface.ADAPTOR.scan(root, Tables())
        assert len(vggface.ALL_FRONTAL.scan(root, Tables()).faces) == 4


@pytest.mark.parametrize("adaptor", [*ADAPTORS.values(), vggface2.ADAPTOR], ids=lambda adaptor: adaptor.name)
def test_nothing_is_an_error_that_names_the_layout(tmp_path, adaptor):
    touch(tmp_path, "loose.jpg", "notes.txt")
    with pytest.raises(DatasetError) as caught:
        adaptor.scan(tmp_path, Tables())
    assert vggface.LAYOUT[0].split("*")[0] in caught.value.expected or adaptor.layout[0] in caught.value.expected
    with pytest.raises(UsageError):
        adaptor.scan(tmp_path / "nowhere", Tables())


IDENTITIES = "\ufeffClass_ID, Name, Sample_Num, Flag, Gender\n"
IDENTITIES += 'n000001, "14th_Dalai_Lama",424,0, m,\nn000002, "A_Fine_Frenzy",315,1, f,\n'
PICTURES_2 = ("train/n000002/0001_01.jpg", "train/n000002/0002_03.jpg", "test/n000001/0001_01.jpg")


@pytest.mark.parametrize("place", ["", "VGGFace2/data"])
def test_vggface2(tmp_path, place):
    touch(tmp_path / place, *PICTURES_2)
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "identity_meta.csv").write_text(IDENTITIES)
    (tmp_path / "vox2_meta.csv").write_text("VoxCeleb2 ID ,VGGFace2 ID ,Gender ,Set \nid00077 ,n000001 ,m ,dev \n")
    found = vggface2.ADAPTOR.scan(tmp_path, Tables())
    below = f"{place}/" if place else ""
    assert faces(found) == {(path.split("/")[1], below + path, "", "scene") for path in PICTURES_2}
    assert found.people["n000001"] == {
        "identity": "n000001",
        "gender": "m",
        "nationality": "",
        "split": "test",
        "name": "14th Dalai Lama",
        "voxceleb_id": "id00077",
        "vggface_id": "",
        "vggface2_id": "n000001",
    }
    assert found.people["n000002"]["split"] == "train"
    assert found.missing == ["2 of 9,131 people are here"]


def test_vggface2_without_its_table_or_its_folders(tmp_path):
    touch(tmp_path / "with_folder", PICTURES_2[2])
    found = vggface2.ADAPTOR.scan(tmp_path / "with_folder", Tables())
    assert found.people["n000001"]["split"] == "test"
    assert found.missing == [
        "identity_meta.csv is not there, so name, gender stay empty; name it with --metadata",
        "1 of 9,131 people are here",
        "nobody of the train part (8,631 people)",
    ]
    touch(tmp_path / "flat", "n000001/0001_01.jpg", "n000002/0001_01.jpg", "n000002/face.jpg", "samples/a.jpg")
    found = vggface2.ADAPTOR.scan(tmp_path / "flat", Tables())
    assert {row["split"] for row in found.people.values()} == {""}
    assert {path for path, _ in found.passed_over} == {"n000002/face.jpg", "samples/a.jpg"}
    (tmp_path / "flat" / "identity_meta.csv").write_text(IDENTITIES)
    people = vggface2.ADAPTOR.scan(tmp_path / "flat", Tables()).people
    assert {who: row["split"] for who, row in people.items()} == {"n000001": "test", "n000002": "train"}
