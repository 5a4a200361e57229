"""zhuyu-cs/MeanFlow: guided tangent. README: SiT-B/2; current: SiT-B/4, no averaged network."""

import copy
import os
import sys

sys.path.insert(0, f"{os.environ['MEANFLOW_PORTS']}/zhuyu-cs+MeanFlow@bc5f279")
from loss import SILoss
from meanflow_sampler import meanflow_sampler


def network(z, r, t, y=None):
    return {"z": z, "r": r, "t": t, "labels": y}


def loss(net, images, labels, ratio=0.25):
    settings = {"ratio_r_not_equal_t": 0.25, "bootstrap_ratio": ratio}
    guidance = {"cfg_kappa": 0.5, "cfg_max_t": 1.0}
    ema = copy.deepcopy(net)  # as its train.py makes it
    return SILoss(weighting="adaptive", **settings, **guidance)(net, ema, images, {"y": labels})


def loss_current(net, images, labels):
    return loss(net, images, labels, ratio=0.0)


def sample(net, noise, labels, steps):
    return meanflow_sampler(net, noise, labels, num_steps=steps)
