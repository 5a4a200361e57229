"""Derivatives by complex step and central difference, independent of the hand-written ones.

The complex step is exact to rounding. The central difference is less accurate but needs no
analytic continuation, so it applies to any function, also to one of another implementation.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from .complex_step import COMPLEX_STEP, complex_step
from .layers import Array, Params
from .network import mean_velocity
from .objective import adaptive_weight, squared_error


def complex_step_jvp(
    config: Any, params: Params, z: Array, r: Array, t: Array, labels: Array, tangent: Array
) -> Array:
    """JVP by complex step: du/dt along (tangent, 0, 1) of (z, r, t), or another method.tangent.

    Inputs are float64; du_dt is [batch, height, width, channel].
    """

    def u(z: Array, r: Array, t: Array) -> Array:
        return mean_velocity(config, params, z, t, t - r, labels)

    return complex_step(u, (z, r, t), (tangent, *config.method.tangent_of_times))


def complex_step_directional(config: Any, params: Params, held: Any, direction: Params) -> float:
    """Directional derivative of the loss in parameter space by complex step, in float64.

    Args:
        held: a `Loss` at `params`, whose times, state, labels, target and weight stay fixed:
            that is what "without gradient" means in the objective.
        direction: canonical name -> array.
    """
    moved = {name: params[name] + 1j * COMPLEX_STEP * direction[name] for name in params}
    u = mean_velocity(config, moved, held.z, held.t, held.t - held.r, held.labels_in)
    total = (adaptive_weight(config, held.squared_error) * squared_error(u, held.target)).mean()
    return float(total.imag / COMPLEX_STEP)


def central_difference(function: Callable[[float], Array], step: float) -> Array:
    """Central difference of fourth order: d function / d s at s = 0.

    (8 (f(s) - f(-s)) - (f(2s) - f(-2s))) / (12 s)
    """
    near = function(step) - function(-step)
    far = function(2 * step) - function(-2 * step)
    return np.asarray((8 * near - far) / (12 * step))
