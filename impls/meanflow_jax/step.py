"""The training step and its state."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from impls.common.config import Config
from impls.common.parameters import tensors
from impls.common.types import FINITE_FIELDS, Batch, Draws, Loss

from .device import Array
from .objective import loss_and_gradient
from .optimizer import apply_gradient, clip_gradient, init_optimizer, learning_rate, update_average
from .stacking import STACK, unstack


class State(NamedTuple):
    """Training state: parameters, their averages and the optimizer state."""

    step: Any  # [] int32, steps made
    params: Any
    ema_params: Any  # EMA of decay ema_val, which samples are made with
    ema_more: tuple[Any, ...]  # further EMAs, of the decays ema_more
    opt_state: Any


class Metrics(NamedTuple):
    """Quantities that a run logs of each step."""

    loss: Any  # [] float
    v_loss: Any  # [] float, mean over the batch
    grad_norm: Any  # [] float, before clipping
    learning_rate: Any  # [] float
    finite: Any  # [array] bool, whether all its entries are finite; names: `finite_names`


def init_state(config: Config, params: Any) -> State:
    """Training state before the first step; the averages start at the parameters."""
    ema_params, *ema_more = (
        jax.tree.map(jnp.copy, params) for _ in (None, *config.training.ema_more)
    )
    step = jnp.zeros((), jnp.int32)
    return State(step, params, ema_params, tuple(ema_more), init_optimizer(config, params))


def train_step(config: Config, state: State, batch: Batch, draws: Draws) -> tuple[State, Loss]:
    """Training step: gradient, clipping, optimizer update, then the EMAs of the new parameters.

    The given state is not changed; jit with donate_argnums to reuse its memory.

    Returns:
        The state after the step, and the loss before it.
    """
    loss, gradient = accumulate(config, state.params, batch, draws, _scheduled(config, state))
    return update(config, state, clip_gradient(config, gradient)[0]), loss


def accumulate(
    config: Config, params: Any, batch: Batch, draws: Draws, step: Any = None
) -> tuple[Loss, Any]:
    """Gradient accumulation: loss and mean gradient over num_microbatches equal parts of a batch.

    Each part counts its own rows with r = t and with dropped labels, as the official code does on
    each device.
    """
    num_parts = config.training.num_microbatches
    if num_parts == 1:
        return loss_and_gradient(config, params, batch, draws, step)
    parts = jax.tree.map(lambda rows: rows.reshape(num_parts, -1, *rows.shape[1:]), (batch, draws))

    def add(gradient: Any, part: Any) -> tuple[Any, Loss]:
        loss, more = loss_and_gradient(config, params, *part, step)
        return jax.tree.map(lambda one, other: one + other / num_parts, gradient, more), loss

    gradient, losses = jax.lax.scan(add, jax.tree.map(jnp.zeros_like, params), parts)
    rows = (x if x.ndim == 1 else x.reshape(-1, *x.shape[2:]) for x in losses)
    return Loss(*rows)._replace(total=losses.total.mean()), gradient


def _scheduled(config: Config, state: State) -> Any:
    """Number of steps made where a schedule of the loss reads it, else None."""
    return None if config.method.tangent_gradient_steps is None else state.step


def update(config: Config, state: State, gradient: Any) -> State:
    """Training state after one optimizer update: parameters along the gradient, then their EMAs."""
    step, training = state.step + 1, config.training
    params, opt_state = apply_gradient(config, state.params, state.opt_state, gradient)
    ema_params, *ema_more = (
        update_average(config, step, decay, average, params)
        for decay, average in zip(
            (training.ema_val, *training.ema_more), (state.ema_params, *state.ema_more), strict=True
        )
    )
    return State(step, params, ema_params, tuple(ema_more), opt_state)


def compile_step(config: Config) -> Callable[[State, Batch, Draws], tuple[State, Metrics]]:
    """Compiled training step for a loop; it reuses the memory of the state that it is given.

    Returns:
        A function of state, batch and draws that returns the state after the step, and metrics.
    """

    def step(state: State, batch: Batch, draws: Draws) -> tuple[State, Metrics]:
        loss, gradient = accumulate(config, state.params, batch, draws, _scheduled(config, state))
        finite = _finite(config, batch, draws, loss, gradient)
        gradient, norm = clip_gradient(config, gradient)
        rate = learning_rate(config, state.step)
        metrics = Metrics(loss.total, loss.v_loss.mean(), norm, rate, finite)
        return update(config, state, gradient), metrics

    return step if config.training.compile == "never" else jax.jit(step, donate_argnums=0)


def _finite(config: Config, batch: Batch, draws: Draws, loss: Loss, gradient: Any) -> Array:
    """Whether all entries of an array are finite, in the order of `finite_names`: [array] bool."""
    fields = {**batch._asdict(), **draws._asdict(), **loss._asdict()}
    found = {name: jnp.isfinite(fields[name]).all() for name in FINITE_FIELDS}
    for name, part in gradient.items():
        of_each = partial(_all_finite, first=name == STACK)
        found |= unstack({name: jax.tree.map(of_each, part)})
    names = [*FINITE_FIELDS, *(tensor.name for tensor in tensors(config.network))]
    return jnp.stack([found[name] for name in names])


def _all_finite(array: Array, first: int) -> Array:
    """Whether all entries along the axes from `first` on are finite."""
    return jnp.isfinite(array).all(tuple(range(first, array.ndim)))
