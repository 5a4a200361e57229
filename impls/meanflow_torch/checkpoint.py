"""The state of a run on disk, in the framework's own format."""

from __future__ import annotations

from pathlib import Path

import torch

from impls.common import weights
from impls.common.checkpoints import CheckpointError
from impls.common.config import Config

from .device import load_params
from .step import State, init_state


def save_checkpoint(path: Path, state: State) -> None:
    """Write a state; the path must not exist."""
    content = state._asdict() | {"opt_state": state.opt_state.state_dict()}
    torch.save(content, path)


def restore_checkpoint(path: Path, config: Config) -> State:
    """Read a state that `save_checkpoint` wrote, bit for bit.

    Raises:
        CheckpointError: for files that are damaged, or of a network of another size.
    """
    state = init_state(config, load_params(config, weights.zeros(config.network)))
    try:
        content = torch.load(path, weights_only=True, map_location=torch.get_default_device())
        for field in ("params", "ema_params"):
            for name, tensor in getattr(state, field).items():
                tensor.copy_(content[field][name])
        state.opt_state.load_state_dict(content["opt_state"])
    except Exception as error:  # torch, zip and pickle raise many kinds
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"the checkpoint {path} cannot be read: {reason}") from error
    return state._replace(step=content["step"])
