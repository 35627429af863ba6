"""The commands that a shell script starts: it runs as it is, with programs that only note how they were called."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

from tests import CHECKOUT
from tests.documented import Command

NOTE = """#!/usr/bin/env bash
printf '%q ' "${0##*/}" "$@" >>"$NOTES"
echo >>"$NOTES"
[ "$1" = simulate ] && mkdir -p "$2" && touch "$2"/{summary.html,contact_sheet.png} &&
  touch "$2"/{landmarks.csv,population.json,recordings.json}
while [ $# -gt 1 ]; do
  [ "$1" = --output_dir ] && mkdir -p "$2"/{landmarks,face_encoder,decoder,pipeline}
  shift
done
exit 0
"""


def started_by(script: str, words: list[str], folder: Path) -> list[Command]:
    """Run a script of the checkout in a copy of its surroundings.

    Args:
        script: path in the checkout.
        words: after the script's name.
        folder: new folder; the copy of the script believes that it is the checkout.

    Returns:
        The commands of ours that it started, complete.
    """
    programs = folder / "bin"
    programs.mkdir(parents=True)
    for name in ("s2f", "s2f-eval", "accelerate", "python", "espeak-ng"):
        (programs / name).write_text(NOTE)
        (programs / name).chmod(0o755)
    copy = folder / script
    copy.parent.mkdir(parents=True)
    shutil.copy(CHECKOUT / script, copy)
    (folder / "docs" / "pictures").mkdir(parents=True)
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "NOTES": str(folder / "notes")}
    done = subprocess.run(["bash", script, *words], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = (folder / "notes").read_text().splitlines()
    return [Command(tuple(shlex.split(line)), True) for line in lines if not line.startswith("espeak-ng")]
