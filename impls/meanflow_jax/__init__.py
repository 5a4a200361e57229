"""MeanFlow in JAX: the public names, in data-flow order. This module satisfies the protocol."""

from .device import (
    export_params,
    get,
    init_params,
    load_params,
    put,
    sync,
)
from .network import (
    DiT,
    activations,
    mean_velocity,
    mean_velocity_jvp,
    parameter_shapes,
)
from .objective import (
    adaptive_weight,
    drop_labels,
    guided_velocity,
    interpolate,
    loss,
    loss_and_gradient,
    squared_error,
    target,
    times,
)
from .sample import sample

__all__ = [
    "DiT",
    "activations",
    "adaptive_weight",
    "drop_labels",
    "export_params",
    "get",
    "guided_velocity",
    "init_params",
    "interpolate",
    "load_params",
    "loss",
    "loss_and_gradient",
    "mean_velocity",
    "mean_velocity_jvp",
    "parameter_shapes",
    "put",
    "sample",
    "squared_error",
    "sync",
    "target",
    "times",
]
