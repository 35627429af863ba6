"""The starter's model card, written from its training logs and its evaluation: no figure is typed by hand.

python -m s2f.model_card RUN CHECKPOINT
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from s2f.datasets import SPLITS, DatasetFolder
from s2f.files import write_text

STAGES = ("face", "decoder", "s2f")
CARD = """---
license: apache-2.0
library_name: s2f
tags: [speech2face, voice, face, synthetic-faces]
datasets: [librispeech_asr]
---

# s2f starter

Draws an average-looking face from a voice. It is small, it was trained on a CPU, and it exists so that every command of `s2f`
works without a download. **It shows the machinery; it says nothing about real people's faces.**

## What it learned from

* **Voices**: {speakers} readers of LibriSpeech train-clean-100 (V. Panayotov, G. Chen, D. Povey, S. Khudanpur, "Librispeech:
  an ASR corpus based on public domain audio books", ICASSP 2015; CC BY 4.0), one utterance each; {validation_speakers} further readers
  for validation; {held_out} more are held out and heard by no stage.
* **Faces**: {identities} simulated people rendered from MakeHuman's open geometry (CC0 1.0) by `s2f simulate`. No photograph, no
  real person's likeness.
* **The link**: a simulated person has the gender of the reader whose voice it was given. Age, shape, skin and hair are
  independent of the voice, so the model can learn gender and nothing else.

Training people {train}, validation {val}, test {test}; split hash `{split_hash}`.

## How

| stage | command | steps | last training loss | held-out figures |
|---|---|---|---|---|
{stages}

`bash checkpoints/train_starter.sh VOICES MAKEHUMAN MAKEHUMAN_ASSETS OUT` repeats all of it.

## Measured

`s2f-eval demographics {checkpoint} DATA --faces`, on the {held_out} held-out readers (protocol `{protocol}`):

| metric | direction | group | value | 95 % interval | chance | n |
|---|---|---|---|---|---|---|
{rows}

`gender_agreement v2f`: a gender probe, fitted on features of the training people's rendered faces, looks at the face drawn from a
held-out voice and is compared with the reader's gender. `shuffled`: the same after dealing the voices to other readers.
`rendered`: the probe's own agreement on the simulated faces of held-out people. `one_face`: dlib's CNN detector finds exactly
one face in the drawn picture.

## Limits

* The pictures of one gender differ a little from voice to voice. Nothing else was linked to the voice in training, so these
  differences are noise and mean nothing.
* The held-out readers were looked at while the recipe was made (`LOG.md` tells how often), so the figures are a little flattering.
* Read English speech from audiobooks; other recordings are less certain. Children's and elderly voices were not in training.
* The ethnic poles of the simulated faces are MakeHuman's three coarse ones; they are not human categories, and no voice is linked
  to any of them.
* Not for identifying anybody, for profiling, or for claims about how a speaker looks. Ask a speaker before using a recording.
"""


def card(run: Path, checkpoint: str) -> str:
    """Compose the card.

    Args:
        run: folder with data/, face/, decoder/, s2f/ and evaluation.json, as checkpoints/train_starter.sh leaves it.
        checkpoint: path of the checkpoint as shown in the commands.

    Returns:
        Markdown with a metadata header.
    """
    dataset = json.loads((run / "data" / "dataset.json").read_text())
    evaluation = json.loads((run / "evaluation.json").read_text())
    rows = evaluation["rows"]
    held_out = next(row["n"] for row in rows if (row["direction"], row["group"]) == ("v2f", "U"))
    people = DatasetFolder(run / "data").people.values()
    readers = {split: len({row["speaker"] for row in people if row["split"] == split}) for split in SPLITS}
    return CARD.format(
        speakers=readers["train"],
        validation_speakers=readers["val"],
        held_out=held_out,
        identities=dataset["identities"],
        **dataset["splits"],
        split_hash=dataset["split_hash"],
        stages="\n".join(_stage(run / stage, stage) for stage in STAGES),
        checkpoint=checkpoint,
        protocol=evaluation["protocol"],
        rows="\n".join(_row(row) for row in rows),
    )


def _stage(folder: Path, stage: str) -> str:
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    last = [row for row in log if row["event"] == "train"][-1]
    figures = [row for row in log if row["event"] == "validation"][-1]
    shown = ", ".join(f"{name} {value:.3g}" for name, value in figures.items() if name not in ("step", "event"))
    command = f"`train_{stage}.py --config s2f/recipes/starter_{stage}.yaml`"
    return f"| {stage} | {command} | {last['step']} | {last['loss']:.4g} | {shown} |"


def _row(row: dict[str, Any]) -> str:
    chance = "" if row["chance"] is None else f"{row['chance']:.2f}"
    interval = f"{row['ci_low']:.3f} to {row['ci_high']:.3f}"
    cells = (row["metric"], row["direction"], row["group"], f"{row['value']:.3f}", interval, chance, str(row["n"]))
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    target = Path(sys.argv[2])
    write_text(target / "README.md", card(Path(sys.argv[1]), "checkpoints/starter"))
