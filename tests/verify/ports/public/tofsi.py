"""tofsi/mean-flows, as its ablation_configs.py trains: "default"; "best"."""

import os
import sys

sys.path.insert(0, f"{os.environ['MEANFLOW_PORTS']}/tofsi+mean-flows")
from mean_flows import algorithm_1, algorithm_2

framework = "jax"
claims_best = {"omega": 1.5, "kappa": 0.0, "norm_p": 0.5, "data_proportion": 0.0, "P_std": 1.2}


def network(z, times, y=None):
    return {"z": z, "t": times[0], "h": times[-1], "labels": y}


def embed(t, r):
    return t, t - r


def loss(net, params, x, y, key):
    settings = (0.25, "lognorm", (-0.4, 1.0), 1.0, 1.0, net.num_classes, embed)
    return algorithm_1(net.apply, params, x, y, key, *settings)


def loss_best(net, params, x, y, key):
    settings = (1.0, "lognorm", (-0.4, 1.2), 0.5, 1.5, net.num_classes)
    return algorithm_1(net.apply, params, x, y, key, *settings, lambda t, r: (t, r, t - r))


def sample(net, params, noise, labels, steps, key):
    def u(z, times, y):
        return net(params, z.reshape(noise.shape), times, y).reshape(z.shape)

    return algorithm_2(u, noise[0].size, key, len(noise), embed, steps, labels).reshape(noise.shape)
