"""tofsi/mean-flows, as its ablation_configs.py trains: single ablations."""

import os
import sys

sys.path.insert(0, f"{os.environ['MEANFLOW_PORTS']}/tofsi+mean-flows")
from mean_flows import algorithm_1

framework = "jax"
claims_uniform = {"noise_dist": "uniform", "omega": 1.0, "kappa": 0.0}


def network(z, times, y=None):
    return {"z": z, "t": times[0], "h": times[-1], "labels": y}


def embed(t, r):
    return t, t - r


def loss(net, params, x, y, key, law=(-0.4, 1.0), omega=1.0, tangent=(False, True)):
    settings = (0.25, "lognorm" if law else "uniform", law, 1.0, omega, net.num_classes)
    return algorithm_1(net.apply, params, x, y, key, *settings, embed, tangent)


def loss_uniform(net, params, x, y, key):
    return loss(net, params, x, y, key, law=None)


def loss_tangent(net, params, x, y, key):
    return loss(net, params, x, y, key, tangent=(True, False))


def loss_unlabelled(net, params, x, y, key):
    return loss(net, params, x, y, key, omega=None)
