"""Autoencoder: encoder and decoder with the topology of Stable Diffusion's.

The PyTorch implementation is diffusers' own AutoencoderKL, so passing these checks beside it means
agreement with diffusers.
"""

import functools

import numpy as np

from impls.common import draws
from impls.common.draws import Stream
from impls.files.autoencoder import Autoencoder, AutoencoderConfig
from verify.cases import Array
from verify.compare import row_error
from verify.fixtures.standin_vae import random_autoencoder
from verify.probe import Probe, arbiter
from verify.registry import Errors, check

# Kept and changed width, one block that changes nothing, and a side of 4 pixels to one.
SIZES = AutoencoderConfig(block_out_channels=(8, 16, 16), layers_per_block=2, norm_num_groups=4)
BATCH, HEIGHT, WIDTH = 2, 16, 24


@functools.cache
def _autoencoders() -> dict[str, Autoencoder]:
    """Two random autoencoders; one has a log-variance beyond its limits in two channels."""
    plain = random_autoencoder(SIZES, 1)
    bias = plain.tensors["quant_conv.bias"].copy()
    bias[-2:] = (60, -60)
    return {
        "plain": plain,
        "clipped": plain._replace(tensors=plain.tensors | {"quant_conv.bias": bias}),
    }


def _by_channel(array: Array) -> Array:
    """[batch, height, width, channel] -> [channel, batch, …]: channels differ by magnitudes."""
    return np.moveaxis(array, -1, 0)


@check("load_autoencoder encode")
def encoder_matches(probe: Probe) -> Errors:
    """Mean and deviation of an image's latent, with the log-variance clipped to -30..20."""
    images = draws.normal((BATCH, HEIGHT, WIDTH, SIZES.in_channels), 1, Stream.CHECK, 0)
    for name, autoencoder in _autoencoders().items():
        actual, expected = (
            p.call("encode", p.load_weights("load_autoencoder", autoencoder), images)
            for p in (probe, arbiter())
        )
        for what, one, other in zip(("mean", "deviation"), actual, expected, strict=True):
            yield f"{name} {what}", row_error(_by_channel(one), _by_channel(other))


@check("load_autoencoder decode")
def decoder_matches(probe: Probe) -> Errors:
    """The decoded image of a latent."""
    shape = (BATCH, HEIGHT // SIZES.factor, WIDTH // SIZES.factor, SIZES.latent_channels)
    latents = draws.normal(shape, 1, Stream.CHECK, 1)
    actual, expected = (
        p.call("decode", p.load_weights("load_autoencoder", _autoencoders()["plain"]), latents)
        for p in (probe, arbiter())
    )
    yield "image", row_error(actual, expected)
