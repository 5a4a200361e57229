"""The training step and its state, in NumPy."""

from typing import Any, NamedTuple

import numpy as np

from .layers import Params
from .objective import Loss, loss_and_gradient
from .optimizer import AdamState, apply_gradient, clip_gradient, init_optimizer, update_average


class State(NamedTuple):
    """Training state: parameters, their averages and the optimizer state."""

    step: int  # steps made
    params: Params
    ema_params: Params  # EMA of decay ema_val, which samples are made with
    ema_more: tuple[Params, ...]  # further EMAs, of the decays ema_more
    opt_state: AdamState


def init_state(config: Any, params: Params) -> State:
    """Training state before the first step; the averages start at the parameters."""
    opt_state = init_optimizer(config, params)
    return State(0, params, params, (params,) * len(config.training.ema_more), opt_state)


def train_step(config: Any, state: State, batch: Any, draws: Any) -> tuple[State, Loss]:
    """Training step: gradient, clipping, optimizer update, then the EMAs of the new parameters.

    Returns:
        The state after the step, and the loss before it.
    """
    loss, gradient = accumulate(config, state.params, batch, draws, state.step)
    return update(config, state, clip_gradient(config, gradient)[0]), loss


def accumulate(
    config: Any, params: Params, batch: Any, draws: Any, step: Any = None
) -> tuple[Loss, Params]:
    """Gradient accumulation: loss and mean gradient over num_microbatches equal parts of a batch.

    Each part counts its own rows with r = t and with dropped labels, as the official code does on
    each device.
    """
    num_parts = config.training.num_microbatches
    size = len(batch.labels) // num_parts
    found = []
    for part in range(num_parts):
        rows = slice(part * size, (part + 1) * size)
        images, drawn = (type(x)(*(array[rows] for array in x)) for x in (batch, draws))
        found.append(loss_and_gradient(config, params, images, drawn, step))
    losses, gradients = zip(*found, strict=True)
    total, *fields = zip(*losses, strict=True)
    loss = Loss(np.mean(total), *map(np.concatenate, fields))
    return loss, {name: sum(g[name] for g in gradients) / num_parts for name in params}


def update(config: Any, state: State, gradient: Params) -> State:
    """Training state after one optimizer update: parameters along the gradient, then their EMAs."""
    step, training = state.step + 1, config.training
    params, opt_state = apply_gradient(config, state.params, state.opt_state, gradient)
    ema_params = update_average(config, step, training.ema_val, state.ema_params, params)
    ema_more = tuple(
        update_average(config, step, decay, average, params)
        for decay, average in zip(training.ema_more, state.ema_more, strict=True)
    )
    return State(step, params, ema_params, ema_more, opt_state)
