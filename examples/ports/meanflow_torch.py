"""This project's own PyTorch implementation, as a port: impls/meanflow_torch with its preset mf_b4.

meanflow diagnose examples/ports/meanflow_torch.py
"""

import functools

import torch

from impls.common.config_files import load_config
from impls.common.timesteps import even_times
from impls.common.types import Batch, Draws
from impls.meanflow_torch import network as networks
from impls.meanflow_torch import objective
from impls.meanflow_torch import sample as sampler
from impls.meanflow_torch.draws import device_draws

framework = "torch"


class Network(torch.nn.Module):
    """The given network, on images with their channels last."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, z, *rest):
        """The answer u(z, t, h, y)."""
        return self.net(z.movedim(-1, 1), *rest).movedim(1, -1)


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
        "method.jvp": "autodiff",  # of any network; the dual numbers are the DiT's
    }
    return load_config("mf_b4", sizes)


def prepare(net, images):
    """Put the network in the DiT's place; returns configuration and parameters."""
    module = Network(net)
    networks.meta_module = lambda _: module
    rows, channels, side, _ = images.shape
    return configuration(rows, side, channels, net.num_classes), dict(module.named_parameters())


def loss(net, images, labels):
    config, params = prepare(net, images)
    draws = device_draws(config, int(torch.randint(2**31, ())))
    draws = Draws(*(draw.to(images) for draw in draws))
    batch = Batch(images.movedim(1, -1), labels)
    return objective.loss(config, params, batch, draws).total


def sample(net, noise, labels, steps):
    config, params = prepare(net, noise)
    noise = noise.movedim(1, -1)
    return sampler(config, params, noise, labels, even_times(steps)).movedim(-1, 1)
