"""Pieces of pages: everything is escaped, nothing comes from outside."""

import base64
import math
import re

import pytest
from jinja2 import UndefinedError

from s2f.runtime.html import cell_text, environment

NASTY = "<script>\"&'"
SAFE = "&lt;script&gt;&#34;&amp;&#39;"
DASH = "\N{EN DASH}"
PAGE = """{% extends "page.html.jinja" %}
{% block style %}b{top:0}{% endblock %}
{% block body %}<p>{{ body }}</p>{% endblock %}
"""


@pytest.fixture
def templates(tmp_path):
    (tmp_path / "mine.html.jinja").write_text(PAGE)
    return environment(tmp_path)


@pytest.fixture
def pieces(templates):
    return templates.get_template("pieces.html.jinja").module


def closed_up(html):
    return re.sub(r"\n\s*", "", html)


def test_cells():
    assert [cell_text(value) for value in (None, math.nan, 0.12345, 7, "a<b")] == [DASH, DASH, "0.123", "7", "a<b"]


def test_tables_escape_header_and_cells(pieces):
    assert closed_up(pieces.table((NASTY, "b"), [(1.0, NASTY), (None, 2)])) == (
        f'<div class="scroll"><table><tr><th>{SAFE}</th><th>b</th></tr>'
        f"<tr><td>1.000</td><td>{SAFE}</td></tr><tr><td>{DASH}</td><td>2</td></tr></table></div>"
    )
    facts = closed_up(pieces.facts_table([("a", 1)]))
    assert facts == f'<div class="settings">{closed_up(pieces.table(("name", "value"), [("a", 1)]))}</div>'


def test_a_picture_lies_in_the_page(pieces):
    element = pieces.picture(b"\x89PNG\xff", "png", NASTY)
    before, _, after = element.partition("base64,")
    assert before == f'<img alt="{SAFE}" src="data:image/png;'
    assert base64.b64decode(after.removesuffix('">')) == b"\x89PNG\xff"
    assert "data:image/jpeg;base64,AA==" in pieces.picture(b"\0", "jpeg", "")


def test_page_holds_title_twice_style_and_body(templates):
    text = templates.get_template("mine.html.jinja").render(title=NASTY, body=NASTY)
    assert text.count(SAFE) == 3
    assert "<script" not in text
    assert closed_up(text).endswith(f"<p>{SAFE}</p></body></html>")
    assert text.endswith("</html>\n")
    style = text.partition("<style>")[2].partition("</style>")[0]
    assert "b{top:0}" in style
    assert "prefers-color-scheme:dark" in style
    assert "width=device-width" in text


def test_a_forgotten_value_is_an_error(templates):
    with pytest.raises(UndefinedError, match="'body' is undefined"):
        templates.get_template("mine.html.jinja").render(title="a")
