"""The layers of the network that have no parameters, each with its derivative.

The Jacobians of an elementwise function, of LayerNorm and of softmax are symmetric, so for these
one function is both JVP and VJP: J d = J^T d.

Everything is analytic and keeps the dtype of its input, complex included: that is what lets a
complex step (reference.derivative) confirm the derivatives.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Params = dict[str, Array]  # by canonical name

LAYER_NORM_EPS = 1e-6
TIME_FEATURES = 256
MAX_PERIOD = 10000.0
GELU_SCALE = math.sqrt(2.0 / math.pi)
GELU_CUBIC = 0.044715


def silu(x: Array) -> Array:
    """SiLU: x sigmoid(x)"""
    return x / (1 + np.exp(-x))


def silu_jacobian(x: Array, d: Array) -> Array:
    """Jacobian product of SiLU: sigmoid(x) (1 + x (1 - sigmoid(x))) d"""
    s = 1 / (1 + np.exp(-x))
    return s * (1 + x * (1 - s)) * d


def gelu(x: Array) -> Array:
    """GELU, tanh approximation: x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))"""
    return 0.5 * x * (1 + np.tanh(GELU_SCALE * (x + GELU_CUBIC * x**3)))


def gelu_jacobian(x: Array, d: Array) -> Array:
    """Jacobian product of GELU: (1 + T + x (1 - T^2) dk/dx) d / 2

    with T = tanh(k), k = sqrt(2/pi) (x + 0.044715 x^3)
    """
    tanh = np.tanh(GELU_SCALE * (x + GELU_CUBIC * x**3))
    slope = GELU_SCALE * (1 + 3 * GELU_CUBIC * x**2)
    return (0.5 * (1 + tanh) + 0.5 * x * (1 - tanh**2) * slope) * d


def layer_norm(x: Array) -> Array:
    """LayerNorm: (x - mean) / sqrt(var + 1e-6) over the last axis, without affine parameters."""
    centred = x - x.mean(-1, keepdims=True)
    variance = (centred**2).mean(-1, keepdims=True)
    return centred / np.sqrt(variance + LAYER_NORM_EPS)


def layer_norm_jacobian(x: Array, d: Array) -> Array:
    """Jacobian product of LayerNorm: (d - mean(d) - y mean(y d)) / sqrt(var + 1e-6)

    with y = layer_norm(x)
    """
    centred = x - x.mean(-1, keepdims=True)
    deviation = np.sqrt((centred**2).mean(-1, keepdims=True) + LAYER_NORM_EPS)
    y = centred / deviation
    return (d - d.mean(-1, keepdims=True) - y * (y * d).mean(-1, keepdims=True)) / deviation


def softmax(x: Array) -> Array:
    """Softmax: exp(x) / sum exp(x) over the last axis.

    The largest real part is subtracted from x first, which cancels: exp cannot overflow.
    """
    powers = np.exp(x - x.real.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def softmax_jacobian(p: Array, d: Array) -> Array:
    """Jacobian product of softmax: p (d - sum(p d)), with p = softmax(x)"""
    return p * (d - (p * d).sum(-1, keepdims=True))


def sinusoid(time: Array) -> Array:
    """Sinusoidal features of a time in 0..1, not scaled by 1000: [batch, 256]

    [cos(f_k t), sin(f_k t)] with f_k = 10000^(-k/128)
    """
    angle = time[:, None] * _frequencies(time)
    return np.concatenate([np.cos(angle), np.sin(angle)], axis=-1)


def sinusoid_jvp(time: Array, d: Array) -> Array:
    """JVP of the sinusoidal features: [-sin(f_k t), cos(f_k t)] f_k dt"""
    frequencies = _frequencies(time)
    angle = time[:, None] * frequencies
    rate = frequencies * d[:, None]
    return np.concatenate([-np.sin(angle) * rate, np.cos(angle) * rate], axis=-1)


def _frequencies(time: Array) -> Array:
    half = TIME_FEATURES // 2
    exact = np.exp(-math.log(MAX_PERIOD) * np.arange(half, dtype=np.float64) / half)
    return exact.astype(time.real.dtype)


def position_embedding(width: int, grid: int) -> Array:
    """Fixed 2-D sine-cosine position embedding: [grid * grid, width] float64, tokens row-major.

    The first half of the width encodes the column (w), the second the row (h); each half is
    [sin, cos] of width/4 frequencies 10000^(-k / (width/4)).
    """
    quarter = width // 4
    frequencies = MAX_PERIOD ** (-np.arange(quarter, dtype=np.float64) / quarter)
    angle = np.arange(grid, dtype=np.float64)[:, None] * frequencies
    axis = np.concatenate([np.sin(angle), np.cos(angle)], axis=1)
    column = np.broadcast_to(axis[None, :, :], (grid, grid, width // 2))
    row = np.broadcast_to(axis[:, None, :], (grid, grid, width // 2))
    return np.concatenate([column, row], axis=-1).reshape(grid * grid, width)


def patchify(images: Array, patch: int) -> Array:
    """Patches of an image, in row-major order.

    [batch, height, width, channel] -> [batch, token, patch * patch * channel]
    """
    batch, height, width, channel = images.shape
    grid = images.reshape(batch, height // patch, patch, width // patch, patch, channel)
    return grid.transpose(0, 1, 3, 2, 4, 5).reshape(batch, -1, patch * patch * channel)


def unpatchify(tokens: Array, patch: int, channel: int) -> Array:
    """Square image from its patches, the inverse of `patchify`.

    [batch, token, patch * patch * channel] -> [batch, height, width, channel]
    """
    batch, count, _ = tokens.shape
    grid = math.isqrt(count)
    pixels = tokens.reshape(batch, grid, grid, patch, patch, channel)
    return pixels.transpose(0, 1, 3, 2, 4, 5).reshape(batch, grid * patch, grid * patch, channel)


def split_heads(x: Array, heads: int) -> Array:
    """Queries, keys and values of each head, stacked.

    [batch, token, 3 * width] -> [3, batch, head, token, width / heads]
    """
    batch, token, triple = x.shape
    return x.reshape(batch, token, 3, heads, triple // 3 // heads).transpose(2, 0, 3, 1, 4)


def merge_qkv(qkv: Array) -> Array:
    """Inverse of `split_heads`."""
    _, batch, heads, token, size = qkv.shape
    return qkv.transpose(1, 3, 0, 2, 4).reshape(batch, token, 3 * heads * size)


def merge_heads(x: Array) -> Array:
    """Concatenation of heads: [batch, head, token, size] -> [batch, token, head * size]"""
    batch, heads, token, size = x.shape
    return x.transpose(0, 2, 1, 3).reshape(batch, token, heads * size)


def separate_heads(x: Array, heads: int) -> Array:
    """Inverse of `merge_heads`."""
    batch, token, width = x.shape
    return x.reshape(batch, token, heads, width // heads).transpose(0, 2, 1, 3)
