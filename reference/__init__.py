"""The arbiter: MeanFlow in NumPy float64, with every derivative written by hand.

It imports nothing of impls, and offers the names of the protocol where they make sense, so it is
itself a subject of the verification suite.
"""

from .device import get, put, sync
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
from .optimizer import apply_gradient, clip_gradient, init_optimizer, learning_rate, update_average
from .parameters import export_params, load_params
from .sample import sample
from .step import State, accumulate, init_state, train_step, update
from .vision.autoencoder import decode, encode, load_autoencoder
from .vision.inception import inception_features, load_inception

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
