"""The VAE of Stable Diffusion: encoder from images to latents, and decoder."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from impls.files.autoencoder import Autoencoder, AutoencoderConfig, check_images, check_latents

from ..device import Array, put

GROUP_NORM_EPS = 1e-6
LOG_VARIANCE_LIMITS = (-30.0, 20.0)


class _Model(NamedTuple):
    config: AutoencoderConfig
    tensors: dict[str, Array]  # diffusers' name -> array; kernels are [side, side, in, out]


def load_autoencoder(autoencoder: Autoencoder) -> Any:
    """VAE with its weights on the device; it computes in the dtype of its arrays.

    Args:
        autoencoder: see `impls.files.autoencoder.read_autoencoder`.

    Raises:
        NotInstalledError: naming the package that is missing; only PyTorch needs one, diffusers.
    """
    tensors = {}
    for name, array in autoencoder.tensors.items():
        if array.ndim == 4:
            array = array.transpose(2, 3, 1, 0)  # noqa: PLW2901
        tensors[name] = array.T if array.ndim == 2 else array
    return _Model(autoencoder.config, put(tensors))


def encode(model: Any, images: Array) -> tuple[Array, Array]:
    """VAE encoder: mean and standard deviation of the latent of an image.

    mean, log_variance = split(quant_conv(encoder(image))),
    std = exp(clip(log_variance, -30, 20) / 2)

    They are on the autoencoder's own scale: training reads (mean + std e) 0.18215.

    Args:
        model: from `load_autoencoder`.
        images: [batch, height, width, channel] in -1..1; sides that are multiples of 8.

    Returns:
        Each [batch, height / 8, width / 8, latent channel].

    Raises:
        ValueError: for images of another shape.
    """
    check_images(model.config, images)
    return _encode(model.config, model.tensors, images)


def decode(model: Any, latents: Array) -> Array:
    """VAE decoder: the image of a latent, about in -1..1.

    image = decoder(post_quant_conv(latent))

    Args:
        model: from `load_autoencoder`.
        latents: [batch, height, width, latent channel] on the autoencoder's own scale: a sample of
            the network over 0.18215.

    Returns:
        [batch, 8 height, 8 width, channel], not clipped.

    Raises:
        ValueError: for latents of another shape.
    """
    check_latents(model.config, latents)
    return _decode(model.config, model.tensors, latents)


@partial(jax.jit, static_argnums=0)
def _encode(
    config: AutoencoderConfig, tensors: dict[str, Array], images: Array
) -> tuple[Array, Array]:
    model = _Model(config, tensors)
    x = _conv(model, "encoder.conv_in", images)
    last = len(config.block_out_channels) - 1
    for i in range(last + 1):
        for j in range(config.layers_per_block):
            x = _resnet(model, f"encoder.down_blocks.{i}.resnets.{j}", x)
        if i < last:
            x = _downsample(model, f"encoder.down_blocks.{i}.downsamplers.0.conv", x)
    x = _middle(model, "encoder.mid_block", x)
    x = jax.nn.silu(_group_norm(model, "encoder.conv_norm_out", x))
    x = _conv(model, "quant_conv", _conv(model, "encoder.conv_out", x))
    mean, log_variance = jnp.split(x, 2, axis=-1)
    return mean, jnp.exp(0.5 * jnp.clip(log_variance, *LOG_VARIANCE_LIMITS))


@partial(jax.jit, static_argnums=0)
def _decode(config: AutoencoderConfig, tensors: dict[str, Array], latents: Array) -> Array:
    model = _Model(config, tensors)
    x = _conv(model, "decoder.conv_in", _conv(model, "post_quant_conv", latents))
    x = _middle(model, "decoder.mid_block", x)
    last = len(config.block_out_channels) - 1
    for i in range(last + 1):
        for j in range(config.layers_per_block + 1):
            x = _resnet(model, f"decoder.up_blocks.{i}.resnets.{j}", x)
        if i < last:
            x = _upsample(model, f"decoder.up_blocks.{i}.upsamplers.0.conv", x)
    x = jax.nn.silu(_group_norm(model, "decoder.conv_norm_out", x))
    return _conv(model, "decoder.conv_out", x)


def _resnet(model: _Model, name: str, x: Array) -> Array:
    """Residual block: x + conv(silu(norm(conv(silu(norm(x)))))), x projected to the new width."""
    y = _conv(model, f"{name}.conv1", jax.nn.silu(_group_norm(model, f"{name}.norm1", x)))
    y = _conv(model, f"{name}.conv2", jax.nn.silu(_group_norm(model, f"{name}.norm2", y)))
    if f"{name}.conv_shortcut.weight" in model.tensors:
        x = _conv(model, f"{name}.conv_shortcut", x)
    return x + y


def _middle(model: _Model, name: str, x: Array) -> Array:
    """Middle block: residual block, self-attention, residual block."""
    x = _resnet(model, f"{name}.resnets.0", x)
    x = x + _attention(model, f"{name}.attentions.0", x)
    return _resnet(model, f"{name}.resnets.1", x)


def _attention(model: _Model, name: str, x: Array) -> Array:
    """Single-head self-attention over all positions: softmax(q k^T / sqrt(channels)) v"""
    channels = x.shape[-1]
    tokens = _group_norm(model, f"{name}.group_norm", x).reshape(len(x), -1, channels)
    q, k, v = (_linear(model, f"{name}.to_{part}", tokens) for part in "qkv")
    weights = jax.nn.softmax(q @ k.swapaxes(-1, -2) * channels**-0.5)
    return _linear(model, f"{name}.to_out.0", weights @ v).reshape(x.shape)


def _downsample(model: _Model, name: str, x: Array) -> Array:
    """Downsampling: a convolution of stride 2, zero-padded below and to the right only."""
    return _conv(model, name, x, stride=2, padding=((0, 1), (0, 1)))


def _upsample(model: _Model, name: str, x: Array) -> Array:
    """Upsampling: nearest neighbour by a factor of 2, then a convolution."""
    return _conv(model, name, x.repeat(2, axis=1).repeat(2, axis=2))


def _conv(model: _Model, name: str, x: Array, stride: int = 1, padding: Any = "SAME") -> Array:
    """Convolution, by default zero-padded so that height and width stay."""
    kernel, bias = model.tensors[f"{name}.weight"], model.tensors[f"{name}.bias"]
    layout = ("NHWC", "HWIO", "NHWC")
    y = jax.lax.conv_general_dilated(x, kernel, (stride, stride), padding, dimension_numbers=layout)
    return y + bias[None, None, None]


def _linear(model: _Model, name: str, x: Array) -> Array:
    return x @ model.tensors[f"{name}.weight"] + model.tensors[f"{name}.bias"][None, None]


def _group_norm(model: _Model, name: str, x: Array) -> Array:
    """GroupNorm over the pixels and channels of each group.

    scale (x - mean) / sqrt(var + 1e-6) + shift
    """
    centred = x - _group_mean(model, x)
    factor = jax.lax.rsqrt(_group_mean(model, centred**2) + GROUP_NORM_EPS)
    scale, shift = (model.tensors[f"{name}.{part}"] for part in ("weight", "bias"))
    return centred * factor * scale[None, None, None] + shift[None, None, None]


def _group_mean(model: _Model, x: Array) -> Array:
    """Mean over the pixels and channels of each group, in each of its channels: [batch, 1, 1, c].

    The mean over pixels is taken first, which is twice as fast as both at once.
    """
    means = x.mean((1, 2), keepdims=True)
    groups = means.reshape(-1, x.shape[-1] // model.config.norm_num_groups)
    return jnp.broadcast_to(groups.mean(-1, keepdims=True), groups.shape).reshape(means.shape)
