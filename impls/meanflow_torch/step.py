"""The training step and its state."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from impls.common.config import Config
from impls.common.parameters import tensors
from impls.common.types import FINITE_FIELDS, Batch, Draws, Loss

from .device import Array
from .network import meta_module, takes_autodiff
from .objective import loss_and_gradient
from .optimizer import apply_gradient, clip_gradient, init_optimizer, learning_rate, update_average


class State(NamedTuple):
    """Training state: parameters, their averages and the optimizer state."""

    step: Any  # int, steps made
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
    params, ema_params, *ema_more = (
        {name: tensor.clone() for name, tensor in params.items()}
        for _ in (None, None, *config.training.ema_more)
    )
    return State(0, params, ema_params, tuple(ema_more), init_optimizer(config, params))


def train_step(config: Config, state: State, batch: Batch, draws: Draws) -> tuple[State, Loss]:
    """Training step: gradient, clipping, optimizer update, then the EMAs of the new parameters.

    The tensors of the given state are updated in place.

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
    parts = zip(*(rows.chunk(num_parts) for rows in (*batch, *draws)), strict=True)
    gradient, losses = {name: torch.zeros_like(x) for name, x in params.items()}, []
    for images, labels, *drawn in parts:
        part = Batch(images, labels), Draws(*drawn)
        loss, more = loss_and_gradient(config, params, *part, step)
        for name, tensor in more.items():
            gradient[name] += tensor / num_parts
        losses.append(loss)
    total, *fields = zip(*losses, strict=True)
    return Loss(torch.stack(total).mean(), *map(torch.cat, fields)), gradient


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

    def loss_and_norm(params: Any, batch: Batch, draws: Draws, step: Any) -> tuple[Any, ...]:
        loss, gradient = accumulate(config, params, batch, draws, step)
        finite = _finite(config, batch, draws, loss, gradient)
        gradient, norm = clip_gradient(config, gradient)
        return gradient, loss.total, loss.v_loss.mean(), norm, finite

    mode, on_gpu = config.training.compile, torch.get_default_device().type == "cuda"
    # PyTorch 2.13 compiles the zero tangents of torch.func.jvp to buffers that it fails to write to
    compiles = not takes_autodiff(config)
    if compiles and (mode == "always" or (mode == "auto" and on_gpu)):
        meta_module(config.network)  # made before torch.compile traces its use
        loss_and_norm = torch.compile(loss_and_norm)

    def step(state: State, batch: Batch, draws: Draws) -> tuple[State, Metrics]:
        inputs = state.params, batch, draws, _scheduled(config, state)
        gradient, total, v_loss, norm, finite = loss_and_norm(*inputs)
        rate = learning_rate(config, state.step)
        return update(config, state, gradient), Metrics(total, v_loss, norm, rate, finite)

    return step


def _finite(config: Config, batch: Batch, draws: Draws, loss: Loss, gradient: Any) -> Array:
    """Whether all entries of an array are finite, in the order of `finite_names`: [array] bool."""
    fields = {**batch._asdict(), **draws._asdict(), **loss._asdict()}
    arrays = [fields[name] for name in FINITE_FIELDS]
    arrays += [gradient[tensor.torch] for tensor in tensors(config.network)]
    extremes = [torch.stack(array.aminmax()) for array in arrays]  # not finite where an entry is
    return torch.isfinite(torch.stack(extremes)).all(-1)
