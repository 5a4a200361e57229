"""What the network is made of and has no parameters."""

import math

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from impls.common.parameters import TIME_FEATURES

from .device import Array

LAYER_NORM_EPS = 1e-6
MAX_PERIOD = 10000.0


def frequencies() -> np.ndarray:
    """f_k = 10000^(-k/128), k = 0 .. 127: [128] float64"""
    half = TIME_FEATURES // 2
    return np.exp(-math.log(MAX_PERIOD) * np.arange(half) / half)


def sinusoid(time: Array) -> Array:
    """[cos(f_k t), sin(f_k t)] with f_k = 10000^(-k/128), of the raw time in 0..1.

    Args:
        time: [batch] float.

    Returns:
        [batch, 256] in the dtype of `time`.
    """
    angle = time[:, None] * jnp.asarray(frequencies(), time.dtype)[None]
    return jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], axis=-1)


def patchify(images: Array, patch: int) -> Array:
    """[batch, height, width, channel] -> [batch, token, patch * patch * channel], row-major"""
    batch, height, width, channel = images.shape
    grid = images.reshape(batch, height // patch, patch, width // patch, patch, channel)
    return grid.transpose(0, 1, 3, 2, 4, 5).reshape(
        batch, height * width // patch**2, patch**2 * channel
    )


def unpatchify(tokens: Array, patch: int) -> Array:
    """[batch, token, patch * patch * channel] -> [batch, height, width, channel], a square image"""
    grid = math.isqrt(tokens.shape[1])
    pixels = tokens.reshape(len(tokens), grid, grid, patch, patch, tokens.shape[2] // patch**2)
    return pixels.transpose(0, 1, 3, 2, 4, 5).reshape(
        -1, grid * patch, grid * patch, pixels.shape[-1]
    )


def split_heads(qkv: Array, num_heads: int) -> tuple[Array, ...]:
    """[batch, token, 3 * width] -> q, k, v, each [batch, head, token, width / head]"""
    batch, token, width = qkv.shape
    parts = qkv.reshape(batch, token, 3, num_heads, width // 3 // num_heads)
    return tuple(parts.transpose(2, 0, 3, 1, 4))


def linear(x: Array, kernel: Array, bias: Array) -> Array:
    """x W + b over the last axis.

    The rows are one matrix: with an axis for tokens, XLA's CPU compiler makes the gradient of each
    W from a transposed copy into which it fuses the residual gradients of all later blocks, and a
    step took twice as long. The sum that is the gradient of b runs in float32 or better.
    """
    product = x.reshape(-1, x.shape[-1]) @ kernel
    wide = jnp.promote_types(x.dtype, jnp.float32)
    out = product.astype(wide) + bias[None].astype(wide)
    return out.astype(product.dtype).reshape(*x.shape[:-1], kernel.shape[-1])


def modulate(x: Array, shift: Array, scale: Array) -> Array:
    """x (1 + scale) + shift, with shift and scale [batch, width] per sample."""
    return x * (1 + scale[:, None]) + shift[:, None]


def layer_norm(x: Array) -> Array:
    """(x - mean) / sqrt(var + 1e-6) over the last axis, without affine parameters.

    The variance is the mean of squared deviations; the official code has flax's default
    E[x^2] - E[x]^2, which loses digits and agrees to rounding.
    """
    norm = nn.LayerNorm(
        epsilon=LAYER_NORM_EPS, use_bias=False, use_scale=False, use_fast_variance=False
    )
    return norm(x)
