"""Rows with r = t that are those of the smallest or largest t of each call."""

import numpy as np
from scipy import special

from verify.ports.finding import Finding
from verify.ports.laws import densities, statistics
from verify.ports.laws.law import official_text
from verify.ports.laws.rows import official_text as official_rows
from verify.ports.laws.sample import Sample
from verify.ports.laws.times import Times, observed
from verify.ports.settings import Settings

_CHANGES = "r < t is trained at other times than r = t: the variance changes, not the fixed point"


def findings(sample: Sample, expected: Settings, official: Settings) -> list[Finding]:
    """Findings on rows and times where the mask follows the order of t; none where it does not.

    t, the larger of two draws in every row, is then held to its law over all rows alike.
    """
    end = _end(observed(sample.first))
    law = densities.law(expected)
    if not end or law.order != "max" or _end(observed(sample.second)) != end:
        return []
    times = observed(sample.second)
    share = float(times.equal.mean())
    code = f"{share:.3g}: those of the {end} t of each batch, so dependent on the times"
    detail = f"{_CHANGES}; {times.t.size} rows"
    rows = Finding("rows with r = t", "differs", code, official_rows(official), detail)
    u = law.first.cdf(times.t) * law.second.cdf(times.t)
    p = statistics.combined(statistics.uniformity(u.reshape(-1)))
    told = official_text(official)
    if p > statistics.FALSE_ALARM:
        return [rows, Finding("law of times", "same", told, told, "t alone, over all rows")]
    score = special.logit(np.clip(times.t, 1e-9, 1 - 1e-9))
    seen = f"t: mean of logit(t) {score.mean():.2f}, standard deviation {score.std():.2f}"
    return [rows, Finding("law of times", "differs", seen, told, statistics.text(p))]


def _end(times: Times) -> str:
    """`smallest` or `largest`, if each call's rows with r = t have that t; else nothing."""
    masked = times.equal
    mixed = masked.any(1) & ~masked.all(1)
    always_the_same = (masked == masked[0]).all()  # the order of the rows is another matter
    by_threshold = np.ptp(masked.sum(1)) > 0
    if mixed.sum() < 8 or always_the_same or by_threshold:
        return ""
    t, mask = times.t[mixed], masked[mixed]
    low, high = np.where(mask, t, -np.inf).max(1), np.where(mask, np.inf, t).min(1)
    if (low < high).all():
        return "smallest"
    least = np.where(mask, t, np.inf).min(1)
    return "largest" if (np.where(mask, -np.inf, t).max(1) < least).all() else ""
