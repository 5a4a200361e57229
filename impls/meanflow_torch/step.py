"""One training step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from impls.common.config import Config
from impls.common.records import Batch, Draws, Loss

from .objective import loss_and_gradient
from .optimizer import apply_gradient, init_optimizer, update_average


class State(NamedTuple):
    """Everything that training carries from step to step."""

    step: Any  # int, steps made
    params: Any
    ema_params: Any  # moving average, what samples are made with
    opt_state: Any


class Metrics(NamedTuple):
    """What a run logs of each step."""

    loss: Any  # [] float
    v_loss: Any  # [] float, mean over the batch


def init_state(config: Config, params: Any) -> State:
    """The state before the first step; the average starts at the parameters."""
    params = {name: tensor.clone() for name, tensor in params.items()}
    ema_params = {name: tensor.clone() for name, tensor in params.items()}
    return State(0, params, ema_params, init_optimizer(config, params))


def train_step(config: Config, state: State, batch: Batch, draws: Draws) -> tuple[State, Loss]:
    """Gradient at the parameters, optimizer update, then the moving average of the new ones.

    The tensors of the state given are updated in place.

    Returns:
        The state after the step, and the loss before it.
    """
    loss, gradient = loss_and_gradient(config, state.params, batch, draws)
    params, opt_state = apply_gradient(config, state.params, state.opt_state, gradient)
    ema_params = update_average(config, state.ema_params, params)
    return State(state.step + 1, params, ema_params, opt_state), loss


def compile_step(config: Config) -> Callable[[State, Batch, Draws], tuple[State, Metrics]]:
    """The train step as a loop calls it: it reuses the memory of the state that it is given.

    Returns:
        A function of state, batch and draws: the state after the step, and what a run logs.
    """

    def step(state: State, batch: Batch, draws: Draws) -> tuple[State, Metrics]:
        state, loss = train_step(config, state, batch, draws)
        return state, Metrics(loss.total, loss.v_loss.mean())

    return step
