"""Pieces of pages: everything is escaped, nothing comes from outside."""

import base64
import math

from s2f.runtime.html import STYLE, cell_text, facts_table, page, picture, table

NASTY = "<script>\"&'"
SAFE = "&lt;script&gt;&quot;&amp;&#x27;"
DASH = "\N{EN DASH}"


def test_cells():
    assert [cell_text(value) for value in (None, math.nan, 0.12345, 7, "a<b")] == [DASH, DASH, "0.123", "7", "a&lt;b"]


def test_tables_escape_header_and_cells():
    assert table((NASTY, "b"), [(1.0, NASTY), (None, 2)]) == (
        f'<div class="scroll"><table><tr><th>{SAFE}</th><th>b</th></tr>'
        f"<tr><td>1.000</td><td>{SAFE}</td></tr><tr><td>{DASH}</td><td>2</td></tr></table></div>"
    )
    assert facts_table([("a", 1)]) == f'<div class="settings">{table(("name", "value"), [("a", 1)])}</div>'


def test_a_picture_lies_in_the_page():
    element = picture(b"\x89PNG\xff", "png", NASTY)
    before, _, after = element.partition("base64,")
    assert before == f'<img alt="{SAFE}" src="data:image/png;'
    assert base64.b64decode(after.removesuffix('">')) == b"\x89PNG\xff"
    assert "data:image/jpeg;base64,AA==" in picture(b"\0", "jpeg", "")


def test_page_holds_title_twice_style_and_body():
    text = page(NASTY, "<p>body</p>", STYLE)
    assert text.count(SAFE) == 2
    assert "<script" not in text
    assert text.endswith("<p>body</p></body></html>\n")
    assert f"<style>{STYLE}</style>" in text
    assert "width=device-width" in text
    assert "prefers-color-scheme:dark" in text
