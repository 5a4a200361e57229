"""zhuyu-cs/MeanFlow: labels dropped in the loss. README: SiT-B/2; guided: SiT-L/2."""

import os
import sys

sys.path.insert(0, f"{os.environ['MEANFLOW_PORTS']}/zhuyu-cs+MeanFlow@86c9116")
from loss import SILoss
from meanflow_sampler import meanflow_sampler


def network(z, r, t, y=None):
    return {"z": z, "r": r, "t": t, "labels": y}


claims_guided = {"omega": 0.2, "kappa": 0.92, "t_end": 0.8}


def loss(net, images, labels, omega=1.0, kappa=0.5, max_t=1.0):
    settings = {"ratio_r_not_equal_t": 0.25, "label_dropout_prob": 0.1}
    guidance = {"cfg_omega": omega, "cfg_kappa": kappa, "cfg_max_t": max_t}
    return SILoss(weighting="adaptive", **settings, **guidance)(net, images, {"y": labels})


def loss_guided(net, images, labels):
    return loss(net, images, labels, 0.2, 0.92, 0.8)


def sample(net, noise, labels, steps):
    return meanflow_sampler(net, noise, labels, num_steps=steps)
