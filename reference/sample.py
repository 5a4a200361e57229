"""The sampler: from noise to data in N network calls (NFE), in NumPy."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from .layers import Array, Params
from .network import mean_velocity


def sample(
    config: Any, params: Params, noise: Array, labels: Array, times: Sequence[float]
) -> Array:
    """Samples from noise on timesteps 1 = s_0 > s_1 > ... > s_N = 0, with N network calls (NFE).

    z <- z - (s_i - s_{i+1}) u(z, s_i, s_i - s_{i+1}, y)      (eq. 12; N = 1: algorithm 2)

    Args:
        noise: [batch, height, width, channel], z at s_0.
        labels: [batch] integer.
        times: the N + 1 timesteps, host numbers.

    Returns:
        [batch, height, width, channel], z at s_N.
    """
    z = noise
    for s, s_next in pairwise(times):
        t, r = np.full(len(z), s, z.dtype), np.full(len(z), s_next, z.dtype)
        h = t - r
        z = z - h[:, None, None, None] * mean_velocity(config, params, z, t, h, labels)
    return z
