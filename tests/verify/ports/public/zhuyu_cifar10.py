"""zhuyu-cs/MeanFlow, branch cifar10 at 1221603, as its README trains; defaults of SILoss."""

import os
import sys

sys.path.insert(0, f"{os.environ['MEANFLOW_PORTS']}/zhuyu-cs+MeanFlow@1221603")
from loss import SILoss
from meanflow_sampler import meanflow_sampler


def network(z, noise_labels_r, noise_labels_t):
    return {"z": z, "r": noise_labels_r, "t": noise_labels_t}


def loss(net, images, labels):
    return SILoss(weighting="adaptive", adaptive_p=0.75, ratio_r_not_equal_t=0.75)(net, images)


def loss_defaults(net, images, labels):
    return SILoss(weighting="adaptive")(net, images)


def sample(net, noise, labels, steps):
    return meanflow_sampler(net, noise, num_steps=steps)
