"""Compiled loops of exact 1:N matching; `eval.metrics.n_way` says what they compute.

In all of them `own` scores are those of a probe's own person's candidates, each different one once, rising, with its
number of `repeats`; `won`, `weight` and their changes are the sums of `eval.metrics.n_way.NWay` for the probe's cell.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def fill(packed, own, ends, table):
    """Count every candidate of a sorted row: place 2d lies below the d-th own score, 2d + 1 on it."""
    for row in range(packed.shape[0]):
        first, end = (ends[row - 1] if row else 0), ends[row]
        at = first
        for column in range(packed.shape[1]):
            key = packed[row, column] >> 32
            while at < end and own[at] < key:
                at += 1
            place = 2 * (at - first) + (1 if at < end and own[at] == key else 0)
            table[row, place, packed[row, column] & 0xFFFFFFFF] += 1


@njit(nogil=True, cache=True)
def shares(table, repeats, rivals, counts, nodes, node_weights):
    """Shares (rivals, columns) of lower scores and weights of the columns: an own score, or a node of a tied one."""
    own, rows = len(repeats), len(rivals)
    lower, equal = np.zeros((own, rows)), np.zeros((own, rows))
    tied, columns = np.zeros(own, np.bool_), 0
    running = np.zeros(rows)
    for d in range(own):
        for j in range(rows):
            running[j] += table[2 * d, rivals[j]]
            lower[d, j] = running[j] / counts[j]
            equal[d, j] = table[2 * d + 1, rivals[j]] / counts[j]
            tied[d] |= equal[d, j] > 0
            running[j] += table[2 * d + 1, rivals[j]]
        columns += len(nodes) if tied[d] else 1
    shares, weights, column = np.empty((rows, columns)), np.empty(columns), 0
    for d in range(own):
        for node in range(len(nodes) if tied[d] else 1):
            weights[column] = repeats[d] / repeats.sum() * (node_weights[node] if tied[d] else 1.0)
            for j in range(rows):
                shares[j, column] = lower[d, j] + nodes[node] * equal[d, j]
            column += 1
    return shares, weights


@njit(nogil=True, cache=True)
def _means(shares, most):
    """E_k of `eval.metrics.n_way` for every column, k = 0 … most."""
    means = np.zeros((most + 1, shares.shape[1]))
    for column in range(shares.shape[1]):
        means[0, column] = 1.0
    for j in range(len(shares)):
        for k in range(min(j + 1, most), 0, -1):
            stay, join = (j + 1 - k) / (j + 1), k / (j + 1)
            for column in range(shares.shape[1]):
                means[k, column] = stay * means[k, column] + join * shares[j, column] * means[k - 1, column]
    return means


@njit(nogil=True, cache=True)
def add_distinct(shares, column_weights, clusters, own_cluster, weights, won, weight, won_change, weight_change):
    """Add a probe whose negatives come from distinct rivals."""
    most, rivals = won.shape[1], len(shares)
    means = _means(shares, most)
    value = _weighted(means, column_weights)
    _add(value, rivals, own_cluster, weights, won, weight, won_change, weight_change)
    less = np.empty_like(means)
    first = 0
    while first < rivals:
        end = first
        for k in range(most + 1):
            for column in range(means.shape[1]):
                less[k, column] = means[k, column]
        while end < rivals and clusters[end] == clusters[first]:
            left = rivals - (end - first)
            for k in range(1, min(most, left - 1) + 1):
                grow, drop = left / (left - k), k / (left - k)
                for column in range(shares.shape[1]):
                    less[k, column] = grow * less[k, column] - drop * shares[end, column] * less[k - 1, column]
            end += 1
        if clusters[first] != own_cluster:
            without = _weighted(less, column_weights)
            left = rivals - (end - first)
            _change(value, rivals, without, left, clusters[first], weights, won_change, weight_change)
        first = end


@njit(nogil=True, cache=True)
def _weighted(means, weights):
    """Weighted sum over the columns of every mean but the first, which is 1."""
    value = np.zeros(len(means) - 1)
    for k in range(len(value)):
        for column in range(len(weights)):
            value[k] += means[k + 1, column] * weights[column]
    return value


@njit(nogil=True, cache=True)
def add_uniform(table, repeats, rivals, counts, clusters, own_cluster, weights, won, weight, won_change, weight_change):
    """Add a probe whose negatives come from all rivals' candidates alike."""
    most, own = won.shape[1], len(repeats)
    lower, equal = np.zeros(own), np.zeros(own)
    total, running = counts.sum(), 0.0
    for d in range(own):
        for j in rivals:
            running += table[2 * d, j]
            equal[d] += table[2 * d + 1, j]
        lower[d] = running
        running += equal[d]
    value = _uniform(lower, equal, repeats, total, most)
    _add(value, total, own_cluster, weights, won, weight, won_change, weight_change)
    first = 0
    while first < len(rivals):
        end, left = first, total
        less, same = lower.copy(), equal.copy()
        while end < len(rivals) and clusters[end] == clusters[first]:
            running = 0.0
            for d in range(own):
                running += table[2 * d, rivals[end]]
                less[d] -= running
                same[d] -= table[2 * d + 1, rivals[end]]
                running += table[2 * d + 1, rivals[end]]
            left -= counts[end]
            end += 1
        if clusters[first] != own_cluster:
            without = _uniform(less, same, repeats, left, most)
            _change(value, total, without, left, clusters[first], weights, won_change, weight_change)
        first = end


@njit(nogil=True, cache=True)
def _uniform(lower, equal, repeats, total, most):
    """Probability (most,) that k = 1 … most candidates, drawn one by one from `total`, do not beat an own one."""
    value, share, untied = np.zeros(most), repeats / repeats.sum(), np.zeros(len(repeats))
    for d in range(len(untied)):
        untied[d] = 0.0 if equal[d] > 0 else share[d]
    for k in range(1, min(most, total) + 1):
        scale = 1.0 / (total - k + 1)
        for d in range(len(untied)):
            untied[d] *= max(lower[d] - (k - 1), 0.0) * scale
        for d in range(len(untied)):
            value[k - 1] += untied[d]
    for d in range(len(equal)):
        if equal[d] > 0:
            _add_tied(lower[d], equal[d], share[d], total, value)
    return value


@njit(nogil=True, cache=True)
def _add_tied(lower, equal, share, total, value):
    """`_uniform` for one own score that `equal` candidates share; adds to `value`."""
    held = np.zeros(len(value) + 1)  # held[t]: of those drawn none is higher, and t are equal
    held[0] = 1.0
    for k in range(1, min(len(value), total) + 1):
        win = 0.0
        for t in range(k, -1, -1):
            kept = held[t] * max(lower - (k - 1 - t), 0.0) if t < k else 0.0
            met = held[t - 1] * max(equal - (t - 1), 0.0) if t else 0.0
            held[t] = (kept + met) / (total - k + 1)
            win += held[t] / (1 + t)
        value[k - 1] += share * win


@njit(nogil=True, cache=True)
def _add(value, rivals, own_cluster, weights, won, weight, won_change, weight_change):
    """Add a probe, and take it away where its own cluster is left out."""
    for k in range(min(len(value), rivals)):
        for w in range(len(weights)):
            won[w, k] += weights[w] * value[k]
            weight[w, k] += weights[w]
            won_change[w, own_cluster, k] -= weights[w] * value[k]
            weight_change[w, own_cluster, k] -= weights[w]


@njit(nogil=True, cache=True)
def _change(value, rivals, without, left, cluster, weights, won_change, weight_change):
    """Replace a probe's value where some of its rivals are left out; drop it where too few stay."""
    for k in range(min(len(value), rivals)):
        for w in range(len(weights)):
            won_change[w, cluster, k] += weights[w] * ((without[k] if k < left else 0.0) - value[k])
            weight_change[w, cluster, k] -= 0.0 if k < left else weights[w]
