"""The autoencoder: image to latent and back, with the topology of Stable Diffusion's.

PyTorch's text is diffusers' own AutoencoderKL, so what passes beside it computes what it computes.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

import reference
from impls.common import draws
from impls.common.draws import Stream
from impls.common.errors import NotInstalledError
from impls.files.autoencoder import Autoencoder, AutoencoderConfig
from verify.cases import Array, as_dtype
from verify.compare import row_error, worst
from verify.fixtures.standin_vae import random_autoencoder
from verify.probe import Host, Probe
from verify.registry import NotApplicable, check

# Kept and changed width, one block that changes nothing, and a side of 4 pixels to one.
SIZES = AutoencoderConfig(block_out_channels=(8, 16, 16), layers_per_block=2, norm_num_groups=4)
BATCH, HEIGHT, WIDTH = 2, 16, 24


@functools.cache
def _autoencoders() -> dict[str, Autoencoder]:
    """One as it comes, and one whose log-variance leaves its limits in two channels."""
    plain = random_autoencoder(SIZES, 1)
    bias = plain.tensors["quant_conv.bias"].copy()
    bias[-2:] = (60, -60)
    return {
        "plain": plain,
        "clipped": plain._replace(tensors=plain.tensors | {"quant_conv.bias": bias}),
    }


def _inputs() -> tuple[Array, Array]:
    """Images and latents, float32."""
    factor = SIZES.factor
    images = draws.normal((BATCH, HEIGHT, WIDTH, SIZES.in_channels), 1, Stream.CHECK, 0)
    shape = (BATCH, HEIGHT // factor, WIDTH // factor, SIZES.latent_channels)
    return images, draws.normal(shape, 1, Stream.CHECK, 1)


def _load(subject: Any, autoencoder: Autoencoder, dtype: Any) -> Host:
    tensors = as_dtype(autoencoder.tensors, dtype)
    try:
        return Host(subject.load_autoencoder(autoencoder._replace(tensors=tensors)))
    except NotInstalledError as error:
        raise NotApplicable(str(error)) from error


def _by_channel(array: Array) -> Array:
    """[batch, height, width, channel] -> [channel, batch, …]: channels differ by magnitudes."""
    return np.moveaxis(array, -1, 0)


@check("autoencoder", "load_autoencoder encode")
def encoder_matches(probe: Probe) -> float:
    """Mean and deviation of what an image is encoded to, the log-variance clipped to -30..20."""
    errors, images = {}, _inputs()[0]
    for name, autoencoder in _autoencoders().items():
        model = _load(reference, autoencoder, np.float64).value
        expected = reference.encode(model, as_dtype(images, np.float64))
        actual = probe.call("encode", _load(probe.subject, autoencoder, probe.dtype), images)
        for what, one, other in zip(("mean", "deviation"), actual, expected, strict=True):
            errors[f"{name} {what}"] = row_error(_by_channel(one), _by_channel(other))
    return worst(errors)


@check("autoencoder", "load_autoencoder decode")
def decoder_matches(probe: Probe) -> float:
    """The image that a latent is decoded to."""
    autoencoder, latents = _autoencoders()["plain"], _inputs()[1]
    model = _load(reference, autoencoder, np.float64).value
    expected = reference.decode(model, as_dtype(latents, np.float64))
    actual = probe.call("decode", _load(probe.subject, autoencoder, probe.dtype), latents)
    return worst({"image": row_error(actual, expected)})
