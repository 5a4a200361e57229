"""Maximum-likelihood fits of joint laws of (t, r) to observed rows."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy import optimize, special

from verify.ports.laws.densities import ORDERS, TINY, Law, Order, Raw
from verify.ports.laws.masks import Mask
from verify.ports.observation import Array

_FIRST = 2500  # rows that candidates are compared on
_SMOOTH = {"eps": 1e-5, "ftol": 3e-8}  # of a likelihood whose logarithm is about 10^4


Build = Callable[[Array], Law]  # a law from its parameters


@dataclass(frozen=True)
class Rows:
    """Rows of many calls as one list.

    Attributes:
        t, r: [num_rows].
        equal: r = t.
        atom: r is one of few values that are drawn again and again.
        ends_t, ends_r: interval to which t and r were clipped, or 0..1.
        slack: mass of a cell, where the times lie on a grid.
    """

    t: Array
    r: Array
    equal: Mask
    atom: Mask
    ends_t: tuple[float, float] = (0.0, 1.0)
    ends_r: tuple[float, float] = (0.0, 1.0)
    slack: float = 0.0

    def first(self, number: int) -> "Rows":
        """About `number` rows, spread over the calls and places."""
        step = max(1, len(self.t) // number) | 1  # odd: batch sizes are even
        return self._kept(np.arange(len(self.t)) % step == 0)

    def without_atoms(self) -> "Rows":
        """The rows whose r is no atom."""
        return self._kept(~self.atom)

    def _kept(self, kept: Mask) -> "Rows":
        t, r = self.t[kept], self.r[kept]
        return replace(self, t=t, r=r, equal=self.equal[kept], atom=self.atom[kept])

    def logits(self) -> tuple[Array, Array]:
        """logit(t), and logit(r) of the rows with r < t."""
        t, r = (np.clip(x, TINY, 1 - TINY) for x in (self.t, self.r[~self.equal]))
        return special.logit(t), special.logit(r)


@dataclass(frozen=True)
class Fit:
    """A law fitted to rows, with standard errors of its numbers.

    Attributes:
        bic: -2 log likelihood + num_parameters log(num_rows).
        build, theta, ends: what the law is made of, to fit it again.
        errors: of mean and std of the first raw law, then of the second's.
    """

    law: Law
    bic: float
    build: Build | None = None
    theta: tuple[float, ...] = ()
    ends: int = 0
    errors: tuple[float, ...] = ()

    def __str__(self) -> str:
        """The raw laws with their standard errors, and their order."""
        first, second = self.law.first, self.law.second
        errors = self.errors or (0.0,) * 4
        order = ORDERS[self.law.order]
        if first == second:
            return f"{raw_text(first, errors[:2])}; {order}"
        if self.law.order == "product" and second.kind == "uniform":
            return f"t {raw_text(first, errors[:2])}; {order}, U uniform"
        name = "U" if self.law.order == "product" else "r"
        return f"t {raw_text(first, errors[:2])}; {name} {raw_text(second, errors[-2:])}; {order}"


def raw_text(raw: Raw, errors: tuple[float, ...] = (0.0, 0.0)) -> str:
    """Law of one raw draw in words and numbers."""
    low, high = f"{round(raw.low, 6):.3g}", f"{raw.high:.5g}"
    scaled = (raw.low, raw.high) != (0, 1)
    if raw.kind == "uniform":
        return f"uniform in {low}..{high}" if scaled else "uniform"
    words = f"logit-normal, mean {_number(raw.mean, errors[0])}, std {_number(raw.std, errors[1])}"
    if math.isfinite(raw.cut[0]) or math.isfinite(raw.cut[1]):
        ends = special.expit(raw.mean + raw.std * np.array(raw.cut))
        words += f", truncated to {ends[0]:.2g}..{ends[1]:.2g}"
        words += f" (n in {raw.cut[0]:.2f}..{raw.cut[1]:.2f})"
    return words + (f", rescaled to {low}..{high}" if scaled else "")


def fit(rows: Rows, like: Law) -> Fit:
    """Fit of a law's means and standard deviations, of its order and kind, to all rows."""
    laws = _normals(like.order, shared=like.first == like.second)
    if like.first.kind == "uniform" and like.second.kind == "uniform":
        return Fit(like, _bic(like, rows, 0))
    if like.second.kind == "uniform":
        laws = _normals(like.order, shared=False, second=Raw("uniform"))
    return with_errors(_maximum(rows, laws, _parameters(like)), rows)


def candidates(rows: Rows) -> Iterator[Fit]:
    """Fits of the laws on all of 0..1, each to the same few thousand rows."""
    few = rows.without_atoms().first(_FIRST)
    unordered = bool(np.any(few.r > few.t))
    orders: list[Order] = ["unordered"] if unordered else ["max", "min", "masked first", "t := r"]
    logit_t, logit_r = few.logits()
    raw = [logit_t.mean(), math.log(max(logit_t.std(), 1e-3))]
    both = [*raw, *raw]
    if len(logit_r) > 1:
        both[2:] = [logit_r.mean(), math.log(max(logit_r.std(), 1e-3))]
    for order in orders:
        for first, second in ((Raw("uniform"), Raw("uniform")), _span(rows)):
            yield _plain(Law(first, second, order, 0.0), few)
        yield _maximum(few, _normals(order, shared=True), raw)
        yield _maximum(few, _normals(order, shared=False), both)
    if not unordered:
        uniform = Raw("uniform")
        yield _plain(Law(uniform, uniform, "product", 0.0), few)
        yield _maximum(few, _normals("product", shared=False, second=uniform), raw)
        yield _maximum(few, _normals("product", shared=False), [*raw, 0.0, 0.0])


def narrower(rows: Rows, like: Law) -> Iterator[Fit]:
    """Fits of laws of this order on a part of 0..1: truncated, and rescaled."""
    few, both = rows.without_atoms().first(_FIRST), _parameters(like)
    one = [sum(both[k::2]) / len(both[k::2]) for k in (0, 1)]
    for start in (one, both) if len(both) > 2 else (one,):
        yield _maximum(few, _truncated(like.order, rows), start, ends=2)
        yield _maximum(few, _rescaled(like.order, rows), [0.0, 0.0, *start], ends=2)


def refined(found: Fit, rows: Rows) -> Fit:
    """The same kind of law, fitted to these rows."""
    if found.build is None:
        return _plain(found.law, rows)
    return _maximum(rows, found.build, list(found.theta), found.ends)


def _normals(order: Order, shared: bool, second: Raw | None = None) -> Build:
    def build(theta: Array) -> Law:
        first = Raw(mean=float(theta[0]), std=math.exp(theta[1]))
        if second is not None or shared:
            return Law(first, second or first, order, 0.0)
        return Law(first, Raw(mean=float(theta[2]), std=math.exp(theta[3])), order, 0.0)

    return build


def _pair(theta: Array) -> tuple[Raw, Raw]:
    """Two laws from four numbers, one law twice from two."""
    both = tuple(Raw(mean=float(m), std=math.exp(s)) for m, s in theta.reshape(-1, 2))
    return both[0], both[-1]


def _truncated(order: Order, rows: Rows) -> Build:
    """n is drawn again outside an interval: the narrowest that the rows allow.

    One law: between its own ends; two laws: |n| < c, the same c for both.
    """
    scores = [np.array([x.min(), x.max()]) for x in rows.logits()]

    def build(theta: Array) -> Law:
        first, second = _pair(theta)
        ends = [(x - raw.mean) / raw.std for x, raw in zip(scores, (first, second), strict=True)]
        low, high = min(x[0] for x in ends) - 1e-9, max(x[1] for x in ends) + 1e-9
        if len(theta) > 2:
            high = max(-low, ends[0][1] + 1e-9)
            low = -high
        first, second = (replace(raw, cut=(float(low), float(high))) for raw in (first, second))
        return Law(first, second, order, 0.0)

    return build


def _rescaled(order: Order, rows: Rows) -> Build:
    """Low + (high - low) sigmoid(mean + std n), both ends outside the span of the rows."""
    low, high = _ends(rows)

    def build(theta: Array) -> Law:
        ends = special.expit(theta[:2])
        below, above = float(low * (1 - ends[0])), float(high + (1 - high) * ends[1])
        first, second = (replace(raw, low=below, high=above) for raw in _pair(theta[2:]))
        return Law(first, second, order, 0.0)

    return build


def _ends(rows: Rows) -> tuple[float, float]:
    return float(min(rows.t.min(), rows.r.min())), float(max(rows.t.max(), rows.r.max()))


def _span(rows: Rows) -> tuple[Raw, Raw]:
    low, high = _ends(rows)
    if low >= high:
        high = low + TINY
    return (raw := Raw("uniform", low=low, high=high)), raw


def _parameters(law: Law) -> list[float]:
    first, second = law.first, law.second
    both = [first.mean, math.log(first.std), second.mean, math.log(second.std)]
    return both[:2] if first == second or second.kind == "uniform" else both


def with_share(law: Law, equal: Mask) -> Law:
    """The law with its share of masked rows from the rows with r = t that were seen."""
    seen, by_order = float(equal.mean()), 1 - law.unmasked_below
    return replace(law, share=float(np.clip((seen - by_order) / max(1 - by_order, TINY), 0, 1)))


def _bic(law: Law, rows: Rows, num_parameters: int) -> float:
    law = with_share(law, rows.equal)
    equal, t, r = rows.equal, rows.t, rows.r
    log = law.log_equal(t[equal]).sum() + law.log_unequal(t[~equal], r[~equal]).sum()
    return float(-2 * log + num_parameters * math.log(max(len(t), 2)))


def _plain(law: Law, rows: Rows) -> Fit:
    return Fit(with_share(law, rows.equal), _bic(law, rows, 2 * (law.first.low > 0)))


def _maximum(rows: Rows, build: Build, start: list[float], ends: int = 0) -> Fit:
    """Maximum of the likelihood over the parameters of `build`.

    Args:
        ends: parameters that set the ends of the support, where the likelihood is not smooth.
    """
    num = len(start)

    def cost(theta: Array) -> float:
        with np.errstate(all="ignore"):
            inside = bool(np.all(np.abs(theta) < 30))
            value = _bic(build(theta), rows, num + ends) if inside else np.inf
        return value if np.isfinite(value) else 1e12

    middle = np.array(start)
    simplex = np.vstack([middle, middle + 0.2 * np.eye(num)])
    if ends:
        options = {"xatol": 1e-3, "fatol": 1e-2, "maxfev": 120 * num, "initial_simplex": simplex}
        found = optimize.minimize(cost, middle, method="Nelder-Mead", options=options)
    else:
        found = optimize.minimize(cost, middle, method="L-BFGS-B", options=_SMOOTH)
    law = with_share(build(found.x), rows.equal)
    return Fit(law, float(found.fun), build, tuple(found.x), ends)


def with_errors(found: Fit, rows: Rows) -> Fit:
    """The fit with standard errors, from the curvature of the likelihood."""
    build, theta = found.build, np.array(found.theta)
    if build is None:
        return found

    def cost(change: Array) -> float:
        with np.errstate(all="ignore"):
            return _bic(build(theta + change), rows, 0)

    num, step = len(theta), 0.01
    unit = step * np.eye(num)
    middle = cost(0 * theta)
    hessian = np.zeros((num, num))
    for i in range(num):
        hessian[i, i] = cost(unit[i]) - 2 * middle + cost(-unit[i])
        for j in range(i):
            corners = [
                cost(x * unit[i] + y * unit[j]) for x, y in ((1, 1), (1, -1), (-1, 1), (-1, -1))
            ]
            hessian[i, j] = hessian[j, i] = (corners[0] - corners[1] - corners[2] + corners[3]) / 4
    finite = np.nan_to_num(hessian / (2 * step**2), posinf=0, neginf=0)
    errors = np.sqrt(np.maximum(np.diag(np.linalg.pinv(finite)), 0))
    first, second = found.law.first, found.law.second
    scale = [1.0, first.std, 1.0, second.std]  # of std, not of its logarithm
    means = errors[num - len(_parameters(found.law)) :]  # after the ends of a rescaled law
    return replace(found, errors=tuple(float(x * y) for x, y in zip(means, scale, strict=False)))


def _number(value: float, error: float) -> str:
    """A number, rounded to its standard error where it has one."""
    if not error:
        return f"{value:.4g}"
    digits = max(2, -math.floor(math.log10(error)))
    return f"{value:.{digits}f} ± {error:.{digits}f}"
