"""Weight of the loss: s / sg((s + eps)^p), s summed over pixels, mean over rows.

The gradient that comes back at the network's answer gives each row's weight, to rounding. Laws of
the weight are fitted to all of them, and the one with the fewest differences is what the port has.

    rows          rows of all calls
    laws          laws that a weight may follow
    fit           least squares, round numbers
    explanation   laws that explain every weight, with their numbers
    lines         differences from the settings
    permuted      weights that are those of other rows
    unexplained   what is said where no law fits
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from verify.ports.finding import Finding
from verify.ports.observation import Weighted
from verify.ports.settings import Settings
from verify.ports.weight.explanation import Explanation, Problem, as_expected, explanations
from verify.ports.weight.laws import NONE, OTHERS, POWER
from verify.ports.weight.lines import claims_kept, differences, same, settings_formula
from verify.ports.weight.permuted import permuted
from verify.ports.weight.rows import Mask, Rows, gathered, named, weightless
from verify.ports.weight.unexplained import FEW, unexplained


def findings(observed: Sequence[Weighted], expected: Settings, official: Settings) -> list[Finding]:
    """Differences of a port's weight from `expected`, or one line that says there is none."""
    rounding = max(call.rounding for call in observed)
    rows = gathered(observed)
    rows = rows.take(~(rows.s == 0))
    problem = Problem(rows, observed, expected, official, rounding)
    impossible = _impossible(problem)
    if impossible:
        return impossible
    zero = weightless(rows, rounding)
    lines: list[Finding] = []
    if np.any(zero):
        lines.append(_zero_rows(rows, zero, official))
        problem = problem._replace(rows=rows.take(~zero))
    if len(problem.rows.s) < FEW:
        return [
            *lines,
            same(problem) if as_expected(problem) and not lines else unexplained(problem),
        ]
    found = _simplest(problem, partial=bool(lines))
    if found is None:
        return [*lines, unexplained(problem)]
    if "(t - r)^" in found.law.words:  # zero where r = t
        lines = []
    differing = differences(found, problem)
    if differing:
        first = differing[0]
        differing[0] = first._replace(code=first.code + claims_kept(found, problem))
    lines += [Finding("weight", "differs", *line) for line in differing]
    per_row = any(call.losses is not None for call in observed)
    said = "a loss per row is returned: its mean is taken" if per_row else ""
    if not lines:
        return [same(problem, said)]
    if said:
        lines[0] = replace(lines[0], detail=f"{lines[0].detail}; {said}")
    return lines


def _impossible(problem: Problem) -> list[Finding]:
    """Gradients that are no numbers, or nowhere."""
    rows, official = problem.rows, settings_formula(problem.official)
    finite = np.isfinite(rows.slope) & np.isfinite(rows.s)
    if not np.all(finite):
        code = f"weights that are no numbers, in {np.sum(~finite)} of {len(finite)} rows"
        return [Finding("weight", "differs", code, official, "training ends in NaN")]
    if not len(rows.s):
        detail = "the answer of the network equals its target in every row"
        return [Finding("weight", "unknown", "no row with an error", official, detail)]
    if np.all(rows.slope == 0):
        detail = "the loss is detached from the network, or constant"
        code = "weight 0: no gradient reaches the network"
        return [Finding("weight", "differs", code, official, detail)]
    return []


def _zero_rows(rows: Rows, zero: Mask, official: Settings) -> Finding:
    which = named(rows, zero)
    count = f"{np.sum(zero)} of {len(zero)} rows"
    code = f"weight 0 in {which} ({count})" if which else f"weight 0 in {count}"
    detail = "the network learns nothing from them"
    return Finding("weight", "differs", code, settings_formula(official), detail)


def _simplest(problem: Problem, partial: bool) -> Explanation | None:
    """The explanation with the fewest differences; of several the first in the table of laws.

    Another law than the authors' is a difference of its own.
    """
    problems = [problem]
    if partial:  # the mean may be over the rows that have a weight
        rows = problem.rows
        slope = rows.slope * rows.num_here / rows.batch
        problems.append(problem._replace(rows=rows._replace(slope=slope, batch=rows.num_here)))
    best: Explanation | None = None
    fewest = np.inf
    for laws, least in (((NONE, POWER), 0), (OTHERS, 1), (permuted(problem.rows), 1)):
        for attempt in problems:
            for found in explanations(attempt, laws):
                number = _count(found, attempt)
                if number < fewest:
                    best, fewest = found, number
                if number <= least:
                    return found
        if fewest <= 1.1:
            break
    return best


def _count(found: Explanation, problem: Problem) -> float:
    """Number of differences; one more for a loss that stays without reason.

    Of two reductions with another eps each, the one with the settings' eps is meant.
    """
    settings = (problem.expected.norm_eps, problem.official.norm_eps)
    unusual = "eps" in found.law.free and found.theta.eps not in settings
    lines = len(differences(found, problem))
    return lines + 0.5 * (found.loss_factor != 1) + 0.1 * (unusual and lines > 0)
