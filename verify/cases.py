"""Built-in cases: small networks on digits and on noise of the shape of latents.

Parameters are perturbed so that none is zero. Every input is a float32 number, so runs in float64
and float32 have the same inputs and differ by rounding alone.
"""

import functools
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import reference
from impls.common import draws, parameters
from impls.common.config import Config
from impls.common.config_files import from_sizes
from impls.common.draws import Stream
from impls.common.dtypes import as_dtype
from impls.common.types import Batch, Draws
from impls.data import digits
from reference.derivative import complex_step_directional

Array = NDArray[Any]
PERTURBATION = 0.05
NUM_DIRECTIONS = 4

DIGITS = {
    "input_size": 8, "patch_size": 2, "in_channels": 1, "hidden_size": 32, "depth": 2,
    "num_heads": 4, "mlp_ratio": 4.0, "num_classes": 10,
}  # fmt: skip
LATENT = {
    "input_size": 12, "patch_size": 4, "in_channels": 4, "hidden_size": 24, "depth": 3,
    "num_heads": 3, "mlp_ratio": 2.5, "num_classes": 6,
}  # fmt: skip

# name -> (sizes, rows, settings that differ from the official defaults)
SETTINGS: dict[str, tuple[dict[str, Any], int, dict[str, Any]]] = {
    "guided": (DIGITS, 8, {}),
    "odd_batch": (DIGITS, 7, {"class_dropout_prob": 0.3}),
    "one_row": (DIGITS, 1, {}),
    "latent": (LATENT, 5, {"omega": 0.2, "kappa": 0.92, "t_end": 0.8}),
    "omega": (DIGITS, 8, {"omega": 2.0, "kappa": 0.0}),
    "unguided": (DIGITS, 8, {"guidance_eq": "none"}),
    "window": (DIGITS, 8, {"omega": 1.5, "kappa": 0.25, "t_start": 0.35, "t_end": 0.6}),
    "omega_window": (DIGITS, 8, {"omega": 3.0, "kappa": 0.0, "t_start": 0.35, "t_end": 0.6}),
    "uniform": (DIGITS, 8, {"noise_dist": "uniform", "data_proportion": 0.5}),
    "wide_times": (DIGITS, 8, {"P_mean": -2.0, "P_std": 2.0}),
    "plain_l2": (DIGITS, 8, {"norm_p": 0.0}),
    "half_power": (DIGITS, 8, {"norm_p": 0.5, "norm_eps": 1e-3}),
    "double_power": (DIGITS, 8, {"norm_p": 2.0, "norm_eps": 1.0}),
    "every_row_jvp": (DIGITS, 8, {"data_proportion": 0.0}),
    "no_row_jvp": (DIGITS, 8, {"data_proportion": 1.0}),
    "many_dropped": (DIGITS, 8, {"data_proportion": 0.25, "class_dropout_prob": 0.6}),
    "all_dropped": (DIGITS, 8, {"class_dropout_prob": 1.0}),
}


class NetworkInputs(NamedTuple):
    """Arguments of the network and of its JVP, all [batch, …] float32 but the labels."""

    z: Array  # [batch, height, width, channel]
    t: Array  # [batch]
    r: Array  # [batch], r <= t
    h: Array  # [batch], t - r
    labels: Array  # [batch] int32, the null label in the last row
    tangent: Array  # as z


@dataclass(frozen=True, eq=False)
class Case:
    """Case: a configuration and every input of the objective, NumPy float32."""

    name: str
    config: Config
    params: dict[str, Array]  # canonical name -> array
    batch: Batch
    draws: Draws
    # Argument `step` of the loss, where a schedule reads it.
    steps_made: int | None = field(default=None, kw_only=True)

    @functools.cached_property
    def step(self) -> tuple[Any, dict[str, Array]]:
        """Expected result: the reference's loss and gradient in float64."""
        params, batch, draws = as_dtype((self.params, self.batch, self.draws), np.float64)
        return reference.loss_and_gradient(self.config, params, batch, draws, self.steps_made)

    @functools.cached_property
    def stages(self) -> Any:
        """Intermediate results of the loss, rounded to float32: inputs for checks of one stage."""
        return as_dtype(self.step[0], np.float32)

    @functools.cached_property
    def inputs(self) -> NetworkInputs:
        """Inputs of the network alone, unrelated to the data."""
        rows, key = len(self.batch.labels), draws.name_index(self.name)
        t, r, _ = np.sort(draws.uniform((3, rows), key, Stream.CHECK, 0), axis=0)[::-1]
        labels = self.batch.labels.copy()
        labels[-1] = self.config.network.num_classes
        shape = self.batch.images.shape
        z, tangent = (draws.normal(shape, key, Stream.CHECK, i) for i in (1, 2))
        return NetworkInputs(z, t, r, t - r, labels, tangent)

    @functools.cached_property
    def activations(self) -> dict[str, Array]:
        """Outputs of each module of the reference for `inputs`, in float64."""
        x = self.inputs
        wide = as_dtype((self.params, x.z, x.t, x.h, x.labels), np.float64)
        return reference.activations(self.config, *wide)

    @functools.cached_property
    def slopes(self) -> tuple[float, ...]:
        """Derivatives of the loss along the first directions, by complex step in float64."""
        directions = map(self.direction, range(NUM_DIRECTIONS))
        params, *along = as_dtype((self.params, *directions), np.float64)
        return tuple(complex_step_directional(self.config, params, self.step[0], d) for d in along)

    def direction(self, index: int) -> dict[str, Array]:
        """A random direction in parameter space: canonical name -> standard normals, float32."""
        return {
            name: draws.normal(array.shape, index, Stream.CHECK, draws.name_index(name))
            for name, array in self.params.items()
        }


def with_method(config: Config, **settings: Any) -> Config:
    """The configuration with other settings of the method."""
    return config.model_copy(update={"method": config.method.model_copy(update=settings)})


def perturbed_parameters(config: Config, seed: int) -> dict[str, Array]:
    """Initial parameters plus 0.05 times standard normals, so that nothing is zero; float32."""
    initial = parameters.initial_parameters(config.network, seed)
    return {
        name: array
        + np.float32(PERTURBATION)
        * draws.normal(array.shape, seed, Stream.CHECK, draws.name_index(name))
        for name, array in initial.items()
    }


@functools.cache
def cases() -> tuple[Case, ...]:
    """Every built-in case, in the order of SETTINGS."""
    return tuple(make_case(name, *settings) for name, settings in SETTINGS.items())


def make_case(name: str, sizes: dict[str, Any], rows: int, settings: dict[str, Any]) -> Case:
    """Case with these network sizes, this number of rows and these settings of the method.

    Networks of the sizes DIGITS get digits, all others noise.
    """
    config = from_sizes(sizes, settings)
    seed = draws.name_index(name)
    params = perturbed_parameters(config, seed)
    if sizes is DIGITS:
        images, labels = digits()
        batch = Batch(images[:rows], labels[:rows])
    else:
        shape = (rows, *draws.image_shape(config.network))
        latents = draws.normal(shape, seed, Stream.CHECK, 3)
        batch = Batch(latents, np.arange(rows, dtype=np.int32) % config.network.num_classes)
    return Case(name, config, params, batch, draws.training_draws(config, seed, 0, rows))
