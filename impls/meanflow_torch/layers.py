"""The layers of the network that have no parameters."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from impls.common.networks.dit import TIME_FEATURES, Sizes
from impls.common.positions import position_embedding

from .device import Array

LAYER_NORM_EPS = 1e-6
MAX_PERIOD = 10000.0


def frequencies() -> np.ndarray:
    """Frequencies of the sinusoidal features: f_k = 10000^(-k/128), k = 0 .. 127: [128] float64"""
    half = TIME_FEATURES // 2
    return np.exp(-math.log(MAX_PERIOD) * np.arange(half) / half)


def sinusoid(time: Array) -> Array:
    """Sinusoidal features of a time in 0..1, not scaled by 1000.

    [cos(f_k t), sin(f_k t)] with f_k = 10000^(-k/128)

    Args:
        time: [batch] float.

    Returns:
        [batch, 256] in the dtype of `time`.
    """
    angle = time[:, None] * constant(frequencies(), time)
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


def patchify(images: Array, patch: int) -> Array:
    """Patches of an image, in row-major order.

    [batch, height, width, channel] -> [batch, token, patch * patch * channel]
    """
    batch, height, width, channel = images.shape
    grid = images.reshape(batch, height // patch, patch, width // patch, patch, channel)
    return grid.permute(0, 1, 3, 2, 4, 5).reshape(
        batch, height * width // patch**2, patch**2 * channel
    )


def unpatchify(tokens: Array, patch: int) -> Array:
    """Square image from its patches, the inverse of `patchify`.

    [batch, token, patch * patch * channel] -> [batch, height, width, channel]
    """
    grid = math.isqrt(tokens.shape[1])
    pixels = tokens.reshape(len(tokens), grid, grid, patch, patch, tokens.shape[2] // patch**2)
    return pixels.permute(0, 1, 3, 2, 4, 5).reshape(
        -1, grid * patch, grid * patch, pixels.shape[-1]
    )


def split_heads(qkv: Array, num_heads: int) -> tuple[Array, ...]:
    """Queries, keys and values of each head.

    [batch, token, 3 * width] -> [batch, head, token, width / heads] each
    """
    parts = qkv.unflatten(-1, (3, num_heads, qkv.shape[-1] // 3 // num_heads))
    return tuple(part.transpose(1, 2) for part in parts.unbind(2))


def modulate(x: Array, shift: Array, scale: Array) -> Array:
    """adaLN modulation: x (1 + scale) + shift, with shift and scale [batch, width] per sample."""
    return x * (1 + scale[:, None]) + shift[:, None]


def layer_norm(x: Array) -> Array:
    """LayerNorm: (x - mean) / sqrt(var + 1e-6) over the last axis, without affine parameters.

    The variance is the mean of squared deviations; the official code has flax's default
    E[x^2] - E[x]^2, which loses digits and agrees to rounding.
    """
    return F.layer_norm(x, x.shape[-1:], eps=LAYER_NORM_EPS)


def positions(size: Sizes) -> np.ndarray:
    """Position embedding of the DiT, computed once per size: [token, width] float64.

    Cached in a plain dictionary when the module is made, before torch.compile traces anything: it
    would trace NumPy's power too, whose compiled form is accurate to float32 only.
    """
    if size not in _POSITIONS:
        grid = size.input_size // size.patch_size
        _POSITIONS[size] = position_embedding(size.hidden_size, grid)
    return _POSITIONS[size]


_POSITIONS: dict[Sizes, np.ndarray] = {}


def constant(array: np.ndarray, like: Array) -> Array:
    """A NumPy array as a tensor of the dtype and on the device of another."""
    return torch.as_tensor(array, dtype=like.dtype, device=like.device)
