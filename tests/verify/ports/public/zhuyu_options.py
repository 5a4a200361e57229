"""zhuyu-cs/MeanFlow at b006921, with the defaults of its train.py; options of SILoss."""

import os
import sys

sys.path.insert(0, f"{os.environ['MEANFLOW_PORTS']}/zhuyu-cs+MeanFlow")
from loss import SILoss

claims_uniform = {"norm_p": 0.0}


def network(z, r, t, y=None):
    return {"z": z, "r": r, "t": t, "labels": y}


def loss(net, images, labels, weighting="adaptive", **options):
    objective = SILoss(weighting=weighting, cfg_max_t=1.0, **options)
    return objective(net, images, {"y": labels})


def loss_uniform(net, images, labels):
    return loss(net, images, labels, "uniform", ratio_r_not_equal_t=0.25, cfg_kappa=0.5)


def loss_cosine(net, images, labels):
    return loss(net, images, labels, path_type="cosine")


def loss_window(net, images, labels):
    return SILoss(weighting="adaptive", cfg_omega=2.0)(net, images, {"y": labels})
