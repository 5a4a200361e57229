"""Parameters by name: a table with the names, shape, layout and initialization of each tensor.

Canonical form: a flat dictionary name -> NumPy array, kernels as (in, out), the patch kernel as
(patch, patch, channel, out). JAX uses the canonical names and layouts as they are; the official
checkpoint calls the same arrays by other names; PyTorch uses the names and layouts of
facebookresearch/DiT, so that a state_dict from here loads in code of that family.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from impls.common import draws
from impls.common.config import Network
from impls.common.types import FINITE_FIELDS

Parameters = dict[str, NDArray[Any]]
Law = Literal["zeros", "normal", "xavier"]

TIME_FEATURES = 256  # sinusoids per time embedding
LABEL_STD = TIME_STD = 0.02
TIME_EMBEDDERS = ("t_embedder", "r_embedder", "h_embedder")  # a network has some of them


class Tensor(NamedTuple):
    """Parameter tensor: its canonical form and its other names."""

    name: str  # canonical name
    shape: tuple[int, ...]  # canonical shape
    law: Law  # how it is initialised
    official: str  # its name in the official checkpoint
    torch: str  # its name in facebookresearch/DiT


def tensors(network: Network) -> tuple[Tensor, ...]:
    """Every parameter of a network, in canonical order, which is that of the data flow."""
    width, patch = network.hidden_size, network.patch_size
    hidden = int(width * network.mlp_ratio)
    pixels = patch * patch * network.in_channels
    patch_kernel = (patch, patch, network.in_channels, width)
    rows = _layer("x_embedder", patch_kernel, "xavier", "x_embedder.proj", "net/x_embedder/proj")
    for time in time_embedders(network):
        rows += _linear(f"{time}/fc1", TIME_FEATURES, width, "normal", f"{time}.mlp.0")
        rows += _linear(f"{time}/fc2", width, width, "normal", f"{time}.mlp.2")
    rows.append(
        Tensor("y_embedder/embedding", (network.num_classes + 1, width), "normal",
               "net/y_embedder/embedding_table/_flax_embedding/embedding",
               "y_embedder.embedding_table.weight")
    )  # fmt: skip
    for i in range(network.depth):
        block = f"blocks.{i}"
        modulation = f"{block}.adaLN_modulation.1"
        rows += _linear(f"blocks_{i}/adaLN", width, 6 * width, "zeros", modulation)
        rows += _linear(f"blocks_{i}/attn/qkv", width, 3 * width, "xavier", f"{block}.attn.qkv")
        rows += _linear(f"blocks_{i}/attn/proj", width, width, "xavier", f"{block}.attn.proj")
        rows += _linear(f"blocks_{i}/mlp/fc1", width, hidden, "xavier", f"{block}.mlp.fc1")
        rows += _linear(f"blocks_{i}/mlp/fc2", hidden, width, "xavier", f"{block}.mlp.fc2")
    modulation = "final_layer.adaLN_modulation.1"
    rows += _linear("final_layer/adaLN", width, 2 * width, "zeros", modulation)
    rows += _linear("final_layer/linear", width, pixels, "zeros", "final_layer.linear")
    return tuple(rows)


def time_embedders(network: Network) -> tuple[str, ...]:
    """Canonical names of the time embedders, in the order in which they are summed."""
    return tuple(f"{time}_embedder" for time in network.times)


def _linear(name: str, fan_in: int, fan_out: int, law: Law, torch_name: str) -> list[Tensor]:
    """Kernel and bias of a linear layer; the official name follows from the PyTorch one."""
    parts = torch_name.split(".")
    layers = [f"layers_{part}" if part.isdigit() else part for part in parts]
    official = "/".join(["net", *layers, "_flax_linear"])
    return _layer(name, (fan_in, fan_out), law, torch_name, official)


def _layer(
    name: str, shape: tuple[int, ...], law: Law, torch_name: str, official: str
) -> list[Tensor]:
    return [
        Tensor(f"{name}/kernel", shape, law, f"{official}/kernel", f"{torch_name}.weight"),
        Tensor(f"{name}/bias", shape[-1:], "zeros", f"{official}/bias", f"{torch_name}.bias"),
    ]


def num_parameters(network: Network) -> int:
    """Number of parameters (scalars) of a network."""
    return sum(math.prod(tensor.shape) for tensor in tensors(network))


def finite_names(network: Network) -> tuple[str, ...]:
    """Names of the arrays that a step tests for finiteness: of the entries of `Metrics.finite`."""
    return (*FINITE_FIELDS, *(f"the gradient of {tensor.name}" for tensor in tensors(network)))


def initial_parameters(network: Network, seed: int) -> Parameters:
    """Initial parameters, float32, of the official distributions (adaLN-Zero: u starts at 0).

    Linear layers of attention and MLP, and the patch embedding over its (p, p, C) fan-in, are
    xavier-uniform; time MLPs and the label table normal with deviation 0.02; the rest zero. The
    draws of each tensor are keyed by its name, so both frameworks start from the same numbers.
    """
    return {tensor.name: _initial(tensor, seed) for tensor in tensors(network)}


def zeros(network: Network) -> Parameters:
    """Zero parameters of a network, float32, into which a checkpoint is read."""
    return {tensor.name: np.zeros(tensor.shape, np.float32) for tensor in tensors(network)}


def _initial(tensor: Tensor, seed: int) -> NDArray[np.float32]:
    key = (seed, draws.Stream.INITIAL_PARAMETER, draws.name_index(tensor.name))
    if tensor.law == "zeros":
        return np.zeros(tensor.shape, np.float32)
    if tensor.law == "normal":
        return np.float32(TIME_STD) * draws.normal(tensor.shape, *key)
    fan_in, fan_out = math.prod(tensor.shape[:-1]), tensor.shape[-1]
    limit = math.sqrt(6.0 / (fan_in + fan_out))
    return np.float32(2 * limit) * (draws.uniform(tensor.shape, *key) - np.float32(0.5))


def check_parameters(network: Network, params: Mapping[str, Any]) -> None:
    """Raise ValueError naming the first tensor that is missing, unknown or of another shape."""
    _check_names({tensor.name: tensor.shape for tensor in tensors(network)}, params)


def _check_names(expected: Mapping[str, tuple[int, ...]], got: Mapping[str, Any]) -> None:
    for name in expected:
        if name not in got:
            raise ValueError(f"parameter {name} is missing: expected shape {expected[name]}")
    for name in got:
        if name not in expected:
            raise ValueError(f"parameter {name} is unknown to this network: is it another size?")
    for name, shape in expected.items():
        if tuple(got[name].shape) != shape:
            raise ValueError(
                f"parameter {name} has shape {tuple(got[name].shape)}, expected {shape}:"
                " is the configuration that of another size?"
            )


def to_official(network: Network, params: Mapping[str, NDArray[Any]]) -> Parameters:
    """Official names -> arrays from canonical parameters; the arrays are shared."""
    check_parameters(network, params)
    return {tensor.official: params[tensor.name] for tensor in tensors(network)}


def from_official(network: Network, official: Mapping[str, NDArray[Any]]) -> Parameters:
    """Canonical parameters from official names -> arrays; the arrays are shared."""
    _check_names({tensor.official: tensor.shape for tensor in tensors(network)}, official)
    return {tensor.name: official[tensor.official] for tensor in tensors(network)}


def to_torch(network: Network, params: Mapping[str, NDArray[Any]]) -> Parameters:
    """State dict (names and layouts of facebookresearch/DiT) of canonical parameters; a copy."""
    check_parameters(network, params)
    return {
        tensor.torch: np.array(params[tensor.name].transpose(torch_axes(tensor)), order="C")
        for tensor in tensors(network)
    }


def from_torch(network: Network, state: Mapping[str, NDArray[Any]]) -> Parameters:
    """Canonical parameters from a state dict of facebookresearch/DiT names; a copy."""
    shapes = {
        tensor.torch: tuple(tensor.shape[axis] for axis in torch_axes(tensor))
        for tensor in tensors(network)
    }
    _check_names(shapes, state)
    return {
        tensor.name: np.array(state[tensor.torch].transpose(canonical_axes(tensor)), order="C")
        for tensor in tensors(network)
    }


def torch_axes(tensor: Tensor) -> tuple[int, ...]:
    """Canonical axes in PyTorch's order: (p, p, in, out) -> (out, in, p, p); (in, out) reversed."""
    if len(tensor.shape) == 4:
        return (3, 2, 0, 1)
    return (1, 0) if tensor.name.endswith("/kernel") else tuple(range(len(tensor.shape)))


def canonical_axes(tensor: Tensor) -> tuple[int, ...]:
    """PyTorch's axes in canonical order, the inverse of `torch_axes`."""
    axes = torch_axes(tensor)
    return tuple(axes.index(axis) for axis in range(len(axes)))
