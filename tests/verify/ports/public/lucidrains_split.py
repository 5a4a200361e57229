"""lucidrains/rectified-flow-pytorch, split_mean_flow.py: another family, arXiv 2507.16884."""

import os
import sys

FOLDER = f"{os.environ['MEANFLOW_PORTS']}/lucidrains+rectified-flow-pytorch"
sys.path.insert(0, f"{FOLDER}/rectified_flow_pytorch")  # the package itself imports its trainers
from split_mean_flow import SplitMeanFlow


def network(z, times, delta_times):
    return {"z": z, "t": times, "h": delta_times}


def loss(net, images, labels):
    return SplitMeanFlow(net, prob_default_flow_obj=0.8)(images)  # as train_split_mean_flow.py


def sample(net, noise, labels, steps):
    flow = SplitMeanFlow(net, data_shape=noise.shape[1:])
    return flow.sample(batch_size=len(noise), noise=noise, steps=steps)
