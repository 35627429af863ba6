"""Defects to plant in a copy of the tiny dataset, one function each."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from s2f.dataset_check.findings import Finding, Findings
from tests.s2f.tiny_data import write_csv

Row = dict[str, str]
Plant = Callable[[Path], object]


def read(path: Path) -> list[Row]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def change(root: Path, name: str, edit: Callable[[list[Row]], None]) -> None:
    """Rewrite a table after `edit` has changed its rows; new columns are empty elsewhere."""
    rows = read(root / name)
    edit(rows)
    columns = dict.fromkeys(column for row in rows for column in row)
    write_csv(root / name, [dict.fromkeys(columns, "") | row for row in rows])


def put(root: Path, name: str, number: int, **cells: str) -> None:
    change(root, name, lambda rows: rows[number].update(cells))


def add(root: Path, name: str, **cells: str) -> None:
    change(root, name, lambda rows: rows.append(cells))


def drop(root: Path, name: str, identity: str) -> None:
    def edit(rows: list[Row]) -> None:
        rows[:] = [row for row in rows if row["identity"] != identity]

    change(root, name, edit)


def append(path: Path, content: bytes) -> None:
    path.write_bytes(path.read_bytes() + content)


def counted(findings: Findings) -> dict[str, int]:
    return {finding.kind: finding.count for finding in findings.findings}


def one(findings: Findings, kind: str) -> Finding:
    return next(finding for finding in findings.findings if finding.kind == kind)


def no_people(root: Path) -> None:
    (root / "people.csv").unlink()


def no_rows_at_all(root: Path) -> None:
    for name in ("voices.csv", "faces.csv", "landmarks.csv"):
        (root / name).unlink()


def no_path_column(root: Path) -> None:
    text = (root / "voices.csv").read_text().replace("path", "file", 1)
    (root / "voices.csv").write_text(text)


def landmarks_without_a_column(root: Path) -> None:
    change(root, "landmarks.csv", lambda rows: [row.pop("y67") for row in rows])


def byte_order_mark(root: Path) -> None:
    path = root / "faces.csv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())


def latin_1(root: Path) -> None:
    path = root / "people.csv"
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([lines[0] + b",name", *(line + b",Zo\xeb" for line in lines[1:4])]) + b"\n")
    append(path, b"\n".join(line + b",Zoe" for line in lines[4:]) + b"\n")


def unclosed_quote(root: Path) -> None:
    append(root / "faces.csv", b'id0,"' + b"x" * 140000 + b"\n")


def short_and_long_rows(root: Path) -> None:
    path = root / "people.csv"
    lines = path.read_text().splitlines()
    lines[1] += ",what,is,this"
    lines[8] = lines[8].rpartition(",")[0]  # without its split
    path.write_text("\n".join(lines) + "\n")


def garbage(root: Path) -> None:
    (root / "id3.wav").write_bytes(b"RIFF, or is it?" * 50)


def silence(root: Path) -> None:
    soundfile.write(root / "id3.wav", np.zeros(56000), 16000)


def broken_picture(root: Path) -> None:
    path = root / "faces" / "id3_wild.png"
    path.write_bytes(path.read_bytes()[:900])


def same_speaker(root: Path) -> None:
    put(root, "people.csv", 0, speaker="Ann")
    put(root, "people.csv", 1, speaker="Ann")
    put(root, "people.csv", 6, speaker="Ann")


def speaker_named_like_an_identity(root: Path) -> None:
    put(root, "people.csv", 8, speaker="id2")


def copied_voice(source: str, target: str) -> Plant:
    return lambda root: shutil.copyfile(root / f"{source}.wav", root / f"{target}.wav")


def copied_face(source: str, target: str) -> Plant:
    return lambda root: shutil.copyfile(root / "faces" / source, root / "faces" / target)


def face_named_by_two(root: Path) -> None:
    add(root, "faces.csv", identity="id1", path="faces/id0_wild.png", view="wild")


def second_copy(root: Path) -> None:
    copied_face("id0_wild.png", "again.png")(root)
    add(root, "faces.csv", identity="id0", path="faces/again.png", view="wild")


def rows_twice(root: Path) -> None:
    for name in ("voices.csv", "faces.csv", "landmarks.csv"):
        change(root, name, lambda rows: rows.append(dict(rows[0])))


def video_of_two(root: Path) -> None:
    put(root, "voices.csv", 0, video="talk")
    put(root, "faces.csv", 14, video="talk")  # id7


def person(**cells: str) -> Plant:
    return lambda root: add(root, "people.csv", identity="id9", split="train", **cells)


def outside(root: Path) -> None:
    shutil.move(root / "id3.wav", root.parent / "id3.wav")
    put(root, "voices.csv", 3, path="faces/../../id3.wav")


def absolute(root: Path) -> None:
    put(root, "voices.csv", 3, path=str(root / "id3.wav"))


def lower_picture(root: Path) -> None:
    Image.effect_noise((64, 48), 50).convert("RGB").save(root / "faces" / "id3_wild.png")


def extra_landmark_column(root: Path) -> None:
    change(root, "landmarks.csv", lambda rows: [row.update(view="1") for row in rows])


def without(*names: str) -> Plant:
    return lambda root: [(root / name).unlink() for name in names]


def no_splits(root: Path) -> None:
    change(root, "people.csv", lambda rows: [row.pop("split") for row in rows])


def people_of(*splits: str) -> Plant:
    """Take the split away from everybody else."""
    return lambda root: change(
        root, "people.csv", lambda rows: [row.update(split="") for row in rows if row["split"] not in splits]
    )


def one_of_train(root: Path) -> None:
    people_of("val")(root)
    put(root, "people.csv", 0, split="train")
    (root / "voices.csv").unlink()


def voices_and_truth(root: Path) -> None:
    without("faces.csv", "landmarks.csv")(root)
    write_csv(root / "truth.csv", [{"identity": "id8", "voice_gender": "f"}])


def damage(root: Path) -> None:
    """Plant many defects at once; each kind of table loses something."""
    for plant in (copied_voice("id0", "id6"), copied_voice("id4", "id5"), second_copy, video_of_two, same_speaker):
        plant(root)
    for plant in (lower_picture, person(gender="?"), face_named_by_two):
        plant(root)
    (root / "faces" / "id2_wild.png").unlink()
    add(root, "voices.csv", identity="nobody", path="missing/" + "long" * 40 + "\x1b[31m.wav", quality="clipped")
    add(root, "people.csv", identity="id10", split="dev", nationality="Côte d'Ivoire, or so", language="français")
