"""Which figures stand in which table of the page of `s2f-eval report`: faces, attributes, features."""

from __future__ import annotations

from collections.abc import Sequence

from eval.metrics.random_galleries import NAMED_GALLERIES
from eval.report.tables import RowsTable, rows_table, words
from eval.results import Row

CONTROLS = {"shuffled": "S2F of another person", "mean": "the mean face", "nearest": "the nearest training face"}
HEADLINES = ("agreement", "kappa", "balanced")
REFERENCES = {"picture": "what the classifier says of the true picture", "label": "the label in people.csv"}
Attributes = tuple[RowsTable | None, dict[str, RowsTable]]  # headline figures, and the others by attribute


def measures(rows: Sequence[Row], normalised: bool = False) -> list[Row]:
    """Correlations of the measures as they are, or in units of the inter-ocular distance, without the controls."""
    main = [row for row in rows if row.metric == "pearson_r" and "control" not in row.params]
    return [row for row in main if (row.params["normalised"] != "no") == normalised]


def craniofacial(rows: Sequence[Row]) -> dict[str, RowsTable]:
    """Fig. 5c of Speech2Face by heading, the main table first."""
    tables = {
        "F2F against S2F": measures(rows),
        "In units of the inter-ocular distance": measures(rows, normalised=True),
    }
    for control, name in CONTROLS.items():
        tables[f"Control: {name}"] = [
            row for row in rows if row.metric == "pearson_r" and row.params.get("control") == control
        ]
    found = {"Pairs with landmarks in both pictures": [row for row in rows if row.metric == "landmarks_found"]}
    return _by_heading(tables, "r") | _by_heading(found, "share")


def true_pictures(rows: Sequence[Row]) -> RowsTable:
    """Measures of the true pictures against those of S2F."""
    return rows_table(measures(rows), "r")


def demographics(rows: Sequence[Row]) -> dict[str, Attributes]:
    """What a classifier says of the pictures, by what it is compared with."""
    tables = {
        meaning: [row for row in rows if row.params.get("reference") == reference]
        for reference, meaning in REFERENCES.items()
    }
    return {meaning: attributes(some) for meaning, some in tables.items() if some}


def attributes(rows: Sequence[Row]) -> Attributes:
    """Headline figures of every attribute in one table, and one of the other figures for each attribute."""
    headlines = [row for row in rows if row.metric.rpartition("_")[2] in HEADLINES]
    others: dict[str, list[Row]] = {}
    for row in rows:
        attribute, _, figure = row.metric.rpartition("_")
        if figure not in HEADLINES:
            others.setdefault(words(attribute), []).append(row)
    return rows_table(headlines) if headlines else None, _by_heading(others, "value")


def features(rows: Sequence[Row]) -> dict[str, RowsTable]:
    """Tables 2 and 3 of Speech2Face by heading."""
    distances = {"Predicted against true features": [row for row in rows if row.metric != "recall"]}
    sizes = {"all": "everybody in the gallery"}
    sizes |= {gallery.name: f"random galleries of {gallery.size}" for gallery in NAMED_GALLERIES}
    recall = {
        f"Recall at k, {said}": [row for row in rows if row.metric == "recall" and row.params["gallery"] == name]
        for name, said in sizes.items()
    }
    return _by_heading(distances, "value") | _by_heading(recall, "recall")


def _by_heading(tables: dict[str, list[Row]], value: str) -> dict[str, RowsTable]:
    return {heading: rows_table(some, value) for heading, some in tables.items() if some}
