"""One training step in NumPy."""

from __future__ import annotations

from typing import Any, NamedTuple

from .network import Params
from .objective import Loss, loss_and_gradient
from .optimizer import AdamState, apply_gradient, init_optimizer, update_average


class State(NamedTuple):
    """Everything that training carries from step to step."""

    step: int  # steps made
    params: Params
    ema_params: Params  # moving average, what samples are made with
    opt_state: AdamState


def init_state(config: Any, params: Params) -> State:
    """The state before the first step; the average starts at the parameters."""
    ema_params = {name: array.copy() for name, array in params.items()}
    return State(0, params, ema_params, init_optimizer(config, params))


def train_step(config: Any, state: State, batch: Any, draws: Any) -> tuple[State, Loss]:
    """Gradient at the parameters, optimizer update, then the moving average of the new ones.

    Returns:
        The state after the step, and the loss before it.
    """
    loss, gradient = loss_and_gradient(config, state.params, batch, draws)
    params, opt_state = apply_gradient(config, state.params, state.opt_state, gradient)
    ema_params = update_average(config, state.ema_params, params)
    return State(state.step + 1, params, ema_params, opt_state), loss
