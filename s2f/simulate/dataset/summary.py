"""One page that shows what a simulated dataset holds: faces, counts, distributions, planted links, ideal observer."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from s2f.datasets import SPLITS, DatasetFolder, Row
from s2f.errors import DatasetError
from s2f.runtime.files import write_bytes, write_text
from s2f.runtime.html import STYLE, facts_table, page, picture, table
from s2f.simulate.dataset.contact_sheet import NOTE, contact_sheet

BINS_PER_TICK, TICKS = 5, 5
GENDERS = {"f": "female", "m": "male"}
WORDS = {
    "U": "everybody",
    "G": "within gender",
    "v2f": "voice to face",
    "f2v": "face to voice",
    "both": "either way",
}
QUANTITIES = (
    ("age_years", "gender", "Face age (years)"),
    ("voice_f0_hz", "voice_gender", "Voice F0 (Hz)"),
    ("voice_tract_cm", "voice_gender", "Vocal tract length (cm)"),
)
HISTOGRAMS = """svg{width:100%;height:auto;display:block}svg text{fill:var(--dim);font:10px system-ui,sans-serif}
svg .title{fill:var(--ink);font-size:12px}.f{fill:var(--f)}.m{fill:var(--m)}.bar{fill-opacity:.55}
.axis{stroke:var(--line);stroke-width:1}.key{display:inline-block;width:.8em;height:.8em;margin:0 .3em 0 .8em}
span.f{background:var(--f)}span.m{background:var(--m)}
"""


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


def histogram(title: str, values: Mapping[str, Sequence[float]], edges: np.ndarray) -> str:
    """Draw overlaid histograms as inline SVG.

    Args:
        title: heading.
        values: numbers by "f" or "m".
        edges: bin edges.

    Returns:
        An `svg` element; numbers outside the edges are not drawn.
    """
    left, top, wide, high = 30, 20, 300, 80
    counts = {key: np.histogram(numbers, edges)[0] for key, numbers in values.items()}
    most = max((int(count.max()) for count in counts.values()), default=0)
    place = wide / (edges[-1] - edges[0])
    parts = [f'<text class="title" x="{left}" y="12">{escape(title)}</text>']
    for key, count in counts.items():
        for low, up, n in zip(edges[:-1], edges[1:], count, strict=True):
            if n:
                tall = high * n / most
                x, y, width = left + (low - edges[0]) * place, top + high - tall, (up - low) * place - 0.5
                mark = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{tall:.1f}"'
                parts.append(f'<rect class="bar {escape(key)}" {mark}/>')
    parts.append(f'<path class="axis" d="M{left} {top + high}h{wide}"/>')
    for value in edges[::BINS_PER_TICK]:
        x = left + (value - edges[0]) * place
        parts.append(f'<text x="{x:.1f}" y="{top + high + 13}" text-anchor="middle">{value:.5g}</text>')
    parts.append(f'<text x="{left - 4}" y="{top + 8}" text-anchor="end">{most}</text>')
    label = escape(f"{title}: " + ", ".join(f"{len(numbers)} {GENDERS[key]}" for key, numbers in values.items()))
    return f'<svg viewBox="0 0 345 118" role="img" aria-label="{label}">{"".join(parts)}</svg>'


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


def _panels(people: Sequence[Row]) -> str:
    """A section of histograms for every quantity: everybody, then each age class of the voices."""
    sections = []
    for column, gender, title in QUANTITIES:
        known = [(row, number) for row in people if (number := _number(row.get(column))) is not None]
        sections.append(f"<h2>{escape(title)}</h2>")
        if not known:
            sections.append('<p class="dim">Not in truth.csv.</p>')
            continue
        numbers = [number for _, number in known]
        edges = _edges(min(numbers), max(numbers))
        drawn = []
        for name in (None, *filter(None, _age_classes(people))):
            here = [(row, number) for row, number in known if name is None or row.get("voice_age_class") == name]
            values = {key: [number for row, number in here if row.get(gender) == key] for key in GENDERS}
            drawn.append(histogram(f"{name or 'everybody'}, n {len(here)}", values, edges))
        sections.append(f'<div class="panels">{"".join(drawn)}</div>')
    return "".join(sections)


def _edges(low: float, high: float) -> np.ndarray:
    """Bin edges from round number to round number, about `TICKS` of them labelled."""
    rough = max(high - low, 1e-6) / TICKS
    power = 10.0 ** np.floor(np.log10(rough))
    step = power * next(round_number for round_number in (1, 2, 5, 10) if round_number * power >= rough)
    first, last = int(np.floor(low / step)), int(np.floor(high / step)) + 1
    return np.linspace(first * step, last * step, BINS_PER_TICK * (last - first) + 1)


def _age_classes(people: Sequence[Row]) -> list[str]:
    """Names of the voices' age classes, youngest first; empty where a person has none."""
    ages: dict[str, list[float]] = {}
    for row in people:
        age = _number(row.get("voice_age_years"))
        ages.setdefault(row.get("voice_age_class") or "", []).append(0.0 if age is None else age)
    return sorted(ages, key=lambda name: (float(np.mean(ages[name])), name))


def _counts(people: Sequence[Row]) -> str:
    counts = Counter((row.get("gender", ""), row.get("voice_age_class") or "", row["split"]) for row in people)
    splits = [split for split in (*SPLITS, "") if any(row["split"] == split for row in people)]
    rows = []
    order = {name: k for k, name in enumerate(_age_classes(people))}
    for gender, age in sorted({key[:2] for key in counts}, key=lambda key: (key[0], order[key[1]])):
        cells = [counts[gender, age, split] for split in splits]
        rows.append((GENDERS.get(gender, gender), age or None, *cells, sum(cells)))
    totals = [sum(row["split"] == split for row in people) for split in splits]
    rows.append(("all", "", *totals, sum(totals)))
    return table(("gender", "voice's age class", *(split or "no split" for split in splits), "all"), rows)


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


def _measured(measured: Mapping[str, Any]) -> str:
    correlations = [
        (str(row["measure"]).replace("_", " "), *(row.get(key) for key in ("planted", "latents", "mesh", "n")))
        for row in measured.get("correlations", [])
    ]
    ideal = [
        (
            _figure(row),
            *(WORDS.get(row.get(key), row.get(key)) for key in ("direction", "group", "value", "chance", "n")),
        )
        for row in measured.get("ideal", [])
    ]
    splits = sorted({str((row.get("params") or {}).get("split", "")) for row in measured.get("ideal", [])} - {""})
    on = escape(f" Measured on {' and '.join(splits)} people." if splits else "")
    absent = '<p class="dim">Not measured in this folder.</p>'
    return (
        "<h2>Craniofacial measures and the voice</h2><p>Correlation between voice and face: as planted, in the numbers "
        "that were drawn, and on the points of the finished heads.</p>"
        + (table(("measure", "planted", "drawn", "mesh", "n"), correlations) if correlations else absent)
        + "<h2>What an ideal observer reaches</h2><p>An observer who knows how face and voice "
        f"were linked: about the best that any model can do with these people.{on}</p>"
        + (table(("figure", "direction", "group", "value", "chance", "n"), ideal) if ideal else absent)
    )


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
    shown = '<p class="dim">No faces are shown: this population was simulated without canonical pictures.</p>'
    if sheet is not None:
        shown = picture(sheet, "png", "synthetic faces, ordered by gender and age")
        shown += f'<p class="dim">{escape(NOTE)}</p>'
    keys = ("s2f", "seed", "identities", "views", "split_hash")
    facts = [(key.replace("_", " "), dataset[key]) for key in keys if key in dataset]
    facts += [fact for key, value in config.items() if key not in keys for fact in _settings(key, value)]
    legend = "".join(f'<span class="key {key}"></span>{name}' for key, name in GENDERS.items())
    title = f"Simulated people: {dataset.get('identities', len(people))}, seed {dataset.get('seed')}"
    body = (
        f"<p>{escape(str(dataset.get('statement', '')))}</p><h2>People</h2>{_counts(people)}"
        f'<h2>Faces</h2>{shown}<p class="dim">Colours of all histograms:{legend}; the number at the upper left is the '
        f"highest bar.</p>{_panels(people)}{_measured(measured)}<h2>Settings</h2>{facts_table(facts)}"
    )
    return page(title, body, STYLE + HISTOGRAMS)
