"""Checkpoints: the training state on disk in the framework's format, and in canonical form."""

from pathlib import Path
from typing import Any

import torch

from impls.common import parameters
from impls.common.config import Config
from impls.common.types import CanonicalState
from impls.files.checkpoints import unreadable

from .device import Array
from .parameters import export_params, load_params
from .step import State, init_state


def save_checkpoint(path: Path, state: State) -> None:
    """Write the training state to a path that must not exist."""
    content = state._asdict() | {"opt_state": state.opt_state.state_dict()}
    torch.save(content, path)


def restore_checkpoint(path: Path, config: Config) -> State:
    """Training state that `save_checkpoint` wrote, bit for bit.

    Raises:
        CheckpointError: for damaged files, or those of a network of another size.
    """
    state = init_state(config, load_params(config, parameters.zeros(config.network)))
    try:
        content = torch.load(path, weights_only=True, map_location=torch.get_default_device())
        read = (content["params"], content["ema_params"], *content["ema_more"])
        kept = (state.params, state.ema_params, *state.ema_more)
        for tensors, values in zip(kept, read, strict=True):
            for name, tensor in tensors.items():
                _fill(name, tensor, values[name])
        state.opt_state.load_state_dict(content["opt_state"])
        return state._replace(step=int(content["step"]))
    except Exception as error:  # torch, zip and pickle raise many kinds
        raise unreadable(path, error) from error


def export_state(config: Config, state: State) -> CanonicalState:
    """Training state in canonical form (NumPy), bit for bit; `load_state` is the inverse."""
    (group,) = state.opt_state.param_groups
    moments: list[dict[str, Any]] = [{}, {}]
    for name, tensor in state.params.items():
        made = state.opt_state.state.get(tensor, {})  # empty before the first update
        for moment, key in zip(moments, ("exp_avg", "exp_avg_sq"), strict=True):
            moment[name] = made.get(key, torch.zeros_like(tensor))
    first, second = (export_params(config, moment) for moment in moments)
    return CanonicalState(
        step=state.step,
        params=export_params(config, state.params),
        ema_params=export_params(config, state.ema_params),
        ema_more=tuple(export_params(config, average) for average in state.ema_more),
        num_updates=group["num_updates"],
        first_moment=first,
        second_moment=second,
    )


def load_state(config: Config, canonical: CanonicalState) -> State:
    """Training state from canonical form, which another framework may have written.

    Raises:
        ValueError: naming the first tensor that is missing, unknown or of another shape.
    """
    state = init_state(config, load_params(config, canonical.params))
    (group,) = state.opt_state.param_groups
    group["num_updates"] = canonical.num_updates
    moments = (canonical.first_moment, canonical.second_moment)
    first, second = (load_params(config, moment) for moment in moments)
    for name, tensor in state.params.items() if canonical.num_updates else ():
        state.opt_state.state[tensor] = {
            "step": torch.tensor(float(canonical.num_updates), device="cpu"),
            "exp_avg": first[name],
            "exp_avg_sq": second[name],
        }
    return State(
        step=canonical.step,
        params=state.params,
        ema_params=load_params(config, canonical.ema_params),
        ema_more=tuple(load_params(config, average) for average in canonical.ema_more),
        opt_state=state.opt_state,
    )


def _fill(name: str, tensor: Array, value: Array) -> None:
    """Copy a value of the same shape; `copy_` alone would broadcast others."""
    if value.shape != tensor.shape:
        raise ValueError(f"{name} is {tuple(value.shape)}, expected {tuple(tensor.shape)}")
    tensor.copy_(value)
