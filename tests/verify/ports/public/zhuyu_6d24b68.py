"""zhuyu-cs/MeanFlow: another norm. README: SiT-B/2; guided: SiT-L/2."""

import copy
import os
import sys

sys.path.insert(0, f"{os.environ['MEANFLOW_PORTS']}/zhuyu-cs+MeanFlow@6d24b68")
from loss import SILoss
from meanflow_sampler import meanflow_sampler

README = {"ratio_r_not_equal_t": 0.25, "bootstrap_ratio": 0.0, "cfg_kappa": 0.5, "cfg_max_t": 1.0}
claims_guided = {"omega": 0.2, "kappa": 0.92, "t_end": 0.8}


def network(z, r, t, y=None):
    return {"z": z, "r": r, "t": t, "labels": y}


def loss(net, images, labels, **options):
    objective = SILoss(**{"weighting": "adaptive", **README, **options})
    return objective(net, copy.deepcopy(net), images, {"y": labels})  # as its train.py copies it


def loss_guided(net, images, labels):
    return loss(net, images, labels, cfg_omega=0.2, cfg_kappa=0.92, cfg_max_t=0.8)


def sample(net, noise, labels, steps):
    return meanflow_sampler(net, noise, labels, num_steps=steps)
