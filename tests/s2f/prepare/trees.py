"""Tiny copies of every dataset that `s2f prepare` reads, laid out as the published ones, with their tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.s2f.prepare.cast import (
    CAST,
    OTHERS,
    SECONDS,
    Person,
    close_up,
    face,
    scene,
    write_film,
    write_picture,
    write_sound,
)

# --- tables ---------------------------------------------------------------------------------------------------------


def write_lines(path: Path, *lines: str, end: str = "\n", bom: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(line + end for line in lines)
    path.write_bytes(text.encode("utf-8-sig" if bom else "utf-8"))


def vox1_meta(folder: Path) -> None:
    rows = [f"{who.voxceleb1}\t{who.name}\t{who.gender}\tUSA\t{_vox1_set(who)}" for who in CAST]
    write_lines(folder / "vox1_meta.csv", "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet", *rows)


def vox2_meta(folder: Path) -> None:
    rows = [f"{who.voxceleb2} ,{who.vggface2} ,{who.gender} ,{_set(who)} " for who in CAST]
    write_lines(folder / "vox2_meta.csv", "VoxCeleb2 ID ,VGGFace2 ID ,Gender ,Set ", *rows, end="\r\n", bom=True)


def full_vox2_meta(folder: Path, people: Sequence[Person]) -> None:
    header = "Class_ID,Name,Sample_Num,Flag,Gender_x,VoxCeleb2ID,VGGFace2ID,Gender_y,Set"
    rows = [
        f"{who.vggface2},{who.name},9,1,{who.gender},{who.voxceleb2},{who.vggface2},{who.gender},{_set(who)}"
        for who in people
    ]
    write_lines(folder / "full_vox2_meta.csv", header, *rows)


def identity_meta(folder: Path) -> None:
    rows = [f'{who.vggface2}, "{who.name}", 2, {int(_set(who) == "dev")}, {who.gender},' for who in CAST]
    write_lines(folder / "identity_meta.csv", "Class_ID, Name, Sample_Num, Flag, Gender", *rows)


def _set(person: Person) -> str:
    return "dev" if person.number < 7 else "test"


def _vox1_set(person: Person) -> str:
    return "test" if person.name.startswith("E") else "dev"


# --- trees: each writes below `root`, which is to be given to `s2f prepare` ------------------------------------------


def voxceleb1(root: Path) -> Path:
    """Release 1.1: two clips of everybody, from one video."""
    for who in CAST:
        for take in (1, 2):
            write_sound(root / "wav" / who.voxceleb1 / who.youtube / f"{take:05d}.wav", who, take)
    vox1_meta(root)
    return root


def voxceleb1_old(root: Path) -> Path:
    """First release: by name."""
    for who in CAST:
        write_sound(root / who.name / f"{who.youtube}_0000001.wav", who, 1)
    vox1_meta(root)
    return root


def voxceleb1_faces(root: Path) -> Path:
    """Two pictures of everybody, one of them from the video of `voxceleb1`."""
    for who in CAST:
        for take, video in ((0, who.youtube), (1, "0ther-v1de0")):
            path = root / "unzippedFaces" / who.name / "1.6" / video / f"{375 + 25 * take:07d}.jpg"
            write_picture(path, close_up(who, take, 180))
    vox1_meta(root)
    return root


def voxceleb2(root: Path) -> Path:
    """Sound and a film of everybody, the last two people in test."""
    for who in CAST:
        place, clip = root / _set(who), f"{who.voxceleb2}/{who.youtube}/00001"
        write_film(place / "aac" / f"{clip}.m4a", who)
        write_film(place / "mp4" / f"{clip}.mp4", who, picture=face(who))
    vox2_meta(root)
    identity_meta(root)
    return root


def vggface(root: Path) -> Path:
    """Pictures as they were on the web."""
    for who in CAST:
        for take in (0, 1):
            write_picture(root / who.name / f"{take + 1:08d}.jpg", scene(who, take, (400, 300)))
    vox1_meta(root)
    return root


def vgg_all_frontal(root: Path) -> Path:
    """Aligned faces."""
    for who in CAST:
        for take in (0, 1):
            write_picture(root / "VGG_ALL_FRONTAL" / who.name / f"{819 + take:08d}.jpg", close_up(who, take, 128))
    vox1_meta(root)
    return root


def vggface2(root: Path) -> Path:
    """Loose crops, the last two people in test."""
    for who in CAST:
        part = "train" if _set(who) == "dev" else "test"
        for take in (0, 1):
            path = root / part / who.vggface2 / f"{take + 1:04d}_01.jpg"
            write_picture(path, scene(who, take, (260, 280)))
    identity_meta(root / "meta")
    return root


def hq_voxceleb(root: Path) -> Path:
    """The cast in vox1, one with a masked picture only, and two others in vox2."""
    for who in (*CAST, *OTHERS):
        half, kind = "vox1" if who in CAST else "vox2", "masked" if who.number == 2 else "origin"
        write_picture(root / half / f"{kind}_faces" / who.name / "0001_01.jpg", face(who, 0, 256))
    vox1_meta(root)
    full_vox2_meta(root / "meta_info", OTHERS)
    return root


def mav_celeb(root: Path) -> Path:
    """v1 with the folders of videos (seven people), v3 without (two), and a folder of the nameless test set."""
    for who in CAST:
        version, languages = ("v1", ("English", "Urdu")) if who.number < 7 else ("v3", ("English", "German"))
        for take, language in enumerate(languages):
            video = f"{language[0]}{who.youtube[1:]}/" if version == "v1" else ""
            place = f"id{who.number + 1:04d}/{language}/{video}"
            write_sound(root / version / "voices" / f"{place}00000.wav", who, take)
            write_picture(root / version / "faces" / f"{place}0010125.jpg", close_up(who, take, 160))
    for number, who in enumerate(CAST[:2]):
        write_sound(root / "mavceleb_v1_test" / "voices" / "English" / f"{number:05d}.wav", who)
        write_picture(root / "mavceleb_v1_test" / "faces" / "English" / f"{number:05d}.jpg", close_up(who, 0, 160))
    for version in ("v1", "v3"):
        rows = [f"id{who.number + 1:04d},{who.name.replace('_', ' ')},{who.sex}" for who in CAST]
        write_lines(root / f"{version}_meta.csv", "ids,name,gender", *rows, end="\r\n", bom=True)
    return root


AVSPEECH_TIMES = (  # as the list has them, and as downloaders write them into names
    ("12.000000", "15.500000", "12.0_15.5"),
    ("90.000000", "93.566667", "90.000000_93.566667"),
    ("7.000000", "10.000000", "7_10"),
    ("30.030000", "33.500000", "030.030000-033.500000"),
    ("0.000000", "3.500000", "0.0_3.5"),
    ("101.234567", "104.700000", "101.23_104.70"),
    ("8.500000", "12.000000", "000008.500000_000012.000000"),
    ("4.000000", "7.500000", "4.00_7.50"),
    ("0.250000", "3.500000", ""),  # the whole video
)


def avspeech(root: Path) -> Path:
    """A clip of everybody, the last two people in test; one is a whole video, and there are clips nobody lists."""
    lists: dict[str, list[str]] = {"train": [], "test": []}
    for who, (start, end, written) in zip(CAST, AVSPEECH_TIMES, strict=True):
        part = "test" if who.number in (1, 8) else "train"
        lists[part] += [f"{who.youtube},{start},{end},0.500000,0.510000", f"n0t-h3re_{who.number:02d},1.0,5.0,0.3,0.2"]
        path = root / part / f"{'_'.join(filter(None, (who.youtube, written)))}.mp4"
        write_film(path, who, seconds=1.0 if written else SECONDS)
    write_sound(root / "train" / f"{CAST[0].youtube}_60_63.5.wav", CAST[0], 1, 44100, channels=2)
    lists["train"].append(f"{CAST[0].youtube},60.000000,63.500000,0.25,0.5")
    write_sound(root / "train" / f"{CAST[0].youtube}_70.0_73.5.wav", CAST[0], 2)
    write_sound(root / "train" / "holiday.wav", CAST[0], 2)
    for part, lines in lists.items():
        write_lines(root / f"avspeech_{part}.csv", *lines, end="\r\n" if part == "test" else "\n")
    return root


def crema_d(root: Path) -> Path:
    """A clip of everybody; one has no sound file, one a second clip with the misspelt name that one file has."""
    for who in CAST:
        actor = 1001 + who.number
        if who.number != 8:
            write_sound(root / "AudioWAV" / f"{actor}_DFA_ANG_XX.wav", who)
        write_film(root / "VideoFlash" / f"{actor}_DFA_ANG_XX.flv", who)
    write_sound(root / "AudioWAV" / "1004_ITH_SAD_X.wav", CAST[3], 1)
    write_film(root / "VideoFlash" / "1004_ITH_SAD_XX.flv", CAST[3], 1)
    rows = [f'{1001 + who.number},{20 + who.number},"{who.sex}","Caucasian","Not Hispanic"' for who in CAST]
    rows[1] = '1002,42,"Male","Unknown","Hispanic"'
    rows[2] = '1003,58,"Female","African American","Not Hispanic"'
    write_lines(root / "VideoDemographics.csv", '"ActorID","Age","Sex","Race","Ethnicity"', *rows)
    return root


def librispeech(root: Path) -> Path:
    """Two utterances of everybody: five people in train, two each in dev and test."""
    home, rows = root / "LibriSpeech", []
    for who in CAST:
        subset = ("train-clean-100", "dev-clean", "test-clean")[(who.number >= 5) + (who.number >= 7)]
        speaker, chapter = 20 + who.number, 1000 + who.number
        for take in (0, 1):
            write_sound(home / subset / f"{speaker}/{chapter}/{speaker}-{chapter}-{take:04d}.flac", who, take)
        name = "|CBW|Simon" if who.number == 1 else who.name.replace("_", " ")
        rows.append(f"{speaker:<4} | {who.gender.upper()} | {subset:<16} | 25.03 | {name}")
    head = ("; Some pipe(|) separated metadata", ";", ";ID  |SEX| SUBSET           |MINUTES| NAME")
    write_lines(home / "SPEAKERS.TXT", *head, *rows)
    return root


def folders(root: Path, names: Callable[[Person], str] = lambda who: FOLDER_NAMES[who.number]) -> Path:
    """A film, a recording and a picture of everybody, in folders with difficult names; people.csv knows genders."""
    for who in CAST:
        place = root / names(who)
        write_film(place / "talk" / "Clip.MP4", who)
        write_sound(place / "voice.wav", who, 1, 44100, channels=2)
        write_picture(place / "Portrait.PNG", scene(who, 1, (400, 300)))
    table = io.StringIO()
    rows = [(names(who), who.gender, 30 + who.number, f"row {who.number}") for who in CAST]
    csv.writer(table, lineterminator="\r\n").writerows([("identity", "gender", "age", "note"), *rows])
    write_lines(root / "people.csv", table.getvalue(), end="", bom=True)
    return root


FOLDER_NAMES = (
    "Ada Alder",
    'Bo "B." Birch',
    "C. O'Cedar",
    "Дирк",
    "Fay, Fir",
    "Gus;Gum",
    "花 Hazel",
    "ivo",
    "Zoe\u0308 Yew",
)
TREES: dict[str, Callable[[Path], Path]] = {
    tree.__name__: tree
    for tree in (
        *(voxceleb1, voxceleb1_old, voxceleb1_faces, voxceleb2, vggface, vgg_all_frontal, vggface2, hq_voxceleb),
        *(mav_celeb, avspeech, crema_d, librispeech, folders),
    )
}
