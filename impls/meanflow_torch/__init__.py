"""MeanFlow in PyTorch: the public names, in data-flow order. This module satisfies the protocol."""

from .checkpoint import (
    export_state,
    load_state,
    restore_checkpoint,
    save_checkpoint,
)
from .device import (
    export_params,
    get,
    init_params,
    load_params,
    put,
    select_device,
    sync,
)
from .draws import device_draws
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
from .optimizer import (
    apply_gradient,
    clip_gradient,
    init_optimizer,
    learning_rate,
    update_average,
)
from .sample import sample
from .step import (
    Metrics,
    State,
    accumulate,
    compile_step,
    init_state,
    train_step,
    update,
)

__all__ = [
    "DiT",
    "Metrics",
    "State",
    "accumulate",
    "activations",
    "adaptive_weight",
    "apply_gradient",
    "clip_gradient",
    "compile_step",
    "device_draws",
    "drop_labels",
    "export_params",
    "export_state",
    "get",
    "guided_velocity",
    "init_optimizer",
    "init_params",
    "init_state",
    "interpolate",
    "learning_rate",
    "load_params",
    "load_state",
    "loss",
    "loss_and_gradient",
    "mean_velocity",
    "mean_velocity_jvp",
    "parameter_shapes",
    "put",
    "restore_checkpoint",
    "sample",
    "save_checkpoint",
    "select_device",
    "squared_error",
    "sync",
    "target",
    "times",
    "train_step",
    "update",
    "update_average",
]
