"""Dependence between the rows of a call, and values that are drawn more than once.

Tests on ranks: right whatever the law of the times is.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import special

from verify.ports.laws import statistics
from verify.ports.laws.densities import TINY
from verify.ports.laws.masks import Mask
from verify.ports.observation import Array

_REPEATED = 6  # times that one value is drawn: with times in float32 by accident one in 10^12 runs


class Dependence(NamedTuple):
    """Test of independent rows, and what was seen.

    Attributes:
        alike: the rows of a call are more alike than independent ones.
        place: the law depends on the row's place in the batch.
    """

    p_value: float = 1.0
    words: str = ""
    alike: bool = False
    place: bool = False


def repeated(x: Array) -> Array:
    """Values that stand in many rows, most frequent first: atoms (t = 1), or a grid of times."""
    values, counts = np.unique(x, return_counts=True)
    most = np.argsort(-counts, kind="stable")
    return values[most][counts[most] >= _REPEATED]


def rows(t: Array, r: Array, equal: Mask, atoms: Mask) -> Dependence:
    """Whether t (and r, where r < t) of a call's rows are independent, and of the row's place.

    Args:
        atoms: [num_calls, batch], rows that are left out.
    """
    num_calls, batch = t.shape
    if num_calls < 8 or batch < 2:
        return Dependence()
    # rows of places, or of calls, that always have r = t may have another law than others
    masked = equal | atoms
    groups = equal + 2 * masked.all(0, keepdims=True) + 4 * masked.all(1, keepdims=True)
    t_ranks = statistics.group_ranks(t, np.where(atoms, -1, groups))
    r_ranks = statistics.group_ranks(r / np.maximum(t, TINY), np.where(atoms, -1, equal))
    found: list[Dependence] = []
    for name, u, x, among in (("t", t_ranks, t, ~atoms), ("r", r_ranks, r, ~equal & ~atoms)):
        if among.any():
            found += [_within_calls(name, u, x, among), *_pairs(name, u, among)]
            found += _by_place(name, u, among)
    p_value = statistics.combined([one.p_value for one in found])
    rejected = [one for one in found if len(found) * one.p_value < statistics.FALSE_ALARM]
    alike, place = (any(getattr(one, x) for one in rejected) for x in ("alike", "place"))
    # Dependence on the place makes pairs alike, and antithetic pairs make means even: causes first.
    causes = ("one", "t depends", "r depends", "antithetic")
    rejected.sort(key=lambda one: [not one.words.startswith(cause) for cause in causes])
    return Dependence(p_value, rejected[0].words if rejected else "", alike, place)


def _within_calls(name: str, u: Array, x: Array, among: Mask) -> Dependence:
    """Variance of the calls' mean ranks, beside that of independent rows."""
    ratio, p_value = statistics.dispersion(u, among, 1)
    words = f"variance of a call's mean rank {ratio:.2g} times that of independent rows"
    distinct = np.mean([len(set(call[k])) for call, k in zip(x, among, strict=True)])
    if ratio < 1:
        return Dependence(p_value, f"{_evenly(u, name)}: {words}")
    if distinct < 1.01:
        return Dependence(p_value, f"one {name} for all rows of a call", alike=True)
    if distinct < 0.9 * among.sum(1).mean():
        words = f"{distinct:.3g} different values of {among.sum(1).mean():.3g} rows"
    return Dependence(p_value, f"{name} of a call's rows is dependent: {words}", alike=True)


def _pairs(name: str, u: Array, among: Mask) -> Iterator[Dependence]:
    """Rank correlation of the pairs of rows that antithetic draws have."""
    batch = u.shape[1]
    half = batch // 2
    places = np.arange(batch)
    pairings = {
        f"i and i + {half}": (places[:half], places[half : 2 * half]),
        f"i and {batch - 1} - i": (places[:half], places[::-1][:half]),
        "2 i and 2 i + 1": (places[: 2 * half : 2], places[1 : 2 * half : 2]),
    }
    for words, (one, other) in pairings.items():
        both = among[:, one] & among[:, other]
        first, second = u[:, one][both], u[:, other][both]
        if len(first) < 20:
            continue
        correlation, p_value = statistics.independence(first, second)
        kind = "antithetic" if correlation < 0 else "correlated"
        yield Dependence(
            p_value, f"{kind} {name}: rows {words}, rank correlation {correlation:.2f}"
        )


def _by_place(name: str, u: Array, among: Mask) -> Iterator[Dependence]:
    """Student's test over the calls, of the ranks' slope, bend and alternation along the batch."""
    x = np.linspace(-1, 1, u.shape[1])
    contrasts = {
        "rises or falls along the batch": x,
        "is another in the middle of the batch": 3 * x**2 - 1,
        "alternates along the batch": np.where(np.arange(len(x)) % 2, 1.0, -1.0),
    }
    for words, contrast in contrasts.items():
        sums = np.where(among, u - 0.5, 0) @ contrast
        if np.ptp(sums) > 0:
            student = abs(sums.mean()) * np.sqrt(len(sums)) / sums.std(ddof=1)
            p_value = 2 * float(special.stdtr(len(sums) - 1, -student))
            yield Dependence(p_value, f"{name} depends on the row's place: it {words}", place=True)


def _evenly(u: Array, name: str) -> str:
    """Name of a scheme by which a call's rows are spread more evenly than independent ones."""
    cells = np.floor(u * u.shape[1])
    filled = np.mean([len(set(call)) for call in cells]) / u.shape[1]
    kind = "stratified or low-discrepancy" if filled > 0.7 else "evenly spread"  # 0.63 by chance
    return f"{kind} {name}"
