"""Dependence between the rows of a call, and values that are drawn more than once.

Tests on ranks: right whatever the law of the times is.
"""

from typing import NamedTuple

import numpy as np
from scipy import special, stats

from verify.ports.laws import statistics
from verify.ports.laws.densities import TINY
from verify.ports.laws.masks import Mask
from verify.ports.observation import Array

_REPEATED = 6  # times that one value is drawn: with times in float32 by accident one in 10^12 runs


class Dependence(NamedTuple):
    """Test of independent rows, and what was seen."""

    p_value: float
    words: str
    alike: bool  # the rows of a call are more alike than independent ones


def repeated(x: Array) -> Array:
    """Values that stand in many rows, most frequent first: atoms (t = 1), or a grid of times."""
    values, counts = np.unique(x, return_counts=True)
    most = np.argsort(-counts, kind="stable")
    return values[most][counts[most] >= _REPEATED]


def rows(t: Array, r: Array, equal: Mask) -> Dependence:
    """Whether t (and r, where r < t) of a call's rows are independent, and of the row's place."""
    num_calls, batch = t.shape
    if num_calls < 8 or batch < 2:
        return Dependence(1.0, "", alike=False)
    t_ranks = statistics.group_ranks(t, 2 * np.broadcast_to(equal.all(0), t.shape) + equal)
    r_ranks = statistics.group_ranks(r / np.maximum(t, TINY), equal.astype(np.int64))
    found: list[tuple[float, str, bool]] = []
    for name, u, among in (("t", t_ranks, np.ones_like(equal)), ("r", r_ranks, ~equal)):
        distinct = np.mean([len(set(x[k])) for x, k in zip(u, among, strict=True)])
        ratio, p_value = statistics.dispersion(u, among, 1)
        words = f"{name} of a call's rows dependent: variance of their mean {ratio:.2g} times"
        words += " that of independent rows"
        if ratio > 1 and distinct < 0.9 * np.mean(among.sum(1)):
            words = f"{name} of a call's rows: {distinct:.3g} different values only"
            words = f"one {name} for all rows of a call" if distinct < 1.01 else words
        elif ratio < 1:
            words = f"{_evenly(t if name == 't' else r, name)}: variance of a call's mean"
            words += f" {ratio:.2g} times that of independent rows"
        found.append((p_value, words, ratio > 1))
        ratio, p_value = statistics.dispersion(u, among, 0)
        found.append((p_value, f"{name} depends on the row's place in the batch", False))
    p_value, words, alike = min(found)
    return Dependence(statistics.combined([p for p, *_ in found]), words, alike)


def _evenly(x: Array, name: str) -> str:
    """Name of a scheme by which a call's rows are spread more evenly than independent ones."""
    batch = x.shape[1]
    logit = special.logit(np.clip(x, TINY, 1 - TINY))
    half = batch // 2
    pairs = {
        f"i and i + {half}": (logit[:, :half], logit[:, half : 2 * half]),
        f"i and {batch - 1} - i": (logit[:, :half], logit[:, ::-1][:, :half]),
        "2 i and 2 i + 1": (logit[:, : 2 * half : 2], logit[:, 1 : 2 * half : 2]),
    }
    for words, (one, other) in pairs.items():
        correlation = stats.spearmanr(one.ravel(), other.ravel()).statistic
        if correlation < -6 / np.sqrt(one.size):
            return f"antithetic {name} (rows {words}, rank correlation {correlation:.2f})"
    cells = np.floor(statistics.group_ranks(x, np.zeros(x.shape, np.int64)) * batch)
    filled = np.mean([len(set(call)) for call in cells]) / batch
    kind = "stratified or low-discrepancy" if filled > 0.75 else "evenly spread"  # 0.63 by chance
    return f"{kind} {name}"
