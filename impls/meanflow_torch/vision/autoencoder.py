"""The VAE of Stable Diffusion: encoder from images to latents, and decoder."""

import importlib
import importlib.util
from typing import Any, NamedTuple

import torch

from impls.common.errors import NotInstalledError
from impls.files.autoencoder import Autoencoder, AutoencoderConfig, check_images, check_latents

from ..device import Array, exact_products, put
from .torchvision_operators import import_torchvision


class _Model(NamedTuple):
    config: AutoencoderConfig
    network: Any  # diffusers' own AutoencoderKL, which the other implementations must match


def load_autoencoder(autoencoder: Autoencoder) -> Any:
    """VAE with its weights on the device; it computes in the dtype of its arrays.

    Args:
        autoencoder: see `impls.files.autoencoder.read_autoencoder`.

    Raises:
        NotInstalledError: naming the package that is missing; only PyTorch needs one, diffusers.
    """
    config, network_class = autoencoder.config, _network_class()
    count = len(config.block_out_channels)
    with torch.device("meta"):  # initial parameters are neither drawn nor kept
        network = network_class(
            down_block_types=("DownEncoderBlock2D",) * count,
            up_block_types=("UpDecoderBlock2D",) * count,
            **config.model_dump(),
        )
    network.load_state_dict(put(autoencoder.tensors), strict=True, assign=True)
    return _Model(config, network.eval().requires_grad_(requires_grad=False))


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
    with exact_products():
        posterior = model.network.encode(_channels_first(images)).latent_dist
    return posterior.mean.movedim(1, -1), posterior.std.movedim(1, -1)


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
    with exact_products():
        return model.network.decode(_channels_first(latents)).sample.movedim(1, -1)


def _channels_first(images: Array) -> Array:
    return images.movedim(-1, 1)


def _network_class() -> Any:
    """Class AutoencoderKL of diffusers, which is slow to import and may be missing."""
    try:
        if importlib.util.find_spec("torchvision"):  # diffusers imports it where it is installed
            import_torchvision()
        return importlib.import_module("diffusers.models").AutoencoderKL
    except ModuleNotFoundError as error:
        raise NotInstalledError(
            f"the package {error.name} is not installed, which the autoencoder in PyTorch needs:"
            ' pip install -c constraints.txt -e ".[vae]"'
        ) from error
