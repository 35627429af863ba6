"""The published tables, as they are published and as they are after a spreadsheet."""

import pytest

from s2f.errors import DatasetError
from s2f.prepare.sources.found import Tables
from s2f.prepare.sources.people_tables import HQ_VOX2, VGGFACE2, VOX1, VOX2, compatible, complete, keys, name_key

AAMIR = {
    "voxceleb_id": "id10003",
    "vggface_id": "Aamir_Khan",
    "gender": "m",
    "nationality": "India",
    "split": "train",
    "name": "Aamir Khan",
}
EARTHA = {
    "voxceleb_id": "id10270",
    "vggface_id": "Eartha_Kitt",
    "gender": "f",
    "nationality": "New Zealand",
    "split": "test",
    "name": "Eartha Kitt",
}
TAB = "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\nid10003\tAamir_Khan\tm\tIndia\tdev\n"
TAB += "id10270\tEartha_Kitt\tf\tNew Zealand\ttest\n"
WEN = TAB.replace("VoxCeleb1 ID", "VoxCeleb1_ID").replace("VGGFace1 ID", "VGGFace1_ID").replace("\t", ",")


@pytest.mark.parametrize(
    "content",
    [
        TAB.encode(),
        ("\ufeff" + TAB.replace("\n", "\r\n") + "\r\n").encode(),
        WEN.encode(),
        WEN.replace(",", " , ").upper().replace("AAMIR_KHAN", "Aamir_Khan").encode(),
        TAB.rstrip("\n").encode(),
    ],
    ids=["tabs", "bom and crlf", "commas and underscores", "blanks and capitals", "no last line end"],
)
def test_vox1_meta_in_every_dress(tmp_path, content):
    path = tmp_path / "vox1_meta.csv"
    path.write_bytes(content)
    first, second = VOX1.read(path)
    if content.isupper() or b"EARTHA" in content:
        assert (first["voxceleb_id"].lower(), first["gender"], first["split"]) == ("id10003", "m", "train")
        assert (second["gender"], second["split"]) == ("f", "test")
    else:
        assert [first, second] == [AAMIR, EARTHA]


def test_someone_wen_left_out_has_no_own_split(tmp_path):
    path = tmp_path / "vox1_val.csv"
    path.write_text(WEN.replace("India,dev", "India,none"))
    assert [row["split"] for row in VOX1.read(path)] == ["", "test"]


@pytest.mark.parametrize("between", [" ,", "\t", ","])
def test_vox2_meta(tmp_path, between):
    lines = [("VoxCeleb2 ID", "VGGFace2 ID", "Gender", "Set"), ("id00134", "n000140", "f", "dev")]
    lines.append(("id00017", "n000017", "m", "test"))
    path = tmp_path / "vox2_meta.csv"
    path.write_bytes(("\ufeff" + "".join(between.join(cells) + " \r\n" for cells in lines)).encode())
    assert VOX2.read(path) == [
        {"voxceleb_id": "id00134", "vggface2_id": "n000140", "gender": "f", "split": "train"},
        {"voxceleb_id": "id00017", "vggface2_id": "n000017", "gender": "m", "split": "test"},
    ]


def test_identity_meta(tmp_path):
    path = tmp_path / "identity_meta.csv"
    lines = ["Class_ID, Name, Sample_Num, Flag, Gender", 'n000001, "14th_Dalai_Lama",424,0, m,']
    lines += ['n000023, "Smith,_John_Jr.", 9, 1, f', 'n000040," ""Aco_Petrović""",180,0, m']
    path.write_text("\ufeff" + "\n".join(lines), encoding="utf-8")
    rows = VGGFACE2.read(path)
    assert [row["name"] for row in rows] == ["14th Dalai Lama", "Smith, John Jr.", "Aco Petrović"]
    assert [row["vggface2_id"] for row in rows] == ["n000001", "n000023", "n000040"]
    assert [(row["split"], row["gender"]) for row in rows] == [("test", "m"), ("train", "f"), ("test", "m")]


def test_full_vox2_meta_keeps_its_order(tmp_path):
    path = tmp_path / "full_vox2_meta.csv"
    header = "Class_ID,Name,Sample_Num,Flag,Gender_x,VoxCeleb2ID,VGGFace2ID,Gender_y,Set"
    people = [
        "n000140,Ai-Ai_de_las_Alas,446,1,f,id00134,n000140,f,dev",
        "n000012,Aaron_Ashmore,382,1,m,id00012,n000012,m,dev",
    ]
    path.write_text("\n".join([header, *people]))
    first, second = HQ_VOX2.read(path)
    assert first == {
        "voxceleb_id": "id00134",
        "vggface2_id": "n000140",
        "name": "Ai-Ai de las Alas",
        "gender": "f",
        "split": "train",
    }
    assert second["name"] == "Aaron Ashmore"
    assert VOX2.read(path) == [first, second]


@pytest.mark.parametrize(
    ("content", "line", "found"),
    [
        ("", 1, "nobody"),
        (TAB.partition("\n")[0], 1, "nobody"),
        (TAB.replace("VGGFace1 ID", "Name"), 1, "'VoxCeleb1 ID', 'Name'"),
        (TAB.partition("\n")[2], 1, "id10003"),
        (TAB.replace("id10270", ""), 3, "Eartha_Kitt"),
        (TAB.replace("\tf\t", "\twoman\t"), 3, "woman"),
        (TAB.replace("\ttest", "\tlater"), 3, "later"),
    ],
)
def test_a_damaged_table_is_named_with_line_and_content(tmp_path, content, line, found):
    path = tmp_path / "vox1_meta.csv"
    path.write_text(content)
    with pytest.raises(DatasetError) as caught:
        VOX1.read(path)
    assert f"line {line} of {path}" in str(caught.value)
    assert found in caught.value.got


def test_a_table_that_is_no_text_is_named(tmp_path):
    path = tmp_path / "vox1_meta.csv"
    path.write_bytes(TAB.encode() + b"id10019\tAl\xe9\tm\tUSA\tdev\n")
    with pytest.raises(DatasetError, match=f"line 4 of {path}"):
        VOX1.read(path)


def test_tables_are_found_by_name_alone(tmp_path):
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "VOX1_Meta.csv").write_text(TAB)
    assert VOX1.find(Tables()) == []
    assert VOX1.find(Tables(folders=(tmp_path / "meta",))) == [AAMIR, EARTHA]
    assert VOX1.find(Tables((tmp_path / "meta" / "VOX1_Meta.csv",))) == [AAMIR, EARTHA]
    with pytest.raises(DatasetError, match="check the spelling"):
        VOX1.find(Tables((tmp_path / "nowhere.csv",)))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("A.J._Buckley", "A._J._Buckley", True),
        ("Harry_Connick_Jr.", "harry connick jr", True),
        (" Zoë_Yew ", "Zoe\u0308 Yew", True),
        ("Alex_O'Loughlin", "Alex_OLoughlin", True),
        ("Zoë_Yew", "Zoe_Yew", False),
        ("Kate_Mara", "Rooney_Mara", False),
        ("रवि", "रव", False),
        ("???", "!!!", False),
    ],
)
def test_what_makes_two_names_the_same(one, other, same):
    assert (name_key(one) == name_key(other)) is same


def test_an_id_of_vggface_is_also_a_name():
    row = {"voxceleb_id": "ID10001", "vggface_id": "A.J._Buckley", "name": "A.J. Buckley"}
    expected = [("voxceleb_id", "id10001"), ("vggface_id", "ajbuckley"), ("name", "ajbuckley")]
    assert keys(row) == expected
    assert keys({"name": "A.J. Buckley", "vggface2_id": ""}) == [("name", "ajbuckley")]


def test_people_are_filled_from_one_table_after_the_other():
    people = [{"identity": "id00012", "voxceleb_id": "id00012", "gender": "", "split": "val"}]
    second = [{"vggface2_id": "n000012", "name": "Aaron Ashmore", "gender": "f"}]
    complete(people, [{"voxceleb_id": "id00012", "vggface2_id": "n000012", "gender": "m", "split": "train"}], second)
    assert people == [
        {
            "identity": "id00012",
            "voxceleb_id": "id00012",
            "vggface2_id": "n000012",
            "gender": "m",
            "split": "val",
            "name": "Aaron Ashmore",
        }
    ]


def test_a_name_two_people_bear_fills_nothing_but_an_id_does():
    namesakes = [
        {"vggface2_id": "n000001", "name": "Kevin Smith", "gender": "m"},
        {"vggface2_id": "n000002", "name": "Kevin_Smith", "gender": "f"},
    ]
    by_name, by_id = {"identity": "a", "name": "Kevin Smith"}, {"identity": "b", "vggface2_id": "n000002"}
    complete([by_name, by_id], namesakes)
    assert by_name == {"identity": "a", "name": "Kevin Smith"}
    assert (by_id["name"], by_id["gender"]) == ("Kevin_Smith", "f")


def test_people_with_another_id_are_other_people():
    other = {"voxceleb_id": "id10643", "name": "Kevin Smith"}
    assert not compatible(other, {"voxceleb_id": "id10644", "name": "Kevin Smith"})
    assert compatible(other, {"voxceleb_id": "", "name": "Kevin Smith"})
    assert compatible(other, {"voxceleb_id": "ID10643", "name": "Kevin C. Smith"})
    assert not compatible({"vggface2_id": "n000001"}, {"vggface2_id": "n000002"})
    complete([other], [{"voxceleb_id": "id10644", "name": "Kevin Smith", "nationality": "USA"}])
    assert "nationality" not in other


def test_someone_may_be_in_both_voxcelebs():
    second = {"voxceleb_id": "id00154", "vggface2_id": "n000154", "name": "Ajay Devgan", "nationality": ""}
    assert compatible(second, {"voxceleb_id": "id10017", "name": "Ajay Devgan"})
    assert not compatible(second, {"voxceleb_id": "id00155", "name": "Ajay Devgan"})
    complete([second], [{"voxceleb_id": "id10017", "name": "Ajay Devgan", "nationality": "India"}])
    assert (second["voxceleb_id"], second["nationality"]) == ("id00154", "India")
