"""Random draws made on the device, for runs where drawing on the host is too slow."""

import functools

import jax

from impls.common.config import Config
from impls.common.draws import image_shape
from impls.common.types import Draws


@functools.partial(jax.jit, static_argnums=0)
def device_draws(config: Config, step: int) -> Draws:
    """Random draws of training step `step` by the framework's own generator, on the device.

    The distributions are those of `impls.common.draws.training_draws`; the numbers are not: they
    depend on the framework, and may depend on its version and the device, so runs that use them
    cannot be compared number by number.
    """
    rows, image = config.training.batch_size, image_shape(config.network)
    key = jax.random.fold_in(jax.random.key(config.training.seed), step)
    t, r, noise, drop, equal = jax.random.split(key, 5)
    time = jax.random.normal if config.method.noise_dist == "logit_normal" else jax.random.uniform
    return Draws(
        t_raw=time(t, (rows,), "float32"),
        r_raw=time(r, (rows,), "float32"),
        noise=jax.random.normal(noise, (rows, *image), "float32"),
        drop_uniform=jax.random.uniform(drop, (rows,), "float32"),
        equal_uniform=jax.random.uniform(equal, (rows,), "float32"),
    )
