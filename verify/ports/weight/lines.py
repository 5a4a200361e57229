"""An explanation beside the settings that a port is held to: one line for each difference."""

from typing import NamedTuple

import numpy as np

from verify.ports.finding import Finding
from verify.ports.settings import Settings
from verify.ports.weight.explanation import Explanation, Problem, constant
from verify.ports.weight.laws import NONE

KEYS = ("norm_p", "norm_eps", "reduction")


class Difference(NamedTuple):
    """A quantity of the weight that is not as expected."""

    code: str
    official: str
    detail: str


def number(value: complex) -> str:
    """Short and exact where the number is short."""
    return f"{float(np.real(value)):.6g}"


def formula(p: float, eps: float, reduction: str) -> str:
    """The loss of the authors' codes with these settings."""
    if p == 0:
        return f"s, {_over(reduction)}, mean over rows, no weight"
    return f"s / (s + {number(eps)})^{number(p)}, {_over(reduction)}, mean over rows"


def _over(reduction: str) -> str:
    return "s summed over pixels" if reduction == "sum" else "s a mean over pixels"


def settings_formula(settings: Settings) -> str:
    """The loss of these settings."""
    return formula(settings.norm_p, settings.norm_eps, settings.reduction)


def differences(found: Explanation, problem: Problem) -> list[Difference]:
    """Of an explanation from the settings expected, one for each cause."""
    return [
        *_law(found, problem),
        *_power(found, problem),
        *_eps(found, problem),
        *_reduction(found, problem),
        *_batch(found),
        *_factor(found, problem),
        *_loss(found, problem),
    ]


def same(problem: Problem, detail: str = "") -> Finding:
    """The line of a weight that is as expected: as the authors', or as the port claims."""
    expected, official = problem.expected, problem.official
    equal = all(getattr(expected, key) == getattr(official, key) for key in KEYS)
    texts = settings_formula(expected), settings_formula(official)
    return Finding("weight", "same" if equal else "claimed", *texts, detail)


def _law(found: Explanation, problem: Problem) -> list[Difference]:
    law, theta = found.law, found.theta
    if law.plain or (law is NONE and problem.expected.norm_p == 0):
        return []
    numbers = {name: number(value) for name, value in theta._asdict().items()}
    words = law.words.format(**numbers, root=number(np.sqrt(np.abs(theta.eps))))
    words = words.replace("^1 ", " ").removesuffix("^1")
    if law is NONE and found.loss_over != problem.expected.reduction:
        words += f", {_over_pixels(found.loss_over)}"
    return [Difference(words, settings_formula(problem.official), law.detail)]


def _power(found: Explanation, problem: Problem) -> list[Difference]:
    p, expected, official = found.theta.p, problem.expected.norm_p, problem.official.norm_p
    if "p" not in found.law.free or p == expected:
        return []
    count, mean = ("more", "towards") if np.real(p) < expected else ("less", "away from")
    detail = (
        f"rows with a large error count {count}: the fixed point moves {mean} the plain mean "
        "of the targets" + _claim(expected, official, "p")
    )
    return [Difference(f"p = {number(p)}", f"p = {number(official)}", detail)]


def _eps(found: Explanation, problem: Problem) -> list[Difference]:
    eps, expected, official = found.theta.eps, problem.expected.norm_eps, problem.official.norm_eps
    if "eps" not in found.law.free or found.law.own_eps or eps == expected:
        return []
    s = problem.rows.s / (problem.rows.num_pixels if found.error_over == "mean" else 1)
    p = float(np.real(found.theta.p)) or 1.0
    change = np.max(np.abs(((s + expected) / np.maximum(s + np.real(eps), 1e-300)) ** p - 1))
    detail = (
        f"the weights of the rows seen change by at most {100 * change:.2g} %; it matters where "
        f"a row's error is about as small as eps" + _claim(expected, official, "eps")
    )
    code = f"eps = {number(eps)}"
    if eps == 0 and problem.rounding > 1e-9:
        code += ", or too small to be seen in float32"
    return [Difference(code, f"eps = {number(official)}", detail)]


def _claim(expected: float, official: float, name: str) -> str:
    return "" if expected == official else f"; the port claims {name} = {number(expected)}"


def _reduction(found: Explanation, problem: Problem) -> list[Difference]:
    expected, official = problem.expected.reduction, problem.official.reduction
    said = found.law is NONE and problem.expected.norm_p != 0  # in the line of the law
    if found.reduction == expected or said:
        return []
    code = _reduced(found)
    inner, outer = found.error_over == "mean", found.loss_over == "mean"
    if inner and outer:
        detail = "as eps times the number of pixels D on the sum, the gradient times D^(p - 1)"
    elif inner:
        detail = "as eps times the number of pixels D on the sum, the gradient times D^p"
    elif outer:
        detail = "the gradient is D times as small: nothing changes under Adam"
    else:
        detail = "eps counts D times less than on a mean over D pixels, the gradient D^(1 - p)"
    return [Difference(code, _over_pixels(official), detail)]


def _reduced(found: Explanation) -> str:
    if found.error_over == found.loss_over or found.law is NONE:
        return _over_pixels(found.loss_over)
    return f"{_over_pixels(found.error_over)} in the weight, {found.loss_over} in the loss"


def _over_pixels(reduction: str) -> str:
    return "error summed over pixels" if reduction == "sum" else "error a mean over pixels"


def _batch(found: Explanation) -> list[Difference]:
    if found.batch == 0:
        return []
    code = "sum over rows" if found.batch == 1 else "mean over rows, divided by their number again"
    size = "times" if found.batch == 1 else "divided by"
    detail = f"the gradient is {size} the number of rows: nothing changes under Adam"
    return [Difference(code, "mean over rows", detail)]


def _factor(found: Explanation, problem: Problem) -> list[Difference]:
    """A number before the loss, or before its gradient alone."""
    if found.factor == 1:
        return []
    sign = "; negative: training ascends the error" if found.factor < 0 else ""
    detail = "it scales the gradient: nothing changes under Adam" + sign
    alone = _gradient_alone(found)
    code = f"{number(found.factor)} times the " + ("gradient of the loss" if alone else "loss")
    return [Difference(code, settings_formula(problem.official), detail)]


def _gradient_alone(found: Explanation) -> bool:
    """The printed loss is right, and its gradient is cut in parts."""
    return bool(abs(found.factor * found.loss_factor - 1) < 1e-4)


def _loss(found: Explanation, problem: Problem) -> list[Difference]:
    """A printed loss that is not the one whose gradient comes back."""
    if found.loss_factor == 1 or _gradient_alone(found):
        return []
    official = "loss and gradient of one formula"
    if np.isfinite(found.loss_factor):
        code = f"loss {number(found.loss_factor)} times what its gradient says"
        detail = "the gradient is right, the printed loss is not"
    else:
        code = f"loss {_printed(problem)}, not that of its gradient"
        detail = "the gradient is as the other lines say; only the printed loss is another"
    return [Difference(code, official, detail)]


def claims_kept(found: Explanation, problem: Problem) -> str:
    """What is as the port claims, beside something that is not: "p = 0.5 as claimed"."""
    expected, official = problem.expected, problem.official
    kept = [
        (("p" in found.law.free and found.theta.p == expected.norm_p)
         and expected.norm_p != official.norm_p, f"p = {number(expected.norm_p)}"),
        (("eps" in found.law.free and found.theta.eps == expected.norm_eps)
         and expected.norm_eps != official.norm_eps, f"eps = {number(expected.norm_eps)}"),
        (found.reduction == expected.reduction != official.reduction,
         _over_pixels(expected.reduction)),
    ]  # fmt: skip
    words = [text for holds, text in kept if holds]
    return f" ({', '.join(words)} as claimed)" if words else ""


def _printed(problem: Problem) -> str:
    """What a loss is that does not belong to its gradient."""
    rows = problem.rows
    losses = np.array([call.loss for call in problem.observed])
    expected = problem.expected
    weighted = rows.s / (rows.s + expected.norm_eps) ** expected.norm_p
    known = {
        "the plain squared error": rows.s,
        "the plain squared error, a mean over pixels": rows.s / rows.num_pixels,
        "the square root of the error": np.sqrt(rows.s),
        "the weighted error": weighted,
    }
    for words, values in known.items():
        factor = constant(losses, rows.calls @ (values / rows.batch), problem)
        if np.isfinite(factor):
            return words if factor == 1 else f"{number(factor)} times {words}"
    return "of another formula"
