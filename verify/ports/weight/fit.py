"""Least squares on logarithms of slopes: log |slope| = log c + log law(q; p, eps, a).

Exact to rounding: the fit converges quadratically, with derivatives from complex steps. Powers of
what multiplies a law are linear: they are projected out of residuals and derivatives.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from verify.ports.observation import Array
from verify.ports.weight.laws import Law, Numbers, Theta
from verify.ports.weight.rows import Rows

_STEP = 1e-30
# Logarithm of a law in all rows: its parameters [k] -> [rows], both complex.
Model = Callable[[Numbers], Numbers]


class Fit(NamedTuple):
    """Parameters at the least squares, and how far off rows and parameters may be."""

    x: Array  # [k]
    residual: Array  # [rows], of logarithms, in units of the law's own rounding
    uncertainty: Array  # [k], half-widths

    @property
    def worst(self) -> float:
        """Largest residual."""
        return float(np.max(np.abs(self.residual)))


class Data(NamedTuple):
    """Logarithms to be fitted."""

    observed: Array  # [rows]
    scale: Array  # [rows], rounding of each row in units of its own
    rounding: float


def law_model(law: Law, rows: Rows, q: Array) -> Model:
    """log of a law, of its free parameters."""

    def model(x: Numbers) -> Numbers:
        theta = Theta(**dict(zip(law.free, x.tolist(), strict=True)))
        with np.errstate(all="ignore"):
            return np.log(np.asarray(law.slope(rows, q, theta), np.complex128))

    return model


def fitted(model: Model, data: Data, start: Array, columns: Array) -> Fit:
    """Levenberg-Marquardt from `start`, beside any linear combination of columns: [rows, n]."""
    basis = _basis(columns / data.scale[:, None])
    x, damping = start.astype(np.float64), 1e-3
    residual = _residual(model, x, data, basis)
    cost = _cost(residual)
    if not len(x) or not np.isfinite(cost):
        return Fit(x, residual, np.full(len(x), np.inf))
    for _ in range(40):
        jacobian = _jacobian(model, x, data, basis)
        while damping < 1e4:
            step = _damped(jacobian, residual, damping)
            trial = _residual(model, x + step, data, basis)
            if _cost(trial) < cost:
                break
            damping = max(100 * damping, 1e-6)
        else:
            break
        gain, cost = cost - _cost(trial), _cost(trial)
        x, residual, damping = x + step, trial, max(damping / 100, 1e-16)
        if gain < 0.01 * cost:
            break
    jacobian = _jacobian(model, x, data, basis)
    return Fit(x, residual, _uncertainty(jacobian, residual, data.rounding))


def partly_fitted(model: Model, data: Data, x: Array, fixed: Mapping[int, float]) -> Fit:
    """log c and a law's parameters, x = [log c, ...], some held at given numbers."""
    free = [k for k in range(1, len(x)) if k not in fixed]
    full, width = x.copy(), np.zeros(len(x))
    for k, value in fixed.items():
        full[k] = value

    def partial(part: Numbers) -> Numbers:
        whole = full[1:].astype(np.complex128)
        whole[[k - 1 for k in free]] = part
        return np.asarray(full[0] + model(whole))

    columns = np.ones((len(data.observed), 0 if 0 in fixed else 1))
    found = fitted(partial, data, full[free], columns)
    full[free], width[free] = found.x, found.uncertainty
    if 0 not in fixed:
        full[0] += np.average(data.observed - partial(found.x).real, weights=data.scale**-2.0)
        width[0] = _width_of_constant(partial, data, found)
    return Fit(full, found.residual, width)


def _width_of_constant(model: Model, data: Data, found: Fit) -> float:
    """Half-width of log c, the law's other parameters fitted beside it."""
    nothing = np.zeros((len(data.scale), 0))
    jacobian = np.hstack([1 / data.scale[:, None], _jacobian(model, found.x, data, nothing)])
    return float(_uncertainty(jacobian, found.residual, data.rounding)[0])


def _basis(columns: Array) -> Array:
    """Orthonormal columns of the same span."""
    left, size, _ = np.linalg.svd(columns, full_matrices=False)
    return np.asarray(left[:, size > 1e-9 * size.max(initial=0.0)])


def _residual(model: Model, x: Array, data: Data, basis: Array) -> Array:
    with np.errstate(all="ignore"):
        residual = (data.observed - model(x.astype(np.complex128)).real) / data.scale
        return np.asarray(residual - basis @ (basis.T @ residual))


def _jacobian(model: Model, x: Array, data: Data, basis: Array) -> Array:
    """[rows, k]: derivatives of the model, by one complex step a parameter."""
    jacobian = np.zeros((len(data.scale), len(x)))
    with np.errstate(all="ignore"):
        for k, unit in enumerate(np.eye(len(x))):
            jacobian[:, k] = model(x + 1j * _STEP * unit).imag / _STEP / data.scale
    jacobian = np.nan_to_num(jacobian, nan=0.0, posinf=0.0, neginf=0.0)
    return np.asarray(jacobian - basis @ (basis.T @ jacobian))


def _cost(residual: Array) -> float:
    cost = float(residual @ residual)
    return cost if np.isfinite(cost) else np.inf


def _damped(jacobian: Array, residual: Array, damping: float) -> Array:
    """Step of least squares with columns of unit length and a penalty on long steps."""
    length = np.linalg.norm(jacobian, axis=0)
    length[length == 0] = 1
    system = np.vstack([jacobian / length, np.sqrt(damping) * np.eye(len(length))])
    padded = np.concatenate([residual, np.zeros(len(length))])
    return np.asarray(np.linalg.lstsq(system, padded, rcond=None)[0] / length)


def _uncertainty(jacobian: Array, residual: Array, rounding: float) -> Array:
    """Eight standard deviations of each parameter, from the residuals or the stated rounding."""
    noise = max(float(np.sqrt(np.mean(residual**2))), rounding / 10)
    length = np.linalg.norm(jacobian, axis=0)
    length[length == 0] = np.inf
    inverse = np.linalg.pinv(jacobian / length, rcond=1e-13)
    sigma = np.linalg.norm(inverse, axis=1) / length
    return np.asarray(np.where(np.isinf(length), np.inf, 8 * noise * sigma))


def snapped(value: float, half_width: float, favourites: Sequence[float]) -> float:
    """The number meant: a favourite within the uncertainty, else the shortest decimal in it."""
    for favourite in favourites:
        if abs(value - favourite) <= half_width:
            return favourite
    for digits in range(1, 7):
        short = float(f"{value:.{digits - 1}e}")
        if abs(value - short) <= half_width:
            return short
    return value
