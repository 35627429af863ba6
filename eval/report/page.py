"""The page of `s2f-eval report`: one HTML file of everything that was found, see `eval.report.collect`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from eval.report import figures
from eval.report.collect import Findings
from eval.report.people import people
from eval.report.tables import rows_tables
from eval.results import Report
from s2f.runtime.html import environment
from s2f.version import __version__

LISTED = 30  # pictures without landmarks that are named


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
    worst = {name: f"{angle:.1f}° from the true feature" for name, angle in found.worst}
    trouble = Counter((kind, reason) for kind, _, reason in found.trouble)
    template = environment(Path(__file__).parent).get_template("report.html.jinja")
    return template.render(
        title=f"Faces from voices: {_last(about['checkpoint'])}, {len(found.folder.people)} {about['split']} people",
        found=found,
        split_hash=about["split_hash"],
        facts=_facts(found),
        examples=people(found.folder, dict.fromkeys(found.examples, "")),
        worst=people(found.folder, worst),
        longest=f"{found.folder.seconds[-1]:g}",
        figures=figures,
        rows_tables=rows_tables,
        trouble=[(*key, count) for key, count in sorted(trouble.items())],
        listed=LISTED,
        left_out=[(entry["identity"], entry["reason"]) for entry in about.get("left_out", ())],
        reports=_reports(found),
        command=command(found),
    )


def _reports(found: Findings) -> dict[str, Report]:
    """All reports by what they are called on the page."""
    names = {"true": "true pictures against S2F", "classifier": "the classifier itself"}
    own = {names.get(name, name): part.report for name, part in found.parts.items() if part.report is not None}
    return own | {"features": found.features, "decoder": found.decoder, **found.others}


def _facts(found: Findings) -> list[tuple[str, object]]:
    """What was evaluated with what; facts that are not known are left out."""
    about, options = found.folder.about, found.options
    left_out = about.get("left_out", ())
    facts: list[tuple[str, object]] = [
        ("checkpoint", _last(about["checkpoint"])),
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
        ("landmarks", _last(options.landmarks)),
        ("classifier", found.classifier or "none"),
    ]
    return [(name, value) for name, value in facts if value is not None]


def _reasons(reasons: Sequence[str]) -> str:
    """The most frequent reasons; all are listed among the failures."""
    counts = Counter(reasons).most_common(3)
    said = "; ".join(f"{count} times: {reason}" for reason, count in counts)
    more = "; others see Failures" if len(set(reasons)) > len(counts) else ""
    return f" ({said}{more})" if said else ""


def command(found: Findings) -> str:
    """The command line that makes the page, files and folders by their last names only."""
    options = found.options
    words = ["s2f-eval report", found.folder.root.resolve().name]
    for name in ("classifier", "truth", "landmarks", "lpips"):
        if (value := getattr(options, name)) is not None:
            words += [f"--{name}", _last(value)]
    return " ".join([*words, f"--examples {options.examples}", f"--seed {options.seed}"])


def _last(path: object) -> str:
    """Name of a file or folder without its place."""
    return Path(str(path)).name
