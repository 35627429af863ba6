"""The starter's model card, written from its training logs and its evaluation: no figure is typed by hand.

python -m checkpoints.starter_card RUN CHECKPOINT

Cards of other checkpoints are written by `s2f weights card` (`s2f.checkpoints.model_card`).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from s2f.checkpoints.hashes import write_manifest
from s2f.datasets import SPLITS, DatasetFolder
from s2f.runtime.files import write_text

STAGES = ("landmarks", "face", "decoder", "s2f")
SHOWN = ("gender_agreement", "gender_recall", "age_class_balanced", "age_class_recall", "shown_as_child", "one_face")
SHOWN_MEASURES = ("nose_width", "jaw_width", "face_height")
VARIANCES = ("variance", "variance_within_gender", "variance_within_gender_and_age")
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
  for validation; {held_out} more are held out and heard by no stage. Each simulated person has a voice of its own, made from a reader's:
  half of the adults as recorded, the others changed in pitch, vocal-tract length, tempo and level; children and elders are made from adults.
* **Faces**: {identities} simulated people of 5 to 85 years, rendered from MakeHuman's open geometry (CC0 1.0) by `s2f simulate`. No
  photograph, no real person's likeness.
* **The link** was planted, and its strength is known: gender (another one for {confusion:.0%}), age class and age of children and elders
  (log age ± {age_spread:.2f}), and twelve craniofacial measures tied to pitch and vocal-tract length, each with the correlation that
  Speech2Face published for it ({lowest:.2f} to {highest:.2f}). The largest ethnic pole follows an arbitrary rule on timbre for
  {mix_sharing:.0%}. Hair, skin given the pole, beard and the rest are independent of the voice.

Training people {train}, validation {val}, test {test}; split hash `{split_hash}`.

## How

| stage | command | steps | last training loss | held-out figures |
|---|---|---|---|---|
{stages}

`bash checkpoints/train_starter.sh VOICES MAKEHUMAN MAKEHUMAN_ASSETS OUT` repeats all of it.

## Measured on real recordings

`s2f-eval demographics {checkpoint} DATA --voices VOICES --faces --conditions`, on the {held_out} held-out readers (protocol `{protocol}`):

| metric | direction | group | condition | value | 95 % interval | chance | n |
|---|---|---|---|---|---|---|---|
{rows}

`gender_agreement v2f`: a gender probe, fitted on features of the training people's rendered faces, looks at the face drawn from a
held-out voice; the share that shows the reader's gender, and `gender_recall` of women and of men. `shuffled`: the same after dealing the
voices to other readers. `rendered`: the probes' own figures on the simulated faces of held-out people, where `age_class_balanced` is the
mean of the three recalls. `shown_as_child`: an age probe calls the face drawn from an adult reader's voice a child. `one_face`: dlib's CNN detector finds exactly one face in the drawn picture.

## Measured on simulated people of known truth

`s2f-eval simulated {checkpoint} TEST --probes DATA`, on {simulated_n} simulated people whose voices were made from the {held_out} held-out readers
(`TEST` is `s2f simulate TEST --voices VOICES --makehuman MAKEHUMAN --makehuman_assets MAKEHUMAN_ASSETS --identities {simulated_n} --only test --pictures false
--seed 1`; protocol `{simulated_protocol}`):

| metric | group | value | 95 % interval | shuffled voices (95 %) | planted | p | n |
|---|---|---|---|---|---|---|---|
{simulated}

`age_class_recall`: an age probe looks at the drawn face; the class is the voice's. `age_class_balanced`: their mean. Elders are adult
readers slowed, with tremor and breath added: their recall may be that of a processing trace. `pearson_r`: a measure on the drawn face
against the person's own. `planted`: the correlation of the person's measure with its expectation given the voice, on these people, which no
model can beat by more than chance. The best reachable 1:2 matching here is {ideal:.3f} overall and {ideal_within:.3f} within gender
(ideal observer, {ideal_n} people).

## How much of the answer is the class mean

| variance of unit features drawn from voices, over that of rendered faces | ratio | 95 % interval |
|---|---|---|
{variances}

A face drawn from a voice is close to the mean face of its gender and age class: that is the correct answer, since little else can be heard.
`s2f reconstruct CLIP -o face.png --samples 4` adds draws of the part that the voice does not determine, labelled as such. Share of the
variance of face features that the voice explains on validation people (`s2f weights fit-unexplained`):

```
{explained}
```

## Limits

* What voice and face share here was planted by a random generator. It says nothing about real people.
* The held-out readers were looked at while the recipe was made (`LOG.md` tells how often), so the figures on real recordings are a little
  flattering; the simulated test people share their {held_out} speakers, so their intervals are too narrow.
* Read English speech from audiobooks; other recordings are less certain. No child and nobody known to be old was recorded.
* The ethnic poles of the simulated faces are MakeHuman's three coarse ones; they are not human categories.
* Not for identifying anybody, for profiling, or for claims about how a speaker looks. Ask a speaker before using a recording.
"""


def card(run: Path, checkpoint: str) -> str:
    """Compose the card.

    Args:
        run: folder with data/, test/, the stages, demographics.json, simulated.json and explained.txt, as
            checkpoints/train_starter.sh leaves it.
        checkpoint: path of the checkpoint as shown in the commands.

    Returns:
        Markdown with a metadata header.
    """
    dataset = _json(run / "data" / "dataset.json")
    sharing = _json(run / "data" / "population.json")["sharing"]
    demographics, simulated = _json(run / "demographics.json"), _json(run / "simulated.json")
    held_out = next(row["n"] for row in demographics["rows"] if (row["direction"], row["group"]) == ("v2f", "U"))
    people = DatasetFolder(run / "data").people.values()
    readers = {split: len({row["speaker"] for row in people if row["split"] == split}) for split in SPLITS}
    ideal = {row["group"]: row for row in _json(run / "test" / "population.json")["ideal"] if _is_best_of_two(row)}
    return CARD.format(
        speakers=readers["train"],
        validation_speakers=readers["val"],
        held_out=held_out,
        identities=dataset["identities"],
        **{name: sharing[name] for name in ("confusion", "age_spread", "mix_sharing")},
        lowest=min(sharing["correlations"].values()),
        highest=max(sharing["correlations"].values()),
        **dataset["splits"],
        split_hash=dataset["split_hash"],
        stages="\n".join(_stage(run / stage, stage) for stage in STAGES),
        checkpoint=checkpoint,
        protocol=demographics["protocol"],
        rows="\n".join(_row(row) for row in demographics["rows"] if row["metric"] in SHOWN),
        simulated_n=_json(run / "test" / "dataset.json")["identities"],
        simulated_protocol=simulated["protocol"],
        simulated="\n".join(_simulated_row(row, simulated["rows"]) for row in simulated["rows"] if _is_shown(row)),
        ideal=ideal["U"]["value"],
        ideal_within=ideal["G"]["value"],
        ideal_n=ideal["U"]["n"],
        variances="\n".join(
            f"| {row['metric'].replace('_', ' ')} | {row['value']:.3f} | {row['ci_low']:.3f} to {row['ci_high']:.3f} |"
            for row in simulated["rows"]
            if row["metric"] in VARIANCES
        ),
        explained=(run / "explained.txt").read_text().strip(),
    )


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _is_best_of_two(row: dict[str, Any]) -> bool:
    return (row["metric"], row["direction"], row["params"].get("n_way")) == ("accuracy", "v2f", 2)


def _is_shown(row: dict[str, Any]) -> bool:
    if row["metric"] == "pearson_r":
        return row["group"] in ("f", "m") and row["params"]["measure"] in SHOWN_MEASURES
    return row["metric"] in SHOWN and row["direction"] == "v2f" and "control" not in row["params"]


def _stage(folder: Path, stage: str) -> str:
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    last = [row for row in log if row["event"] == "train"][-1]
    figures = [row for row in log if row["event"] == "validation"][-1]
    shown = ", ".join(f"{name} {value:.3g}" for name, value in figures.items() if name not in ("step", "event"))
    command = f"`train_{stage}.py --config s2f/recipes/starter_{stage}.yaml`"
    return f"| {stage} | {command} | {last['step']} | {last['loss']:.4g} | {shown} |"


def _row(row: dict[str, Any]) -> str:
    condition = row["params"].get("condition", row["params"].get("control", ""))
    cells = (row["metric"], row["direction"], row["group"], condition, f"{row['value']:.3f}")
    return "| " + " | ".join((*cells, _interval(row), _number(row["chance"], 2), str(row["n"]))) + " |"


def _simulated_row(row: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    params = row["params"]
    metric = " ".join((row["metric"], params["measure"])) if "measure" in params else row["metric"]
    low, middle, high = params["shuffled"] if "shuffled" in params else _control(row, rows)
    shuffled = f"{middle:.3f} ({low:.3f} to {high:.3f})"
    p = f"{params['p']:.1g}" if "p" in params else ""
    planted = _number(params.get("planted"), 3)
    cells = (metric, row["group"], f"{row['value']:.3f}", _interval(row), shuffled, planted, p, str(row["n"]))
    return "| " + " | ".join(cells) + " |"


def _control(row: dict[str, Any], rows: list[dict[str, Any]]) -> tuple[float, float, float]:
    """Limits and mean of the same figure under shuffled voices."""
    same = [one for one in rows if all(one[name] == row[name] for name in ("metric", "direction", "group"))]
    control = next(one for one in same if one["params"].get("control") == "shuffled")
    return control["ci_low"], control["value"], control["ci_high"]


def _interval(row: dict[str, Any]) -> str:
    return f"{row['ci_low']:.3f} to {row['ci_high']:.3f}"


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


if __name__ == "__main__":
    target = Path(sys.argv[2])
    write_text(target / "README.md", card(Path(sys.argv[1]), "checkpoints/starter"))
    write_manifest(target)
