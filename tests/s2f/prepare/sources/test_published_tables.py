"""Published tables in the forms they are found in: every cell is read, and an error names file and line."""

from pathlib import Path

import pytest

from s2f.errors import DatasetError
from s2f.prepare.sources.published_tables import table_lines, table_rows, text_lines


def written(folder: Path, content: bytes) -> Path:
    path = folder / "table.csv"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "content",
    [
        b"a,b\nx y,1\n,2\n",
        b"\xef\xbb\xbfa,b\r\nx y,1\r\n,2\r\n",
        b"a , b\n x y , 1\n , 2\n",
        b'"a","b"\n"x y","1"\n"","2"',
        b'a, "b",\n"x y", 1,\n, "2",\n\n  \n',
        b"\n\na,b\nx y,1\n,2\n",
    ],
)
def test_one_table_in_many_forms(tmp_path, content):
    rows = [row for _, row in table_rows(written(tmp_path, content), "a", "b")]
    assert [(row["a"], row["b"]) for row in rows] == [("x y", "1"), ("", "2")]


def test_tabs_quotes_and_numbers_of_lines(tmp_path):
    path = written(tmp_path, b'id\tname\n\n1\tA "B" C\n2\t"D, ""E"""\n')
    assert list(table_rows(path, "id", delimiter="\t")) == [
        (3, {"id": "1", "name": 'A "B" C'}),
        (4, {"id": "2", "name": 'D, "E"'}),
    ]
    assert next(table_lines(path, "\t")) == (1, ["id", "name"])


@pytest.mark.parametrize(
    ("content", "expected", "line"),
    [
        (b"a,c\n1,2\n", "columns a, b", 1),
        (b"", "columns a, b", 1),
        (b"a,b\n1,2\n1,2,3\n", "2 cells", 3),
        (b"a,b\n1\n", "2 cells", 2),
        (b"a,b\n1,2\n\xff,2\n", "UTF-8", 3),
        (b'a,b\n1,"2\n', "cells of a CSV table", 2),
    ],
)
def test_an_error_names_the_line(tmp_path, content, expected, line):
    path = written(tmp_path, content)
    with pytest.raises(DatasetError, match=f"in line {line} of ") as caught:
        list(table_rows(path, "a", "b"))
    assert expected in caught.value.expected
    assert str(path) in caught.value.got
    assert caught.value.fix


def test_tables_are_read_line_by_line(tmp_path):
    path = written(tmp_path, b"a,b\n1,2\n\xff")
    lines = table_lines(path)
    assert [next(lines), next(lines)] == [(1, ["a", "b"]), (2, ["1", "2"])]
    with pytest.raises(DatasetError):
        next(lines)
    assert next(text_lines(path)) == "a,b\n"
