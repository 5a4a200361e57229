"""Adam and the moving average of parameters."""

from __future__ import annotations

from typing import Any

import jax
import optax

from impls.common.config import Config


def init_optimizer(config: Config, params: Any) -> Any:
    """The optimizer's state before the first update: moments are zero."""
    return _adamw(config).init(params)


def apply_gradient(config: Config, params: Any, opt_state: Any, gradient: Any) -> tuple[Any, Any]:
    """One AdamW update (Loshchilov and Hutter 2019); with weight_decay 0 it is Adam.

    m <- b1 m + (1 - b1) g,  v <- b2 v + (1 - b2) g^2,  then with k updates made
    p <- p - lr ( m / (1 - b1^k) / (sqrt(v / (1 - b2^k)) + eps) + weight_decay p )

    Returns:
        params, opt_state
    """
    updates, opt_state = _adamw(config).update(gradient, opt_state, params)
    return optax.apply_updates(params, updates), opt_state


def update_average(config: Config, ema_params: Any, params: Any) -> Any:
    """Exponential moving average, after the update of the parameters: d ema + (1 - d) params"""
    d = config.training.ema_val
    return jax.tree.map(lambda ema, array: d * ema + (1 - d) * array, ema_params, params)


def _adamw(config: Config) -> optax.GradientTransformation:
    training = config.training
    return optax.adamw(
        training.learning_rate,
        b1=training.adam_b1,
        b2=training.adam_b2,
        eps=training.adam_eps,
        weight_decay=training.weight_decay,
    )
