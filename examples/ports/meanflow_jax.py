"""This project's own JAX implementation, as a port: impls/meanflow_jax with its preset mf_b4.

meanflow diagnose examples/ports/meanflow_jax.py
"""

import functools

import jax

from impls.common.config_files import load_config
from impls.common.timesteps import even_times
from impls.common.types import Batch, Draws
from impls.meanflow_jax import network as networks
from impls.meanflow_jax import objective
from impls.meanflow_jax import sample as sampler
from impls.meanflow_jax.draws import device_draws

framework = "jax"


def network(z, t, h, labels):
    return {"z": z, "t": t, "h": h, "labels": labels}


@functools.cache
def configuration(rows, side, channels, num_classes):
    """The preset mf_b4, for images and batches of another size."""
    sizes = {
        "training.batch_size": rows,
        "dataset.image_size": side,
        "dataset.image_channels": channels,
        "dataset.num_classes": num_classes,
        "model.patch_size": 1,
    }
    return load_config("mf_b4", sizes)


def prepare(net, images):
    """Put the network in the DiT's place; returns the configuration."""
    networks.NETWORKS["dit"] = lambda _: net
    rows, side, _, channels = images.shape
    return configuration(rows, side, channels, net.num_classes)


def loss(net, params, images, labels, key):
    config = prepare(net, images)
    draws = device_draws(config, jax.random.randint(key, (), 0, 2**31 - 1))
    draws = Draws(*(draw.astype(images.dtype) for draw in draws))
    return objective.loss(config, params, Batch(images, labels), draws).total


def sample(net, params, noise, labels, steps, key):
    return sampler(prepare(net, noise), params, noise, labels, even_times(steps))
