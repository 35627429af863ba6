"""Model cards, written from what a checkpoint, its training run and its evaluations say; nothing typed by hand."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from s2f.checkpoints.hashes import write_manifest
from s2f.checkpoints.loading import CONFIG, contained, network_folders, read_json, stored_shapes
from s2f.checkpoints.provenance import weights_sha256
from s2f.errors import CheckpointError, UsageError
from s2f.runtime.files import write_text

CONTRACT = re.compile(
    r"sample_rate_hz|.*_samples|fft_size|waveform_scale|power|target_rms|mel_bands|image_.*|unit_norm"
)
SOURCE = "source.json"  # where imported weights come from
QUIET = ("step", "event", "seconds", "lr")
HEADER = ("step", "event", "effective_batch", "changes", "arguments")  # of a start row; the rest decides the result
HASHES = ("_hash", "_sha256")
LIMITS = """## Limits

* Faces drawn from a voice are average-looking guesses; most of a face cannot be heard. Nothing here identifies anybody,
  and nothing here supports a claim about how a speaker looks.
* Figures hold for the people, recordings and pictures they were measured on.
* Ask a speaker before using a recording.
"""


@dataclass(frozen=True)
class CardFacts:
    """What a card says that no file of the checkpoint does.

    Attributes:
        license: identifier of the weights' licence, as `apache-2.0` or `other`.
        run: folder of the training run, whose `log.jsonl` is read; None for weights that were not trained here.
        evaluations: files that an evaluation's `--json` printed.
        title: of the card; the folder's name without.
    """

    license: str
    run: str | None = None
    evaluations: Sequence[str] = field(default_factory=tuple)
    title: str = ""


def write_card(folder: str | Path, facts: CardFacts) -> Path:
    """Write `README.md` of a checkpoint folder, and its list of hashes anew.

    Args:
        folder: a checkpoint, or the folder of one network.
        facts: licence, training run and evaluations.

    Returns:
        The card.

    Raises:
        CheckpointError: files are missing or damaged, or a log or an evaluation is.
        UsageError: a licence that is no identifier, or neither a run nor a record of an import.
    """
    folder = Path(folder)
    write_text(folder / "README.md", compose(folder, facts))
    write_manifest(folder)
    return folder / "README.md"


def compose(folder: Path, facts: CardFacts) -> str:
    """The text of a card; see `write_card`."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", facts.license):
        fix = "give the identifier of a licence, or `other`"
        raise UsageError("a licence identifier such as apache-2.0 or cc-by-nc-4.0", repr(facts.license), fix)
    source = folder / SOURCE
    if facts.run is None and not source.is_file():
        fix = "give the training run with --run, or describe weights made elsewhere by importing them"
        raise UsageError(f"a training run behind {folder}, or {source.name} in it", "neither", fix)
    parts = [_header(facts.license), f"# {facts.title or folder.resolve().name}\n", _networks(folder)]
    if source.is_file():
        parts.append(_origin(read_json(source)))
    if facts.run is not None:
        parts.append(_training(Path(facts.run)))
    parts += [_evaluation(Path(path)) for path in facts.evaluations]
    return "\n".join([*parts, LIMITS])


def imported_card(folder: Path, file: str) -> str:
    """The card of a folder that was imported; its licence is that of the published file, which we cannot know.

    Args:
        folder: with the networks and `source.json`.
        file: what the published file is.
    """
    source = read_json(folder / SOURCE)
    title = f"# {source['kind']}, imported by s2f\n"
    lines = f"Weights of {file}, converted; nothing was trained. Their licence is that of the file.\n"
    return "\n".join([_header("other"), title, lines, _networks(folder), _origin(source), LIMITS])


def _header(license_name: str) -> str:
    from huggingface_hub import ModelCardData

    tags = ["speech2face", "voice", "face"]
    return f"---\n{ModelCardData(license=license_name, library_name='s2f', tags=tags).to_yaml()}\n---\n"


def _networks(folder: Path) -> str:
    rows, contracts = [], []
    for name, part in network_folders(folder).items():
        config = {
            key: value
            for key, value in sorted(read_json(contained(part / CONFIG, folder)).items())
            if value is not None
        }
        kind = str(config.get("_class_name"))
        count = sum(math.prod(shape) for shape in stored_shapes(part).values())
        rows.append((name or "(the folder)", kind, f"{count:,}"))
        known = {key: value for key, value in config.items() if CONTRACT.fullmatch(key)}
        if known:
            words = ", ".join(f"`{key}` {value}" for key, value in known.items())
            contracts.append(f"* {name or kind}: {words}")
    table = _table(("network", "class", "stored values"), rows)
    inputs = "\n".join(["Input contracts (from `config.json`):", "", *contracts, ""]) if contracts else ""
    digest = f"SHA-256 of the weights begins `{weights_sha256(folder)}`; `s2f weights verify` checks every file.\n"
    return f"## Networks\n\n{table}\n{inputs}\n{digest}"


def _origin(source: Mapping[str, Any]) -> str:
    rows = [
        ("file", f"`{source['file']}`, {source['bytes']:,} bytes"),
        ("SHA-256", f"`{source['sha256']}`"),
        ("kind", f"`{source['kind']}`, read by s2f {source['s2f']}"),
        *([("pictures of its network", source["channel_order"].upper())] if source["channel_order"] else []),
        ("changed", "; ".join(source["changes"]) or "nothing"),
        ("left out", "; ".join(f"{name} ({why})" for name, why in source["left_out"].items()) or "nothing"),
        ("equal to", f"weights `{source['reference_sha256']}`" if source["reference_sha256"] else "not compared"),
    ]
    return f"## Origin\n\n{_table(('what', 'value'), rows)}"


def _training(run: Path) -> str:
    rows = _log(run / "log.jsonl")
    starts = [row for row in rows if row.get("event") == "start"]
    steps = [row for row in rows if row.get("event") == "train"]
    if not starts or not steps:
        raise CheckpointError(f"a start and training steps in {run / 'log.jsonl'}", "none", "give a training run")
    done = any(row.get("event") == "done" for row in rows)
    words = (
        f"{steps[-1]['step']} steps of {starts[-1].get('effective_batch')} items; last loss {steps[-1]['loss']:.4g}."
    )
    restarts = [row for row in starts if row.get("changes")]
    changes = [f"* restarted at step {row['step']} with {'; '.join(row['changes'])}\n" for row in restarts]
    state = [] if done else ["The run did not end: these are weights of a checkpoint.\n"]
    facts = {name: value for name, value in starts[-1].items() if name not in HEADER and _is_said(value)}
    hashes = [f"`{name}` `{value}`" for name, value in sorted(facts.items()) if name.endswith(HASHES)]
    settings = [(name, f"`{_setting(facts[name])}`") for name in sorted(facts) if not name.endswith(HASHES)]
    validations = [row for row in rows if row.get("event") == "validation"]
    shown = [_table(("held-out figure", "value"), _figures(validations[-1]))] if validations else []
    made = f"Made from {', '.join(hashes) or 'data without recorded hashes'}.\n"
    parts = [f"## Training\n\n{words}\n", *state, *changes, made, *shown, _table(("setting", "value"), settings)]
    return "\n".join(parts)


def _is_said(value: Any) -> bool:
    """Whether a setting is on: 0 is a value, False and nothing at all are not."""
    return value is not None and value is not False and value not in ("", [], {})


def _setting(value: Any) -> str:
    """A setting; of a path the name alone, because folders of a machine are nobody's business."""
    return PurePath(value).name if isinstance(value, str) and "/" in value else json.dumps(value)


def _figures(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (name, f"{value:.4g}") for name, value in row.items() if name not in QUIET and isinstance(value, int | float)
    ]


def _evaluation(path: Path) -> str:
    report = read_json(path)
    try:
        rows = [_evaluation_row(row) for row in report["rows"]]
        split = f"; split hash `{report['split_hash']}`" if report.get("split_hash") else ""
        heading = f"## Evaluation: {path.stem}\n\nProtocol `{report['protocol']}`{split}.\n"
    except (KeyError, TypeError, AttributeError) as error:
        got = f"something else ({type(error).__name__}: {error})"
        raise CheckpointError(f"what an evaluation's --json prints in {path}", got, "run it again") from error
    columns = ("metric", "direction", "group", "settings", "value", "interval", "chance", "n")
    notes = "".join(f"* {note}\n" for note in report.get("notes", []))
    return "\n".join([heading, _table(columns, rows), notes])


def _evaluation_row(row: Mapping[str, Any]) -> tuple[str, ...]:
    params = ", ".join(f"{name} {value}" for name, value in row["params"].items())
    interval = "none" if row["ci_low"] is None else f"{row['ci_low']:.3f} to {row['ci_high']:.3f}"
    value = f"undefined ({row['ci_method']})" if row["value"] is None else f"{row['value']:.3f}"
    chance = "" if row["chance"] is None else f"{row['chance']:.3g}"
    return (
        row["metric"],
        str(row["direction"] or ""),
        str(row["group"] or ""),
        params,
        value,
        interval,
        chance,
        str(row["n"]),
    )


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    cells = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in [columns, ["---"] * len(columns), *cells]) + "\n"


def _log(path: Path) -> list[dict[str, Any]]:
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise CheckpointError(f"one JSON object a line in {path}", str(error), "give the folder of a run") from error
    return [row for row in rows if isinstance(row, dict)]
