"""MeanFlow in JAX: the public names, in data-flow order. This module satisfies the protocol."""

from .autoencoder import decode, encode, load_autoencoder
from .checkpoint import (
    export_state,
    load_state,
    restore_checkpoint,
    save_checkpoint,
)
from .cost import (
    compile_with_cost,
    matrix_product,
)
from .device import (
    device_name,
    export_params,
    get,
    init_params,
    load_params,
    put,
    select_device,
    sync,
)
from .draws import device_draws
from .inception import (
    inception_features,
    load_inception,
)
from .network import (
    DiT,
    ablations,
    activations,
    mean_velocity,
    mean_velocity_jvp,
    parameter_shapes,
)
from .objective import (
    adaptive_weight,
    dense_velocities,
    drop_labels,
    guide,
    guided_velocity,
    interpolate,
    loss,
    loss_and_gradient,
    num_equal_rows,
    sparse_velocities,
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
    "ablations",
    "accumulate",
    "activations",
    "adaptive_weight",
    "apply_gradient",
    "clip_gradient",
    "compile_step",
    "compile_with_cost",
    "decode",
    "dense_velocities",
    "device_draws",
    "device_name",
    "drop_labels",
    "encode",
    "export_params",
    "export_state",
    "get",
    "guide",
    "guided_velocity",
    "inception_features",
    "init_optimizer",
    "init_params",
    "init_state",
    "interpolate",
    "learning_rate",
    "load_autoencoder",
    "load_inception",
    "load_params",
    "load_state",
    "loss",
    "loss_and_gradient",
    "matrix_product",
    "mean_velocity",
    "mean_velocity_jvp",
    "num_equal_rows",
    "parameter_shapes",
    "put",
    "restore_checkpoint",
    "sample",
    "save_checkpoint",
    "select_device",
    "sparse_velocities",
    "squared_error",
    "sync",
    "target",
    "times",
    "train_step",
    "update",
    "update_average",
]
