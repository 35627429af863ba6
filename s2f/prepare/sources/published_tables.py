"""Tables that datasets come with: a byte order mark, CRLF, blanks around cells and empty lines do no harm."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from s2f.datasets import Row
from s2f.errors import DatasetError


def bad_line(path: Path, number: int, expected: str, got: object) -> DatasetError:
    """The error about one line of a table.

    Args:
        path: the table.
        number: of the line, from 1.
        expected: what the line should hold.
        got: what it holds.

    Returns:
        The error to raise.
    """
    return DatasetError(expected, f"{got} in line {number} of {path}", "correct the line, or fetch the table again")


def text_lines(path: Path) -> Iterator[str]:
    """Lines of a UTF-8 text, one by one, with their ends; a byte order mark is left out.

    Raises:
        DatasetError: a line that is not UTF-8.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise bad_line(path, number, "text in UTF-8", error) from error


def table_lines(path: Path, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Number and stripped cells of every line that is not empty, one by one: tables may have millions.

    Args:
        path: a UTF-8 table.
        delimiter: between cells; blanks after it may come before a quoted cell.

    Yields:
        (number of the line from 1, cells).

    Raises:
        DatasetError: a line that is not UTF-8, or quotes that do not close.
    """
    reader = csv.reader(text_lines(path), delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                yield reader.line_num, stripped
    except csv.Error as error:
        raise bad_line(path, reader.line_num, "cells of a CSV table", error) from error


def table_rows(path: Path, *columns: str, delimiter: str = ",") -> Iterator[tuple[int, Row]]:
    """Rows of a table whose first line names the columns.

    Args:
        path: a UTF-8 table.
        *columns: those that must be there.
        delimiter: between cells.

    Yields:
        (number of the line from 1, row).

    Raises:
        DatasetError: see `table_lines`; a column is missing, or a line has another number of cells than the first.
    """
    header: list[str] = []
    for number, cells in table_lines(path, delimiter):
        while len(cells) > len(header) > 0 and not cells[-1]:
            cells.pop()  # some tables end their lines with a delimiter
        if header and len(cells) != len(header):
            raise bad_line(path, number, f"{len(header)} cells as in the first line", f"{len(cells)}: {cells}")
        if header:
            yield number, dict(zip(header, cells, strict=True))
        elif missing := [name for name in columns if name not in cells]:
            raise bad_line(path, number, f"columns {', '.join(columns)}", f"none named {', '.join(missing)}")
        else:
            header = cells
    if not header:
        raise bad_line(path, 1, f"columns {', '.join(columns)}", "nothing")
