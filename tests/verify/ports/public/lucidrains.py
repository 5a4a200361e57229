"""lucidrains/rectified-flow-pytorch, mean_flow.py: as its train_mean_flow.py; with conditions."""

import os
import sys

FOLDER = f"{os.environ['MEANFLOW_PORTS']}/lucidrains+rectified-flow-pytorch"
sys.path.insert(0, f"{FOLDER}/rectified_flow_pytorch")  # the package itself imports its trainers
from mean_flow import MeanFlow

OWN = {"norm_p": 0.5, "norm_eps": 1e-3, "reduction": "mean", "data_proportion": 0.5}
claims_cond = {**OWN, "guidance_eq": "none", "class_dropout_prob": 0.0}


def network(z, times, delta_times, cond=None):
    return {"z": z, "t": times, "h": delta_times, "labels": cond}


def loss(net, images, labels):
    flow = MeanFlow(net, normalize_data_fn=lambda x: x * 2 - 1)
    return flow((images + 1) / 2)


def loss_cond(net, images, labels):
    return MeanFlow(net, accept_cond=True)(images, cond=labels)


def sample(net, noise, labels, steps):
    flow = MeanFlow(net, data_shape=noise.shape[1:])
    return flow.sample(batch_size=len(noise), noise=noise, steps=steps)
