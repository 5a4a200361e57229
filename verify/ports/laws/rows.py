"""Rows with r = t: their share, their number and their places."""

import math
from collections.abc import Callable

import numpy as np

from verify.ports.finding import Finding
from verify.ports.laws import densities, masks, statistics
from verify.ports.laws.densities import Law
from verify.ports.laws.describe import Description
from verify.ports.laws.sample import Sample
from verify.ports.laws.times import Times, observed
from verify.ports.observation import Draws
from verify.ports.process import PortError
from verify.ports.settings import Settings

_SMALL = (10, 6)  # rows of batches that show how B p is rounded: 7.5 and 4.5, 2.5 and 1.5
_CHANGES = (
    "changes how much of the loss is flow matching (r = t) and the variance of the gradient,"
    " not the fixed point"
)
_PLACES = "matters only beside the rows that lose their label: rows are exchangeable otherwise"


def p_value(draws: Draws, settings: Settings, law: Law) -> float:
    """p-value of "these rows with r = t are of these settings", times of this law."""
    times = observed(draws)
    p, mask = settings.data_proportion, _mask(times)
    coincidence = 1 - law.unmasked_below
    ties = _ties(draws) if times.slack else 0.0
    if settings.equal_rows == "random":
        chance = p + (1 - p) * (coincidence + (1 - coincidence) * ties)
        if (atom := np.isin(times.t, times.atoms.get("t", []))).any():
            return statistics.binomial(int(mask[~atom].sum()), int((~atom).sum()), chance)
        return statistics.combined(masks.coin_tests(mask, chance))
    number = int(mask.shape[1] * p)
    rest = mask[:, number:]
    if not mask[:, :number].all():
        return 0.0
    if coincidence:
        return statistics.combined(masks.coin_tests(rest, coincidence))
    most = masks.COINCIDENCES + 5 * ties * rest.size
    return float(rest.sum() <= most)


def finding(
    sample: Sample, expected: Settings, official: Settings, seen: Description | None
) -> list[Finding]:
    """Finding on the rows with r = t.

    Args:
        seen: the times where they are not of the expected law; their order may set r = t too.
    """
    law = densities.law(expected)
    if seen is not None:
        law = seen.law or law

    def test(draws: Draws, settings: Settings) -> float:
        held = law if seen is not None else densities.law(settings)
        return p_value(draws, settings, held)

    verdict = sample.verdict(test, expected, official)
    unknown_order = seen is not None and seen.law is None and law.order == "min"
    if verdict == "differs" and unknown_order:
        return []  # how many rows the unknown law sets r = t in is not known
    draws = sample.second if verdict == "differs" else sample.first
    mask = _mask(observed(draws))
    found = masks.pattern(mask, 1 - law.unmasked_below)
    code, detail = str(found), f"{mask.size} rows"
    if seen is not None and seen.mask:
        verdict, code = "differs", f"{mask.mean():.2g}: {seen.mask}"
    elif found.number and verdict != "differs" and expected.equal_rows == "first":
        code = f"{found.share:.3g}: exactly int({expected.data_proportion:g} B), the first ones"
        whole = law.order == "max" and not observed(draws).atoms
        if whole and (rounding := _rounding(sample, expected.data_proportion)):
            code = code.replace(f"int({expected.data_proportion:g} B)", rounding)
            detail = "a row with r = t more or less where B p is no whole number"
            return [Finding("rows with r = t", "differs", code, official_text(official), detail)]
    if verdict == "differs":
        p = test(draws, expected)
        places = "which rows they are matters only beside the rows that lose their label"
        alike = found.number == int(found.batch * expected.data_proportion)
        changes = (
            places if alike and found.kind != "none" and not (seen and seen.mask) else _CHANGES
        )
        detail = f"{changes}; {mask.size} rows" + (f", {statistics.text(p)}" if p < 1 else "")
    if found.kind == "all":
        detail += "; r = t always: du/dt is never used, and h = t - r is always 0"
    seen_share = float(mask.mean())
    if abs(seen_share - found.share) > 0.01 and not (seen and seen.mask):
        code += f"; r = t in {seen_share:.2f} of the rows after the ordering"
    return [Finding("rows with r = t", verdict, code, official_text(official), detail)]


def official_text(settings: Settings) -> str:
    """The rows with r = t of these settings in words."""
    p = f"{settings.data_proportion:g}"
    if settings.equal_rows == "first":
        return f"{p}: exactly int({p} B), the first ones"
    law = densities.law(settings)
    code = f"{p}: a coin per row"
    if law.order == "min":
        share = 1 - (1 - settings.data_proportion) * law.unmasked_below
        code += f"; r = t in {share:.2f} of the rows after the ordering"
    return code


def _rounding(sample: Sample, p: float) -> str:
    """How B p is rounded where it is not by int; empty where it is."""
    try:
        numbers = [int(observed(sample.small(batch)).equal.sum(1).min()) for batch in _SMALL]
    except PortError:  # a port need not take every size of a batch
        return ""
    if numbers == [int(batch * p) for batch in _SMALL]:
        return ""
    names: dict[str, Callable[[float], int]] = {"round": round, "ceil": math.ceil}
    for name, rounding in names.items():
        if numbers == [rounding(batch * p) for batch in _SMALL]:
            return f"{name}({p:g} B)"
    return " and ".join(f"{n} of {batch}" for n, batch in zip(numbers, _SMALL, strict=True))


def _mask(times: Times) -> masks.Mask:
    """Rows with r = t; one whose t is an atom is like the others of its place where they agree."""
    atom = np.isin(times.t, times.atoms.get("t", []))
    always = (times.equal | atom).all(0) & ~atom.all(0)
    mask: masks.Mask = times.equal | (atom & always)
    return mask


def _ties(draws: Draws) -> float:
    """Chance that two times of a grid are the same one."""
    counts = np.unique(draws.t, return_counts=True)[1]
    return float(np.sum((counts / draws.t.size) ** 2))
