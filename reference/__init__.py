"""The reference implementation: MeanFlow in NumPy float64, every derivative written by hand.

It decides what is right where implementations differ. It imports nothing of impls, and has the
names of impls.protocol where they make sense, so the verification suite checks it like any other
implementation. Public names stand in data-flow order.
"""

from .device import put, get, sync
from .parameters import load_params, export_params
from .network import mean_velocity, mean_velocity_jvp, ablations, activations
from .objective import (
    Loss,
    times,
    interpolate,
    guided_velocity,
    drop_labels,
    target,
    squared_error,
    adaptive_weight,
    loss,
    loss_and_gradient,
)
from .optimizer import learning_rate, clip_gradient, init_optimizer, apply_gradient, update_average
from .step import State, init_state, train_step, accumulate, update
from .sample import sample
from .vision.autoencoder import load_autoencoder, encode, decode
from .vision.inception import load_inception, inception_features
