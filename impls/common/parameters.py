"""Parameters by name, their initial values, and their conversion between names and layouts.

Canonical form: a flat dictionary name -> NumPy array, kernels as (in, out), those of images as
(height, width, in, out). JAX uses the canonical names and layouts as they are; the official
checkpoint calls the same arrays by other names; PyTorch uses other names and its own layouts, for
the DiT those of facebookresearch/DiT, so that a state_dict from here loads in code of that family.
The names, shape and law of each tensor stand in the table of its network (impls.common.networks).
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from impls.common import draws
from impls.common.networks import NETWORKS
from impls.common.networks.table import Network, Tensor
from impls.common.types import FINITE_FIELDS

Parameters = dict[str, NDArray[Any]]
STD = 0.02  # of normal tensors


def tensors(network: Network) -> tuple[Tensor, ...]:
    """Every parameter of a network, in canonical order, which is that of the data flow."""
    table: tuple[Tensor, ...] = NETWORKS[network.kind].tensors(network)
    return table


def num_parameters(network: Network) -> int:
    """Number of parameters (scalars) of a network."""
    return sum(math.prod(tensor.shape) for tensor in tensors(network))


def finite_names(network: Network) -> tuple[str, ...]:
    """Names of the arrays that a step tests for finiteness: of the entries of `Metrics.finite`."""
    return (*FINITE_FIELDS, *(f"the gradient of {tensor.name}" for tensor in tensors(network)))


def initial_parameters(network: Network, seed: int) -> Parameters:
    """Initial parameters, float32: each tensor by the law in the network's table.

    xavier: uniform on +-sqrt(6 / (fan_in + fan_out)), the fan-in of an image kernel being height,
    width and in; normal: deviation 0.02. The draws of each tensor are keyed by its name, so both
    frameworks start from the same numbers.
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
        return np.float32(STD) * draws.normal(tensor.shape, *key)
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
    """State dict (names and layouts of PyTorch's text) of canonical parameters; a copy."""
    check_parameters(network, params)
    return {
        tensor.torch: np.array(params[tensor.name].transpose(torch_axes(tensor)), order="C")
        for tensor in tensors(network)
    }


def from_torch(network: Network, state: Mapping[str, NDArray[Any]]) -> Parameters:
    """Canonical parameters from a state dict of these names and layouts; a copy."""
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
