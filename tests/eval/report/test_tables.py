"""Tables of rows: what all rows share is said once, everything else has its column."""

import re
from html import unescape

from eval.report import tables
from eval.report.figures import features
from eval.results import UNDEFINED, Row
from tests.eval.html_pages import FIGURES, Page, dicts


def row(metric="m", direction="v2f", group="U", value=0.5, chance=0.25, n=9, method="exact", **params):
    low, high = (None, None) if value is None else (value - 0.1, value + 0.1)
    return Row(metric, direction, group, value, low, high, method, chance, n, params)


def rows_table(rows, value="value"):
    return str(FIGURES.rows_table(tables.rows_table(rows, value)))


def rows_tables(rows, level=3):
    return str(FIGURES.rows_tables(tables.rows_tables(rows), level))


def above(html):
    return unescape("".join(re.findall('<p class="dim">(.*?)</p>', html)))


def test_a_table_says_once_what_all_rows_share():
    html = rows_table([row(seconds=6.0, control="mean", k=1), row(value=0.05, chance=0.5, seconds=6.0, k=2)], "recall")
    assert above(html) == "seconds: 6, interval by: exact, n: 9"
    assert dicts(Page(html).tables[0]) == [
        {"control": "mean", "k": "1", "recall": "0.500", "95 % interval": "0.400..0.600", "chance": "0.250"},
        {"control": "none", "k": "2", "recall": "0.0500", "95 % interval": "-0.0500..0.150", "chance": "0.500"},
    ]
    one = rows_table([row(k=1)])
    assert above(one) == ""
    assert Page(one).tables[0][0] == ["k", "value", "95 % interval", "interval by", "chance", "n"]


def test_a_setting_that_only_some_rows_have_is_no_setting_of_all():
    """But lengths are: controls that hear nothing have none."""
    html = rows_table([row(seconds=6.0, gallery="all"), row(seconds=6.0), row()])
    assert above(html).startswith("seconds: 6, interval by")
    assert [one["gallery"] for one in dicts(Page(html).tables[0])] == ["all", "", ""]
    differ = rows_table([row(seconds=6.0), row(seconds=3.0), row()])
    assert [one["seconds"] for one in dicts(Page(differ).tables[0])] == ["6", "3", ""]


def test_undefined_is_said_in_words_and_only_once():
    cells = dicts(Page(rows_table([row(value=None, method=UNDEFINED), row()])).tables[0])
    assert cells[0] == {"value": UNDEFINED, "95 % interval": "", "interval by": ""}
    assert cells[1]["interval by"] == "exact"


def test_metrics_directions_and_groups_tell_rows_apart():
    rows = [row("a_b"), row("c", direction="f2f", group="f"), row("c", direction="odd", group="m")]
    cells = dicts(Page(rows_table(rows)).tables[0])
    assert [one["metric"] for one in cells] == ["a b", "c", "c"]
    assert [one["direction"] for one in cells] == ["from voice", "from picture", "odd"]
    assert [one["group"] for one in cells] == ["all", "f", "m"]
    assert above(rows_table([row(group="f"), row(group="f", value=0.3)])).startswith("group: f")


def test_figures_beside_have_their_headings():
    figures = {
        "p": 1.5e-7,
        "significant": True,
        "shuffled": [-0.1, 0.0, 0.09],
        "by_speaker": [0.2, 0.3],
        "std": 0.12345,
    }
    (cells,) = dicts(Page(rows_table([row(measure="nose_width", published=0.35, **figures)])).tables[0])
    assert cells["measure"] == "nose width"
    assert (cells["paper"], cells["p"], cells["q ≤ .05"], cells["std. dev."]) == ("0.35", "1.5e-07", "yes", "0.1235")
    assert (cells["shuffled"], cells["95 % over speakers"]) == ("0.000 (-0.100..0.090)", "0.200..0.300")


def test_rows_with_other_settings_get_a_table_of_their_own():
    rows = [
        row("a", k=1),
        row("b", k=1),
        row("a", k=1, control="mean"),
        row("c", gallery="all"),
        row("a", direction="f2f", k=1),
    ]
    html = rows_tables(rows)
    headings = [unescape(one) for one in re.findall("<h3>(.*?)</h3>", html)]
    assert headings == ["a, b: from voice", "c: from voice", "a: from picture"]
    assert [len(table) - 1 for table in Page(html).tables] == [3, 1, 1]
    many = rows_tables([row(name) for name in "abcd"])
    assert re.findall("<h3>(.*?)</h3>", many) == ["From voice"]
    assert "<h4>a: from voice</h4>" in rows_tables([row("a")], 4)


def test_everything_in_a_table_is_escaped():
    nasty = "<script>'&"
    html = rows_tables(
        [row(nasty, nasty, nasty, None, method=nasty, **{nasty: nasty}), row(nasty, nasty, x={nasty: 1})]
    )
    html += rows_table([row(x=nasty), row(x=nasty, value=0.1)])
    assert "<script" not in html
    assert html.count("&lt;script&gt;") == 8


def test_galleries_have_tables_of_their_own():
    sizes = {"all": 9, "Speech2Face 2019, 100": 99}
    rows = [row("recall", n=n, gallery=name, k=k) for name, n in sizes.items() for k in (1, 5)]
    html = str(FIGURES.rows_tables(features([row("cosine_angle_deg", value=60.5), *rows]).items()))
    everybody, hundred = html.partition("<h3>Recall at k, everybody in the gallery</h3>")[2].split("<h3>")
    assert hundred.startswith("Recall at k, random galleries of 100</h3>")
    assert "n: 9<" in everybody
    assert "n: 99<" in hundred
    assert "<td>60.500</td>" in html
