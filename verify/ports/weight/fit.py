"""Least squares on logarithms of slopes: log |slope| = log c + log law(q; p, eps, a).

Exact to rounding: the fit converges quadratically, with derivatives from complex steps.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from verify.ports.observation import Array
from verify.ports.weight.laws import Complex, Law, Theta
from verify.ports.weight.rows import Rows

_STEP = 1e-30
# Model of all rows: parameters [k] complex -> logarithms [rows] complex.
Model = Callable[[Complex], Complex]


class Fit(NamedTuple):
    """Parameters at the least squares, and how far off rows and parameters may be."""

    x: Array  # [k]
    residual: Array  # [rows], of logarithms, in units of the law's own rounding
    uncertainty: Array  # [k], half-widths

    @property
    def worst(self) -> float:
        """Largest residual."""
        return float(np.max(np.abs(self.residual)))


def law_model(law: Law, rows: Rows, q: Array, columns: Array) -> Model:
    """log of a law times powers: parameters are the columns' coefficients, then the law's own.

    Args:
        columns: [rows, n], logarithms of what multiplies the law: ones, log B, log D.
    """

    def model(x: Complex) -> Complex:
        count = columns.shape[1]
        theta = Theta(**dict(zip(law.free, x[count:].tolist(), strict=True)))
        slope = np.asarray(law.slope(rows, q, theta), np.complex128)
        return np.asarray(columns @ x[:count] + np.log(slope))

    return model


def fitted(model: Model, observed: Array, start: Array, scale: Array, rounding: float) -> Fit:
    """Levenberg-Marquardt from `start`; scale: [rows], rounding of each row in units of its own."""
    x, damping = start.astype(np.float64), 1e-3
    residual, jacobian = _linearised(model, x, observed, scale)
    if not len(x):
        return Fit(x, residual, x)
    cost = _cost(residual)
    for _ in range(60):
        step = _damped(jacobian, residual, damping)
        trial = _linearised(model, x + step, observed, scale)
        if _cost(trial[0]) < cost:
            gain = cost - _cost(trial[0])
            x, (residual, jacobian), cost = x + step, trial, _cost(trial[0])
            damping = max(damping / 30, 1e-16)
            if gain < 1e-3 * cost and damping < 1e-12:
                break
        else:
            damping *= 10
            if damping > 1e6:
                break
    return Fit(x, residual, _uncertainty(jacobian, residual, rounding))


def _linearised(model: Model, x: Array, observed: Array, scale: Array) -> tuple[Array, Array]:
    """Residuals and their Jacobian, by one complex step a parameter."""
    with np.errstate(all="ignore"):
        residual = (observed - model(x.astype(np.complex128)).real) / scale
        columns = [
            model(x + 1j * _STEP * np.eye(len(x))[k]).imag / _STEP / scale for k in range(len(x))
        ]
    jacobian = np.array(columns).reshape(len(x), len(observed)).T
    return residual, np.nan_to_num(jacobian, nan=0.0, posinf=0.0, neginf=0.0)


def _cost(residual: Array) -> float:
    return float(residual @ residual) if np.all(np.isfinite(residual)) else np.inf


def _damped(jacobian: Array, residual: Array, damping: float) -> Array:
    """Step of least squares with columns of unit length and a penalty on long steps."""
    if not np.all(np.isfinite(residual)):
        return np.zeros(jacobian.shape[1])
    length = np.linalg.norm(jacobian, axis=0)
    length[length == 0] = 1
    system = np.vstack([jacobian / length, np.sqrt(damping) * np.eye(len(length))])
    padded = np.concatenate([residual, np.zeros(len(length))])
    return np.asarray(np.linalg.lstsq(system, padded, rcond=None)[0] / length)


def _uncertainty(jacobian: Array, residual: Array, rounding: float) -> Array:
    """Eight standard deviations of each parameter, from the residuals or the stated rounding."""
    if not np.all(np.isfinite(residual)):
        return np.full(jacobian.shape[1], np.inf)
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
