"""Interleaved timing of several calls, and ratios of times with bootstrap intervals.

A machine's speed drifts by more than the differences to be measured. So each round times every call
once, in an order that changes from round to round; ratios are computed within each round, and their
median is reported with a bootstrap interval.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from pytest_benchmark.stats import Stats
from scipy.stats import bootstrap

CONFIDENCE = 0.95


class Estimate(NamedTuple):
    """Median with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


def interleave(calls: Mapping[str, Callable[[], Any]], num_rounds: int) -> dict[str, Stats]:
    """Seconds of each call in each round, after a warm-up round that is not counted.

    A call must return only when its result is computed.
    """
    for call in calls.values():
        call()
    found = {name: Stats() for name in calls}
    names = list(calls)
    for _ in range(num_rounds):
        for name in names:
            begin = time.perf_counter()
            calls[name]()
            found[name].update(time.perf_counter() - begin)
        names = names[1:] + names[:1]
    return found


def ratio(ours: Stats, theirs: Stats) -> Estimate:
    """Ratio of times: median over the rounds of ours / theirs."""
    return _median(np.divide(ours.data, theirs.data))


def seconds(stats: Stats) -> Estimate:
    """Time in seconds: median over the rounds."""
    return _median(np.asarray(stats.data))


def rate(amount: float, stats: Stats) -> Estimate:
    """Rate: amount per second, median over the rounds."""
    taken = seconds(stats)
    return Estimate(amount / taken.value, amount / taken.high, amount / taken.low)


def _median(values: np.ndarray[Any, Any]) -> Estimate:
    value = float(np.median(values))
    if len(values) == 1 or np.ptp(values) == 0:
        return Estimate(value, float(values.min()), float(values.max()))
    interval = bootstrap(
        (values,), np.median, confidence_level=CONFIDENCE, method="percentile", rng=0
    ).confidence_interval
    return Estimate(value, float(interval.low), float(interval.high))
