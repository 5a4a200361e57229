"""Law of times: the finding on the joint law of (t, r)."""

from dataclasses import replace

import numpy as np

from verify.ports.finding import Finding
from verify.ports.laws import densities, dependence, describe, statistics
from verify.ports.laws.dependence import Dependence
from verify.ports.laws.describe import Description
from verify.ports.laws.sample import Sample
from verify.ports.laws.times import Times, law_tests, observed
from verify.ports.observation import Draws
from verify.ports.settings import Settings

_WHAT = "law of times"
_CHANGES = "changes which times are trained and the variance of the gradient, not the fixed point"


def p_value(draws: Draws, settings: Settings) -> float:
    """p-value of "the times are of the law of these settings", rows with r = t as they are."""
    return _law_p_value(observed(draws), densities.law(settings))


def finding(
    sample: Sample, expected: Settings, official: Settings
) -> tuple[list[Finding], Description | None]:
    """Findings on the times; and what they look like where their law is not the expected one."""
    text = official_text(official)
    times = observed(sample.first)
    found = [
        Finding(_WHAT, "differs", code, text, f"{_CHANGES}; {times.t.size} rows, {reason}")
        for code, reason in (_repeated(sample), _dependence_line(sample)) if code
    ]  # fmt: skip
    # A claim of a mask before the ordering does not say which ordering: r = min(t, r), or both.
    both = expected.mask == "before" and official.mask == "after"
    masked_first = replace(densities.law(expected), order="masked first")

    def test(draws: Draws, settings: Settings) -> float:
        p = p_value(draws, settings)
        if both and settings == expected:
            p = max(p, _law_p_value(observed(draws), masked_first))
        return p

    verdict = sample.verdict(test, expected, official)
    if verdict == "differs":
        times = observed(sample.second)
        rows = times.rows(dependent(times).alike)
        if dependent(times).place:
            return found, Description(None, "")
        seen = describe.describe(rows, densities.law(expected))
        if seen.code:
            p = statistics.text(p_value(sample.second, expected))
            detail = f"{_CHANGES}; {times.t.size} rows, {p}"
            if seen.code.startswith("t - r is always"):
                found = []  # r = 0 is where that step would lead below it
            found.append(Finding(_WHAT, verdict, seen.code, text, detail))
            return found, seen
        found = found or [Finding(_WHAT, "same", text, text, "but for the rows with r = t")]
        return found, seen
    if not found:
        other = both and p_value(sample.first, expected) < statistics.FALSE_ALARM
        held = masked_first if other else densities.law(expected)
        code = describe.same_law(times.rows(), held)
        p = statistics.text(test(sample.first, expected))
        found = [Finding(_WHAT, verdict, code, text, f"{times.t.size} rows, {p}")]
        return found, Description(masked_first, "") if other else None
    # Where r = min(t, r) sets r = t in some rows, dependent times make those rows dependent too.
    return found, Description(None, "") if expected.mask == "before" else None


def official_text(settings: Settings) -> str:
    """The law of these settings in words."""
    return describe.official_text(densities.law(settings))


def dependent(times: Times) -> Dependence:
    """Dependence between the rows of the calls."""
    return dependence.rows(times.t, times.r, times.equal, times.atom)


def _law_p_value(times: Times, law: densities.Law) -> float:
    alike = dependent(times)
    rows = times.rows(alike.alike)
    p = statistics.combined(law_tests(rows, law))
    # Where r is always t, or always one atom, t may be the first draw: no second cause.
    r_unseen = times.equal.all() or bool(np.sum(~rows.equal & ~rows.atom) < 0.01 * len(rows.t))
    if r_unseen and p < statistics.FALSE_ALARM:
        p = max(p, statistics.combined(law_tests(rows, replace(law, order="unordered"))))
    return p


def _repeated(sample: Sample) -> tuple[str, str]:
    """Atoms or a grid of times, where both draws have them."""
    words = observed(sample.first).words
    if words and observed(sample.second).words:
        return words, "and again with another seed"
    return "", ""


def _dependence_line(sample: Sample) -> tuple[str, str]:
    """Dependence between the rows of a call, where both draws have it."""
    if dependent(observed(sample.first)).p_value >= statistics.FALSE_ALARM:
        return "", ""
    again = dependent(observed(sample.second))
    if again.p_value >= statistics.FALSE_ALARM:
        return "", ""
    return again.words, statistics.text(again.p_value)
