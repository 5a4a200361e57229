"""lucidrains/rectified-flow-pytorch, mean_flow.py: options of its MeanFlow."""

import os
import sys

FOLDER = f"{os.environ['MEANFLOW_PORTS']}/lucidrains+rectified-flow-pytorch"
sys.path.insert(0, f"{FOLDER}/rectified_flow_pytorch")  # the package itself imports its trainers
from mean_flow import MeanFlow

claims = {"norm_p": 0.5, "norm_eps": 1e-3, "reduction": "mean", "data_proportion": 0.25}
claims_plain = {"noise_dist": "uniform", "norm_p": 0.0, "reduction": "mean"}


def network(z, times, delta_times):
    return {"z": z, "t": times, "h": delta_times}


def loss(net, images, labels):
    return MeanFlow(net, prob_default_flow_obj=0.25)(images)


def loss_plain(net, images, labels):
    off = {"use_logit_normal_sampler": False, "use_adaptive_loss_weight": False}
    return MeanFlow(net, **off)(images)


def loss_recon(net, images, labels):
    return MeanFlow(net, add_recon_loss=True)(images)


def loss_noise(net, images, labels):
    return MeanFlow(net, noise_std_dev=2.0)(images)
