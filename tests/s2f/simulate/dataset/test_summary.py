"""The page and the contact sheet of a simulated dataset, on a tiny made-up folder."""

import base64
import csv
import json
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from s2f.errors import DatasetError, ImageError
from s2f.simulate.dataset.contact_sheet import GAP_PX, PER_ROW, SHOWN, SIDE_PX
from s2f.simulate.dataset.histograms import COLOURS, draw, histogram
from s2f.simulate.dataset.summary import write_summary

STEP = SIDE_PX + GAP_PX
SVG = "data:image/svg+xml;base64,"
DASH = "\N{EN DASH}"
NASTY = "<script>alert('x')</script>&\""


def write_csv(path, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def person(k):
    """Gender, age and class of number k; the grey level of its picture tells the number."""
    return "fm"[k % 2], 5 + k, ("child", "adult", "elder")[k // 20]


def write_folder(folder, people=60, pictures=True, statement="All synthetic."):
    folder.mkdir()
    known, truth = [], []
    for k in range(people):
        gender, age, age_class = person(k)
        identity = f"id{k:05d}"
        known.append({"identity": identity, "gender": gender, "age": age, "split": ("train", "test")[k >= 50]})
        voice = {"voice_gender": gender, "voice_age_class": age_class, "voice_age_years": age}
        sound = {"voice_f0_hz": 100 + k, "voice_tract_cm": 14 + k / 20}
        truth.append({"identity": identity, "gender": gender, "age_years": age} | voice | sound)
        if pictures:
            (folder / "canonical").mkdir(exist_ok=True)
            Image.new("RGB", (16, 16), (k * 4,) * 3).save(folder / "canonical" / f"{identity}.png")
    write_csv(folder / "people.csv", known)
    write_csv(folder / "truth.csv", truth)
    dataset = {
        "s2f": "0.1.0",
        "seed": 3,
        "identities": people,
        "views": 0,
        "split_hash": "ab12",
        "statement": statement,
    }
    (folder / "dataset.json").write_text(json.dumps(dataset))
    (folder / "config.json").write_text(
        json.dumps({"canonical_size_px": 16, "voices_hash": "cafe", "sharing": {"age": 5e-4}})
    )
    correlation = {"measure": "nose_width", "planted": 0.3517, "latents": 0.3426, "mesh": None, "n": 3001}
    ideal = {
        "metric": "accuracy",
        "group": "G",
        "params": {"n_way": 10, "split": "val"},
        "value": 0.8874,
        "chance": 0.1,
        "n": 643,
    }
    recall = {
        "metric": "recall",
        "group": "U",
        "params": {"k": 1},
        "value": 0.05,
        "chance": math.nan,
        "n": 643,
        "direction": "f2v",
    }
    population = {"correlations": [correlation], "ideal": [ideal, recall]}
    (folder / "population.json").write_text(json.dumps(population))
    return folder


class Page(HTMLParser):
    """Checks that tags nest; collects tags, attributes and table rows."""

    VOID = ("meta", "img")

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.links, self.rows = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("src", "href", "xlink:href", "srcset")]
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1].append(data)


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "data")


def page_of(folder):
    write_summary(folder)
    return (folder / "summary.html").read_text(encoding="utf-8")


def test_page_is_one_wellformed_file_that_asks_for_nothing(folder):
    text = page_of(folder)
    page = Page(text)
    assert not re.search(r"https?://|url\(|@import", text)
    assert "script" not in page.tags
    assert len(page.links) == 1 + 3 * 4  # the sheet and the histograms
    assert all(link.startswith("data:image/") for link in page.links)
    (sheet,) = (link for link in page.links if not link.startswith(SVG))
    kind, _, encoded = sheet.partition(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(encoded) == (folder / "contact_sheet.png").read_bytes()
    assert "width=device-width" in text
    assert "prefers-color-scheme" in text


def test_numbers_stand_on_the_page(folder):
    text = page_of(folder)
    rows = Page(text).rows
    assert ["female", "child", "10", "0", "10"] in rows
    assert ["male", "elder", "5", "5", "10"] in rows
    assert ["all", "50", "10", "60"] in rows  # the empty cell carries no data
    assert [row[1] for row in rows[1:4]] == ["child", "adult", "elder"]  # in order of age, not of the alphabet
    assert ["nose width", "0.352", "0.343", DASH, "3001"] in rows
    assert ["matching 1:10", DASH, "within gender", "0.887", "0.100", "643"] in rows
    assert ["R@1", "face to voice", "everybody", "0.050", DASH, "643"] in rows
    assert ["voices hash", "cafe"] in rows
    assert ["sharing, age", "0.0005"] in rows
    assert ["seed", "3"] in rows
    assert "All synthetic." in text
    assert "Measured on val people." in text
    assert text.count(SVG) == 3 * 4  # everybody and three classes, for three quantities


def test_same_folder_same_bytes(folder, tmp_path):
    first = page_of(folder), (folder / "contact_sheet.png").read_bytes()
    assert (page_of(folder), (folder / "contact_sheet.png").read_bytes()) == first
    other = write_folder(tmp_path / "elsewhere")
    assert (page_of(other), (other / "contact_sheet.png").read_bytes()) == first


def test_everything_is_escaped(tmp_path):
    folder = write_folder(tmp_path / "data", people=4, statement=NASTY)
    (folder / "config.json").write_text(json.dumps({NASTY: NASTY}))
    rows = list(csv.DictReader((folder / "truth.csv").open()))
    write_csv(folder / "truth.csv", [row | {"gender": NASTY, "voice_age_class": NASTY} for row in rows])
    row = {
        "measure": NASTY,
        "metric": NASTY,
        "group": NASTY,
        "direction": NASTY,
        "params": {NASTY: NASTY},
        "planted": NASTY,
    }
    (folder / "population.json").write_text(json.dumps({"correlations": [row], "ideal": [row]}))
    text = page_of(folder)
    assert "script" not in Page(text).tags
    assert "<script" not in text
    assert text.count("&lt;script&gt;") >= 8


def test_sheet_shows_a_choice_ordered_by_gender_and_age(folder):
    write_summary(folder)
    with Image.open(folder / "contact_sheet.png") as sheet:
        assert sheet.size == (PER_ROW * STEP + GAP_PX, SHOWN // PER_ROW * STEP + GAP_PX)
        assert sheet.text["synthetic"] == "true"
        assert "nobody" in sheet.text["note"]
        pixels = np.asarray(sheet)[GAP_PX + SIDE_PX // 2 :: STEP, GAP_PX + SIDE_PX // 2 :: STEP, 0]
    numbers = (pixels.ravel() // 4).tolist()
    assert len(set(numbers)) == SHOWN
    assert numbers == sorted(numbers, key=lambda k: person(k)[:2])
    dataset = json.loads((folder / "dataset.json").read_text())
    before = (folder / "contact_sheet.png").read_bytes()
    (folder / "dataset.json").write_text(json.dumps(dataset | {"seed": 4}))
    write_summary(folder)
    assert (folder / "contact_sheet.png").read_bytes() != before  # another seed chooses other people


def test_few_people_make_a_small_sheet(tmp_path):
    write_summary(write_folder(tmp_path / "data", people=3))
    assert Image.open(tmp_path / "data" / "contact_sheet.png").size == (3 * STEP + GAP_PX, STEP + GAP_PX)


def test_without_pictures_and_without_measurements(tmp_path):
    folder = write_folder(tmp_path / "data", pictures=False)
    (folder / "population.json").unlink()
    (folder / "contact_sheet.png").write_bytes(b"of an earlier run")
    text = page_of(folder)
    Page(text)
    assert "simulated without canonical pictures" in text
    assert text.count("<img") == text.count(SVG) == 3 * 4  # histograms alone
    assert text.count("Not measured in this folder.") == 2
    assert not (folder / "contact_sheet.png").exists()


def test_columns_and_cells_may_be_missing(folder):
    rows = list(csv.DictReader((folder / "truth.csv").open()))
    for row in rows:
        del row["voice_tract_cm"]
    rows[0]["voice_f0_hz"] = ""
    write_csv(folder / "truth.csv", rows)
    text = page_of(folder)
    assert "Not in truth.csv." in text
    assert "everybody, n 59" in text
    assert text.count(SVG) == 2 * 4


def test_bars_are_the_counts():
    edges = np.array([0.0, 1.0, 2.0, 3.0])
    values = {"f": [0.5, 0.6, 0.7, 2.5], "m": [1.5, 1.6]}
    panel = Figure().add_subplot()
    draw(panel, values, edges)
    bars = [(to_hex(bar.get_facecolor()), *bar.get_xy(), bar.get_height()) for bar in panel.patches]
    assert bars == [(COLOURS["f"], 0, 0, 3), (COLOURS["f"], 2, 0, 1), (COLOURS["m"], 1, 0, 2)]
    assert (panel.get_xlim(), panel.get_ylim()) == ((0, 3), (0, 3))
    drawn = histogram(values, edges)
    assert b">3</text>" in drawn
    assert drawn.count(b"opacity: 0.55") == 3


def test_a_histogram_is_the_same_file_every_time():
    edges = np.linspace(0, 20, 11)
    drawn = histogram({"f": [1, 2, 3], "m": []}, edges)
    assert drawn == histogram({"f": [1, 2, 3], "m": []}, edges)
    assert b"<dc:date>" not in drawn
    assert b">0</text>" in histogram({"f": [], "m": []}, edges)  # nobody: no bar, and no warning


def test_damaged_folders_are_refused(folder):
    for path in (folder / "canonical").iterdir():
        path.write_bytes(b"not a picture")
    with pytest.raises(ImageError, match="a readable canonical picture"):
        write_summary(folder)
    (folder / "population.json").write_text('{"ideal": [{"value": 1}]}')
    for path in (folder / "canonical").iterdir():
        path.unlink()
    with pytest.raises(DatasetError, match="correlations and ideal figures"):
        write_summary(folder)
    (folder / "dataset.json").write_text("[]")
    with pytest.raises(DatasetError, match=r"a JSON object in .*dataset\.json, got list"):
        write_summary(folder)
    (folder / "dataset.json").unlink()
    with pytest.raises(DatasetError, match="a JSON object"):
        write_summary(folder)
