"""Learning-rate schedule, gradient clipping, AdamW and the EMA of parameters, in NumPy."""

import math
from typing import Any, NamedTuple

import numpy as np

from .layers import Array, Params


class AdamState(NamedTuple):
    """Optimizer state: number of updates made, and the moments of the gradient."""

    num_updates: int
    first: Params  # m
    second: Params  # v


def learning_rate(config: Any, step: int) -> float:
    """Learning-rate schedule, constant or cosine with restarts, at update k = 0, 1, 2, … (`step`).

    warm-up  lr (k + 1) / warmup_steps  while k < warmup_steps, then one of
    constant lr
    cosine   low + (lr - low) (1 + cos(pi p)) / 2  with low = min_learning_rate and p in [0, 1) the
             elapsed fraction of the current cycle (Loshchilov and Hutter, SGDR, 2017)
    """
    training = config.training
    high, low = training.learning_rate, training.min_learning_rate
    if step < training.warmup_steps:
        return high * (step + 1) / training.warmup_steps
    if training.schedule == "constant":
        return high
    step = step - training.warmup_steps
    length = training.cycle_steps or max(training.num_steps - training.warmup_steps, 1)
    while step >= length:
        step, length = step - length, length * training.cycle_growth
    return low + (high - low) * (1 + math.cos(math.pi * step / length)) / 2


def clip_gradient(config: Any, gradient: Params) -> tuple[Params, Array]:
    """Gradient clipping by global norm: g min(1, max_grad_norm / ||g||)

    Returns:
        gradient, and ||g|| [], the Euclidean norm of all tensors together, before clipping
    """
    norm = np.sqrt(sum(np.sum(array**2) for array in gradient.values()))
    limit = config.training.max_grad_norm
    if limit is None or norm <= limit:
        return gradient, norm
    return {name: array * (limit / norm) for name, array in gradient.items()}, norm


def init_optimizer(config: Any, params: Params) -> AdamState:
    """Optimizer state before the first update: zero moments."""
    zeros = {name: np.zeros_like(array) for name, array in params.items()}
    return AdamState(0, zeros, dict(zeros))


def apply_gradient(
    config: Any, params: Params, opt_state: AdamState, gradient: Params
) -> tuple[Params, AdamState]:
    """AdamW update (Loshchilov and Hutter, 2019); with weight_decay 0 it is Adam.

    m <- b1 m + (1 - b1) g,  v <- b2 v + (1 - b2) g^2,  then with k updates made
    p <- p - lr ( m / (1 - b1^k) / (sqrt(v / (1 - b2^k)) + eps) + weight_decay p )

    Returns:
        params, opt_state
    """
    training = config.training
    rate = learning_rate(config, opt_state.num_updates)
    b1, b2 = training.adam_b1, training.adam_b2
    count = opt_state.num_updates + 1
    moved, first, second = {}, {}, {}
    for name, p in params.items():
        g = gradient[name]
        m = first[name] = b1 * opt_state.first[name] + (1 - b1) * g
        v = second[name] = b2 * opt_state.second[name] + (1 - b2) * g**2
        step = m / (1 - b1**count) / (np.sqrt(v / (1 - b2**count)) + training.adam_eps)
        moved[name] = p - rate * (step + training.weight_decay * p)
    return moved, AdamState(count, first, second)


def average_decay(config: Any, step: int, decay: float) -> float:
    """Decay d of an average in its update after `step` updates of the parameters.

    decay, or with ema_warmup min(decay, (1 + k) / (10 + k)), where k = step / ema_every - 1 is the
    number of updates of the average before this one (num_updates of TensorFlow's
    ExponentialMovingAverage): 0.1, 0.18, 0.25, …, so a short run is not an average of its start.
    """
    if not config.training.ema_warmup:
        return decay
    k = step // config.training.ema_every - 1
    return min(decay, (1 + k) / (10 + k))


def update_average(
    config: Any, step: int, decay: float, ema_params: Params, params: Params
) -> Params:
    """Exponential moving average (EMA) of the updated parameters: d ema + (1 - d) params

    Updated only where `step`, the number of updates made, is a multiple of ema_every; d is
    `average_decay`.
    """
    if step % config.training.ema_every:
        return ema_params
    decay, average = average_decay(config, step, decay), {}
    for name, array in params.items():
        average[name] = decay * ema_params[name] + (1 - decay) * array
    return average
