"""Work of the encoder of Stable Diffusion's VAE, which some published steps include."""

import math
from collections.abc import Iterator

from bench.plan.work import FLOAT32, Work
from impls.files.autoencoder import AutoencoderConfig, tensor_shapes

# Of sd-vae-ft-mse and sd-vae-ft-ema.
PUBLISHED = AutoencoderConfig(block_out_channels=(128, 256, 512, 512), layers_per_block=2)


def encoder_work(config: AutoencoderConfig, image_size: int, num_rows: int) -> Work:
    """Work of encoding images in float32, counted as in `bench.plan.work`.

    Args:
        image_size: pixels along each side.
    """
    pixels = [(image_size >> level) ** 2 for level in range(len(config.block_out_channels))]
    flops = moved = 0
    for positions, read, (fan_in, fan_out) in _products(config, pixels):
        flops += 2 * positions * fan_in * fan_out
        moved += read + positions * fan_out
    tokens, width = pixels[-1], config.block_out_channels[-1]
    flops += 4 * tokens**2 * width  # the attention of the middle
    moved += 4 * tokens * width + 2 * tokens**2
    return Work(flops, FLOAT32 * moved) * num_rows


def _products(
    config: AutoencoderConfig, pixels: list[int]
) -> Iterator[tuple[int, int, tuple[int, int]]]:
    """Positions, scalars read and (fan-in, fan-out) of each convolution and linear layer."""
    for name, shape in tensor_shapes(config).items():
        if not name.startswith(("encoder.", "quant_conv.")) or len(shape) < 2:
            continue
        level = len(pixels) - 1
        if name.startswith("encoder.down_blocks."):
            level = int(name.split(".")[2])
        elif name.startswith("encoder.conv_in"):
            level = 0
        read = pixels[level] * shape[1]
        positions = pixels[level + 1] if ".downsamplers." in name else pixels[level]
        yield positions, read, (math.prod(shape[1:]), shape[0])
