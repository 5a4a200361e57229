"""Checkpoints: the training state on disk in the framework's format, and in canonical form."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from flax.traverse_util import unflatten_dict

from impls.common import parameters
from impls.common.config import Config
from impls.common.types import CanonicalState
from impls.files.checkpoints import unreadable

from .device import Array
from .parameters import export_params, load_params
from .stacking import stack, unstack
from .step import State, init_state


def save_checkpoint(path: Path, state: State) -> None:
    """Write the training state to a path that must not exist."""
    # Each block on its own, as before they were stacked.
    with _quiet(), ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path.resolve(), _of_trees(_apart, state))


def restore_checkpoint(path: Path, config: Config) -> State:
    """Training state that `save_checkpoint` wrote, bit for bit.

    Raises:
        CheckpointError: for damaged files, or those of a network of another size.
    """
    try:
        with _quiet(), ocp.StandardCheckpointer() as checkpointer:
            state = checkpointer.restore(path.resolve(), _abstract_state(config))
            return _of_trees(stack, _of_trees(unstack, state))
    except Exception as error:  # Orbax and TensorStore raise many kinds
        raise unreadable(path, error) from error


def export_state(config: Config, state: State) -> CanonicalState:
    """Training state in canonical form (NumPy), bit for bit; `load_state` is the inverse."""
    adam, *_ = state.opt_state
    return CanonicalState(
        step=int(state.step),
        params=export_params(config, state.params),
        ema_params=export_params(config, state.ema_params),
        ema_more=tuple(export_params(config, average) for average in state.ema_more),
        num_updates=int(adam.count),
        first_moment=export_params(config, adam.mu),
        second_moment=export_params(config, adam.nu),
    )


def load_state(config: Config, canonical: CanonicalState) -> State:
    """Training state from canonical form, which another framework may have written.

    Raises:
        ValueError: naming the first tensor that is missing, unknown or of another shape.
    """
    state = init_state(config, load_params(config, canonical.params))
    adam, decay, schedule = state.opt_state
    moments = (canonical.first_moment, canonical.second_moment)
    mu, nu = (load_params(config, moment) for moment in moments)
    return State(
        step=_int32(canonical.step),
        params=state.params,
        ema_params=load_params(config, canonical.ema_params),
        ema_more=tuple(load_params(config, average) for average in canonical.ema_more),
        opt_state=(
            adam._replace(count=_int32(canonical.num_updates), mu=mu, nu=nu),
            decay,
            schedule._replace(count=_int32(canonical.num_updates)),
        ),
    )


def _of_trees(function: Callable[[Any], Any], state: State) -> State:
    """State with a function of each tree that is like the parameters."""
    adam, *rest = state.opt_state
    return State(
        step=state.step,
        params=function(state.params),
        ema_params=function(state.ema_params),
        ema_more=tuple(function(average) for average in state.ema_more),
        opt_state=(adam._replace(mu=function(adam.mu), nu=function(adam.nu)), *rest),
    )


def _apart(params: Any) -> Any:
    """Tree of parameters whose blocks are not stacked."""
    return unflatten_dict(unstack(params), sep="/")


@contextmanager
def _quiet() -> Iterator[None]:
    """No log of Orbax, which logs the traceback of every error that it also raises, some late."""
    log = logging.getLogger("absl")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    except Exception:
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
        raise
    finally:
        log.setLevel(before)


def _int32(number: int) -> Array:
    """An int32 in a buffer of its own, since the step function donates each buffer of a state."""
    return jnp.array(number, jnp.int32)


def _abstract_state(config: Config) -> Any:
    """Shapes and dtypes of a training state as it is stored; nothing is allocated."""

    def fresh() -> State:
        state = init_state(config, load_params(config, parameters.zeros(config.network)))
        return _of_trees(_apart, state)

    return jax.eval_shape(fresh)
