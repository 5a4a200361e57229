"""The state of a run on disk, in the framework's own format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from impls.common import weights
from impls.common.checkpoints import CheckpointError
from impls.common.config import Config

from .device import load_params
from .step import State, init_state


def save_checkpoint(path: Path, state: State) -> None:
    """Write a state; the path must not exist."""
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path.resolve(), state)


def restore_checkpoint(path: Path, config: Config) -> State:
    """Read a state that `save_checkpoint` wrote, bit for bit.

    Raises:
        CheckpointError: for files that are damaged, or of a network of another size.
    """
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            return checkpointer.restore(path.resolve(), _abstract_state(config))
    except Exception as error:  # Orbax and TensorStore raise many kinds
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"the checkpoint {path} cannot be read: {reason}") from error


def _abstract_state(config: Config) -> Any:
    """Shapes and dtypes of a state, nothing allocated."""

    def fresh() -> State:
        return init_state(config, load_params(config, weights.zeros(config.network)))

    return jax.eval_shape(fresh)
