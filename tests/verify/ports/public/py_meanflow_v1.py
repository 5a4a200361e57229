"""Gsunshine/py-meanflow, as its scripts/cifar10_v1.sh trains."""

import copy
import os
import sys
from types import SimpleNamespace

sys.path.insert(0, f"{os.environ['MEANFLOW_PORTS']}/Gsunshine+py-meanflow/meanflow")
from models.meanflow import MeanFlow

LAW = {"tr_sampler": "v1", "P_mean_t": -0.6, "P_std_t": 1.6, "P_mean_r": -4.0, "P_std_r": 1.6}
LOSS = {"norm_p": 0.75, "norm_eps": 1e-3, "ratio": 0.75, "ema_decay": 0.9999, "ema_decays": ()}


def network(z, times, aug_cond=None):
    return {"z": z, "t": times[0], "h": times[1]}


def model(net):
    networks = iter([net, copy.deepcopy(net)])  # it builds its network, and one to average
    return MeanFlow(lambda: next(networks), SimpleNamespace(**LAW, **LOSS), {})


def loss(net, images, labels):
    return model(net).forward_with_loss(images, aug_cond=None)


def sample(net, noise, labels, steps):
    if steps > 1:
        raise NotImplementedError("one step only")
    return model(net).sample(noise.shape, net)
