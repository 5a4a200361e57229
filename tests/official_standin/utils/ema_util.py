"""Stand-in for the authors' ema_util.py."""

import jax


def ema_schedules(config):
    decay = config.training.get("ema_val", 0.9999)
    return lambda step: decay


def update_ema(ema_params, params, alpha):
    return jax.tree_map(lambda old, new: new + alpha * (old - new), ema_params, params)
