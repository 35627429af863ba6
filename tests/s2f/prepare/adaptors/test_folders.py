"""Folders of one's own: by people's folders, and by tables."""

import pytest

from s2f.errors import DatasetError
from s2f.prepare.adaptors import folders
from s2f.prepare.sources.found import Tables
from tests.s2f.prepare.cast import CAST
from tests.s2f.prepare.empty_trees import touch
from tests.s2f.prepare.scans import faces, genders, scan, splits, voices
from tests.s2f.prepare.trees import FOLDER_NAMES, write_lines


def test_folders_find_films_recordings_and_pictures(trees):
    sources = scan("folders", trees("folders"))
    film, sound, picture = "talk/Clip.MP4", "voice.wav", "Portrait.PNG"
    assert voices(sources) == sorted(
        (name, f"{name}/{path}", video, 0.0, None)
        for name in FOLDER_NAMES
        for path, video in ((film, "talk"), (sound, ""))
    )
    assert faces(sources) == sorted(
        (name, f"{name}/{path}", video, "scene")
        for name in FOLDER_NAMES
        for path, video in ((film, "talk"), (picture, ""))
    )
    assert genders(sources) == {FOLDER_NAMES[who.number]: who.gender for who in CAST}
    assert {row["note"] for row in sources.people.values()} == {f"row {who.number}" for who in CAST}
    assert sources.missing == []


def test_folders_match_names_in_either_unicode_form(tmp_path):
    touch(tmp_path, "Zoe\u0308/a.wav", "Re\u0301a/a.wav")
    write_lines(
        tmp_path / "people.csv", "identity,gender,split", "Zo\u00eb,F,test", "Re\u0301a,male,", "Nobody,f,train"
    )
    sources = scan("folders", tmp_path)
    assert genders(sources) == {"Re\u0301a": "m", "Zoe\u0308": "f"}
    assert splits(sources) == {"Re\u0301a": "", "Zoe\u0308": "test"}
    assert sources.missing == ["1 people of people.csv have no files, first Nobody"]


def test_folders_read_no_table_above_them(tmp_path):
    touch(tmp_path, "root/Ann/a.wav")
    for name in ("people.csv", "voices.csv"):
        write_lines(tmp_path / name, "identity,path,gender", "Ann,x.wav,f")
    sources = folders.scan(tmp_path / "root", Tables((), (tmp_path / "root", tmp_path)))
    assert sources.people == {"Ann": {"identity": "Ann"}}
    assert [voice.path for voice in sources.voices] == ["Ann/a.wav"]


def test_folders_pass_over_what_belongs_to_nobody(tmp_path):
    touch(tmp_path, "loose.wav", "loose.mp4", "loose.jpg", "notes.txt", "Ann/a.wav", "Ann/notes.txt", "Ann/film.mov")
    touch(tmp_path, ".git/x.wav", "__MACOSX/Ann/a.wav", "Ann/.hidden.wav", "Empty/notes.txt", "Ann/a/b/c.OPUS")
    sources = scan("folders", tmp_path)
    assert voices(sources) == [
        ("Ann", "Ann/a.wav", "", 0.0, None),
        ("Ann", "Ann/a/b/c.OPUS", "a/b", 0.0, None),
        ("Ann", "Ann/film.mov", "film", 0.0, None),
    ]
    assert faces(sources) == [("Ann", "Ann/film.mov", "film", "scene")]
    assert [path for path, _ in sources.passed_over] == ["loose.jpg", "loose.mp4", "loose.wav"]
    assert list(sources.people) == ["Ann"]


def test_folders_take_exactly_what_the_tables_list(tmp_path):
    root = tmp_path / "root"
    touch(root, "a/1.wav", "a/2.wav", "b/f.mp4", "p/1.jpg", "p/2.png", "p/3.jpg", "a/x.txt")
    touch(tmp_path, "outside.wav")
    write_lines(
        root / "voices.csv",
        *(
            "path,identity,start_s,duration_s,video,mood,quality",
            "a/1.wav,Ann,1.5,2,v1,glad,clipped",
            "b/f.mp4,Bob,,,,,",
        ),
        *("a/9.wav,Ann,,,,,", "../outside.wav,Ann,,,,,", f"{root}/a/2.wav,Ann,0,0,,,", "a/x.txt,Ann,,,,,"),
    )
    tables = tmp_path / "tables"
    write_lines(
        tables / "faces.csv",
        *("identity,path,video,frame_s,left,top,right,bottom,view", "Ann,p/1.jpg,v1,3.5,10,20,110,120.5,wild"),
        *("Ann,p/2.png,,,,,,,canonical", "Bob,b/f.mp4,v2,,,,,,", "Bob,p/../../outside.wav,,,,,,,"),
    )
    write_lines(tables / "people.csv", "identity,gender,age", "Ann,f,30")
    sources = scan("folders", root, tables)
    assert voices(sources) == [
        ("Ann", "a/1.wav", "v1", 1.5, 3.5),
        ("Ann", "a/2.wav", "", 0.0, None),
        ("Bob", "b/f.mp4", "", 0.0, None),
    ]
    assert [voice.columns for voice in sources.voices] == [{"mood": "glad"}, {"mood": ""}, {"mood": ""}]
    assert [(one.path, one.framing, one.box, one.frame_s, one.video) for one in sources.faces] == [
        ("p/1.jpg", "scene", (10.0, 20.0, 110.0, 120.5), 3.5, "v1"),
        ("p/2.png", "crop", None, None, ""),
        ("b/f.mp4", "scene", None, None, "v2"),
    ]
    assert dict(sources.passed_over).keys() == {"a/9.wav", "../outside.wav", "a/x.txt", "p/../../outside.wav"}
    assert "leads out of the folder" in dict(sources.passed_over)["../outside.wav"]
    assert sources.people == {"Ann": {"identity": "Ann", "gender": "f", "age": "30"}, "Bob": {"identity": "Bob"}}
    assert sources.missing == ["people.csv does not name 1 of the people, first Bob"]


def test_folders_with_one_table_take_the_rest_from_the_folders(tmp_path):
    touch(tmp_path, "Ann/a.wav", "Ann/b.wav", "Ann/f.mp4", "Ann/p.jpg")
    write_lines(tmp_path / "voices.csv", "identity,path", "Ann,Ann/b.wav")
    sources = scan("folders", tmp_path)
    assert [voice.path for voice in sources.voices] == ["Ann/b.wav"]
    assert [face.path for face in sources.faces] == ["Ann/f.mp4", "Ann/p.jpg"]
    (tmp_path / "voices.csv").rename(tmp_path / "faces.csv")
    write_lines(tmp_path / "faces.csv", "identity,path", "Ann,Ann/p.jpg")
    sources = scan("folders", tmp_path)
    assert [voice.path for voice in sources.voices] == ["Ann/a.wav", "Ann/b.wav", "Ann/f.mp4"]
    assert [(face.path, face.framing) for face in sources.faces] == [("Ann/p.jpg", "crop")]


@pytest.mark.parametrize(
    ("table", "header", "line"),
    [
        ("people.csv", "identity,gender", "Ann,x"),
        ("people.csv", "identity,split", "Ann,dev"),
        ("people.csv", "identity,split", "Bob,"),
        ("people.csv", "identity,gender", ",f"),
        ("voices.csv", "identity,path", "Ann,"),
        ("voices.csv", "identity,path,start_s", "Ann,Ann/a.wav,-1"),
        ("voices.csv", "identity,path,start_s", "Ann,Ann/a.wav,soon"),
        ("faces.csv", "identity,path,left,top,right,bottom", "Ann,Ann/p.jpg,1,2,3,"),
        ("faces.csv", "identity,path,left,top,right,bottom", "Ann,Ann/p.jpg,3,2,1,4"),
        ("faces.csv", "identity,path,left,top,right,bottom", "Ann,Ann/p.jpg,1,nan,3,4"),
        ("faces.csv", "identity,path", "Ann"),
    ],
)
def test_folders_damaged_table(tmp_path, table, header, line):
    touch(tmp_path, "Ann/a.wav", "Ann/p.jpg", "Bob/b.wav")
    good = {"people.csv": "Bob", "voices.csv": "Bob,Bob/b.wav", "faces.csv": "Ann,Ann/p.jpg"}[table]
    filler = "," * (header.count(",") - good.count(","))
    write_lines(tmp_path / table, header, good + filler, line)
    with pytest.raises(DatasetError, match=rf"in line 3 of .*{table}; "):
        scan("folders", tmp_path)
