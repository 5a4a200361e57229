"""zhuyu-cs/MeanFlow: the averaged network in a quarter of the rows. README: SiT-B/2."""

import copy
import os
import sys

sys.path.insert(0, f"{os.environ['MEANFLOW_PORTS']}/zhuyu-cs+MeanFlow@775ec68")
from loss import SILoss
from meanflow_sampler import meanflow_sampler


def network(z, r, t, y=None):
    return {"z": z, "r": r, "t": t, "labels": y}


def loss(net, images, labels):
    settings = {
        "ratio_r_not_equal_t": 0.25,
        "cfg_kappa": 0.5,
        "cfg_max_t": 1.0,
        "bootstrap_ratio": 0.25,
    }
    ema = copy.deepcopy(net)  # as its train.py makes it
    return SILoss(weighting="adaptive", **settings)(net, ema, images, {"y": labels})


def sample(net, noise, labels, steps):
    return meanflow_sampler(net, noise, labels, num_steps=steps)
