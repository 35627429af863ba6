"""What the documents print: commands with the place where each stands, code blocks, prose of Python files."""

import ast
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests import CHECKOUT

DOCUMENTS = [
    *(CHECKOUT / name for name in ("README.md", "CONTRIBUTING.md", "NOTICE.md")),
    *(CHECKOUT / "docs").glob("*.md"),
    *(CHECKOUT / "checkpoints").glob("*/README.md"),
    *(CHECKOUT / name / "README.md" for name in ("examples", "demos/simulated_people")),
]
RECIPES = sorted((CHECKOUT / "s2f" / "recipes").rglob("*.yaml"))
ROOMS = ("s2f", "eval", "encoders", "decoder", "demos", "checkpoints", "benchmarks")
SOURCES = [*CHECKOUT.glob("*.py"), *(path for room in ROOMS for path in sorted((CHECKOUT / room).rglob("*.py")))]
PROGRAM = re.compile(r"s2f(-eval)?|python3?|accelerate|torchrun|train_\w+\.py|pytest|bash")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
INLINE = re.compile(r"`([^`]+)`")
USAGE = re.compile(r"^ *(python (?:benchmarks/|-m ).*(?:\n +\[.*)*)$", re.M)  # of a script's docstring
OPTIONAL = re.compile(r"(?<![\w.'])\[([^\[\]]+)\]")  # [--json], [OUT]; not '.[all]' or '[identity]'


@dataclass(frozen=True)
class Command:
    """One command as printed.

    Attributes:
        words: as a shell splits them, without a comment.
        block: it stands in a code block, so that it is complete as it is.
    """

    words: tuple[str, ...]
    block: bool

    def __str__(self) -> str:
        return " ".join(self.words)


@dataclass(frozen=True)
class Snippet:
    """A code block: language, text and place (`file:line`)."""

    language: str
    text: str
    place: str


def line_of(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def relative(path: Path) -> str:
    return path.relative_to(CHECKOUT).as_posix()


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def snippets() -> list[Snippet]:
    """All code blocks of the documents."""
    found = []
    for path in DOCUMENTS:
        text = read(path)
        found += [Snippet(m[1], m[2], f"{relative(path)}:{line_of(text, m.start(2))}") for m in BLOCK.finditer(text)]
    return found


def commands_in(line: str, block: bool) -> Iterator[Command]:
    """Commands of a line of shell, of `inline code` or of a usage line; `a|b` stands for two of them."""
    try:
        words = shlex.split(OPTIONAL.sub(r"\1", line), comments=True)
    except ValueError:  # prose with an apostrophe
        return
    rest: list[str] = []
    for word in [*words, "&&"]:
        if word == "&&":
            if rest and PROGRAM.fullmatch(rest[0]):
                yield from (Command(tuple(alternative), block) for alternative in alternatives(rest))
            rest = []
        elif word != "|" and (rest or word != "time"):
            rest.append(word)


def alternatives(words: list[str]) -> Iterator[list[str]]:
    """`matching|retrieval DIR` as two commands."""
    for place, word in enumerate(words):
        if re.fullmatch(r"[\w-]+(\|[\w-]+)+", word):
            for one in word.split("|"):
                yield from alternatives([*words[:place], one, *words[place + 1 :]])
            return
    yield words


def unfolded(text: str) -> Iterator[tuple[int, str]]:
    """Lines joined where they end in a backslash, numbered from 0."""
    start, joined = 0, ""
    for number, line in enumerate(text.splitlines()):
        joined += line.removesuffix("\\")
        if not line.endswith("\\"):
            yield start, joined
            start, joined = number + 1, ""


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Comments and texts of a Python file with their lines; what an f-string fills in is X."""
    source = read(path)
    nodes = list(ast.walk(ast.parse(source)))
    filled = [node for node in nodes if isinstance(node, ast.JoinedStr)]
    parts = {id(part) for node in filled for part in node.values}
    for node in filled:
        yield node.lineno, "".join(str(p.value) if isinstance(p, ast.Constant) else "X" for p in node.values)
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            yield node.lineno, node.value
    for comment in re.finditer(r"(?:^ *# .*\n)+|(?<=  )# .*", source, re.M):
        yield line_of(source, comment.start()), re.sub(r"^ *# ?", "", comment[0], flags=re.M)


def lines_with_commands() -> Iterator[tuple[str, bool, Path, int]]:
    """Lines of shell blocks (True), inline code and usage lines (False), with file and number."""
    for block in snippets():
        if block.language in ("", "bash"):
            name, number = block.place.split(":")
            for offset, line in unfolded(block.text):
                yield line, True, CHECKOUT / name, int(number) + offset
    texts = [(path, 1, read(path)) for path in DOCUMENTS]
    texts += [(path, 1, re.sub(r"^# ?", "", read(path), flags=re.M)) for path in RECIPES]
    texts += [(path, number, text) for path in SOURCES for number, text in prose(path)]
    for path, number, text in texts:
        text = BLOCK.sub(lambda block: "\n" * block[0].count("\n"), text)
        for code in [*INLINE.finditer(text), *USAGE.finditer(text)]:
            yield " ".join(code[1].split()), False, path, number + line_of(text, code.start()) - 1


@cache
def printed() -> dict[Command, list[str]]:
    """Every command of documents, recipes' comments and Python files, with the places (`file:line`) where it stands."""
    found: dict[Command, list[str]] = {}
    for line, block, path, number in lines_with_commands():
        for command in commands_in(line, block):
            found.setdefault(command, []).append(f"{relative(path)}:{number}")
    return found
