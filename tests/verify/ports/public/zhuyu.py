"""zhuyu-cs/MeanFlow at b006921, as its README trains SiT-B/2; guided: SiT-L/2; scaled: SiT-B/4."""

import os
import sys

sys.path.insert(0, f"{os.environ['MEANFLOW_PORTS']}/zhuyu-cs+MeanFlow")
from loss import SILoss
from meanflow_sampler import meanflow_sampler

claims_guided = {"omega": 0.2, "kappa": 0.92, "t_end": 0.8}
claims_scaled = {"omega": 3.0, "kappa": 0.0}


def network(z, r, t, y=None):
    return {"z": z, "r": r, "t": t, "labels": y}


def loss(net, images, labels, **options):
    readme = {"ratio_r_not_equal_t": 0.25, "cfg_kappa": 0.5, "cfg_max_t": 1.0}
    return SILoss(**{"weighting": "adaptive", **readme, **options})(net, images, {"y": labels})


def loss_guided(net, images, labels):
    return loss(net, images, labels, cfg_omega=0.2, cfg_kappa=0.92, cfg_max_t=0.8)


def loss_scaled(net, images, labels):
    return loss(net, images, labels, cfg_omega=3.0, cfg_kappa=0.0)


def sample(net, noise, labels, steps):
    return meanflow_sampler(net, noise, labels, num_steps=steps)
