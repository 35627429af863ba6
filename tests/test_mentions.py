"""Files and Python names that documents, docstrings and comments mention exist; CHANGELOG.md and LOG.md are history."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests import CHECKOUT
from tests.documented import DOCUMENTS, RECIPES, SOURCES, line_of, prose, read, relative
from tests.test_house import tracked

ROOMS = "s2f|eval|encoders|decoder|demos|tests|benchmarks|checkpoints"
FILE = re.compile(rf"(?<![\w./<>…$-])((?:{ROOMS}|docs|examples)/[\w./-]*[a-z_-]|[\w-]+\.(?:py|sh))(?![\w<*{{…$-])")
NAME = re.compile(rf"(?<![\w./-])((?:{ROOMS})(?:\.[A-Za-z_]\w*)+)(?![\w/-])")
SCRIPTS = [CHECKOUT / "checkpoints" / "train_starter.sh", CHECKOUT / "demos" / "simulated_people" / "make.sh"]
# What is named because it is not here: no such helper file, a file of the reader's own, a name of an ONNX file.
ELSEWHERE = {"utils.py", "mine.py", "decoder.onnx"}


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """Docstrings of a Python file with the lines where what they document begins."""
    for node in ast.walk(ast.parse(read(path))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield getattr(node, "lineno", 1), ast.get_docstring(node, clean=False) or ""


def texts() -> Iterator[tuple[Path, int, str]]:
    """Everything where something may be mentioned: path, first line, text; of tests, docstrings and comments alone."""
    yield from ((path, 1, read(path)) for path in [*DOCUMENTS, CHECKOUT / "pyproject.toml"])
    for path in [*RECIPES, *SCRIPTS]:
        lines = enumerate(read(path).splitlines(), 1)
        yield from ((path, number, line.partition("#")[2]) for number, line in lines)
    for path in SOURCES:
        yield from ((path, number, text) for number, text in prose(path))
    for path in sorted((CHECKOUT / "tests").rglob("*.py")):
        yield path, 1, "\n".join(line.partition("# ")[2] for line in read(path).splitlines())
        yield from ((path, number, text) for number, text in docstrings(path))


@cache
def file_names() -> set[str]:
    return {path.name for path in tracked()}


def is_there(name: str, mentioned_in: Path) -> bool:
    """A path from the checkout or from the mentioning file; a file name alone may be that of any file."""
    if "/" not in name:
        return name in file_names()
    return (CHECKOUT / name).exists() or (mentioned_in.parent / name).exists()


@cache
def defined(path: Path) -> set[str]:
    """Top-level names of a module, and `Class.name` for what stands in a class; importing takes much longer."""
    found: set[str] = set()

    def add(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.ClassDef):
                add(node.body, f"{prefix}{node.name}.")
            for name in names_of(node):
                found.add(prefix + name)

    add(ast.parse(read(path)).body, "")
    return found


def names_of(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [alias.asname or alias.name for alias in node.names]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [one.id for target in targets if target for one in ast.walk(target) if isinstance(one, ast.Name)]


@cache
def resolves(name: str) -> bool:
    """A module or package, or what one defines."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        path = CHECKOUT.joinpath(*parts[:count])
        module = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if path.is_dir() and count == len(parts):
            return True
        if module.is_file():
            inside = ".".join(parts[count:])
            return not inside or inside in defined(module) or is_inherited(".".join(parts[:count]), parts[count:])
    return False


def is_inherited(module: str, parts: list[str]) -> bool:
    """What a class has from its bases; only this needs the import."""
    thing: Any = import_module(module)
    for part in parts:
        thing = getattr(thing, part, None)
    return thing is not None


def stale(path: Path, number: int, text: str) -> list[str]:
    """What `text`, which begins in that line of `path`, mentions and is not there; X is what an f-string fills in."""
    files = [hit for hit in FILE.finditer(text) if "X" not in hit[1] and not is_there(hit[1], path)]
    names = [hit for hit in NAME.finditer(text) if not resolves(hit[1])]
    return [
        f"{relative(path)}:{number + line_of(text, hit.start()) - 1}: {hit[1]}"
        for hit in [*files, *names]
        if hit[1] not in ELSEWHERE
    ]


def test_what_is_mentioned_exists():
    everything = list(texts())
    assert sum(len(NAME.findall(text)) for _, _, text in everything) > 100
    faults = [fault for text in everything for fault in stale(*text)]
    assert not faults, "\n" + "\n".join(faults)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("see s2f/prepare/gone.py and `docs/gone.md`", 2),
        ("`eval.gone` and s2f.audio.gone", 2),
        ("gone.py", 1),
        ("s2f/prepare, `s2f.audio.load`, tests/s2f, docs/shapes.md, `s2f.dataset_check.findings.Findings.people`", 0),
        ("the protocol decoder/1, s2f/recipes/*.yaml, runs/s2f/pipeline", 0),
    ],
)
def test_rule_bites(text, count):
    assert len(stale(CHECKOUT / "README.md", 1, text)) == count


def test_links_lead_somewhere():
    found = 0
    for path in DOCUMENTS:
        for link in re.finditer(r"\]\(([^)#:]*)(?:#([^)]+))?\)", read(path)):
            found += 1
            place = f"{relative(path)}:{line_of(read(path), link.start())}: {link[0]}"
            target = path.parent / link[1] if link[1] else path
            assert target.exists(), place
            headings = re.findall(r"^#+ (.+)$", read(target), re.M) if link[2] else []
            slugs = [re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings]
            assert not link[2] or link[2] in slugs, place
    assert found > 30
