"""House rules: imports between rooms, honest docstrings, quiet imports, tidy tracked files, one version."""

import ast
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml

from tests import CHECKOUT

ROOMS = ("demos", "eval", "s2f", "encoders", "decoder")
NETWORK_PACKAGES = {"torch", "torchvision", "diffusers", "kornia", "numpy", "jaxtyping"}
MAY_IMPORT = {room: set(ROOMS[floor:]) for floor, room in enumerate(ROOMS[:3])} | {room: {room} for room in ROOMS[3:]}
BANNED = {"torchaudio", "pkg_resources", "face_recognition_models"}
# readers of published weights; even there only with weights_only=True
PICKLE_READERS = {
    "s2f/weights/formats/torch_file.py",
    "s2f/training/voices/speaker_embedding.py",
}
RESTRICTED_READER = "s2f/runtime/safe_pickle.py"  # the one subclass of Unpickler; it finds stand-ins alone


def modules() -> list[str]:
    return sorted(path.relative_to(CHECKOUT).as_posix() for room in ROOMS for path in (CHECKOUT / room).rglob("*.py"))


@cache
def parsed(source: str) -> ast.Module:
    """The syntax tree of a text, which nobody changes."""
    return ast.parse(source)


def faults_in(rule: Callable[[str, str], list[str]], paths: list[str]) -> str:
    return "\n".join(fault for path in paths for fault in rule((CHECKOUT / path).read_text(encoding="utf-8"), path))


def tracked() -> list[Path]:
    """Files git knows; in an unpacked archive without git, every file outside build and cache folders."""
    try:
        command = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
        names = subprocess.run(command, cwd=CHECKOUT, capture_output=True, check=True, text=True).stdout.split("\0")
        files = [CHECKOUT / name for name in names if name]
    except (OSError, subprocess.CalledProcessError):
        made = re.compile(r"(^|/)(\.git|\.venv|\.\w+_cache|__pycache__|build|dist|runs|[^/]+\.egg-info)(/|$)")
        files = [path for path in CHECKOUT.rglob("*") if not made.search(path.relative_to(CHECKOUT).as_posix())]
    return [path for path in files if path.is_file()]


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def imported(tree: ast.AST, package: str) -> Iterator[str]:
    """Absolute dotted names of all that a module imports, relatively or by `import_module("literal")` too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            yield from (f"{base}.{alias.name}" for alias in node.names)
    for name, call in calls(tree):
        if name.endswith(("import_module", "__import__")) and call.args and isinstance(call.args[0], ast.Constant):
            yield str(call.args[0].value)


def import_faults(source: str, path: str) -> list[str]:
    """What the import rule has against `source`, seen as the file `path` (relative to the checkout)."""
    tree, room = parsed(source), path.split("/")[0]
    faults = []
    for name in imported(tree, path.rpartition("/")[0].replace("/", ".")):
        top = name.split(".")[0]
        if room in ROOMS and top in ROOMS and top not in MAY_IMPORT[room]:
            faults.append(f"{path}: {room} may not import {name}")
        if room in ("encoders", "decoder") and top not in {*ROOMS, *NETWORK_PACKAGES, *sys.stdlib_module_names}:
            faults.append(f"{path}: networks may not import {name}")
        if top in BANNED:
            faults.append(f"{path}: {name} is banned")
    aliases = [alias for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    if any((alias.asname or alias.name.split(".")[0]) == "eval" for alias in aliases):
        faults.append(f"{path}: a bare `import eval` hides the builtin")
    return faults


def pickle_faults(source: str, path: str) -> list[str]:
    classes = [node for node in ast.walk(parsed(source)) if isinstance(node, ast.ClassDef)]
    readers = [node for node in classes if any("Unpickler" in ast.unparse(base) for base in node.bases)]
    faults = [f"{path}:{node.lineno}: {node.name}" for node in readers if path != RESTRICTED_READER]
    for name, call in calls(parsed(source)):
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        safe = path in PICKLE_READERS and given.get("weights_only") == "True"
        pickled = re.fullmatch(r"(c?[pP]ickle|dill|joblib)\.(load|loads|Unpickler)", name)
        if pickled or (name == "torch.load" and not safe):
            faults.append(f"{path}:{call.lineno}: {name}")
        if given.get("allow_pickle", "False") != "False":
            faults.append(f"{path}:{call.lineno}: allow_pickle")
    return faults


def test_imports_point_downwards():
    others = [*CHECKOUT.glob("*.py"), *(CHECKOUT / "tests").rglob("*.py"), *(CHECKOUT / "benchmarks").rglob("*.py")]
    paths = modules() + [path.relative_to(CHECKOUT).as_posix() for path in others]
    assert len(paths) > 12, "the checker saw too few files to mean anything"
    assert {path.split("/")[0] for path in paths} >= set(ROOMS)
    assert not faults_in(import_faults, paths)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("encoders/voice/a.py", "from s2f.reconstruction.losses import l1"),
        ("encoders/voice/a.py", "def f():\n    import decoder.normalized"),
        ("encoders/a.py", "import scipy.signal"),
        ("decoder/a.py", "from ..encoders import face"),
        ("decoder/a.py", "from encoders import face"),
        ("s2f/a.py", "import importlib\nimportlib.import_module('eval.cli')"),
        ("eval/a.py", "from demos import app"),
        ("tests/a.py", "import eval.cli"),
        ("s2f/a.py", "import torchaudio.functional"),
    ],
)
def test_import_rule_bites(path: str, source: str):
    assert len(import_faults(source, path)) == 1


def test_import_rule_allows_what_it_should():
    allowed = "from ..voice import a\nimport math, torch.nn\nfrom encoders.face import b"
    assert import_faults(allowed, "encoders/face/a.py") == []
    assert import_faults("from eval.metrics.two_way import m\nimport s2f, encoders, scipy", "demos/a.py") == []


# --- the layout, see docs/architecture.md -----------------------------------------------------------------------------

# Packages from the ground up: each imports from lower floors alone. The loose modules of s2f/ and eval/ count singly.
FLOORS = """
encoders encoders.voice.front_ends decoder s2f.errors s2f.version s2f.training
encoders.face encoders.voice s2f.audio s2f.runtime s2f.simulate.voice eval.results
s2f.datasets s2f.checkpoints s2f.simulate.head s2f.weights.formats eval.plotting eval.metrics
s2f.labels s2f.faces s2f.prepare.sources s2f.simulate.render
s2f.matching s2f.reconstruction s2f.shards s2f.prepare.adaptors s2f.simulate.population s2f.training.voices
s2f s2f.dataset_check s2f.prepare s2f.simulate.identity s2f.training.loop s2f.weights.networks
s2f.weights s2f.prepare.media s2f.simulate.dataset
s2f.training.speech2face s2f.training.decoder s2f.training.encoders s2f.training.matching
s2f.prepare.jobs eval.embeddings
s2f.commands eval.faces eval.trial_lists
s2f.commands.weights s2f.cli eval.reconstructions eval.craniofacial
s2f.__main__ eval.attributes
eval.consistency eval.simulated eval.report
eval.commands
eval.cli demos
""".strip().splitlines()
FLOOR = {package: number for number, line in enumerate(FLOORS) for package in line.split()}
MOST_MODULES = 16  # in one folder


def dotted(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def package_of(path: str) -> str:
    """The folder of a module as a dotted name; a loose module of s2f/ or eval/ itself."""
    folder, _, file = path.rpartition("/")
    loose = folder in ("s2f", "eval") and file != "__init__.py"
    return dotted(path if loose else folder)


@cache
def import_graph() -> dict[str, set[str]]:
    """Module to the modules it imports anywhere, in functions and for types too."""
    paths = {dotted(path): path for path in modules()}
    graph: dict[str, set[str]] = {}
    for module, path in paths.items():
        tree = parsed((CHECKOUT / path).read_text(encoding="utf-8"))
        names = set(imported(tree, dotted(path.rpartition("/")[0])))
        homes = {name if name in paths else name.rpartition(".")[0] for name in names}
        graph[module] = (homes & paths.keys()) - {module}
    return graph


def circle_in(graph: dict[str, set[str]]) -> list[str]:
    """Some circle, its first node twice; nothing where there is none."""
    done: set[str] = set()

    def walk(node: str, path: list[str]) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        found: list[str] = []
        for following in sorted(graph.get(node, ())) if node not in done else ():
            found = found or walk(following, [*path, node])
        done.add(node)
        return found

    return next(filter(None, (walk(node, []) for node in sorted(graph))), [])


def test_packages_import_from_lower_floors():
    paths = {dotted(path): path for path in modules()}
    packages = {name: package_of(path) for name, path in paths.items() if not is_empty(path)}
    assert set(packages.values()) == set(FLOOR), "FLOORS names every package, and no other"
    arrows = [(a, b) for a, imports in import_graph().items() for b in imports if a in packages and b in packages]
    assert len(arrows) > 500
    faults = [
        f"{a} imports {b}" for a, b in arrows if packages[a] != packages[b] and FLOOR[packages[a]] <= FLOOR[packages[b]]
    ]
    assert not faults, "\n".join(faults)


def is_empty(path: str) -> bool:
    """Whether a module holds nothing but its docstring."""
    body = parsed((CHECKOUT / path).read_text(encoding="utf-8")).body
    return all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in body)


def test_the_floors_are_those_of_the_page():
    text = (CHECKOUT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \d+ \| (.+) \|$", text, re.M)
    assert [set(re.findall(r"`([\w.]+)`", row)) for row in rows] == [set(line.split()) for line in FLOORS[::-1]]


def test_no_module_imports_itself_by_a_detour():
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle_in({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
    assert not circle_in(import_graph())


def test_folders_stay_small():
    counts: dict[str, int] = {}
    for path in modules():
        folder = path.rpartition("/")[0]
        counts[folder] = counts.get(folder, 0) + 1
    assert len(counts) > 40
    assert not {folder: count for folder, count in counts.items() if count > MOST_MODULES}


def test_tests_mirror_the_tree():
    folders = {path.parent.relative_to(CHECKOUT / "tests") for path in (CHECKOUT / "tests").rglob("test_*.py")}
    assert len(folders) > 30
    assert [str(folder) for folder in folders if not (CHECKOUT / folder).is_dir()] == []


def test_nothing_is_unpickled():
    assert not faults_in(pickle_faults, modules())
    assert pickle_faults("torch.load(f, weights_only=True)", "s2f/weights/formats/torch_file.py") == []
    for bad in ("torch.load(f)", "pickle.loads(b)", "np.load(f, allow_pickle=True)"):
        assert len(pickle_faults(bad, "s2f/weights/formats/torch_file.py")) == 1
    assert pickle_faults("torch.load(f, weights_only=True)", "s2f/audio.py")
    assert pickle_faults("class A(pickle.Unpickler): pass", "eval/trial_lists/evaluate.py")
    assert pickle_faults("pickle.Unpickler(f)", RESTRICTED_READER)


Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def public(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, Definition]]:
    """Public functions and classes of a module, and the public methods of those classes."""
    for node in body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            marks = " ".join(ast.unparse(mark) for mark in node.decorator_list)
            if not re.search(r"\boverload\b|\boverride\b|\.setter\b", marks):
                yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body, f"{prefix}{node.name}.")


def accepted(node: Definition, classes: dict[str, ast.ClassDef]) -> set[str]:
    """Parameter names; for a class its fields and those of `__init__`, bases in the same module included."""
    if not isinstance(node, ast.ClassDef):
        a = node.args
        return {arg.arg for arg in [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, (a.vararg, a.kwarg))]}
    names = {s.target.id for s in node.body if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)}
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef) and statement.name in ("__init__", "__call__", "forward"):
            names |= accepted(statement, classes)
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id in classes:
            names |= accepted(classes[base.id], classes)
    return names


def documented(docstring: str) -> list[str]:
    """Names listed under `Args:`."""
    section = re.search(r"^Args:\n((?:[ \t]+.*\n|\n)+)", docstring + "\n", re.M)
    entries = re.findall(r"^ {4}([*\w`][*\w`, ]*?)(?: \([^)]*\))?:(?:\s|$)", section[1] if section else "", re.M)
    return [name.strip(" *`") for entry in entries for name in entry.split(",")]


def docstring_faults(source: str, path: str) -> list[str]:
    tree = parsed(source)
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    faults = [] if ast.get_docstring(tree) else [f"{path}: no module docstring"]
    for name, node in public(tree.body):
        text = ast.get_docstring(node)
        if not text:
            faults.append(f"{path}:{node.lineno}: {name} has no docstring")
        for argument in sorted(set(documented(text or "")) - accepted(node, classes)):
            faults.append(f"{path}:{node.lineno}: {name} documents {argument!r}, which it does not take")
    return faults


def test_docstrings_match_signatures():
    assert not faults_in(docstring_faults, modules())


@pytest.mark.parametrize(("entry", "faults"), [("x, *rest", 0), ("x (int)", 0), ("y", 1), ("x, y", 1)])
def test_docstring_rule_bites(entry: str, faults: int):
    text = f'"""F.\n\n        Args:\n            {entry}: a\n                b: c\n        """'
    source = f'"""M."""\nclass A:\n    """A."""\n    def f(self, x, *rest):\n        {text}\n'
    assert len(docstring_faults(source, "a.py")) == faults
    assert len(docstring_faults(source.replace('"""A."""', "z = 1"), "a.py")) == faults + 1


IMPORT_ALL = """
import importlib, socket, sys
def refuse(*_, **__):
    raise RuntimeError("connected to the network at import")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
for name in sys.argv[1:]:
    importlib.import_module(name)
    banned = {"torchaudio", "pkg_resources"} | (set() if name.startswith("demos") else {"gradio"})
    heavy = banned & set(sys.modules)
    if heavy:
        sys.exit(f"importing {name} imported {heavy}")
"""


def test_importing_is_quiet_and_offline(tmp_path: Path):
    paths = [path.removesuffix(".py").removesuffix("/__init__") for path in modules() if "__main__" not in path]
    paths.sort(key=lambda path: path.startswith("demos"))  # last: they may import gradio
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "HF_HOME": str(tmp_path / "hf")}
    command = [sys.executable, "-W", "ignore", "-c", IMPORT_ALL, *(path.replace("/", ".") for path in paths)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (done.stdout, done.stderr) == ("", "")
    assert not list(tmp_path.iterdir()), "importing wrote files"


def test_tests_are_offline():
    with pytest.raises(RuntimeError, match="offline"):
        socket.create_connection(("192.0.2.1", 80), timeout=1)


def test_tracked_files_are_tidy():
    files = tracked()
    assert len(files) > 20
    marker = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "X" * 3, "(?i:lor" + "em)")) + r")\b")
    machine = re.compile(r"(?<![\w.>}/-])/(?:work|root)/")
    faults = []
    for path in files:
        data, name = path.read_bytes(), path.relative_to(CHECKOUT).as_posix()
        if len(data) >= 25e6:
            faults.append(f"{name}: {len(data) / 1e6:.0f} MB, expected less than 25")
        if b"\0" not in data:
            text = data.decode("utf-8", errors="replace")
            faults += [f"{name}: {hit[0]!r}" for rule in (marker, machine) for hit in rule.finditer(text)]
    assert not faults, "\n".join(faults)
    starter = (CHECKOUT / "checkpoints" / "starter").rglob("*")
    assert sum(path.stat().st_size for path in starter if path.is_file()) <= 40e6


def test_papers_of_a_release():
    version = re.search(r'^__version__ = "(.+)"$', (CHECKOUT / "s2f" / "version.py").read_text(), re.M)
    newest = re.search(r"^## (\S+)", (CHECKOUT / "CHANGELOG.md").read_text(), re.M)
    citation = yaml.safe_load((CHECKOUT / "CITATION.cff").read_text())
    assert version[1] == newest[1] == citation["version"]
    assert len(citation["references"]) >= 6
    assert "Apache License" in (CHECKOUT / "LICENSE").read_text()
    notice = (CHECKOUT / "NOTICE.md").read_text()
    assert all(licence in notice for licence in ("Apache-2.0", "CC BY 4.0", "CC0 1.0", "LGPL-2.1"))
