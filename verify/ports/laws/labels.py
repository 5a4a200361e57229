"""Label dropout: how many rows lose their label, and which."""

import numpy as np
from scipy import stats

from verify.ports.finding import Finding
from verify.ports.laws import masks, statistics
from verify.ports.laws.sample import Sample
from verify.ports.laws.times import observed
from verify.ports.observation import Draws
from verify.ports.settings import Settings

_CHANGES = "changes how often the unconditional velocity is trained, not its fixed point"
_PLACES = "other rows lose their label: the unconditional velocity is trained at other (r, t)"


def p_value(draws: Draws, settings: Settings) -> float:
    """p-value of "the labels are dropped as under these settings"."""
    mask, p = draws.unlabelled, settings.class_dropout_prob
    if mask is None:
        return float(p == 0)
    if p == 0:
        return float(not mask.any())
    if settings.dropped == "first":
        if not masks.ordered(mask):
            return 0.0
        return statistics.combined(masks.coin_tests(mask, p)[:2])
    return statistics.combined([*masks.coin_tests(mask, p), *_independent(draws)])


def finding(sample: Sample, expected: Settings, official: Settings) -> list[Finding]:
    """Finding on label dropout; none where neither the port nor the official code has labels."""
    mask = sample.first.unlabelled
    if mask is None:
        if official.class_dropout_prob == 0 and expected.class_dropout_prob == 0:
            return []
        verdict = sample.verdict(p_value, expected, official)
        detail = "the port has no labels: no unconditional velocity beside a conditional one"
        return [Finding("label dropout", verdict, "no labels", _official(official), detail)]
    verdict = sample.verdict(p_value, expected, official)
    draws = sample.second if verdict == "differs" else sample.first
    mask = mask if draws.unlabelled is None else draws.unlabelled
    found = masks.pattern(mask)
    code = "no row loses its label" if found.kind == "none" else str(found)
    detail = f"{mask.size} rows"
    if verdict == "differs":
        same_share = found.kind != "none" and abs(found.share - expected.class_dropout_prob) < 0.01
        changes = _PLACES if same_share else _CHANGES
        detail = f"{changes}; {mask.size} rows, {statistics.text(p_value(draws, expected))}"
        if found.kind == "coin" and min(_independent(draws), default=1.0) < statistics.FALSE_ALARM:
            code += ", dependent on the times or on r = t"
    if mask.any() and np.isfinite(draws.t).all() and np.isfinite(draws.r).all():
        below = float(np.mean(~observed(draws).equal[mask]))
        detail += f"; {below:.2g} of the unlabelled rows have r < t"
    return [Finding("label dropout", verdict, code, _official(official), detail)]


def _independent(draws: Draws) -> list[float]:
    """p-values of "the rows that lose their label do not depend on the times"."""
    mask = draws.unlabelled
    if mask is None or not np.isfinite(draws.t).all() or not np.isfinite(draws.r).all():
        return []
    times = observed(draws)
    ranks = statistics.group_ranks(times.t, times.equal.astype(np.int64))
    tests = [statistics.kolmogorov(ranks[mask])] if mask.any() else []
    both, dropped = int(np.sum(mask & times.equal)), int(mask.sum())
    law = stats.hypergeom(mask.size, int(times.equal.sum()), dropped)
    return [*tests, min(1.0, 2 * float(min(law.cdf(both), law.sf(both - 1))))]


def _official(settings: Settings) -> str:
    p = f"{settings.class_dropout_prob:g}"
    if settings.class_dropout_prob == 0:
        return "no row loses its label"
    first = settings.dropped == "first"
    return f"{p}: the first rows, their number is drawn" if first else f"{p}: a coin per row"
