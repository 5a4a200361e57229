"""Patterns of masks: which rows of a call have r = t, or lose their label."""

import math
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from verify.ports.laws import statistics

Mask = NDArray[np.bool_]
Kind = Literal[
    "none", "all", "fixed first", "fixed last", "fixed", "exact", "batch", "varying first",
    "varying last", "coin", "varying",
]  # fmt: skip
COINCIDENCES = 3  # rows with r = t by rounding: one in 10^7, with times in float32


class Pattern(NamedTuple):
    """How a mask is drawn.

    Attributes:
        share: of the rows that are masked on purpose.
        error: standard error of the share; 0 where the number is exact.
        number: of masked rows in each call, where it is fixed.
    """

    kind: Kind
    share: float
    error: float
    number: int
    batch: int

    def __str__(self) -> str:
        """Share, number and place of the masked rows."""
        share = f"{self.share:.3g}" + (f" ± {self.error:.1g}" if self.error else "")
        number = f"exactly {self.number} of {self.batch}"
        words: dict[Kind, str] = {
            "none": "no row",
            "all": "all rows",
            "fixed first": f"{share}: {number}, the first ones",
            "fixed last": f"{share}: {number}, the last ones",
            "fixed": f"{share}: {number}, always the same ones",
            "exact": f"{share}: {number}, random ones",
            "batch": f"{share}: a coin per batch, all of its rows or none",
            "varying first": f"{share}: the first rows, their number is drawn",
            "varying last": f"{share}: the last rows, their number is drawn",
            "coin": f"{share}: a coin per row",
            "varying": f"{share}: neither a fixed number nor a coin per row",
        }
        return words[self.kind]


def pattern(mask: Mask, coincidence: float = 0.0) -> Pattern:
    """Pattern of a mask: [num_calls, batch].

    Args:
        coincidence: chance that a row looks masked that is not (r = t by the order of the draws).
    """
    batch = mask.shape[1]
    share, error = _without(float(mask.mean()), coincidence, mask.size)
    if mask.all():
        return Pattern("all", 1.0, 0.0, batch, batch)
    if share <= 0 or (coincidence == 0 and mask.sum() <= COINCIDENCES):
        return Pattern("none", 0.0, 0.0, 0, batch)
    if found := _same_rows(mask, coincidence) or _whole_calls(mask, coincidence):
        return found
    counts = mask.sum(1)
    if number := _exact(counts, batch, share, coincidence):
        return Pattern("exact", number / batch, 0.0, number, batch)
    return Pattern(_drawn(mask, counts), share, error, 0, batch)


def _exact(counts: NDArray[np.int64], batch: int, share: float, coincidence: float) -> int:
    """Number of masked rows that each call has; 0 where it varies."""
    number = round(share * batch)
    if len(counts) < 2 or not number:
        return 0
    if coincidence == 0:
        return number if int(np.abs(counts - number).sum()) <= COINCIDENCES else 0
    if counts.min() < number:
        return 0
    p_value = statistics.count_dispersion((counts - number).astype(float), batch - number)[1]
    return number if p_value > statistics.FALSE_ALARM else 0


def _same_rows(mask: Mask, coincidence: float) -> Pattern | None:
    """Rows that are masked in every call, where the others are not on purpose."""
    column = np.asarray(mask.all(0))
    number, batch = int(column.sum()), mask.shape[1]
    if not number or not _is_share(mask[:, ~column], coincidence):
        return None
    kind: Kind = "fixed"
    if column[:number].all():
        kind = "fixed first"
    elif column[-number:].all():
        kind = "fixed last"
    return Pattern(kind, number / batch, 0.0, number, batch)


def _whole_calls(mask: Mask, coincidence: float) -> Pattern | None:
    """Calls whose rows are all masked, where no row of the others is on purpose."""
    whole = np.asarray(mask.all(1))
    by_chance = 2 * len(whole) * float(mask.mean()) ** mask.shape[1]
    if whole.sum() <= max(1.0, by_chance) or not _is_share(mask[~whole], coincidence):
        return None
    share, error = _without(float(whole.mean()), 0.0, len(whole))
    return Pattern("batch", share, error, 0, mask.shape[1])


def ordered(mask: Mask) -> bool:
    """Whether the masked rows are the first ones of each call."""
    return not bool((mask[:, 1:] & ~mask[:, :-1]).any())


def coin_tests(mask: Mask, probability: float) -> list[float]:
    """p-values of "a coin per row": total, variance of the calls' and of the columns' numbers."""
    return [
        statistics.binomial(int(mask.sum()), mask.size, probability),
        statistics.count_dispersion(mask.sum(1).astype(float), mask.shape[1])[1],
        statistics.count_dispersion(mask.sum(0).astype(float), mask.shape[0])[1],
    ]


def _drawn(mask: Mask, counts: NDArray[np.int64]) -> Kind:
    if ordered(mask):
        return "varying first"
    if ordered(mask[:, ::-1]):
        return "varying last"
    calls = statistics.count_dispersion(counts.astype(float), mask.shape[1])[1]
    columns = statistics.count_dispersion(mask.sum(0).astype(float), mask.shape[0])[1]
    return "coin" if min(calls, columns) > statistics.FALSE_ALARM else "varying"


def _is_share(mask: Mask, probability: float) -> bool:
    found = int(mask.sum())
    if probability == 0:
        return found <= COINCIDENCES
    return statistics.binomial(found, mask.size, probability) > statistics.FALSE_ALARM


def _without(seen: float, coincidence: float, trials: int) -> tuple[float, float]:
    """Share p of masked rows, seen = p + (1 - p) coincidence, and its standard error."""
    share = max(0.0, (seen - coincidence) / (1 - coincidence))
    return share, math.sqrt(seen * (1 - seen) / trials) / (1 - coincidence)
