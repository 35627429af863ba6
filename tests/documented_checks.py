"""Whether a printed command is understood: one function for each kind of program; each raises what is wrong.

`said` runs something with words and returns what it prints, `script` runs a Python file (fixtures of test_docs.py).
"""

import re
import tomllib
from collections.abc import Sequence
from importlib.util import find_spec

from accelerate.commands.launch import launch_command_parser
from torch.distributed.run import get_args_parser

from eval.cli import PROGRAM as S2F_EVAL
from s2f.cli import PROGRAM as S2F
from s2f.commands.program import Program
from tests import CHECKOUT
from tests.documented import DOCUMENTS, Command, commands_in, printed, read, relative

PROGRAMS = {"s2f": S2F, "s2f-eval": S2F_EVAL}
# What stands for a placeholder whose value a parser looks at.
VALUES = {
    "N": "4",
    "S": "1",
    "DATASET": "voxceleb1",
    "NAME": "voxceleb1",
    "KIND": "vgg_face_dag",
    "COMMAND": "matching",
}
# What `…` after a program's name leaves out.
LEFT_OUT = {
    "s2f prepare": ["voxceleb1", "ROOT", "OUT"],
    "s2f-eval demographics": ["CKPT", "DATA"],
    "train_s2f.py": ["--config", "s2f/recipes/starter_s2f.yaml", "--data", "DATA"],
}
# What a line of running text may leave to the reader, and a recipe for RECIPE.
PLACES = ("--data", "--output_dir")
TO_GIVE = {
    "train_voice.py": ("small/voice_vgg_m.yaml", PLACES),
    "train_face.py": ("starter_face.yaml", PLACES),
    "train_landmarks.py": ("starter_landmarks.yaml", PLACES),
    "train_decoder.py": ("starter_decoder.yaml", (*PLACES, "--face_encoder")),
    "train_s2f.py": ("starter_s2f.yaml", (*PLACES, "--face_encoder", "--decoder")),
    "train_matching.py": ("wen2021.yaml", PLACES),
}
FAULTS = (ValueError, OSError, LookupError, ImportError, SyntaxError)


def check(command: Command, said, script) -> None:
    """Raise what is wrong with a printed command."""
    name, *words = (word.replace("_X.", "_face.") for word in command.words)
    if name in PROGRAMS:
        check_program(name, words, command.block, said)
    elif name.startswith("train_"):
        check_training(name, words, command.block, script)
    elif name in ("accelerate", "torchrun"):
        check_launcher([name, *words], command.block, said, script)
    elif name.startswith("python"):
        check_python(words, command.block, said, script)
    elif name == "bash":
        check_file(name, words[0], words[1:], script)
    else:
        check_paths(words)


def filled(word: str) -> str:
    """The word, or a value for a placeholder."""
    return VALUES.get(re.sub(r"^\{\w+\}$", "N", word), word if word == "…" else word.removesuffix("…"))


def named(program: Program, words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words that name a command of a program, and the others."""
    first, rest = list(words[:1]), list(words[1:])
    if first and first[0] in program.commands:
        inner = getattr(program._module(first[0]), "PROGRAM", None)
        if inner:
            deeper, rest = named(inner, rest)
            return first + deeper, rest
    return first, rest


def without_gaps(name: str, words: list[str]) -> list[str]:
    left_out = LEFT_OUT.get(name, []) if words[:1] == ["…"] else []
    return left_out + [word for word in words if word != "…"]


def check_program(name: str, given: Sequence[str], complete: bool, said) -> None:
    """Check the words after `s2f` or `s2f-eval`.

    In running text a command need not be complete; one without places is a mention: command and options must exist.
    """
    command, rest = named(PROGRAMS[name], [filled(word) for word in given])
    if command in ([], ["…"]):
        return
    rest = without_gaps(" ".join([name, *command]), rest)
    if complete or not (rest == ["check"] or all(word.startswith("--") for word in rest)):
        said(PROGRAMS[name].main, [*command, *rest])
        return
    known = re.findall(r"--\w+", said(PROGRAMS[name].main, [*command, "--help"]))
    if unknown := {word for word in rest if word != "check"} - set(known):
        raise ValueError(f"no option {unknown}")


def check_training(name: str, words: Sequence[str], complete: bool, script) -> None:
    """Resolve a recipe: `--dry-run`."""
    recipe, needed = TO_GIVE[name]
    words = [f"s2f/recipes/{recipe}" if word == "RECIPE" else word for word in without_gaps(name, list(words))]
    if not words and not complete:
        words = ["--config", f"s2f/recipes/{recipe}"]
    if not complete:
        words += [part for option in needed if option not in words for part in (option, "PLACE")]
    if "loss_weights:" not in script(name, [*words, "--dry-run"]):
        raise ValueError("no resolved recipe")


def check_launcher(words: Sequence[str], complete: bool, said, script) -> None:
    """Check the words of `accelerate launch` or `torchrun`, then those of what it starts."""
    if words[0] == "accelerate" and find_spec(f"accelerate.commands.{words[1]}") is None:
        raise ValueError(f"no command {words[1]} of accelerate")
    parser, rest = (launch_command_parser(), words[2:]) if words[0] == "accelerate" else (get_args_parser(), words[1:])
    if rest:
        found = []
        said(lambda words: found.append(parser.parse_args(words)), rest)
        started, its_words = found[0].training_script, found[0].training_script_args
        if found[0].module:
            check_program(started, its_words, complete, said)
        else:
            check_training(started, its_words, complete, script)


def check_file(kind: str, path: str, words: list[str], script) -> None:
    """Check the words after `python` or `bash` and a file, by argparse or by the usage line in the file."""
    source = read(CHECKOUT / path)
    words = [filled(word) for word in words if word != "…"]
    if "ArgumentParser" in source:
        script(path, words)
    elif usage := re.search(rf"^[# ]*({kind} {re.escape(path)}.*)$", source, re.M):
        (whole,) = commands_in(usage[1], True)
        most = 99 if whole.words[-1].endswith("…") else len(whole.words) - 2
        least = len(re.sub(r"\[.*\]", "", usage[1]).split()) - 2
        if not least <= len(words) <= most:
            raise ValueError(f"the file says: {usage[1]}")
    elif words:
        raise ValueError("the file says nothing about words")


def check_python(words: Sequence[str], complete: bool, said, script) -> None:
    if words[0] == "-c":
        compile(words[1].replace("…", "..."), "-c", "exec")
    elif words[0] == "-m":
        if find_spec(words[1]) is None:
            raise ValueError(f"no module {words[1]}")
        if words[1] in PROGRAMS:
            check_program(words[1], words[2:], complete, said)
    else:
        check_file("python", words[0], list(words[1:]), script)


def check_paths(words: Sequence[str]) -> None:
    """Check the words after `pytest`: paths, or `-m` and a registered marker."""
    if words[:1] == ["-m"]:
        markers = tomllib.loads(read(CHECKOUT / "pyproject.toml"))["tool"]["pytest"]["ini_options"]["markers"]
        if words[1] not in [marker.partition(":")[0] for marker in markers]:
            raise ValueError(f"no marker {words[1]}")
        words = words[2:]
    if missing := [word for word in words if not (CHECKOUT / word).exists()]:
        raise ValueError(f"no {missing}")


def commands_of(program: Program) -> list[list[str]]:
    """The words of every command, inner ones included."""
    found = []
    for name in program.commands:
        inner = getattr(program._module(name), "PROGRAM", None)
        found += [[name, *words] for words in commands_of(inner)] if inner else [[name]]
    return found


def stands_in_a_document(command: Command) -> bool:
    documents = {relative(path) for path in DOCUMENTS}
    return any(place.partition(":")[0] in documents for place in printed()[command])
