"""Description of times that are not of the official law."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy import special, stats

from verify.ports.laws import fit, statistics
from verify.ports.laws.densities import TINY, Law
from verify.ports.laws.fit import Fit, Rows
from verify.ports.laws.times import law_tests
from verify.ports.observation import Array

_REFINED = 24_000  # rows that a candidate is fitted to and tested with
_TRIED = 4  # candidates, the likeliest first
_WORSE = 60.0  # difference of BIC, on a part of the rows, from which a candidate is not tried


class Description(NamedTuple):
    """What the times look like.

    Attributes:
        law: the law, where it was recognised.
        code: law as text; empty where the expected one holds but for the mask.
        mask: how the rows with r = t depend on the times; empty where they do not.
    """

    law: Law | None
    code: str
    mask: str = ""


def describe(rows: Rows, expected: Law) -> Description:
    """The law of rows that are not of the expected one."""
    rows = rows.without_atoms()
    t, r = rows.t[~rows.equal], rows.r[~rows.equal]
    if len(t) and bool(np.all(r > t)):
        found = recognised(replace(rows, t=rows.r, r=rows.t))
        words = "r > t in every row where they differ"
        return Description(None, f"{words}; exchanged: {found}" if found else words)
    if found := recognised(rows):
        return Description(found.law, str(found))
    if _one_draw(rows):
        slope, intercept, *_ = stats.linregress(*(x for x in _logits(rows)))
        words = f"one draw for t and r: logit(r) = {intercept:.3g} + {slope:.3g} logit(t)"
        gaps = rows.t[~rows.equal] - rows.r[~rows.equal]
        if np.ptp(np.quantile(gaps, (0.1, 0.9))) < 1e-6:
            words = f"t - r is always {np.median(gaps):.4g} where r < t"
        return Description(None, words)
    equal, unequal = rows.t[rows.equal], rows.t[~rows.equal]
    dependent = (
        min(len(equal), len(unequal)) > 20
        and stats.ks_2samp(equal, unequal).pvalue < statistics.FALSE_ALARM
    )
    # The law of t in all rows does not depend on the mask where r := t comes after the ordering.
    everything = replace(rows, r=rows.t, equal=np.ones_like(rows.equal))
    # Where r := t comes before r = min(t, r), t of those rows has its own law: r tells the causes.
    if expected.order != "max":
        dependent &= _fits_given_t(rows, expected)
    if dependent and _fits(everything, expected):
        return Description(expected, "", _dependence(rows, expected))
    if dependent and expected.order == "max" and (found := recognised(everything)):
        law = found.law
        return Description(law, f"t alone: {found}", _dependence(rows, law))
    return Description(None, _moments(rows))


def recognised(rows: Rows) -> Fit | None:
    """The likeliest law that the tests do not reject."""
    some = rows.first(_REFINED)
    likely = sorted(fit.candidates(rows), key=lambda found: found.bic)
    normal = next((one for one in likely if one.law.first.kind == "logit_normal"), likely[0])
    for tried in (likely[:_TRIED], fit.narrower(rows, normal.law)):
        found = [fit.refined(one, some) for one in tried if one.bic < likely[0].bic + _WORSE]
        fitting = [one for one in found if _fits(some, one.law)]
        if fitting:
            return fit.with_errors(min(fitting, key=lambda one: one.bic), some)
    return None


def _fits(rows: Rows, law: Law) -> bool:
    return statistics.combined(law_tests(rows, law)) >= statistics.FALSE_ALARM


def _fits_given_t(rows: Rows, law: Law) -> bool:
    """Whether r, at given t, is of this law in the rows with r < t."""
    t, r = rows.t[~rows.equal], rows.r[~rows.equal]
    tests = statistics.uniformity(law.cdf_r(r, t), rows.slack)
    return statistics.combined(tests) >= statistics.FALSE_ALARM


def _logits(rows: Rows) -> tuple[Array, Array]:
    t, r = (np.clip(x[~rows.equal], TINY, 1 - TINY) for x in (rows.t, rows.r))
    return special.logit(t), special.logit(r)


def _one_draw(rows: Rows) -> bool:
    t, r = _logits(rows)
    return len(t) > 20 and abs(statistics.independence(t, r)[0]) > 0.9999


def _dependence(rows: Rows, law: Law) -> str:
    """How the rows with r = t depend on the times."""
    equal, unequal = rows.t[rows.equal], rows.t[~rows.equal]
    if equal.max() < unequal.min():
        return f"r = t where t < {equal.max():.2g}"
    if unequal.max() < equal.min():
        return f"r = t where t > {equal.min():.2g}"
    u, p = law.first.cdf(equal), float(rows.equal.mean())
    if law.order == "max" and law.first == law.second:
        for below in (u * np.minimum(u, p) / p, u * np.maximum(u - 1 + p, 0) / p):
            if min(statistics.uniformity(below)) > statistics.FALSE_ALARM:
                return "the choice of rows shares its random numbers with a time"
    low, high = np.quantile(rows.t, (0.1, 0.9))
    shares = rows.equal[rows.t < low].mean(), rows.equal[rows.t > high].mean()
    return (
        f"dependent on t: {shares[0]:.2g} of the rows with t < {low:.2g},"
        f" {shares[1]:.2g} of those with t > {high:.2g}"
    )


def _moments(rows: Rows) -> str:
    """Times that no law here describes: mean and standard deviation of their logits."""
    parts = []
    logit_t, logit_r = rows.logits()
    for name, x, logit in (("t", rows.t, logit_t), ("r", rows.r[~rows.equal], logit_r)):
        if len(x):
            low, middle, high = np.quantile(x, (0.05, 0.5, 0.95))
            parts.append(
                f"logit({name}) has mean {logit.mean():.2f}, std {logit.std():.2f}"
                f" ({name} quantiles 5, 50, 95 %: {low:.2g}, {middle:.2g}, {high:.2g})"
            )
    if np.sum(~rows.equal) > 20:
        correlation = statistics.independence(rows.t[~rows.equal], rows.r[~rows.equal])[0]
        parts.append(f"rank correlation {correlation:.2f} where r < t")
    return "; ".join(parts)


def same_law(rows: Rows, expected: Law) -> str:
    """The expected law with the numbers that these rows give."""
    return str(fit.fit(rows.first(_REFINED), expected))


def official_text(law: Law) -> str:
    """The official law, its numbers without errors."""
    return str(Fit(replace(law, share=0.0), 0.0))
