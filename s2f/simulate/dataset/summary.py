"""One page that shows what a simulated dataset holds: faces, counts, distributions, planted links, ideal observer."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from s2f.datasets import SPLITS, DatasetFolder, Row
from s2f.errors import DatasetError
from s2f.runtime.files import write_bytes, write_text
from s2f.runtime.html import environment
from s2f.simulate.dataset.contact_sheet import NOTE, contact_sheet
from s2f.simulate.dataset.histograms import bin_edges, histogram

GENDERS = {"f": "female", "m": "male"}
WORDS = {
    "U": "everybody",
    "G": "within gender",
    "v2f": "voice to face",
    "f2v": "face to voice",
    "both": "either way",
}
QUANTITIES = {
    "Face age (years)": ("age_years", "gender"),
    "Voice F0 (Hz)": ("voice_f0_hz", "voice_gender"),
    "Vocal tract length (cm)": ("voice_tract_cm", "voice_gender"),
}


def write_summary(folder: Path) -> None:
    """Write `contact_sheet.png` and `summary.html` into a simulated dataset folder.

    The page is one file without scripts or outside requests, and the same folder always gives the same bytes. Without
    canonical pictures there is no sheet, and the page says so.

    Args:
        folder: holds dataset.json, config.json, people.csv and truth.csv; population.json where correlations and an
            ideal observer were measured.

    Raises:
        DatasetError: one of the files is missing or damaged.
        ImageError: a canonical picture that cannot be read.
    """
    folder = Path(folder)
    told = {name: _read_json(folder / name) for name in ("dataset.json", "config.json")}
    measured = _read_json(folder / "population.json") if (folder / "population.json").is_file() else {}
    people = _people(folder)
    sheet = contact_sheet(folder, people, int(told["dataset.json"].get("seed", 0)))
    if sheet is None:
        (folder / "contact_sheet.png").unlink(missing_ok=True)
    else:
        write_bytes(folder / "contact_sheet.png", sheet)
    try:
        text = _page(told["dataset.json"], told["config.json"], measured, people, sheet)
    except (KeyError, TypeError, AttributeError) as error:
        got = f"{error!r} while reading it"
        raise DatasetError(
            f"correlations and ideal figures in {folder / 'population.json'}", got, "simulate again"
        ) from error
    write_text(folder / "summary.html", text)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(f"a JSON object in {path}", f"{error}", "simulate the dataset again") from error
    if not isinstance(value, dict):
        raise DatasetError(f"a JSON object in {path}", type(value).__name__, "simulate the dataset again")
    return value


def _people(folder: Path) -> list[Row]:
    """Rows of truth.csv, completed by those of people.csv."""
    people = DatasetFolder(folder).people
    path = folder / "truth.csv"
    if not path.is_file():
        raise DatasetError("a simulated dataset with truth.csv", f"none at {path}", "simulate the dataset again")
    with path.open(encoding="utf-8", newline="") as file:
        truth = {row.get("identity", ""): row for row in csv.DictReader(file)}
    return [truth.get(name, {}) | {"identity": name, "split": row["split"]} for name, row in sorted(people.items())]


def _number(text: str | None) -> float | None:
    try:
        return value if np.isfinite(value := float(text or "")) else None
    except ValueError:
        return None


def _panels(people: Sequence[Row], column: str, gender: str) -> list[tuple[str, str, bytes]]:
    """Histograms of a quantity, everybody and each age class of the voices: caption, who is counted, SVG file."""
    known = [(row, number) for row in people if (number := _number(row.get(column))) is not None]
    if not known:
        return []
    numbers = [number for _, number in known]
    edges = bin_edges(min(numbers), max(numbers))
    panels = []
    for name in (None, *filter(None, _age_classes(people))):
        here = [(row, number) for row, number in known if name is None or row.get("voice_age_class") == name]
        values = {key: [number for row, number in here if row.get(gender) == key] for key in GENDERS}
        who = ", ".join(f"{len(numbers)} {GENDERS[key]}" for key, numbers in values.items())
        panels.append((f"{name or 'everybody'}, n {len(here)}", who, histogram(values, edges)))
    return panels


def _age_classes(people: Sequence[Row]) -> list[str]:
    """Names of the voices' age classes, youngest first; empty where a person has none."""
    ages: dict[str, list[float]] = {}
    for row in people:
        age = _number(row.get("voice_age_years"))
        ages.setdefault(row.get("voice_age_class") or "", []).append(0.0 if age is None else age)
    return sorted(ages, key=lambda name: (float(np.mean(ages[name])), name))


def _counts(people: Sequence[Row], splits: Sequence[str]) -> list[tuple[object, ...]]:
    """Rows of gender, age class, number in each split and in all."""
    counts = Counter((row.get("gender", ""), row.get("voice_age_class") or "", row["split"]) for row in people)
    rows: list[tuple[object, ...]] = []
    order = {name: k for k, name in enumerate(_age_classes(people))}
    for gender, age in sorted({key[:2] for key in counts}, key=lambda key: (key[0], order[key[1]])):
        cells = [counts[gender, age, split] for split in splits]
        rows.append((GENDERS.get(gender, gender), age or None, *cells, sum(cells)))
    totals = [sum(row["split"] == split for row in people) for split in splits]
    return [*rows, ("all", "", *totals, sum(totals))]


def _figure(row: Mapping[str, Any]) -> str:
    """Name of an ideal figure: "matching 1:10", "AUC", "R@5"."""
    metric, params = str(row["metric"]), dict(row.get("params") or {})
    if metric == "accuracy" and "n_way" in params:
        metric = f"matching 1:{params.pop('n_way')}"
    elif metric.startswith("recall") and "k" in params:
        metric = f"R@{params.pop('k')}"
    elif metric in ("auc", "map"):
        metric = {"auc": "AUC", "map": "mAP"}[metric]
    rest = ", ".join(f"{name} {value}" for name, value in params.items() if name != "split")
    return metric + (f" ({rest})" if rest else "")


def _measured(measured: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Rows of population.json's tables, and the splits of whom the ideal observer was asked."""
    ideal = measured.get("ideal", [])
    columns = ("direction", "group", "value", "chance", "n")
    return {
        "correlations": [
            (str(row["measure"]).replace("_", " "), *(row.get(key) for key in ("planted", "latents", "mesh", "n")))
            for row in measured.get("correlations", [])
        ],
        "ideal": [(_figure(row), *(WORDS.get(row.get(key), row.get(key)) for key in columns)) for row in ideal],
        "observed": sorted({str((row.get("params") or {}).get("split", "")) for row in ideal} - {""}),
    }


def _settings(name: str, value: object) -> list[tuple[str, str]]:
    """Rows of a setting; a table within it has a row for each of its entries."""
    if isinstance(value, dict):
        return [row for key, inner in value.items() for row in _settings(f"{name}, {key}", inner)]
    return [(name.replace("_", " "), f"{value:g}" if isinstance(value, float) else str(value))]


def _page(
    dataset: Mapping[str, Any],
    config: Mapping[str, Any],
    measured: Mapping[str, Any],
    people: Sequence[Row],
    sheet: bytes | None,
) -> str:
    keys = ("s2f", "seed", "identities", "views", "split_hash")
    facts = [(key.replace("_", " "), dataset[key]) for key in keys if key in dataset]
    facts += [fact for key, value in config.items() if key not in keys for fact in _settings(key, value)]
    splits = [split for split in (*SPLITS, "") if any(row["split"] == split for row in people)]
    template = environment(Path(__file__).parent).get_template("summary.html.jinja")
    return template.render(
        title=f"Simulated people: {dataset.get('identities', len(people))}, seed {dataset.get('seed')}",
        statement=dataset.get("statement", ""),
        splits=("gender", "voice's age class", *(split or "no split" for split in splits), "all"),
        counts=_counts(people, splits),
        sheet=sheet,
        note=NOTE,
        genders=GENDERS,
        quantities={title: _panels(people, column, gender) for title, (column, gender) in QUANTITIES.items()},
        facts=facts,
        **_measured(measured),
    )
