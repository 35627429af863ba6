"""The page of `s2f-eval report`: self-contained, complete, escaped; its tables and its people."""

import base64
import io
import re
from dataclasses import replace
from html import unescape

import numpy as np
import pytest
from PIL import Image

from eval.reconstructions.folder import Reconstructions, read_reconstructions
from eval.report.collect import Options, Part, find_out
from eval.report.page import command, report_page
from eval.report.people import jpeg, people
from eval.results import UNDEFINED, Report, Row
from tests.eval.html_pages import FIGURES, Page, dicts
from tests.eval.report_folders import PEOPLE, SPLIT, without_plots, write_folder

OTHER = Report("matching/1", "6" * 64, [Row("accuracy", "v2f", "G", 0.75, 0.7, 0.8, "exact", 0.5, 20)], ["a <note>"])


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Plots are a single pixel: they are looked at elsewhere."""
    folder = write_folder(
        tmp_path_factory.mktemp("page") / "drawn", left_out=[{"identity": "gone", "reason": "no <i>voice"}]
    )

    with pytest.MonkeyPatch.context() as patch:
        without_plots(patch)
        options = Options(classifier="tests.eval.report_folders:Brightness", examples=6, seed=7)
        return find_out(read_reconstructions(folder), options)


@pytest.fixture(scope="module")
def text(found):
    return report_page(replace(found, others={"a.json": OTHER, "b.json": replace(OTHER, split_hash=SPLIT)}))


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def test_page_is_one_file_that_asks_for_nothing(found, text, page):
    assert not re.search(r"https?:|url\(|@import|<script|<link|javascript", text)
    assert page.sources
    assert all(source.startswith(("data:image/png;base64,", "data:image/jpeg;base64,")) for source in page.sources)
    assert len(page.alts) == page.tags.count("img")
    assert all(page.alts)
    assert set(re.findall('href="([^"]+)"', text)) == {f"#{name}" for name in page.ids}
    again = report_page(replace(found, others={"a.json": OTHER, "b.json": replace(OTHER, split_hash=SPLIT)}))
    assert again == text


def test_what_was_evaluated(found, text, page):
    facts = {row[0]: row[1] for row in page.tables[0]}
    assert (facts["checkpoint"], facts["weights of decoder"]) == ("mine", "cafe")
    assert (facts["split"], facts["split hash"], facts["people"]) == ("test", SPLIT, str(PEOPLE))
    assert (facts["left out"], facts["seconds of voice"]) == ("1 (1 times: no <i>voice)", "3 and 6")
    assert (facts["seed of the choice of people"], facts["seed of this report"]) == ("3", "7")
    assert facts["protocols"] == "craniofacial/1, demographics/3, features/1, decoder/1, matching/1"
    assert (facts["landmarks"], facts["classifier"]) == ("starter", "brightness")
    assert facts["voices shorter than 6s, repeated"] == "2"
    assert "data hash" not in facts
    assert "average-looking guess" in text
    assert "identifies anybody" in text
    assert "pass this page on only where" in text
    told = report_page(replace(found, statement="All <synthetic>."))
    assert "All &lt;synthetic&gt;." in told
    assert "pass this page on only where" not in told
    assert "/somewhere" not in text
    assert str(found.folder.root.parent) not in text


def test_exactly_the_chosen_people_and_the_worst_are_shown(found, text, page):
    drawn = np.random.default_rng(7).permutation(PEOPLE)[:6]
    names = [f"p{number:03d}" for number in sorted(drawn)]
    shown = [alt.partition(":") for alt in page.alts if re.match(r"p\d\d\d: ", alt)]
    assert [name for name, _, _ in shown] == [name for name in [*names, *(n for n, _ in found.worst)] for _ in range(5)]
    assert [what.strip() for _, _, what in shown[:5]] == [
        "true picture",
        "face drawn from the feature of the true picture",
        "face drawn from the voice",
        "training face nearest to the predicted feature",
        "mean face",
    ]
    assert re.findall("<span>(.*?)</span>", text)[:5] == ["true", "F2F", "S2F", "nearest", "mean"]
    captions = [unescape(one) for one in re.findall("<figcaption>(.*?)</figcaption>", text)]
    assert len(captions) == 6 + 3
    assert captions[6].startswith("p009, f, 29 years; 180.0° from the true feature")
    assert "&lt;b&gt;x&lt;/b&gt;" in FIGURES.people(people(found.folder, {"p004": "so"}))
    assert "<b>" not in text
    pictures = [source for source in page.sources if "jpeg" in source]
    first = base64.b64decode(pictures[2].partition(",")[2])
    assert first == jpeg(found.folder.picture("s2f", names[0]))


def test_small_pictures(tmp_path):
    Image.new("RGB", (300, 150), (200, 10, 10)).save(tmp_path / "wide.png")
    with Image.open(io.BytesIO(jpeg(tmp_path / "wide.png"))) as small:
        assert (small.format, small.size) == ("JPEG", (224, 112))
        np.testing.assert_allclose(np.asarray(small)[50, 50], (200, 10, 10), atol=3)
        small.save(tmp_path / "90.jpg", quality=90)
        with Image.open(tmp_path / "90.jpg") as fine:
            assert small.quantization == fine.quantization


def test_figures_stand_on_the_page(found, page):
    """The rows of every report are on the page with the digits of the printed table."""
    cells = {cell for table in page.tables for row in table for cell in row}
    reports = [found.features, found.decoder, *(part.report for part in found.parts.values() if part.report)]
    for report in reports:
        rows = report.rows
        if report is found.parts["true"].report:
            rows = [row for row in rows if row.params["normalised"] == "no" and "control" not in row.params]
        for row in rows:
            value = row.ci_method if row.value is None else f"{row.value:z.{4 if 0 < abs(row.value) < 0.1 else 3}f}"
            assert value in cells, row
    assert UNDEFINED in cells
    measures = next(table for table in page.tables if table[0][:2] == ["measure", "r"])
    assert measures[0] == ["measure", "r", "95 % interval", "paper", "p", "q", "q ≤ .05", "shuffled"]
    assert [row[3] for row in measures[1:3]] == ["0.16", "0.26"]
    assert len(measures) == 13


def test_parts_that_are_absent_say_why(found):
    parts = {
        "craniofacial": Part(None, "too <few>"),
        "true": Part(None, "not canonical"),
        "demographics": Part(None, "no classifier, see s2f-eval probes"),
    }
    bare = report_page(replace(found, parts=parts, classifier="", examples=(), worst=()))
    for said in ("too &lt;few&gt;", "not canonical", "no classifier, see s2f-eval probes"):
        assert f"<p>Not measured: {said}.</p>" in bare
    assert bare.count("None were asked for.") == 2
    assert "There is no" not in bare
    assert "<img" not in bare
    assert "None: there is no JSON report" in bare


def test_attributes_have_headlines_and_the_rest_folded(text):
    section = text.partition('<h2 id="demographics">')[2].partition("<h2")[0]
    folded = [Page(one).tables[0] for one in re.findall("(?s)<details>.*?</summary>(.*?)</details>", section)]
    open_tables = Page(re.sub("(?s)<details>.*?</details>", "", section).partition("</h2>")[2]).tables
    assert [{line["metric"] for line in dicts(one)} for one in open_tables] == [
        {"gender agreement", "gender kappa", "gender balanced"}
    ] * 2
    assert [{line["metric"] for line in dicts(one)} for one in folded] == [
        {"gender recall", "gender confusion", "gender abstained"}
    ] * 2
    headings = re.findall("<h3>(.*?)</h3>", section)
    assert headings[:2] == [
        "Against what the classifier says of the true picture",
        "Against the label in people.csv",
    ]
    picture, label = (section.partition(f"<h3>{one}")[2].partition("<h3>")[0] for one in headings[:2])
    assert "reference: picture" in picture
    assert "reference: label" in label


def test_other_reports_are_shown_and_strangers_marked(text):
    section = text.partition('<h2 id="others">')[2].partition("<h2")[0]
    mine, stranger = "matching/1, b.json", "matching/1, a.json"
    assert section.index(stranger) < section.index(mine)
    assert section.count("Of other people: split hash 666666666666, here 555555555555.") == 1
    assert section.index("Of other people") < section.index(mine)
    assert section.count("<td>0.750</td>") == 2
    assert "a.json (matching/1): a &lt;note&gt;" in text


def test_failures_are_listed(found, text):
    assert "<td>gone</td><td>no &lt;i&gt;voice</td>" in text
    assert "Landmarks were found in every picture." in text
    trouble = (*(("s2f", f"p{number:03d}", "no face") for number in range(40)), ("true", "p001", "2 faces"))
    section = report_page(replace(found, trouble=trouble)).partition('<h2 id="failures">')[2]
    counted, listed = Page(section.partition("</h2>")[2].partition("<h3>")[0]).tables
    assert dicts(counted) == [
        {"picture": "s2f", "reason": "no face", "number": "40"},
        {"picture": "true", "reason": "2 faces", "number": "1"},
    ]
    assert len(listed) == 1 + 30
    assert "And 11 more." in section


def test_notes_and_the_command_again(found, text):
    assert "decoder (decoder/1): no LPIPS" in text
    mine = "--classifier tests.eval.report_folders:Brightness"
    said = f"s2f-eval report drawn {mine} --landmarks starter --examples 6 --seed 7"
    assert command(found) == said
    assert said in text
    options = Options("a/probes", "b/data", "c/network", "d/vgg16.safetensors", 2, 1)
    assert command(replace(found, options=options)) == (
        "s2f-eval report drawn --classifier probes --truth data --landmarks network --lpips vgg16.safetensors "
        "--examples 2 --seed 1"
    )


def test_people_have_known_labels_only(found):
    row = {"identity": "p000", "gender": "", "age": "", "language": "Māori"}
    folder = Reconstructions(found.folder.root, {}, {"p000": row}, (6.0,))
    assert "<figcaption>p000, Māori</figcaption>" in FIGURES.people(people(folder, {"p000": ""}))
