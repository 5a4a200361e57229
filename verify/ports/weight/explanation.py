"""The simplest law that explains every weight and every loss of a port."""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Literal, NamedTuple

import numpy as np

from verify.ports.observation import Array, Weighted
from verify.ports.settings import Settings
from verify.ports.weight.fit import Data, Model, fitted, law_model, partly_fitted, snapped
from verify.ports.weight.laws import NONE, POWER, Law, Theta
from verify.ports.weight.rows import Rows

Reduction = Literal["sum", "mean"]
_REDUCTIONS: tuple[Reduction, ...] = ("sum", "mean")
# Powers of B beside a mean over rows: mean, sum, mean of what was already divided by B.
_BATCHES = (0, 1, -1)


class Explanation(NamedTuple):
    """A law with its numbers.

    slope = factor B^batch (1 / D where `loss_over` is mean) law(q), q = s (/ D where `error_over`
    is mean).
    """

    law: Law
    theta: Theta
    factor: float
    error_over: Reduction  # pixels, in the weight
    loss_over: Reduction  # pixels, in the loss
    batch: int
    loss_factor: float  # printed loss over the loss of this law; NaN where it is no constant

    @property
    def reduction(self) -> str:
        """sum or mean, or which is which."""
        if self.error_over == self.loss_over or self.law is NONE:
            return self.loss_over
        return f"{self.error_over} in the weight, {self.loss_over} in the loss"


class Problem(NamedTuple):
    """What is to be explained, and the settings that are tried first."""

    rows: Rows
    observed: Sequence[Weighted]
    expected: Settings
    official: Settings
    rounding: float

    @property
    def tolerance(self) -> float:
        """Of a residual: rounding of s, of the weight and of the port's own formula."""
        return 100 * self.rounding


def explanations(problem: Problem, laws: Sequence[Law]) -> Iterator[Explanation]:
    """Every law that fits all rows to rounding, with each reduction that it needs."""
    for law, error_over in product(laws, _REDUCTIONS):
        if law is NONE and error_over == "mean":
            continue  # it has no error in its weight
        starts = _shape(problem, law, error_over)
        if not starts:
            continue
        for loss_over, batch in product(_REDUCTIONS, _BATCHES):
            found = _settled(problem, law, error_over, loss_over, batch, starts)
            if found is not None:
                yield found


def as_expected(problem: Problem) -> bool:
    """The settings expected explain every row and loss: all that few rows can tell."""
    settings, rows = problem.expected, problem.rows
    theta = Theta(settings.norm_p, settings.norm_eps)
    found = Explanation(POWER, theta, 1.0, settings.reduction, settings.reduction, 0, np.nan)
    slope = np.real(POWER.slope(rows, _error(rows, settings.reduction), theta))
    if settings.reduction == "mean":
        slope = slope / rows.num_pixels
    close = np.abs(rows.slope / slope - 1) <= problem.tolerance
    return bool(np.all(close)) and loss_factor(problem, found) == 1


def _error(rows: Rows, over: str) -> Array:
    return rows.s / rows.num_pixels if over == "mean" else rows.s


def _shape(problem: Problem, law: Law, error_over: str) -> list[Array]:
    """Where to start a law's fit: empty where it fails with any powers of B and D beside it."""
    rows, q = problem.rows, _error(problem.rows, error_over)
    ones = np.ones_like(rows.s)
    columns = np.stack([ones, np.log(rows.batch), np.log(rows.num_pixels)], 1)
    model, data = law_model(law, rows, q), Data(np.log(np.abs(rows.slope)), ones, problem.rounding)
    starts = [np.array(start) for start in _starts(problem, law, q)]
    for start in starts:
        fit = fitted(model, data, start, columns)
        if fit.worst <= problem.tolerance * _condition(law, rows, q, fit.x).max():
            return [fit.x, *starts]
    return []


def _starts(problem: Problem, law: Law, q: Array) -> list[list[float]]:
    """First guesses: the settings expected, and others of p with eps small or as large as q."""
    middle = float(np.median(q))
    pairs = [
        (problem.expected.norm_p, problem.expected.norm_eps),
        (problem.official.norm_p, problem.official.norm_eps),
        (0.5, middle),
    ]
    if not {"p", "a"} & set(law.free):
        slope = np.abs(problem.rows.slope)
        kink = (np.max(slope * np.sqrt(q)) / np.max(slope)) ** 2  # of Huber's law
        pairs += [(0.0, float(kink)), *((0.0, float(np.quantile(q, c))) for c in (0.1, 0.9))]
    a = 0.1 if law.neutral else 0.0  # the logarithm of a factor is best met from below
    unique = dict.fromkeys(pairs)
    return [
        [{"p": p, "eps": eps, "a": a}[name] for name in law.free]
        for p, eps in (unique if law.free else [(0.0, 0.0)])
    ]


def _condition(law: Law, rows: Rows, q: Array, x: Array) -> Array:
    """[rows]: rounding of the law's slope in units of its own."""
    if law.condition is None:
        return np.ones_like(q)
    theta = Theta(**dict(zip(law.free, x.tolist(), strict=True)))
    with np.errstate(all="ignore"):
        condition = np.nan_to_num(np.real(law.condition(rows, q, theta)), nan=1.0)
    return np.asarray(np.clip(condition, 1, 1e8))


def _settled(
    problem: Problem, law: Law, error_over: Reduction, loss_over: Reduction, batch: int,
    starts: Sequence[Array],
) -> Explanation | None:  # fmt: skip
    """The law with these reductions and round numbers; None where they do not fit."""
    rows, q = problem.rows, _error(problem.rows, error_over)
    known = batch * np.log(rows.batch) - (loss_over == "mean") * np.log(rows.num_pixels)
    observed = np.log(np.abs(rows.slope)) - known
    data = Data(observed, _condition(law, rows, q, starts[0]), problem.rounding)
    names = ("c", *law.free)
    x = _numbers(problem, names, law_model(law, rows, q), data, starts)
    if x is None:
        return None
    theta = Theta(**dict(zip(law.free, x[1:].tolist(), strict=True)))
    if _redundant(law, theta, problem):
        return None
    sign = np.sign(np.real(law.slope(rows, q, theta))) * np.sign(rows.slope)
    if np.any(sign != sign[0]):
        return None
    factor = float(np.exp(x[0]) * sign[0])
    found = Explanation(law, theta, factor, error_over, loss_over, batch, np.nan)
    return found._replace(loss_factor=loss_factor(problem, found))


def _numbers(
    problem: Problem, names: tuple[str, ...], model: Model, data: Data, starts: Sequence[Array]
) -> Array | None:
    """Parameters, each in turn set to the number meant and the others fitted again.

    None where the best fit leaves more than rounding.
    """
    fits = (partly_fitted(model, data, np.array([0.0, *start]), {}) for start in starts)
    found = next((fit for fit in fits if fit.worst <= problem.tolerance), None)
    if found is None:
        return None
    fixed: dict[int, float] = {}
    for k in sorted(range(len(names)), key=lambda k: ("p", "a", "eps", "c").index(names[k])):
        number = _round(names[k], float(found.x[k]), float(found.uncertainty[k]), problem)
        trial = partly_fitted(model, data, found.x, {**fixed, k: number})
        if trial.worst <= problem.tolerance:
            fixed[k], found = number, trial
    return found.x


def _round(name: str, value: float, half_width: float, problem: Problem) -> float:
    """The number meant by a fitted parameter."""
    expected, official = problem.expected, problem.official
    if name == "c":  # a logarithm
        factor = float(np.exp(value))
        round_factor = snapped(factor, factor * min(half_width, 1.0), (1.0, 0.5, 2.0))
        return float(np.log(round_factor))
    favourites = {
        "p": (expected.norm_p, official.norm_p, 0.0, 1.0, 0.5),
        "eps": (expected.norm_eps, official.norm_eps, 0.0),
        "a": (1.0, -1.0, 0.5),
    }
    return snapped(value, half_width, favourites[name])


def _redundant(law: Law, theta: Theta, problem: Problem) -> bool:
    """Parameters at which a law is a simpler one, or none."""
    p, eps, a = (float(np.real(value)) for value in theta)
    close = 10 * problem.tolerance
    if ("p" in law.free and abs(p) < close) or ("a" in law.free and abs(a - law.neutral) < close):
        return True
    return "eps" in law.free and eps < -close * float(problem.rows.s.min())


def loss_factor(problem: Problem, found: Explanation) -> float:
    """Printed loss over that of the law; NaN where calls disagree."""
    rows = problem.rows
    q = _error(rows, found.error_over)
    if found.law.loss is None:
        loss = q * np.real(found.law.slope(rows, q, found.theta))
    else:
        loss = np.real(found.law.loss(rows, q, found.theta))
    loss = loss * rows.s / q
    if found.loss_over == "mean":
        loss = loss / rows.num_pixels
    loss = found.factor * loss * rows.batch**found.batch
    means = rows.calls @ (loss / rows.batch)
    return constant(np.array([call.loss for call in problem.observed]), means, problem)


def constant(observed: Array, predicted: Array, problem: Problem) -> float:
    """observed = factor predicted: the factor, rounded; NaN where it is no constant."""
    with np.errstate(all="ignore"):
        ratio = observed / predicted
    middle = float(np.median(ratio))
    if not np.all(np.isfinite(ratio)) or np.ptp(ratio) > 10 * problem.tolerance * abs(middle):
        return np.nan
    return snapped(middle, 10 * problem.tolerance * abs(middle), (1.0,))
