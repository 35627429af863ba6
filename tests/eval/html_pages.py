"""Reads what stands on an HTML page."""

from html.parser import HTMLParser
from pathlib import Path

from eval.report import page
from s2f.runtime.html import environment

FIGURES = environment(Path(page.__file__).parent).get_template("figures.html.jinja").module
"""The macros with which a report writes its pieces."""


class Page(HTMLParser):
    """Tags that nest, the sources and texts of pictures, the headings, and the rows of every table."""

    VOID = ("meta", "img")

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.sources, self.alts, self.tables, self.ids = [], [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.sources += [value for name, value in attributes if name in ("src", "srcset")]
        self.alts += [value for name, value in attributes if name == "alt"]
        self.ids += [value for name, value in attributes if name == "id"]
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.tables[-1][-1][-1] += data


def dicts(table):
    return [dict(zip(table[0], row, strict=True)) for row in table[1:]]
