"""The arbiter: MeanFlow in NumPy float64, with every derivative written by hand.

It imports nothing of impls, and offers the names of the protocol where they make sense, so it is
itself a subject of the verification suite.
"""

from .autoencoder import decode, encode, load_autoencoder
from .device import export_params, get, load_params, put, sync
from .inception import inception_features, load_inception
from .network import ablations, activations, mean_velocity, mean_velocity_jvp
from .objective import (
    Loss,
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
from .step import State, accumulate, init_state, train_step, update

__all__ = [
    "Loss",
    "State",
    "ablations",
    "accumulate",
    "activations",
    "adaptive_weight",
    "apply_gradient",
    "clip_gradient",
    "decode",
    "drop_labels",
    "encode",
    "export_params",
    "get",
    "guided_velocity",
    "inception_features",
    "init_optimizer",
    "init_state",
    "interpolate",
    "learning_rate",
    "load_autoencoder",
    "load_inception",
    "load_params",
    "loss",
    "loss_and_gradient",
    "mean_velocity",
    "mean_velocity_jvp",
    "put",
    "sample",
    "squared_error",
    "sync",
    "target",
    "times",
    "train_step",
    "update",
    "update_average",
]
