"""Derivatives by complex step: f'(x) d = Im f(x + i e d) / e.

There is no subtraction, so they are exact to rounding (Squire and Trapp, SIAM Review 40, 1998).
"""

from collections.abc import Callable, Sequence

import numpy as np

from .layers import Array

COMPLEX_STEP = 1e-40
COMPLEX_STEP_FLOAT32 = 1e-20  # below 1e-38 float32 loses digits


def complex_step(
    function: Callable[..., Array], inputs: Sequence[Array], along: Sequence[Array | float]
) -> Array:
    """Derivative of an analytic function of these inputs along a direction, in their dtype."""
    step = COMPLEX_STEP if inputs[0].dtype == np.float64 else COMPLEX_STEP_FLOAT32
    moved = (x + 1j * step * d for x, d in zip(inputs, along, strict=True))
    return function(*moved).imag / step
