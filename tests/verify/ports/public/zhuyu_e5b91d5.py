"""zhuyu-cs/MeanFlow, first commit, as its README trains SiT-B/2."""

import os
import sys

sys.path.insert(0, f"{os.environ['MEANFLOW_PORTS']}/zhuyu-cs+MeanFlow@e5b91d5")
from loss import SILoss
from meanflow_sampler import meanflow_sampler


def network(z, r, t, y=None):
    return {"z": z, "r": r, "t": t, "labels": y}


def loss(net, images, labels):
    settings = {"ratio_r_not_equal_t": 0.75, "cfg_kappa": 0.5, "cfg_max_t": 1.0}
    return SILoss(weighting="adaptive", **settings)(net, images, {"y": labels})


def sample(net, noise, labels, steps):
    return meanflow_sampler(net, noise, labels, num_steps=steps)
