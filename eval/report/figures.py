"""The sections of the page of `s2f-eval report` that hold figures: faces, attributes, features, decoder."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from eval.metrics.random_galleries import NAMED_GALLERIES
from eval.report.collect import Findings, Part
from eval.report.tables import rows_table, rows_tables, words
from eval.results import Report, Row
from s2f.runtime.html import picture

HEADLINES = ("agreement", "kappa", "balanced")
REFERENCES = {"picture": "what the classifier says of the true picture", "label": "the label in people.csv"}
STYLE = """
.plot{overflow-x:auto;margin:.8em 0}.plot img{display:block;width:100%;min-width:44rem}
details{margin:.6em 0}summary{cursor:pointer}
"""


def craniofacial(found: Findings) -> str:
    """Fig. 5c of Speech2Face with its controls, the scatter plot and the examples."""
    part = found.parts["craniofacial"]
    said = (
        "<p>Pearson's r of twelve measures between the two faces drawn of a person, F2F and S2F, as in Fig. 5c of "
        "Speech2Face (paper: its figures, of other people). q: p after control of the false discovery rate over the "
        "measures of a table. shuffled: mean and middle 95 % when voices are dealt to other people. In the notes A is "
        "F2F and B is S2F.</p>"
    )
    if part.report is None:
        return f"{said}{absent(part)}{_true_pictures(found)}"
    rows = [row for row in part.report.rows if row.metric == "pearson_r"]
    main = [row for row in rows if "control" not in row.params]
    tables = {
        "In units of the inter-ocular distance": [row for row in main if row.params["normalised"] != "no"],
        "Control: S2F of another person": _controlled(rows, "shuffled"),
        "Control: the mean face": _controlled(rows, "mean"),
        "Control: the nearest training face": _controlled(rows, "nearest"),
        "Pairs with landmarks in both pictures": [row for row in part.report.rows if row.metric == "landmarks_found"],
    }
    first = rows_table([row for row in main if row.params["normalised"] == "no"], "r")
    others = (
        f"<h3>{name}</h3>{rows_table(some, 'share' if some[0].metric == 'landmarks_found' else 'r')}"
        for name, some in tables.items()
        if some
    )
    return f"{said}<h3>F2F against S2F</h3>{first}{_plots(part)}{''.join(others)}{_true_pictures(found)}"


def _true_pictures(found: Findings) -> str:
    part = found.parts["true"]
    title = "<h3>True pictures against S2F</h3>"
    if part.report is None:
        return f"{title}{absent(part)}"
    main = [row for row in part.report.rows if row.params["normalised"] == "no" and "control" not in row.params]
    return (
        f"{title}<p>What the decoder loses counts here too. The paper has no such figures.</p>{rows_table(main, 'r')}"
    )


def _controlled(rows: Sequence[Row], control: str) -> list[Row]:
    return [row for row in rows if row.params.get("control") == control]


def demographics(found: Findings) -> str:
    """What a classifier says of the pictures, by what it is compared with and by attribute, and its own error."""
    part = found.parts["demographics"]
    if part.report is None:
        return absent(part)
    said = (
        "<p>What a classifier says of faces drawn from the voice (S2F) and from the picture (F2F). Chance "
        "of the agreement is what one reaches who always gives the most frequent class; balanced is the mean of the "
        "recalls, so that every class weighs the same.</p>"
    )
    tables = ""
    for reference, meaning in REFERENCES.items():
        some = [row for row in part.report.rows if row.params.get("reference") == reference]
        tables += f"<h3>Against {meaning}</h3>{_attributes(some)}" if some else ""
    own = found.parts["classifier"]
    return (
        f"{said}{_plots(part)}{tables}<h3>The classifier itself: {escape(found.classifier)}</h3>"
        + (
            "<p>How often it errs about pictures of people whom it was not fitted on.</p>"
            if own.report
            else absent(own)
        )
        + (_attributes(own.report.rows) if own.report else "")
    )


def _attributes(rows: Sequence[Row]) -> str:
    """Headline figures of every attribute in one table, and the others folded."""
    headlines = [row for row in rows if row.metric.rpartition("_")[2] in HEADLINES]
    others: dict[str, list[Row]] = {}
    for row in rows:
        attribute, _, figure = row.metric.rpartition("_")
        if figure not in HEADLINES:
            others.setdefault(attribute, []).append(row)
    folded = (
        f"<details><summary>{escape(words(attribute))}, class by class</summary>{rows_table(some)}</details>"
        for attribute, some in others.items()
    )
    return (rows_table(headlines) if headlines else "") + "".join(folded)


def features(report: Report) -> str:
    """Tables 2 and 3 of Speech2Face."""
    recall = [row for row in report.rows if row.metric == "recall"]
    distances = [row for row in report.rows if row.metric != "recall"]
    sizes = {"all": "everybody in the gallery"}
    sizes |= {gallery.name: f"random galleries of {gallery.size}" for gallery in NAMED_GALLERIES}
    tables = {said: [row for row in recall if row.params["gallery"] == name] for name, said in sizes.items()}
    return (
        "<p>How far the feature predicted from a voice is from that of the true picture (Table 2 of Speech2Face), and "
        "how often the own one is among the k nearest (Table 3). paper: its figures, of other people.</p>"
        + f"<h3>Predicted against true features</h3>{rows_table(distances)}"
        + "".join(f"<h3>Recall at k, {said}</h3>{rows_table(some, 'recall')}" for said, some in tables.items() if some)
    )


def decoder(report: Report) -> str:
    """What the decoder loses."""
    return (
        "<p>How near F2F, the face drawn from the feature of the true picture, comes to that picture: what the decoder "
        "alone loses. And whether the feature of S2F is the predicted one that it was drawn from.</p>"
        + rows_tables(report.rows)
    )


def absent(part: Part) -> str:
    """Why a part is not there."""
    return f"<p>Not measured: {escape(part.reason)}.</p>"


def _plots(part: Part) -> str:
    shown = (part.pictures or {}).items()
    return "".join(f'<div class="plot">{picture(path.read_bytes(), "png", alt)}</div>' for alt, path in shown)
