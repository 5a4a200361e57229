"""What the calls of a port's loss and sampler told, row by row, as the findings read it."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Draws(NamedTuple):
    """Times and labels of many calls of a loss."""

    t: Array  # [num_calls, batch]
    r: Array  # [num_calls, batch]
    unlabelled: NDArray[np.bool_] | None  # [num_calls, batch], label dropped; None without labels


# (number of rows at least, rows a call, seed) -> draws of new calls
Draw = Callable[[int, int, int], Draws]


class Weighted(NamedTuple):
    """One call of a loss, and the gradient at the network's answer.

    The gradient of the (mean) loss at row i of the answer is weight_i (u_i - target_i).
    """

    squared_error: Array  # [batch], of u - target, summed over pixels and channels
    weight: Array  # [batch]
    t: Array  # [batch]
    r: Array  # [batch]
    loss: float  # the mean, where the port returned a loss per row
    losses: Array | None  # [batch], where the port returned a loss per row
    num_pixels: int  # pixels times channels
    rounding: float  # relative rounding of these numbers: 1e-11 in float64, 3e-6 in float32


class NetworkCall(NamedTuple):
    """One call of the probe network."""

    z: Array  # [rows, pixels times channels]
    t: Array  # [rows], in 0..1
    r: Array | None  # [rows]; None where the port gives one time only
    labels: NDArray[np.int64] | None  # [rows]
    u: Array  # [rows, pixels times channels], the probe's answer


class Sampling(NamedTuple):
    """One call of a port's sampler."""

    num_steps: int
    noise: Array  # [batch, pixels times channels], as given
    labels: NDArray[np.int64] | None  # [batch]
    num_classes: int
    calls: tuple[NetworkCall, ...]
    answer: Array | None  # [batch, pixels times channels], where it has that size
    shape: tuple[int, ...] | None  # of the answer; of the noise it is `expected_shape`
    expected_shape: tuple[int, ...]
    error: str  # type, message and the port's own line, where it raised
    rounding: float
