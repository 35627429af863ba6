"""The page of `s2f-eval report`: one HTML file of everything that was found, see `eval.report.collect`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path

from eval.report import figures
from eval.report.collect import Findings
from eval.report.people import STYLE as PEOPLE_STYLE
from eval.report.people import people
from eval.report.tables import rows_tables
from eval.results import Report
from s2f.runtime.html import STYLE, facts_table, page, table
from s2f.version import __version__

LISTED = 30  # pictures without landmarks that are named
AVERAGE = (
    "Every drawn face is an average-looking guess that a machine made from a voice, or from a feature of a picture. It "
    "is not a likeness of the speaker, and nothing on this page identifies anybody."
)
SHARING = "The true and the nearest pictures are of the data sets: pass this page on only where their terms allow it."
MORE_STYLE = """
h3{font-size:1rem;margin:1.4em 0 .3em}h4{font-size:.9rem;margin:1em 0 .3em}
.warn{font-weight:600}code{overflow-wrap:anywhere}
nav a{color:inherit;margin-right:.8em;display:inline-block}ul{padding-left:1.2rem;max-width:46rem}
"""
SECTIONS = {
    "what": "What was evaluated",
    "examples": "Examples, not picked",
    "craniofacial": "Craniofacial measures",
    "demographics": "Gender, age and ethnicity",
    "features": "Features and retrieval",
    "decoder": "Decoder check",
    "others": "Further reports",
    "failures": "Failures",
    "notes": "Notes",
}


def report_page(found: Findings) -> str:
    """Make the page.

    Args:
        found: of `eval.report.collect.find_out`.

    Returns:
        Text of the HTML file; the same findings give the same bytes.

    Raises:
        ImageError: a picture of a person who is shown cannot be read.
    """
    about = found.folder.about
    checkpoint = Path(str(about["checkpoint"])).name
    title = f"Faces from voices: {checkpoint}, {len(found.folder.people)} {about['split']} people"
    bodies = {
        "what": _what(found),
        "examples": _examples(found),
        "craniofacial": figures.craniofacial(found),
        "demographics": figures.demographics(found),
        "features": figures.features(found.features),
        "decoder": figures.decoder(found.decoder),
        "others": _others(found),
        "failures": _failures(found),
        "notes": _notes(found),
    }
    links = "".join(f'<a href="#{name}">{text}</a>' for name, text in SECTIONS.items())
    sections = "".join(f'<h2 id="{name}">{SECTIONS[name]}</h2>{body}' for name, body in bodies.items())
    style = STYLE + PEOPLE_STYLE + figures.STYLE + MORE_STYLE
    return page(title, f"<p>{AVERAGE}</p><nav>{links}</nav>{sections}", style)


def _reports(found: Findings) -> dict[str, Report]:
    """All reports by what they are called on the page."""
    names = {"true": "true pictures against S2F", "classifier": "the classifier itself"}
    own = {names.get(name, name): part.report for name, part in found.parts.items() if part.report is not None}
    return own | {"features": found.features, "decoder": found.decoder, **found.others}


def _what(found: Findings) -> str:
    about, options = found.folder.about, found.options
    left_out = about.get("left_out", ())
    facts: list[tuple[str, object]] = [
        ("checkpoint", Path(str(about["checkpoint"])).name),
        *((f"weights of {name.replace('_', ' ')}", text) for name, text in about.get("weights_sha256", {}).items()),
        ("split", about["split"]),
        ("split hash", about["split_hash"]),
        ("data hash", about.get("data_hash")),
        ("people", len(found.folder.people)),
        ("left out", f"{len(left_out)}{_reasons([entry['reason'] for entry in left_out])}"),
        ("seconds of voice", " and ".join(f"{value:g}" for value in found.folder.seconds)),
        *((f"voices shorter than {name}, repeated", count) for name, count in about.get("repeated", {}).items()),
        ("seed of the choice of people", about.get("seed")),
        ("training people of the controls", about.get("training_people")),
        ("training data hash", about.get("training_data_hash")),
        ("drawn by s2f", about.get("s2f")),
        ("evaluated by s2f", __version__),
        ("seed of this report", options.seed),
        ("protocols", ", ".join(dict.fromkeys(report.protocol for report in _reports(found).values()))),
        ("landmarks", Path(options.landmarks).name),
        ("classifier", found.classifier or "none"),
    ]
    said = escape(found.statement or SHARING)
    return f"<p>{said}</p>{facts_table((name, value) for name, value in facts if value is not None)}"


def _reasons(reasons: Sequence[str]) -> str:
    """The most frequent reasons; all are listed among the failures."""
    counts = Counter(reasons).most_common(3)
    said = "; ".join(f"{count} times: {reason}" for reason, count in counts)
    more = "; others see Failures" if len(set(reasons)) > len(counts) else ""
    return f" ({said}{more})" if said else ""


def _examples(found: Findings) -> str:
    if not found.examples:
        return "<p>None were asked for.</p>"
    said = (
        f"{len(found.examples)} of {len(found.folder.people)} people, chosen at random with seed {found.options.seed}, "
        "not picked. From the left: the true picture; F2F, drawn from the feature of that picture; S2F, drawn from the "
        "voice; the training face nearest to the predicted feature; the mean face, the same for everybody. Below: the "
        "name and what people.csv says."
    )
    return f"<p>{said}</p>{people(found.folder, dict.fromkeys(found.examples, ''))}"


def _others(found: Findings) -> str:
    if not found.others:
        return "<p>None: there is no JSON report in the folder's reports/.</p>"
    split, parts = found.folder.about["split_hash"], []
    for name, report in found.others.items():
        remark = f"Of other people: split hash {report.split_hash[:12]}, here {split[:12]}."
        warning = "" if report.split_hash == split else f'<p class="warn">{escape(remark)}</p>'
        parts.append(f"<h3>{escape(report.protocol)}, {escape(name)}</h3>{warning}{rows_tables(report.rows, 'h4')}")
    return "".join(parts)


def _failures(found: Findings) -> str:
    counts = Counter((kind, reason) for kind, _, reason in found.trouble)
    without = "<p>Landmarks were found in every picture.</p>"
    if found.trouble:
        counted = table(("picture", "reason", "number"), [(*key, count) for key, count in sorted(counts.items())])
        named = table(("picture", "person", "reason"), found.trouble[:LISTED])
        rest = len(found.trouble) - LISTED
        more = f"<p>And {rest} more.</p>" if rest > 0 else ""
        without = f"<p>Pictures without landmarks; no figure that needs landmarks has them.</p>{counted}{named}{more}"
    left_out = [(entry["identity"], entry["reason"]) for entry in found.folder.about.get("left_out", ())]
    nobody = facts_table(left_out) if left_out else "<p>Nobody was left out when the folder was written.</p>"
    return f"{without}<h3>People left out</h3>{nobody}<h3>The worst</h3>{_worst(found)}"


def _worst(found: Findings) -> str:
    if not found.worst:
        return "<p>None were asked for.</p>"
    shown = {name: f"{angle:.1f}° from the true feature" for name, angle in found.worst}
    said = (
        f"The {len(shown)} people whose feature, predicted from {found.folder.seconds[-1]:g} s, is at the largest "
        "angle to that of their true picture."
    )
    return f"<p>{said}</p>{people(found.folder, shown)}"


def _notes(found: Findings) -> str:
    notes = [f"{name} ({report.protocol}): {note}" for name, report in _reports(found).items() for note in report.notes]
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f"<ul>{items}</ul><p>This page again:</p><p><code>{escape(command(found))}</code></p>"


def command(found: Findings) -> str:
    """The command line that makes the page, files and folders by their last names only."""
    options = found.options
    words = ["s2f-eval report", found.folder.root.resolve().name]
    for name in ("classifier", "truth", "landmarks", "lpips"):
        if (value := getattr(options, name)) is not None:
            words += [f"--{name}", Path(value).name]
    return " ".join([*words, f"--examples {options.examples}", f"--seed {options.seed}"])
