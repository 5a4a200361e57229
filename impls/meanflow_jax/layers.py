"""The layers of the network that have no parameters."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from impls.common.networks.dit import TIME_FEATURES

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
    angle = time[:, None] * jnp.asarray(frequencies(), time.dtype)[None]
    return jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], axis=-1)


def patchify(images: Array, patch: int) -> Array:
    """Patches of an image, in row-major order.

    [batch, height, width, channel] -> [batch, token, patch * patch * channel]
    """
    batch, height, width, channel = images.shape
    grid = images.reshape(batch, height // patch, patch, width // patch, patch, channel)
    return grid.transpose(0, 1, 3, 2, 4, 5).reshape(
        batch, height * width // patch**2, patch**2 * channel
    )


def unpatchify(tokens: Array, patch: int) -> Array:
    """Square image from its patches, the inverse of `patchify`.

    [batch, token, patch * patch * channel] -> [batch, height, width, channel]
    """
    grid = math.isqrt(tokens.shape[1])
    pixels = tokens.reshape(len(tokens), grid, grid, patch, patch, tokens.shape[2] // patch**2)
    return pixels.transpose(0, 1, 3, 2, 4, 5).reshape(
        -1, grid * patch, grid * patch, pixels.shape[-1]
    )


def split_heads(qkv: Array, num_heads: int) -> tuple[Array, ...]:
    """Queries, keys and values of each head.

    [batch, token, 3 * width] -> [batch, token, head, width / heads] each
    """
    parts = jnp.split(qkv, 3, axis=-1)
    return tuple(part.reshape(*part.shape[:2], num_heads, -1) for part in parts)


def linear(x: Array, kernel: Array, bias: Array) -> Array:
    """Linear layer: x W + b over the last axis. The sum of b's gradient is in float32 or better.

    For a CPU the rows are one matrix: XLA's products with an axis for tokens are slower there. For
    a TPU that form moves a tenth more bytes.
    """
    forms = {"cpu": _product_of_rows, "tpu": _product_of_exact}
    product = jax.lax.platform_dependent(x, kernel, **forms, default=jnp.matmul)
    wide = jnp.promote_types(x.dtype, jnp.float32)
    along = bias.astype(wide).reshape((1,) * (x.ndim - 1) + bias.shape)
    return (product.astype(wide) + along).astype(product.dtype)


def _product_of_rows(x: Array, kernel: Array) -> Array:
    """x W with the rows as one matrix."""
    return (x.reshape(-1, x.shape[-1]) @ kernel).reshape(*x.shape[:-1], -1)


def _product_of_exact(x: Array, kernel: Array) -> Array:
    """x W with W in its own dtype up to the product, by a rounding to it that changes nothing.

    A TPU multiplies float32 in bfloat16, and its compiler would hold the parameters of all blocks
    in bfloat16 too, beside those in float32, for as long as the loop over the blocks runs.
    """
    dtype = jnp.finfo(kernel.dtype)
    return x @ jax.lax.reduce_precision(kernel, dtype.nexp, dtype.nmant)


def modulate(x: Array, shift: Array, scale: Array) -> Array:
    """adaLN modulation: x (1 + scale) + shift, with shift and scale [batch, width] per sample."""
    return x * (1 + scale[:, None]) + shift[:, None]


def layer_norm(x: Array) -> Array:
    """LayerNorm: (x - mean) / sqrt(var + 1e-6) over the last axis, without affine parameters.

    The variance is the mean of squared deviations; the official code has flax's default
    E[x^2] - E[x]^2, which loses digits and agrees to rounding.
    """
    norm = nn.LayerNorm(
        epsilon=LAYER_NORM_EPS, use_bias=False, use_scale=False, use_fast_variance=False
    )
    return norm(x)
