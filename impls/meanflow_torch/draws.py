"""Random draws made on the device, for runs where drawing on the host is too slow."""

import torch

from impls.common.config import Config
from impls.common.draws import image_shape, mixed_seed
from impls.common.types import Draws


def device_draws(config: Config, step: int) -> Draws:
    """Random draws of training step `step` by the framework's own generator, on the device.

    The distributions are those of `impls.common.draws.training_draws`; the numbers are not: they
    depend on the framework, and may depend on its version and the device, so runs that use them
    cannot be compared number by number.
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
