"""The VAE of Stable Diffusion: encoder from images to latents, and decoder."""

from typing import Any, NamedTuple

import numpy as np

from ..layers import Array, silu, softmax

GROUP_NORM_EPS = 1e-6
LOG_VARIANCE_LIMITS = (-30.0, 20.0)


class _Model(NamedTuple):
    config: Any  # block_out_channels, layers_per_block, norm_num_groups
    tensors: dict[str, Array]  # diffusers' name -> array; kernels are [out, in, side, side]


def load_autoencoder(autoencoder: Any) -> Any:
    """VAE with its weights on the device; it computes in the dtype of its arrays."""
    return _Model(autoencoder.config, autoencoder.tensors)


def encode(model: Any, images: Array) -> tuple[Array, Array]:
    """VAE encoder: mean and standard deviation of the latent of an image.

    mean, log_variance = split(quant_conv(encoder(image))),
    std = exp(clip(log_variance, -30, 20) / 2)

    Args:
        images: [batch, height, width, channel] in -1..1.

    Returns:
        Each [batch, height / 8, width / 8, latent channel], on the autoencoder's own scale.
    """
    config, x = model.config, _conv(model, "encoder.conv_in", images)
    last = len(config.block_out_channels) - 1
    for i in range(last + 1):
        for j in range(config.layers_per_block):
            x = _resnet(model, f"encoder.down_blocks.{i}.resnets.{j}", x)
        if i < last:
            x = _downsample(model, f"encoder.down_blocks.{i}.downsamplers.0.conv", x)
    x = _middle(model, "encoder.mid_block", x)
    x = silu(_group_norm(model, "encoder.conv_norm_out", x))
    x = _conv(model, "quant_conv", _conv(model, "encoder.conv_out", x))
    mean, log_variance = np.split(x, 2, axis=-1)
    return mean, np.exp(0.5 * np.clip(log_variance, *LOG_VARIANCE_LIMITS))


def decode(model: Any, latents: Array) -> Array:
    """VAE decoder: the image of a latent, about in -1..1.

    image = decoder(post_quant_conv(latent))

    Args:
        latents: [batch, height, width, latent channel], on the autoencoder's own scale.

    Returns:
        [batch, 8 height, 8 width, channel], not clipped.
    """
    config, x = model.config, _conv(model, "post_quant_conv", latents)
    x = _middle(model, "decoder.mid_block", _conv(model, "decoder.conv_in", x))
    last = len(config.block_out_channels) - 1
    for i in range(last + 1):
        for j in range(config.layers_per_block + 1):
            x = _resnet(model, f"decoder.up_blocks.{i}.resnets.{j}", x)
        if i < last:
            x = _upsample(model, f"decoder.up_blocks.{i}.upsamplers.0.conv", x)
    x = silu(_group_norm(model, "decoder.conv_norm_out", x))
    return _conv(model, "decoder.conv_out", x)


def _resnet(model: _Model, name: str, x: Array) -> Array:
    """Residual block: x + conv(silu(norm(conv(silu(norm(x)))))), x projected to the new width."""
    y = _conv(model, f"{name}.conv1", silu(_group_norm(model, f"{name}.norm1", x)))
    y = _conv(model, f"{name}.conv2", silu(_group_norm(model, f"{name}.norm2", y)))
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
    weights = softmax(q @ k.swapaxes(-1, -2) * float(channels**-0.5))
    return _linear(model, f"{name}.to_out.0", weights @ v).reshape(x.shape)


def _downsample(model: _Model, name: str, x: Array) -> Array:
    """Downsampling: a convolution of stride 2, zero-padded below and to the right only."""
    padded = np.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))
    return _convolved(model, name, padded)[:, ::2, ::2]


def _upsample(model: _Model, name: str, x: Array) -> Array:
    """Upsampling: nearest neighbour by a factor of 2, then a convolution."""
    return _conv(model, name, x.repeat(2, axis=1).repeat(2, axis=2))


def _conv(model: _Model, name: str, x: Array) -> Array:
    """Convolution, zero-padded so that height and width stay."""
    margin = model.tensors[f"{name}.weight"].shape[-1] // 2
    return _convolved(model, name, np.pad(x, ((0, 0), (margin, margin), (margin, margin), (0, 0))))


def _convolved(model: _Model, name: str, x: Array) -> Array:
    """Convolution without padding.

    y[h, w, o] = b[o] + sum over i, a, b of k[o, i, a, b] x[h + a, w + b, i]
    """
    kernel, bias = model.tensors[f"{name}.weight"], model.tensors[f"{name}.bias"]
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[2:], axis=(1, 2))
    return np.einsum("nhwiab,oiab->nhwo", windows, kernel, optimize=True) + bias


def _linear(model: _Model, name: str, x: Array) -> Array:
    return x @ model.tensors[f"{name}.weight"].T + model.tensors[f"{name}.bias"]


def _group_norm(model: _Model, name: str, x: Array) -> Array:
    """GroupNorm over the pixels and channels of each group.

    scale (x - mean) / sqrt(var + 1e-6) + shift
    """
    groups = x.reshape(*x.shape[:3], model.config.norm_num_groups, -1)
    centred = groups - groups.mean((1, 2, 4), keepdims=True)
    variance = (centred**2).mean((1, 2, 4), keepdims=True)
    normal = (centred / np.sqrt(variance + GROUP_NORM_EPS)).reshape(x.shape)
    return normal * model.tensors[f"{name}.weight"] + model.tensors[f"{name}.bias"]
