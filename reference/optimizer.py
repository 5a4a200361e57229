"""Adam and the moving average of parameters, in NumPy."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .layers import Array
from .network import Params


class AdamState(NamedTuple):
    """Moments of the gradient and the number of updates made."""

    num_updates: int
    first: Params  # m
    second: Params  # v


def init_optimizer(config: Any, params: Params) -> AdamState:
    """The optimizer's state before the first update: moments are zero."""
    zeros = {name: np.zeros_like(array) for name, array in params.items()}
    return AdamState(0, zeros, dict(zeros))


def apply_gradient(
    config: Any, params: Params, opt_state: AdamState, gradient: Params
) -> tuple[Params, AdamState]:
    """One AdamW update (Loshchilov and Hutter 2019); with weight_decay 0 it is Adam.

    m <- b1 m + (1 - b1) g,  v <- b2 v + (1 - b2) g^2,  then with k updates made
    p <- p - lr ( m / (1 - b1^k) / (sqrt(v / (1 - b2^k)) + eps) + weight_decay p )

    Returns:
        params, opt_state
    """
    training = config.training
    b1, b2 = training.adam_b1, training.adam_b2
    count = opt_state.num_updates + 1
    moved, first, second = {}, {}, {}
    for name, p in params.items():
        g = gradient[name]
        m = first[name] = b1 * opt_state.first[name] + (1 - b1) * g
        v = second[name] = b2 * opt_state.second[name] + (1 - b2) * g**2
        step = m / (1 - b1**count) / (np.sqrt(v / (1 - b2**count)) + training.adam_eps)
        moved[name] = p - training.learning_rate * (step + training.weight_decay * p)
    return moved, AdamState(count, first, second)


def update_average(config: Any, ema_params: Params, params: Params) -> Params:
    """Exponential moving average, after the update of the parameters: d ema + (1 - d) params"""
    d = config.training.ema_val
    average: dict[str, Array] = {}
    for name, array in params.items():
        average[name] = d * ema_params[name] + (1 - d) * array
    return average
