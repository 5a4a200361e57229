"""Draws on the device, for runs too large to draw on the host."""

import torch

from impls.common.config import Config
from impls.common.draws import image_shape, mixed_seed
from impls.common.types import Draws


def device_draws(config: Config, step: int) -> Draws:
    """The draws of training step `step`, made on the device: this framework's own.

    The laws are those of `impls.common.draws.training_draws`, the numbers are not: they depend on
    the framework and perhaps on its version and device, so runs with them cannot be compared.
    """
    rows, image = config.training.batch_size, image_shape(config.network)
    device = torch.get_default_device()
    bits = torch.Generator(device).manual_seed(mixed_seed(config.training.seed, step))
    time = torch.randn if config.method.noise_dist == "logit_normal" else torch.rand
    return Draws(
        t_raw=time((rows,), generator=bits, device=device),
        r_raw=time((rows,), generator=bits, device=device),
        noise=torch.randn((rows, *image), generator=bits, device=device),
        drop_uniform=torch.rand((rows,), generator=bits, device=device),
        equal_uniform=torch.rand((rows,), generator=bits, device=device),
    )
