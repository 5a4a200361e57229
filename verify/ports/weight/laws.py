"""Laws that a row's weight may follow: each a slope d(loss)/ds and the loss that a port prints.

q is the squared error s, or its mean over pixels. Slopes are analytic in p, eps and a, so that
their derivatives follow from complex steps.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from verify.ports.weight.rows import Rows

Numbers = NDArray[Any]  # float64 or complex128


class Theta(NamedTuple):
    """Parameters of a law."""

    p: complex = 0.0
    eps: complex = 0.0
    a: complex = 0.0  # exponent or factor of what a law adds


Formula = Callable[[Rows, Numbers, Theta], Numbers]


class Law(NamedTuple):
    """A weight's law.

    Attributes:
        words: what the port does, with places for {p}, {eps}, {a} and {root}, the root of eps.
        slope: derivative of a row's loss by q that reaches the network.
        loss: a row's loss; None for q slope, a weight without gradient.
        free: names of its parameters.
        detail: what it changes.
        neutral: value of a at which it is the authors' law.
        own_eps: eps is no number beside s, and not compared with the settings' eps.
        condition: rounding of the slope in units of its own; None for 1.
    """

    words: str
    slope: Formula
    loss: Formula | None
    free: tuple[str, ...]
    detail: str = ""
    neutral: float = 0.0
    own_eps: bool = False
    condition: Formula | None = None

    @property
    def plain(self) -> bool:
        """The authors' law, with any p and eps."""
        return not self.words


def power(_rows: Rows, q: Numbers, theta: Theta) -> Numbers:
    """(q + eps)^-p"""
    return (q + theta.eps) ** -theta.p


def _measured(loss: float, weight: float) -> tuple[Formula, Formula]:
    """Slope and loss of q^loss / sg((q^weight + eps)^p)."""

    def slope(_rows: Rows, q: Numbers, theta: Theta) -> Numbers:
        return loss * q ** (loss - 1) * (q**weight + theta.eps) ** -theta.p

    def value(_rows: Rows, q: Numbers, theta: Theta) -> Numbers:
        return q**loss * (q**weight + theta.eps) ** -theta.p

    return slope, value


def _outside(_rows: Rows, q: Numbers, theta: Theta) -> Numbers:
    return 1 / (q**theta.p + theta.eps)


def _undetached(_rows: Rows, q: Numbers, theta: Theta) -> Numbers:
    return ((1 - theta.p) * q + theta.eps) * (q + theta.eps) ** (-theta.p - 1)


def _cancels(_rows: Rows, q: Numbers, theta: Theta) -> Numbers:
    """Two terms of a derivative nearly cancel where s >> eps and p = 1."""
    share = theta.p * q / (q + theta.eps)
    return (1 + np.abs(share)) / np.abs(1 - share)


def _whole(_rows: Rows, q: Numbers, theta: Theta) -> Numbers:
    return q * (q + theta.eps) ** -theta.p


def _batch_mean(rows: Rows, q: Numbers, theta: Theta) -> Numbers:
    return (rows.mean @ q + theta.eps) ** -theta.p


def _mean_weight(rows: Rows, q: Numbers, theta: Theta) -> Numbers:
    return rows.mean @ power(rows, q, theta)


def _normalised(rows: Rows, q: Numbers, theta: Theta) -> Numbers:
    weight = power(rows, q, theta)
    return weight / (rows.mean @ weight)


def _huber(_rows: Rows, q: Numbers, theta: Theta) -> Numbers:
    return np.where(q < theta.eps.real, 1, (theta.eps / q) ** 0.5)


def _huber_loss(_rows: Rows, q: Numbers, theta: Theta) -> Numbers:
    root = 2 * (theta.eps * q) ** 0.5 - theta.eps
    return np.where(q < theta.eps.real, q, root)


def _inverse(_rows: Rows, q: Numbers, theta: Theta) -> Numbers:
    return 1 / (q + theta.eps)


def _half(_rows: Rows, q: Numbers, theta: Theta) -> Numbers:
    return 0.5 * (q + theta.eps) ** -0.5


def _groups(rows: Rows, q: Numbers, theta: Theta) -> Numbers:
    share = rows.mean @ rows.equal
    return power(rows, q, theta) / np.where(rows.equal, share, 1 - share)


def _equal_rows(rows: Rows, q: Numbers, theta: Theta) -> Numbers:
    return power(rows, q, theta) * np.where(rows.equal, theta.a, 1)


def _ones(_rows: Rows, q: Numbers, _theta: Theta) -> Numbers:
    return np.ones_like(q)


def taken_from(source: NDArray[np.int64], words: str) -> Law:
    """Law of weights that are those of the rows `source`."""

    def slope(rows: Rows, q: Numbers, theta: Theta) -> Numbers:
        return power(rows, q[source], theta)

    return Law(words, slope, None, ("p", "eps"), _OTHERS)


def _added(factor: Callable[[Rows], Numbers]) -> Formula:
    def slope(rows: Rows, q: Numbers, theta: Theta) -> Numbers:
        return power(rows, q, theta) + theta.a * factor(rows)

    return slope


# Functions of the times, whose power or exponential multiplies a weight.
_TIMES: tuple[tuple[str, Callable[[Rows], Numbers]], ...] = (
    ("t", lambda rows: np.log(rows.t)),
    ("(1 - t)", lambda rows: np.log(1 - rows.t)),
    ("(t - r)", lambda rows: np.log(rows.t - rows.r)),
    ("(1 - (t - r))", lambda rows: np.log(1 - (rows.t - rows.r))),
    ("(1 + t - r)", lambda rows: np.log(1 + rows.t - rows.r)),
    ("(1 + t)", lambda rows: np.log(1 + rows.t)),
    ("(1 - r)", lambda rows: np.log(1 - rows.r)),
    ("r", lambda rows: np.log(rows.r)),
    ("(t (1 - t))", lambda rows: np.log(rows.t) + np.log(1 - rows.t)),
    ("(t / (1 - t))", lambda rows: np.log(rows.t) - np.log(1 - rows.t)),
    ("(t^2 + (1 - t)^2)", lambda rows: np.log(rows.t**2 + (1 - rows.t) ** 2)),
    ("exp(t)", lambda rows: rows.t),
    ("exp(t - r)", lambda rows: rows.t - rows.r),
)


def _timed(words: str, logarithm: Callable[[Rows], Numbers]) -> Law:
    def slope(rows: Rows, q: Numbers, theta: Theta) -> Numbers:
        with np.errstate(all="ignore"):
            return power(rows, q, theta) * np.exp(theta.a * logarithm(rows))

    return Law(f"weight times {words}^{{a}}", slope, None, ("p", "eps", "a"), _OF_TIMES)


_SCALE = "it changes which rows count, and with that the fixed point"
_OTHERS = (
    "a row's weight no longer depends on its own error: the fixed point is the plain mean of the "
    "targets, with more variance in the gradient"
)
_OF_TIMES = "pairs of times count otherwise; the fixed point of a flexible network stays"
_NO_WEIGHT = (
    "all rows count alike: the fixed point is the plain mean of the targets, where the authors' "
    "weight draws it towards the rows with small errors"
)
_ONE_WEIGHT = (
    "rows of one call count alike: the fixed point is the plain mean of the targets; the step "
    "size follows the error of the batch"
)
NONE = Law("no weight (p = 0)", _ones, None, (), _NO_WEIGHT)
POWER = Law("", power, None, ("p", "eps"))
_PE = ("p", "eps")
# In the order of preference where several explain the same numbers.
OTHERS: tuple[Law, ...] = (
    Law("log(s + {eps}) as the loss", _inverse, lambda _rows, q, theta: np.log(q + theta.eps),
        ("eps",), "its gradient is that of p = 1 with this eps; only the printed loss is another"),
    Law("weight not detached: s / (s + {eps})^{p} with its gradient", _undetached, _whole, _PE,
        "the gradient fades where the error is large (with p = 1 as eps / (s + eps)^2): rows "
        "far from their target hardly learn", condition=_cancels),
    Law("pseudo-Huber: sqrt(s + {root}^2) - {root}", _half,
        lambda _rows, q, theta: (q + theta.eps) ** 0.5 - theta.eps**0.5, ("eps",),
        "the gradient of p = 0.5 with this eps, times 1/2: " + _SCALE, own_eps=True),
    Law("square root of the error as the loss: sqrt(s + {eps})", _half,
        lambda _rows, q, theta: (q + theta.eps) ** 0.5, ("eps",),
        "the gradient of p = 0.5 with this eps, times 1/2: " + _SCALE, own_eps=True),
    Law("Huber: s where sqrt(s) is below {root}, sqrt(s) above", _huber, _huber_loss,
        ("eps",), _SCALE, own_eps=True),
    Law("weights normalised over the batch (divided by their mean)", _normalised, None, _PE,
        "rows count as before among each other; the scale of the gradient follows the error: "
        "under Adam the step no longer weighs batches by their error"),
    Law("squared twice: s^2 / (s^2 + {eps})^{p}", *_measured(2, 2), _PE, _SCALE, own_eps=True),
    Law("s squared in the weight only: s / (s^2 + {eps})^{p}", *_measured(1, 2), _PE,
        _SCALE, own_eps=True),
    Law("s squared in the loss only: s^2 / (s + {eps})^{p}", *_measured(2, 1), _PE, _SCALE),
    Law("sqrt(s) in the weight: s / (sqrt(s) + {eps})^{p}", *_measured(1, 0.5), _PE,
        _SCALE, own_eps=True),
    Law("sqrt(s) in place of s: sqrt(s) / (sqrt(s) + {eps})^{p}", *_measured(0.5, 0.5), _PE,
        _SCALE, own_eps=True),
    Law("sqrt(s) in the loss only: sqrt(s) / (s + {eps})^{p}", *_measured(0.5, 1), _PE, _SCALE),
    Law("eps outside the power: s / (s^{p} + {eps})", _outside, None, _PE,
        "it changes the weights where s^p is about eps, and nothing else", own_eps=True),
    Law("one weight for all rows, of the batch's mean error", _batch_mean, None, _PE,
        _ONE_WEIGHT),
    Law("one weight for all rows, the mean of their weights", _mean_weight, None, _PE,
        _ONE_WEIGHT),
    Law("rows with r = t weighted {a} times", _equal_rows, None, (*_PE, "a"), _OF_TIMES,
        neutral=1.0),
    Law("mean over rows with r = t plus mean over the others", _groups, None, _PE, _OF_TIMES),
    *(_timed(*times) for times in _TIMES),
    Law("weight plus {a}: the plain error is added", _added(lambda rows: np.ones_like(rows.t)),
        None, (*_PE, "a"), _SCALE),
    Law("weight plus {a} t^2: the error of x = z - t u is added", _added(lambda rows: rows.t**2),
        None, (*_PE, "a"), _SCALE),
)  # fmt: skip
