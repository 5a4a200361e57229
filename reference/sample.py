"""Sampling in NumPy."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from .layers import Array
from .network import Params, mean_velocity


def sample(
    config: Any, params: Params, noise: Array, labels: Array, times: Sequence[float]
) -> Array:
    """Data from noise along the times 1 = s_0 > s_1 > ... > s_N = 0, one network call each.

    z <- z - (s_i - s_{i+1}) u(z, s_i, s_i - s_{i+1}, y)

    Args:
        noise: [batch, height, width, channel], z at s_0.
        labels: [batch] integer.
        times: host numbers, N + 1 of them.
    """
    z = noise
    for s, s_next in pairwise(times):
        t, r = np.full(len(z), s, z.dtype), np.full(len(z), s_next, z.dtype)
        h = t - r
        z = z - h[:, None, None, None] * mean_velocity(config, params, z, t, h, labels)
    return z
