"""What is said of weights that follow no known law."""

import numpy as np

from verify.ports.finding import Finding
from verify.ports.observation import Array
from verify.ports.weight.explanation import Problem
from verify.ports.weight.lines import settings_formula
from verify.ports.weight.rows import Rows

FEW = 8  # rows that tell no law from another


def unexplained(problem: Problem) -> Finding:
    """One line: the nearest power of s, how far off it is, and what the rest goes with."""
    rows, official = problem.rows, settings_formula(problem.official)
    if len(rows.s) < FEW:
        detail = f"{len(rows.s)} rows are too few for a law"
        return Finding("weight", "unknown", "no formula recognised", official, detail)
    if np.any(np.sign(rows.slope) != np.sign(rows.slope[0])):
        count = int(np.sum(rows.slope < 0))
        code = f"negative weight in {count} of {len(rows.s)} rows"
        return Finding("weight", "unknown", code, official, "these rows move away from the target")
    logarithm = np.log(np.abs(rows.slope))
    columns = np.stack([np.ones_like(rows.s), np.log(rows.s)], 1)
    columns = np.hstack([columns, _sizes(rows)])
    x = np.linalg.lstsq(columns, logarithm, rcond=None)[0]
    rest = logarithm - columns @ x
    low, high = np.exp(rest.min()), np.exp(rest.max())
    code = f"weight about s^{x[1]:.2f} times a number from {low:.3g} to {high:.3g}"
    return Finding("weight", "unknown", code, official, _companions(rows, rest))


def _sizes(rows: Rows) -> Array:
    """log B and log D, where calls differ in them."""
    columns = [np.log(rows.batch), np.log(rows.num_pixels)]
    return np.stack([column - column.mean() for column in columns], 1)


def _companions(rows: Rows, rest: Array) -> str:
    """What the rest of the weight goes with: rank correlations beyond chance."""
    known = {"s": rows.s, "t": rows.t, "r": rows.r, "t - r": rows.t - rows.r}
    level = 5 / np.sqrt(len(rest))
    found = [
        f"{name} ({value:+.2f})"
        for name, values in known.items()
        if abs(value := _rank_correlation(values, rest)) > level
    ]
    goes_with = ", ".join(found) + " (rank correlation)"
    none = "none of s, t, r, t - r: it is no function of s alone"
    return "no formula recognised; the rest goes with " + (goes_with if found else none)


def _rank_correlation(x: Array, y: Array) -> float:
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    ranks = [np.argsort(np.argsort(values)).astype(np.float64) for values in (x, y)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])
