"""Rows about what a classifier says of faces: agreement, Cohen's kappa, recalls, confusion, errors, controls.

Paper: Speech2Face (CVPR 2019), section 5.1 and Fig. 4a, runs a commercial classifier on original pictures and on
reconstructions and shows the confusion of its answers, every row divided by its sum, and for gender the share that
agrees. It leaves abstentions, the prior and uneven classes aside; here they stand beside every figure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from eval.metrics.classification import Comparison, agreement, balanced, kappa, prior_only, prior_random, recalls
from eval.metrics.intervals import interval, jeffreys_interval, percentile_interval, share_row
from eval.results import UNDEFINED, Row


def attribute_rows(comparison: Comparison, direction: str, params: Mapping[str, Any]) -> list[Row]:
    """All figures of one comparison.

    Args:
        comparison: of the answers.
        direction: see `Row`.
        params: go into every row.

    Returns:
        Those of `headline_rows`; `<attribute>_recall` and, as the paper's Fig. 4a, `<attribute>_confusion` (group: the
        reference class; `shown`: the answer; chance: how often that answer is given to anybody), both with the counts
        of the reference class as n; and `<attribute>_abstained`, of all answers. Only the last where nobody has both a
        reference and an answer.
    """
    rows = headline_rows(comparison, direction, params)
    for name, row, drawn in zip(
        comparison.classes, comparison.counts, comparison.redrawn.swapaxes(0, 1) if rows else (), strict=False
    ):
        rows += _class_rows(comparison, direction, params, name, row, drawn)
    abstained = comparison.answers == ""
    return [*rows, share_row(f"{comparison.attribute}_abstained", direction, "U", abstained, None, dict(params))]


def _class_rows(
    comparison: Comparison,
    direction: str,
    params: Mapping[str, Any],
    group: str,
    counts: Int[np.ndarray, " K"],
    drawn: Float[np.ndarray, "R K"],
) -> list[Row]:
    """Recall and confusion of one reference class; none if it is absent."""
    count, said = int(counts.sum()), comparison.counts.sum(0) / comparison.counts.sum()
    if not count:
        return []
    shares = drawn / np.where(drawn.sum(1) > 0, drawn.sum(1), np.nan)[:, None]
    confused = []
    for name, cell, chance, redrawn in zip(comparison.classes, counts, said, shares.T, strict=True):
        hits, spoken = np.arange(count) < cell, _by_speaker(comparison, redrawn)
        if name == group:
            recall = f"{comparison.attribute}_recall"
            recalled = share_row(recall, direction, group, hits, float(chance), {**params, **spoken})
        about = {**params, "shown": name, **spoken}
        confused.append(share_row(f"{comparison.attribute}_confusion", direction, group, hits, float(chance), about))
    return [recalled, *confused]


def headline_rows(comparison: Comparison, direction: str, params: Mapping[str, Any], group: str = "U") -> list[Row]:
    """Agreement, kappa and balanced accuracy of all people compared; nothing where nobody has reference and answer.

    `<attribute>_agreement`: Wilson interval, which takes people for independent; chance is `prior_only`, and
    `prior_random` stands in the parameters. `<attribute>_kappa`: bootstrap over speakers, or over people where nobody
    shares one. `<attribute>_balanced`, the mean of the recalls: interval from draws of every recall from its posterior
    under Jeffreys' prior, chance 1 / classes present. Where people share speakers, `by_speaker` is the interval that
    allows for it.

    Args:
        comparison: of the answers.
        direction: see `Row`.
        params: go into every row.
        group: name of these people, U for everybody.
    """
    if not comparison.both.any():
        return []
    counts, redrawn, name = comparison.counts, comparison.redrawn, comparison.attribute
    present = counts.sum(1) > 0
    hits = np.repeat([True, False], [np.trace(counts), counts.sum() - np.trace(counts)])
    about = dict(params) | {"prior_random": round(float(prior_random(counts)), 3)}
    about |= _by_speaker(comparison, agreement(redrawn))
    rows = [share_row(f"{name}_agreement", direction, group, hits, float(prior_only(counts)), about)]
    rows.append(_kappa_row(comparison, direction, dict(params), group))
    value = float(balanced(counts))
    low, high = jeffreys_interval(counts.diagonal()[present], counts.sum(1)[present])
    about = dict(params) | _by_speaker(comparison, balanced(redrawn))
    chance = float(1 / present.sum())
    return [*rows, Row(f"{name}_balanced", direction, group, value, low, high, "jeffreys", chance, len(hits), about)]


def _kappa_row(comparison: Comparison, direction: str, params: dict[str, Any], group: str) -> Row:
    name, count = f"{comparison.attribute}_kappa", int(comparison.counts.sum())
    value, draws = float(kappa(comparison.counts)), kappa(comparison.redrawn)
    if np.isnan(value):
        return Row(name, direction, group, None, None, None, UNDEFINED, 0.0, count, params)
    if undefined := int(np.isnan(draws).sum()):
        params["undefined_draws"] = undefined
    low, high = percentile_interval(draws)
    method = f"bootstrap over {comparison.who.name}"
    return Row(name, direction, group, value, min(low, value), max(high, value), method, 0.0, count, params)


def _by_speaker(comparison: Comparison, draws: Float[np.ndarray, " R"]) -> dict[str, Any]:
    return {"by_speaker": interval(draws)} if comparison.who.shared else {}


def shuffled_rows(comparison: Comparison, direction: str, params: Mapping[str, Any], group: str = "U") -> list[Row]:
    """The control: what `headline_rows` are, on average and in 95 % of deals, if answers are dealt to other people.

    Args:
        comparison: of the answers.
        direction: see `Row`.
        params: go into every row, beside `control`: shuffled.
        group: as there.

    Returns:
        One row for each figure that is defined; the same chances as there.
    """
    measures: dict[str, Callable] = {"agreement": agreement, "kappa": kappa, "balanced": balanced}
    return [
        _control_row(row, measures[row.metric.rpartition("_")[2]](comparison.shuffled), params)
        for row in headline_rows(comparison, direction, params, group)
        if row.value is not None
    ]


def controlled_rows(comparison: Comparison, direction: str, params: Mapping[str, Any]) -> list[Row]:
    """All figures of one comparison and their control.

    Args:
        comparison: of the answers.
        direction: see `Row`.
        params: go into every row.

    Returns:
        The rows of `attribute_rows`, those of `shuffled_rows`, and likewise a control of each class's recall. That
        of a confusion is its chance.
    """
    rows, dealt = attribute_rows(comparison, direction, params), recalls(comparison.shuffled)
    by_class = dict(zip(comparison.classes, dealt.T, strict=True))
    controls = shuffled_rows(comparison, direction, params)
    named = (row for row in rows if row.metric.endswith("_recall"))
    return [*rows, *controls, *(_control_row(row, by_class[row.group], params) for row in named)]


def _control_row(row: Row, draws: Float[np.ndarray, " R"], params: Mapping[str, Any]) -> Row:
    low, high = percentile_interval(draws)
    about = {**params, "control": "shuffled"}
    return replace(row, value=float(draws.mean()), ci_low=low, ci_high=high, ci_method="permutation", params=about)


def error_rows(comparison: Comparison, groups: np.ndarray, direction: str, params: Mapping[str, Any]) -> list[Row]:
    """Share of wrong answers in every group of people, among those with a reference and an answer.

    Args:
        comparison: of the answers.
        groups: (N,) name of each person's group, "" where unknown.
        direction: see `Row`.
        params: go into every row.

    Returns:
        `<attribute>_error`, a row for each group with Wilson's interval, in the order of the names.
    """
    wrong, rows = comparison.answers != comparison.reference, []
    for name in sorted(set(groups[comparison.both]) - {""}):
        members = comparison.both & (groups == name)
        metric = f"{comparison.attribute}_error"
        rows.append(share_row(metric, direction, str(name), wrong[members], None, dict(params)))
    return rows
