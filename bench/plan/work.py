"""Work of a training step, counted from the tensors of the network: FLOPs and bytes moved.

FLOPs are those of matrix products, 2 m k n each. Bytes are those that products alone must move:
each reads its operands from memory once and writes its result once, everything elementwise being
computed on the way; and the optimizer passes once over the parameters. So both are lower bounds.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from impls.common.config import Config
from impls.common.errors import UserError
from impls.common.networks.dit import Sizes, time_embedders
from impls.common.networks.table import Network, Tensor
from impls.common.parameters import num_parameters, tensors

FLOAT32 = 4  # bytes of a parameter, moment, average or gradient


@dataclass(frozen=True)
class Work:
    """FLOPs and bytes moved."""

    flops: float
    bytes: float

    def __add__(self, other: "Work") -> "Work":
        return Work(self.flops + other.flops, self.bytes + other.bytes)

    def __mul__(self, times: float) -> "Work":
        return Work(self.flops * times, self.bytes * times)


class Product(NamedTuple):
    """Matrix product of a forward pass."""

    flops: int  # of one row
    operands: int  # scalars of one row that it reads and writes
    weights: int  # scalars that it reads whatever the number of rows
    num_tangents: int  # products that its tangent takes: 2 where both factors depend on the input


class Calls(NamedTuple):
    """Rows of a batch in each kind of network call of a step."""

    graded: int  # forward and backward
    tangent: int  # JVP beside the forward pass
    without_gradient: int  # v_u and v_c of guidance, and the network's own velocity


def dit_sizes(network: Network) -> Sizes:
    """Sizes of a network whose products can be counted.

    Raises:
        UserError: for another network than a DiT.
    """
    if not isinstance(network, Sizes):
        raise UserError(f"the work of a {network.kind} is not counted, expected a DiT")
    return network


def num_tokens(size: Sizes) -> int:
    """Number of tokens of an image."""
    return (size.input_size // size.patch_size) ** 2


def products(size: Sizes) -> Iterator[Product]:
    """Matrix products of a forward pass of a DiT: linear layers, then attention."""
    tokens, width = num_tokens(size), size.hidden_size
    for tensor in tensors(size):
        if tensor.name.endswith("/kernel"):
            fan_in, fan_out = math.prod(tensor.shape[:-1]), tensor.shape[-1]
            rows = 1 if _of_condition(size, tensor) else tokens
            weights = fan_in * fan_out
            yield Product(2 * rows * weights, rows * (fan_in + fan_out), weights, 1)
    pairs = size.num_heads * tokens**2  # attention logits; then probabilities
    for _ in range(2 * size.depth):
        yield Product(2 * tokens**2 * width, 2 * tokens * width + pairs, 0, 2)


def _of_condition(size: Sizes, tensor: Tensor) -> bool:
    """True for a layer that is applied once for each image, not for each token."""
    return tensor.name.startswith(time_embedders(size)) or "/adaLN/" in tensor.name


def forward(size: Sizes, num_rows: int, item: int) -> Work:
    """Work of a forward pass, with scalars of so many bytes; a backward pass takes twice as much.

    y = x W takes one product forward and two backward, dx = dy W' and dW = x' dy, of the same
    FLOPs, between the same three matrices.
    """
    return _total(size, num_rows, item, tangent=False)


def tangents(size: Sizes, num_rows: int, item: int) -> Work:
    """Work of the tangents of a forward pass, in addition to the pass."""
    return _total(size, num_rows, item, tangent=True)


def _total(size: Sizes, num_rows: int, item: int, *, tangent: bool) -> Work:
    if not num_rows:
        return Work(0, 0)
    total = Work(0, 0)
    for product in products(size):
        moved = num_rows * product.operands + product.weights
        times = product.num_tangents if tangent else 1
        total += Work(num_rows * product.flops, item * moved) * times
    return total


def optimizer(config: Config) -> Work:
    """Work of Adam and the averages: the gradient is read, all else is read and written."""
    num_averages = 1 + len(config.training.ema_more)
    arrays = 1 + 2 * (3 + num_averages)  # parameters, two moments
    return Work(0, FLOAT32 * arrays * num_parameters(config.network))


def calls(config: Config, num_rows: int) -> Calls:
    """Rows in each network call of a step on a part of so many rows, see `impls` objective.py."""
    method = config.method
    sparse = method.jvp == "sparse" and method.equal_rows == "first"
    apart = num_rows - num_equal_rows(config, num_rows) if sparse else num_rows
    without = 0
    if method.guidance_eq != "none":
        without = num_rows + (apart if method.kappa else 0)
    if method.tangent_velocity == "network":
        without += apart
    is_plain = method.guidance_eq == "none" and method.data_proportion == 1
    return Calls(num_rows, 0 if is_plain else apart, without)


def num_equal_rows(config: Config, num_rows: int) -> int:
    """Number of rows with r = t in a part of so many rows: int(rows data_proportion)"""
    return int(num_rows * config.method.data_proportion)


def step_work(
    config: Config, num_rows: int, num_parts: int = 1, *, recomputed: bool = False
) -> Work:
    """Work of a training step on one device: loss and gradient of each part, then the optimizer.

    Args:
        num_rows: rows of each part.
        num_parts: parts of the batch on the device, one after another.
        recomputed: the backward pass computes every block's forward pass again.

    Raises:
        UserError: for a network that cannot be counted.
    """
    size, rows = dit_sizes(config.network), calls(config, num_rows)
    item = 2 if config.training.precision == "bfloat16" else FLOAT32
    one = forward(size, rows.graded, item)
    along = tangents(size, rows.tangent, item)
    part = one * (4 if recomputed else 3) + along + forward(size, rows.without_gradient, item)
    if config.method.tangent_gradient:  # the backward pass goes through the tangents too
        part += along * 2
    return part * num_parts + optimizer(config)
