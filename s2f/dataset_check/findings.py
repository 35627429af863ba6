"""What `s2f data check` reports: what may be wrong with a dataset folder, how bad that is and how to repair it."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

from s2f.datasets import SPLITS

PURPOSES = ("train_s2f", "train_face", "evaluate")
GROUPS = (*SPLITS, "none", "all")
TITLES = dict(zip(GROUPS, (*SPLITS, "no split", "all"), strict=True))
EXAMPLES = 5
WIDTH = 100
LABEL = 24
COUNTED = {
    "people": "people",
    "people_with_voice": "  with a voice",
    "people_with_face": "  with a face",
    "people_with_both": "  with both",
    "videos": "videos",
    "recordings": "recordings",
    "hours": "  hours",
    "recordings_of_unknown_length": "  of unknown length",
    "pictures": "pictures",
    "landmarks": "  with landmarks",
}
Severity = Literal["error", "warning"]
Found = dict[str, list[str]]  # by kind, one text for each case


class Kind(NamedTuple):
    """`severity` of a kind of finding, `message`: what was found, `fix`: what to do."""

    severity: Severity
    message: str
    fix: str


KINDS: dict[str, Kind] = {
    "missing_table": Kind(
        "error",
        "tables that are not there",
        "check the path; tars without tables need `s2f shards --index DIR`",
    ),
    "missing_column": Kind(
        "error", "columns that are not there", "add them; the first line names them, between commas"
    ),
    "byte_order_mark": Kind("error", "tables that begin with a byte order mark", "save them as UTF-8 without it"),
    "not_utf8": Kind("error", "lines that are not UTF-8", "save the table as UTF-8"),
    "broken_table": Kind(
        "error", "tables that cannot be read to their end", "look for a quotation mark without its twin"
    ),
    "ragged_row": Kind("error", "rows with fewer or more cells than the header", "quote cells that contain a comma"),
    "empty_identity": Kind("error", "people without an identity", "name them, or remove their rows"),
    "repeated_identity": Kind("error", "further rows for a person who has one", "merge the rows of people.csv"),
    "unknown_split": Kind("error", "splits other than train, val and test", "correct people.csv; empty means none"),
    "unknown_identity": Kind(
        "error", "rows of people who are not in people.csv", "add the people, with an empty split to leave them out"
    ),
    "bad_number": Kind("error", "times that are no seconds from 0 on", "correct voices.csv; empty means unknown"),
    "face_box": Kind("error", "pictures that are not cropped, with a box", "`s2f prepare folders DIR OUT` crops them"),
    "bad_landmarks": Kind(
        "error", "rows of landmarks.csv that are not path, x0, y0 … x67, y67", "make those rows again"
    ),
    "missing_file": Kind("error", "files that are not there", "copy them, or remove their rows"),
    "empty_file": Kind("error", "files without content", "copy them again, or remove their rows"),
    "beyond_tar": Kind("error", "samples outside their tar", "copy the tar, or run `s2f shards --index DIR`"),
    "unreadable_recording": Kind("error", "opened recordings that cannot be used", "repair or remove them"),
    "unreadable_picture": Kind("error", "opened pictures that cannot be read", "repair or remove them"),
    "speaker_in_two_splits": Kind("error", "speakers in two splits", "move each to one split"),
    "content_in_two_splits": Kind("error", "the same content in two splits", "keep each in one, or move the people"),
    "other_split_hash": Kind(
        "warning",
        "split hash of dataset.json that is not people.csv's",
        "do not compare with results from before the change",
    ),
    "broken_dataset_json": Kind("warning", "dataset.json that is no JSON object", "write it again, or remove it"),
    "person_without_split": Kind("warning", "people without a split, whom nothing uses", "fill the column split"),
    "person_without_face": Kind("warning", "people with a voice and no face", "add faces, or clear their split"),
    "person_without_voice": Kind(
        "warning", "people with a face and no voice", "add voices, or keep them for faces alone"
    ),
    "person_without_both": Kind("warning", "people with neither voice nor face", "remove their rows of people.csv"),
    "odd_value": Kind(
        "warning", "cells of people.csv taken as unknown", "gender is m, f or empty, age a number or empty"
    ),
    "video_in_two_splits": Kind(
        "warning", "videos with people of two splits", "leave them out, unless only their names are alike"
    ),
    "content_of_two_people": Kind("warning", "the same content for two people", "find out whose they are"),
    "repeated_content": Kind("warning", "the same content in several files of one person", "keep one file of each"),
    "repeated_row": Kind("warning", "rows that repeat an earlier one", "remove them"),
    "landmarks_without_picture": Kind("warning", "landmarks of pictures that faces.csv does not name", "remove them"),
    "not_square": Kind("warning", "opened pictures that are not square", "`s2f prepare folders DIR OUT` crops them"),
    "outside_folder": Kind("warning", "files outside the folder, by ..", "move them in before you copy the folder"),
    "absolute_path": Kind("warning", "files named by absolute paths", "nothing, if the folder stays on this machine"),
}


@dataclass(frozen=True)
class Finding:
    """One kind of finding.

    Attributes:
        kind: a key of `KINDS`.
        severity: error: training or evaluation would stop, or be dishonest; warning: worth knowing.
        count: cases.
        message: what they are.
        examples: up to 5 different ones, sorted.
        fix: how to repair it.
    """

    kind: str
    severity: Severity
    count: int
    message: str
    examples: list[str]
    fix: str


def findings_of(found: Mapping[str, Sequence[str]]) -> list[Finding]:
    """Findings in the order of `KINDS`, errors first.

    Args:
        found: texts of all cases by kind.
    """
    return [
        Finding(
            kind, severity, len(found[kind]), message, [shown(text) for text in sorted({*found[kind]})[:EXAMPLES]], fix
        )
        for kind, (severity, message, fix) in KINDS.items()
        if found.get(kind)
    ]


def shown(text: str) -> str:
    """The text with everything escaped that a terminal may not show: control characters, bytes that are not UTF-8."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


@dataclass(frozen=True)
class Findings:
    """All that `s2f data check` says about a folder.

    `json()` is one object of these attributes, and `usable` and `verdict`. Groups are train, val, test, none (no split,
    or not in people.csv) and all.

    Attributes:
        folder: as it was named.
        sharded: whether sound and face features lie in tars.
        counts: number by name and group: people, people_with_voice, people_with_face, people_with_both, videos,
            recordings (rows of voices.csv), hours (of those of known length), recordings_of_unknown_length, pictures
            (rows of faces.csv), landmarks (pictures that have them).
        people: for gender, age, ethnicity, nationality and language, by group but without empty ones: `counts` of the
            most frequent values, `other`, `unknown` and `unknown_share`.
        quality: rows by flag of column quality, for voices.csv and faces.csv.
        left_out: from errors.csv, by kind: `count`, and `reasons` with the most frequent ones.
        missing: sentences of dataset.json about what the published dataset has and this copy lacks.
        opened: how many recordings and pictures were opened.
        split_hash: of people.csv; null without it, or if it is not UTF-8.
        stored_split_hash: what dataset.json says; null if nothing.
        notes: sentences.
        findings: see `Finding`.
        usable_for: of `PURPOSES`, see `s2f.dataset_check.folder.check`.
        not_usable_for: the others, each with the reason.
    """

    folder: str
    sharded: bool
    counts: dict[str, dict[str, float]]
    people: dict[str, dict[str, dict[str, Any]]]
    quality: dict[str, dict[str, int]]
    left_out: dict[str, dict[str, Any]]
    missing: list[str]
    opened: dict[str, int]
    split_hash: str | None
    stored_split_hash: str | None
    notes: list[str]
    findings: list[Finding]
    usable_for: list[str]
    not_usable_for: dict[str, str]

    @property
    def usable(self) -> bool:
        """Whether there is no error, and something that the folder can be used for."""
        return bool(self.usable_for)

    @property
    def verdict(self) -> str:
        """One sentence."""
        number = {grade: sum(one.severity == grade for one in self.findings) for grade in ("error", "warning")}
        if number["error"]:
            return f"Not usable: repair the {_several(number['error'], 'kind')} of errors above first."
        reasons = "".join(f"; not for {purpose}: {reason}" for purpose, reason in self.not_usable_for.items())
        usable = f"Usable for {_joined(self.usable_for)}" if self.usable else "Not usable"
        warned = f" ({_several(number['warning'], 'kind')} of warnings)" if number["warning"] else ""
        return f"{usable}{reasons}{warned}."

    def json(self) -> str:
        """One JSON object; no value is NaN."""
        content = asdict(self) | {"usable": self.usable, "verdict": self.verdict}
        return json.dumps(content, indent=2, allow_nan=False)

    def table(self) -> str:
        """Several lines for people, at most 100 characters wide."""
        lines = [f"{shown(self.folder)} ({'feature shards' if self.sharded else 'dataset folder'})", ""]
        lines.append(" " * LABEL + "".join(f"{title:>14}" for title in TITLES.values()))
        for name, label in COUNTED.items():
            digits = 2 if name == "hours" else 0
            lines.append(f"{label:<{LABEL}}" + "".join(f"{self.counts[name][g]:>14,.{digits}f}" for g in GROUPS))
        lines += ["", *self._people(), *self._origin()]
        for grade in ("error", "warning"):
            if chosen := [finding for finding in self.findings if finding.severity == grade]:
                lines += ["", f"{grade}s", *(line for finding in chosen for line in _finding_lines(finding))]
        return "\n".join([line for part in lines for line in _wrapped(part)] + ["", *_wrapped(self.verdict, 0)])

    def _people(self) -> list[str]:
        lines = []
        for column, groups in self.people.items():
            if all(part["unknown_share"] == 1 for part in groups.values()):
                lines.append(f"{column:<{LABEL}}unknown for everybody")
                continue
            lines.append(column)
            for group, part in groups.items():
                known = part["counts"] | ({"other": part["other"]} if part["other"] else {})
                share = f"unknown {part['unknown']} ({100 * part['unknown_share']:.0f} %)" if part["unknown"] else ""
                lines.append(f"{'  ' + TITLES[group]:<{LABEL}}{', '.join(filter(None, (_listed(known), share)))}")
        return lines

    def _origin(self) -> list[str]:
        """Quality flags, files left out, what the copy lacks, the split hash, and notes."""
        lines = [f"{'quality, ' + table:<{LABEL}}{_listed(flags)}" for table, flags in self.quality.items() if flags]
        for kind, part in self.left_out.items():
            lines.append(f"{'left out, ' + kind:<{LABEL}}{part['count']}: {_listed(part['reasons'])}")
        lines += [f"{'missing':<{LABEL}}{sentence}" for sentence in self.missing]
        lines.append(f"{'opened':<{LABEL}}{_listed(self.opened)}")
        lines.append(f"{'split hash':<{LABEL}}{(self.split_hash or 'unknown')[:12]}")
        return lines + [f"{'note':<{LABEL}}{note}" for note in self.notes]


def _several(count: int, noun: str) -> str:
    return f"{count} {noun}" + "s" * (count > 1)


def _joined(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _finding_lines(finding: Finding) -> list[str]:
    lines = (
        f"  {finding.message}: {finding.count:,}  [{finding.kind}]",
        f"{'':6}such as {', '.join(finding.examples)}",
        f"{'':6}to do: {finding.fix}",
    )
    return [part for line in lines for part in _wrapped(line, 6)]


def _wrapped(line: str, indent: int = LABEL) -> list[str]:
    """A line in as many lines as it needs, those after the first indented."""
    return textwrap.wrap(line, WIDTH, subsequent_indent=" " * indent, break_on_hyphens=False) or [""]
