"""Learning-rate schedule, gradient clipping, AdamW and the EMA of parameters."""

import math
from typing import Any

import numpy as np
import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn

from impls.common.config import Config
from impls.common.schedules import cycle_table


def learning_rate(config: Config, step: Any) -> Any:
    """Learning-rate schedule, constant or cosine with restarts, at update k = 0, 1, 2, … (`step`).

    warm-up  lr (k + 1) / warmup_steps  while k < warmup_steps, then one of
    constant lr
    cosine   low + (lr - low) (1 + cos(pi p)) / 2  with low = min_learning_rate and p in [0, 1) the
             elapsed fraction of the current cycle (Loshchilov and Hutter, SGDR, 2017)
    """
    training = config.training
    high, low, warmup = training.learning_rate, training.min_learning_rate, training.warmup_steps
    rate = high * min(1.0, (step + 1) / max(warmup, 1))
    if training.schedule == "constant":
        return rate
    progress = _progress(config, max(step - warmup, 0))
    falling = low + (high - low) * (1 + math.cos(math.pi * progress)) / 2
    return rate if step < warmup else falling


def clip_gradient(config: Config, gradient: Any) -> tuple[Any, Any]:
    """Gradient clipping by global norm: g min(1, max_grad_norm / ||g||)

    Returns:
        gradient, and ||g|| [], the Euclidean norm of all tensors together, before clipping
    """
    norm = torch.nn.utils.get_total_norm(list(gradient.values()))
    limit = config.training.max_grad_norm
    if limit is None:
        return gradient, norm
    scale = limit / norm.clamp(min=limit)
    return {name: tensor * scale for name, tensor in gradient.items()}, norm


def init_optimizer(config: Config, params: Any) -> Any:
    """Optimizer state before the first update: zero moments."""
    training = config.training
    return torch.optim.AdamW(
        [{"params": list(params.values()), "num_updates": 0}],
        lr=training.learning_rate,
        betas=(training.adam_b1, training.adam_b2),
        eps=training.adam_eps,
        weight_decay=training.weight_decay,
        fused=True,
    )


def apply_gradient(config: Config, params: Any, opt_state: Any, gradient: Any) -> tuple[Any, Any]:
    """AdamW update (Loshchilov and Hutter, 2019); with weight_decay 0 it is Adam.

    m <- b1 m + (1 - b1) g,  v <- b2 v + (1 - b2) g^2,  then with k updates made
    p <- p - lr ( m / (1 - b1^k) / (sqrt(v / (1 - b2^k)) + eps) + weight_decay p )

    Returns:
        params, opt_state
    """
    (group,) = opt_state.param_groups
    group["lr"] = learning_rate(config, group["num_updates"])
    group["num_updates"] += 1
    for name, tensor in params.items():
        # The fused kernel on the CPU reads memory in order, whatever the strides say.
        tensor.grad = gradient[name].contiguous()
    opt_state.step()
    opt_state.zero_grad()
    return params, opt_state


def average_decay(config: Config, step: Any, decay: float) -> Any:
    """Decay d of an average in its update after `step` updates of the parameters.

    decay, or with ema_warmup min(decay, (1 + k) / (10 + k)), where k = step / ema_every - 1 is the
    number of updates of the average before this one (num_updates of TensorFlow's
    ExponentialMovingAverage): 0.1, 0.18, 0.25, …, so a short run is not an average of its start.
    """
    if not config.training.ema_warmup:
        return decay
    k = step // config.training.ema_every - 1
    return min(decay, (1 + k) / (10 + k))


@torch.no_grad()
def update_average(config: Config, step: Any, decay: float, ema_params: Any, params: Any) -> Any:
    """Exponential moving average (EMA) of the updated parameters: d ema + (1 - d) params

    Updated only where `step`, the number of updates made, is a multiple of ema_every; d is
    `average_decay`.
    """
    if step % config.training.ema_every == 0:
        names = list(params)
        update = get_ema_multi_avg_fn(average_decay(config, step, decay))
        update([ema_params[name] for name in names], [params[name] for name in names], step)
    return ema_params


def _progress(config: Config, after: int) -> float:
    """Elapsed fraction p in [0, 1) of the current cosine cycle, `after` steps after warm-up."""
    starts, lengths = cycle_table(config.training)
    if config.training.cycle_growth == 1:
        return float(after % lengths[0] / lengths[0])
    cycle = np.searchsorted(starts, after, side="right") - 1
    return float((after - starts[cycle]) / lengths[cycle])
