"""Learning-rate schedule, gradient clipping, AdamW and the EMA of parameters."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

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
    step = jnp.asarray(step, float)  # in float64 where JAX has it: an integer would make float32
    rate = high * jnp.minimum(1.0, (step + 1) / max(warmup, 1))
    if training.schedule == "constant":
        return rate
    progress = _progress(config, jnp.maximum(step - warmup, 0))
    falling = low + (high - low) * (1 + jnp.cos(jnp.pi * progress)) / 2
    return jnp.where(step < warmup, rate, falling)


def clip_gradient(config: Config, gradient: Any) -> tuple[Any, Any]:
    """Gradient clipping by global norm: g min(1, max_grad_norm / ||g||)

    Returns:
        gradient, and ||g|| [], the Euclidean norm of all tensors together, before clipping
    """
    norm = optax.tree.norm(gradient)
    limit = config.training.max_grad_norm
    if limit is None:
        return gradient, norm
    scale = limit / jnp.maximum(norm, limit)
    return jax.tree.map(lambda array: array * scale, gradient), norm


def init_optimizer(config: Config, params: Any) -> Any:
    """Optimizer state before the first update: zero moments."""
    return _adamw(config).init(params)


def apply_gradient(config: Config, params: Any, opt_state: Any, gradient: Any) -> tuple[Any, Any]:
    """AdamW update (Loshchilov and Hutter, 2019); with weight_decay 0 it is Adam.

    m <- b1 m + (1 - b1) g,  v <- b2 v + (1 - b2) g^2,  then with k updates made
    p <- p - lr ( m / (1 - b1^k) / (sqrt(v / (1 - b2^k)) + eps) + weight_decay p )

    Returns:
        params, opt_state
    """
    updates, opt_state = _adamw(config).update(gradient, opt_state, params)
    return optax.apply_updates(params, updates), opt_state


def average_decay(config: Config, step: Any, decay: float) -> Any:
    """Decay d of an average in its update after `step` updates of the parameters.

    decay, or with ema_warmup min(decay, (1 + k) / (10 + k)), where k = step / ema_every - 1 is the
    number of updates of the average before this one (num_updates of TensorFlow's
    ExponentialMovingAverage): 0.1, 0.18, 0.25, …, so a short run is not an average of its start.
    """
    if not config.training.ema_warmup:
        return decay
    k = jnp.asarray(step // config.training.ema_every - 1, float)
    return jnp.minimum(decay, (1 + k) / (10 + k))


def update_average(config: Config, step: Any, decay: float, ema_params: Any, params: Any) -> Any:
    """Exponential moving average (EMA) of the updated parameters: d ema + (1 - d) params

    Updated only where `step`, the number of updates made, is a multiple of ema_every; d is
    `average_decay`.
    """
    every = config.training.ema_every
    decay = average_decay(config, step, decay)

    def update(ema_params: Any) -> Any:
        # A decay that warms up may be wider than the parameters.
        return jax.tree.map(
            lambda ema, array: (decay * ema + (1 - decay) * array).astype(ema.dtype),
            ema_params,
            params,
        )

    if every == 1:
        return update(ema_params)
    return jax.lax.cond(step % every == 0, update, lambda ema_params: ema_params, ema_params)


def _adamw(config: Config) -> optax.GradientTransformation:
    training = config.training
    return optax.adamw(
        lambda num_updates: learning_rate(config, num_updates),
        b1=training.adam_b1,
        b2=training.adam_b2,
        eps=training.adam_eps,
        weight_decay=training.weight_decay,
    )


def _progress(config: Config, after: Any) -> Any:
    """Elapsed fraction p in [0, 1) of the current cosine cycle, `after` steps after warm-up."""
    starts, lengths = cycle_table(config.training)
    if config.training.cycle_growth == 1:
        return after % lengths[0] / lengths[0]
    cycle = jnp.searchsorted(jnp.asarray(starts, float), after, side="right") - 1
    return (after - jnp.asarray(starts, float)[cycle]) / jnp.asarray(lengths, float)[cycle]
