"""Reader of checkpoints of PyTorch ports that keep the names of facebookresearch/DiT or SiT.

Read without PyTorch, from .pt, .pth or .safetensors. Names are mapped to those of
`impls.common.parameters` by these rules, in this order:

1. The prefixes `module.`, `_orig_mod.`, `model.` and `net.` of every name are removed: they come
   from DistributedDataParallel, torch.compile and other wrappers.
2. `r_embedder.` becomes `h_embedder.` unless the network embeds r too: zhuyu-cs/MeanFlow names the
   embedding of t - r so.
3. `pos_embed`, which DiT and SiT store although it is fixed, must have the fixed values, and is
   dropped.

The user's own rules (`--rename OLD=NEW`, prefixes of names) come before the second. Names do not
tell conventions: the network must take t - r beside t, with t = 1 for noise.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from impls.common import parameters
from impls.common.config import Config
from impls.common.errors import UserError
from impls.common.networks import dit
from impls.common.networks.table import Network
from impls.common.parameters import Parameters
from impls.common.positions import position_embedding
from impls.common.types import CanonicalState
from impls.files import torch_files
from impls.files.downloads import not_the_file

WRAPPERS = "module.", "_orig_mod.", "model.", "net."
RENAMED = (("r_embedder.", "h_embedder."),)
FIXED = "pos_embed"
# Keys under which training scripts store the parameters and their EMA; the first one found counts.
PARAMS = "model", "state_dict", "params", "module"
AVERAGES = "ema", "model_ema", "ema_state_dict"
STEPS = "step", "steps", "train_steps", "global_step"
# What else such files hold: settings of argparse, and parameters that are not yet tensors.
HARMLESS = {
    ("argparse", "Namespace"): SimpleNamespace,
    ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
    ("torch", "Size"): tuple,
}


def load_torch(
    file: Path, config: Config, rename: Sequence[tuple[str, str]] = ()
) -> CanonicalState:
    """Parameters and EMA of a PyTorch checkpoint, as float32, with a fresh optimizer state.

    Args:
        file: a state dict, or a dictionary that holds it as model, ema, … (see PARAMS, AVERAGES);
            if one of the two is missing, it is set to the other.
        config: configuration of the network that it should hold.
        rename: pairs of old and new prefixes of names.

    Raises:
        UserError: for a file that is not a checkpoint, or a network of another size, naming the
            tensor.
    """
    content = _read(file)
    average = _first(content, AVERAGES)
    params = _first(content, PARAMS) or average or content
    ours, theirs = (
        _canonical(file, config.network, state, rename) for state in (params, average or params)
    )
    step = next((int(content[name]) for name in STEPS if _is_count(content.get(name))), 0)
    return CanonicalState.without_moments(step, ours, theirs)


def _read(file: Path) -> dict[str, Any]:
    what = not_the_file(file)
    if what:
        raise UserError(f"{file} is {what}")
    if file.suffix == ".safetensors":
        try:
            return dict(load_file(file))
        except Exception as error:  # safetensors has a kind of its own
            raise UserError(
                f"{file} is not a complete safetensors file ({error}): was the download cut short?"
            ) from error
    content = torch_files.load(file, HARMLESS)
    if not isinstance(content, dict):
        raise UserError(f"{file} holds a {type(content).__name__}, expected a state dict")
    return content


def _first(content: Mapping[str, Any], names: Sequence[str]) -> Mapping[str, Any] | None:
    found = (content[name] for name in names if isinstance(content.get(name), dict))
    return next(found, None)


def _is_count(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _canonical(
    file: Path, network: Network, state: Mapping[str, Any], rename: Sequence[tuple[str, str]]
) -> Parameters:
    named: Parameters = {}
    rules = (*rename, *(RENAMED if "r" not in network.times else ()))
    for name, tensor in _unwrapped(state).items():
        if not isinstance(tensor, np.ndarray):
            raise UserError(
                f"{name} in {file} is a {type(tensor).__name__}, expected a tensor: is it the state"
                f" dict, alone or as {', '.join((*PARAMS, *AVERAGES))}?"
            )
        named[_renamed(name, rules)] = tensor.astype(np.float32)
    try:
        _drop_positions(network, named)
        return parameters.from_torch(network, named)
    except ValueError as error:
        raise UserError(f"{file}: {error}") from error


def _unwrapped(state: Mapping[str, Any]) -> dict[str, Any]:
    """State dict without the prefixes that wrappers put before every name."""
    found = dict(state)
    while found:
        before = next((w for w in WRAPPERS if all(name.startswith(w) for name in found)), None)
        if before is None:
            break
        found = {name.removeprefix(before): tensor for name, tensor in found.items()}
    return found


def _renamed(name: str, rules: Sequence[tuple[str, str]]) -> str:
    for old, new in rules:
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def _drop_positions(network: Network, named: Parameters) -> None:
    """Remove the stored position embedding, which must have the fixed values."""
    if FIXED not in named or not isinstance(network, dit.Sizes):
        return
    expected = position_embedding(network.hidden_size, network.input_size // network.patch_size)
    got = named.pop(FIXED).reshape(-1, network.hidden_size)
    if got.shape != expected.shape or not np.allclose(got, expected, rtol=0, atol=1e-5):
        raise ValueError(
            f"{FIXED} of shape {got.shape} is not the fixed sine and cosine embedding"
            f" {expected.shape} of this network"
        )
