"""magicknight/MeanFlow, as its configs/cifar10_config.py trains."""

import os
import sys
from types import SimpleNamespace

from flax.training.train_state import TrainState

sys.path.insert(0, f"{os.environ['MEANFLOW_PORTS']}/magicknight+MeanFlow")
from src import sampling, training

framework = "jax"
LAW = {"rt_dist": "lognorm", "rt_sampler_params": {"mu": -2.0, "sigma": 2.0}}
SETTINGS = SimpleNamespace(loss_p=0.75, r_is_not_t_ratio=0.75, **LAW)


def network(z, r, t, rngs=None):
    return {"z": z, "r": r, "t": t}


def loss(net, params, x, labels, key):
    config = SimpleNamespace(meanflow=SETTINGS, batch_size=len(x))
    key, key_tr = training.jax.random.split(key)  # as its train.py does
    times = training.TimeSampler(config).sample(key_tr)
    return training.meanflow_loss_fn(params, net.apply, x, *times, key, config)


def sample(net, params, noise, labels, steps, key):
    if steps > 1:
        raise NotImplementedError("one step only")
    return sampling.sample_fn(TrainState(0, net.apply, params, None, None), key, noise.shape)
