"""Adam and the moving average of parameters."""

from __future__ import annotations

from typing import Any

import torch

from impls.common.config import Config


def init_optimizer(config: Config, params: Any) -> Any:
    """The optimizer's state before the first update: moments are zero."""
    training = config.training
    return torch.optim.AdamW(
        list(params.values()),
        lr=training.learning_rate,
        betas=(training.adam_b1, training.adam_b2),
        eps=training.adam_eps,
        weight_decay=training.weight_decay,
    )


def apply_gradient(config: Config, params: Any, opt_state: Any, gradient: Any) -> tuple[Any, Any]:
    """One AdamW update (Loshchilov and Hutter 2019); with weight_decay 0 it is Adam.

    m <- b1 m + (1 - b1) g,  v <- b2 v + (1 - b2) g^2,  then with k updates made
    p <- p - lr ( m / (1 - b1^k) / (sqrt(v / (1 - b2^k)) + eps) + weight_decay p )

    Returns:
        params, opt_state
    """
    for name, tensor in params.items():
        tensor.grad = gradient[name]
    opt_state.step()
    opt_state.zero_grad()
    return params, opt_state


@torch.no_grad()
def update_average(config: Config, ema_params: Any, params: Any) -> Any:
    """Exponential moving average, after the update of the parameters: d ema + (1 - d) params"""
    d = config.training.ema_val
    for name, tensor in params.items():
        ema_params[name].mul_(d).add_(tensor, alpha=1 - d)
    return ema_params
