"""MeanFlow in JAX: the public names, in data-flow order. This module satisfies the protocol."""

from .device import select_device, device_name, put, get, sync, clear_caches
from .parameters import load_params, export_params, init_params
from .dit import DiT
from .network import mean_velocity, mean_velocity_jvp, ablations, activations, parameter_shapes
from .objective import (
    times,
    num_equal_rows,
    interpolate,
    guided_velocity,
    guide,
    drop_labels,
    jvp_forms,
    dense_velocities,
    sparse_velocities,
    target,
    squared_error,
    adaptive_weight,
    loss,
    loss_and_gradient,
)
from .optimizer import learning_rate, clip_gradient, init_optimizer, apply_gradient, update_average
from .step import State, Metrics, init_state, train_step, accumulate, update, compile_step
from .checkpoint import save_checkpoint, restore_checkpoint, export_state, load_state
from .sample import sample
from .draws import device_draws
from .cost import compile_with_cost, matrix_product
from .vision.autoencoder import load_autoencoder, encode, decode
from .vision.inception import load_inception, inception_features
