"""Derivatives by complex step and central difference, independent of the hand-written ones.

The complex step f'(x) d = Im f(x + i eps d) / eps has no subtraction, so it is exact to rounding
(Squire and Trapp, SIAM Review 40, 1998). The central difference is less accurate but needs no
analytic continuation, so it applies to any function, also to one of another implementation.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from .layers import Array
from .network import Params, mean_velocity
from .objective import adaptive_weight, squared_error

COMPLEX_STEP = 1e-40


def complex_step_jvp(
    config: Any, params: Params, z: Array, r: Array, t: Array, labels: Array, tangent: Array
) -> Array:
    """JVP by complex step: du/dt along (tangent, 0, 1) of (z, r, t), or another method.tangent.

    Inputs are float64; du_dt is [batch, height, width, channel].
    """
    step = 1j * COMPLEX_STEP
    dr, dt = config.method.tangent_of_times
    z_moved, r_moved, t_moved = z + step * tangent, r + step * dr, t + step * dt
    moved = mean_velocity(config, params, z_moved, t_moved, t_moved - r_moved, labels)
    return moved.imag / COMPLEX_STEP


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
