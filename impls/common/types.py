"""Named tuples that pass between the steps of the method.

Both frameworks treat them as trees of arrays (pytrees).
"""

from typing import Any, NamedTuple

import numpy as np

Array = Any  # a NumPy, JAX or torch array


class Batch(NamedTuple):
    """Training examples."""

    images: Array  # [batch, height, width, channel] float, pixels in -1..1 or scaled latents
    labels: Array  # [batch] int32, 0 <= label < num_classes


class Draws(NamedTuple):
    """Random draws of one evaluation of the objective.

    The first four are in the order in which the official code draws them; it has no fifth.
    """

    t_raw: Array  # [batch] float, standard normal, or uniform on [0, 1) for noise_dist "uniform"
    r_raw: Array  # [batch] float, same law as t_raw
    noise: Array  # [batch, height, width, channel] float, standard normal: e
    drop_uniform: Array  # [batch] float, uniform on [0, 1)
    equal_uniform: Array  # [batch] float, uniform on [0, 1); used by equal_rows "random"


class Loss(NamedTuple):
    """MeanFlow loss and its intermediate quantities."""

    total: Array  # [] float: mean over the batch of weight * squared_error
    squared_error: Array  # [batch] float: (u - target)^2, summed or averaged (method.reduction)
    weight: Array  # [batch] float, without gradient: 1 / (squared_error + norm_eps)^norm_p
    v_loss: Array  # [batch] float, monitor only: sum over pixels and channels of (u - v)^2
    t: Array  # [batch] float, later time
    r: Array  # [batch] float, earlier time
    z: Array  # [batch, height, width, channel] float: (1 - t) x + t e
    v: Array  # [batch, height, width, channel] float: e - x
    v_g: Array  # [batch, height, width, channel] float: guided velocity
    labels_in: Array  # [batch] int32: labels after dropout, num_classes where dropped
    u: Array  # [batch, height, width, channel] float: average velocity
    # Total derivative of u along (v_g, 0, 1), or as method.tangent and method.tangent_velocity say;
    # method.jvp "sparse": 0 where r = t.
    du_dt: Array  # [batch, height, width, channel] float
    target: Array  # [batch, height, width, channel] float, without gradient


class Cost(NamedTuple):
    """Cost of one training step, as its framework counts it."""

    flops: float  # floating-point operations; a multiply and an add are two
    bytes_accessed: float | None  # read and written by all operations together; None: not counted
    peak_bytes: float  # memory in use at once, with the state and the batch
    compile_seconds: float  # until the step is ready, with eager PyTorch the first call
    argument_bytes: float | None = None  # of peak_bytes: state, batch and draws; None: not known
    temporary_bytes: float | None = None  # of peak_bytes: intermediate results; None: not known


class CanonicalState(NamedTuple):
    """Training state independent of a framework: arrays by canonical parameter name."""

    step: int  # steps made
    params: dict[str, Array]
    ema_params: dict[str, Array]
    ema_more: tuple[dict[str, Array], ...]
    num_updates: int  # by the optimizer: the exponent in its bias corrections
    first_moment: dict[str, Array]
    second_moment: dict[str, Array]

    @classmethod
    def without_moments(cls, step: int, params: Any, ema_params: Any) -> "CanonicalState":
        """Training state of parameters and their EMA alone; the moments are zero, float32."""
        zeros = {name: np.zeros_like(array, np.float32) for name, array in params.items()}
        return cls(step, params, ema_params, (), 0, zeros, zeros)


# Fields of Batch, Draws and Loss that each step tests for finiteness, in the order of computation;
# `impls.common.parameters.finite_names` adds the gradients.
FINITE_FIELDS = (
    "images", "noise", "t", "r", "v_g", "u", "du_dt", "target", "squared_error", "total",
)  # fmt: skip
