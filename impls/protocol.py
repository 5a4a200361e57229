"""Interface of an implementation to verify, bench and the trainer; a module with it is a subject.

Arrays are the framework's own; `put` and `get` convert them from and to NumPy. Every random number
is an argument (`Draws`). Checks that need a function which a subject lacks are "not applicable" to
it, and do not fail. With the eight functions of `ESSENTIAL` more than fifty checks apply: network,
JVP, loss, gradient and sampler against the reference, the authors' numbers and another subject.
Each further function makes more of them apply.

Shapes are the same everywhere: images, z, v, u and noise are [batch, height, width, channel] float;
times t, r and h = t - r are [batch] float in 0..1 with r <= t; labels are [batch] integer, and
num_classes stands for "no label".
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from impls.common.config import Config
from impls.common.types import Array, Batch, CanonicalState, Cost, Draws, Loss
from impls.files.autoencoder import Autoencoder
from impls.files.inception import InceptionWeights

Canonical = dict[str, np.ndarray[Any, Any]]  # canonical name -> array: see impls.common.parameters
Params = Any  # the subject's own structure of parameters
State = Any  # has step, params, ema_params, ema_more, opt_state
Step = Callable[[State, Batch, Draws], tuple[State, Any]]  # -> state after it, metrics


class Core(Protocol):
    """Transfer between NumPy and the device, parameters, and the network.

    `put` and `get` map any tree of tuples and dictionaries of arrays and keep every dtype.
    `clear_caches` is called between families of checks. `mean_velocity` returns u(z, t, h, y);
    `mean_velocity_jvp` u and du/dt along (tangent, 0, 1) of (z, r, t), where `tangent` belongs to
    the last rows and only those get a du/dt. `activations` are arrays by canonical module name.
    `ablations` are the supported values of method.tangent and model.embedding.

    Raises:
        UserError: from `select_device`, when there is no such device.
        ValueError: from `put`, for an array that the framework would round; from `load_params`,
            naming the first tensor that is missing, unknown or of another shape.
    """

    def select_device(self, name: str) -> None: ...
    def device_name(self) -> str: ...
    def put(self, tree: Any) -> Any: ...
    def get(self, tree: Any) -> Any: ...
    def sync(self, tree: Any) -> Any: ...
    def clear_caches(self) -> None: ...

    def init_params(self, config: Config, seed: int) -> Params: ...
    def load_params(self, config: Config, canonical: Canonical) -> Params: ...
    def export_params(self, config: Config, params: Params) -> Canonical: ...
    def parameter_shapes(self, config: Config) -> dict[str, tuple[int, ...]]: ...

    def mean_velocity(
        self, config: Config, params: Params, z: Array, t: Array, h: Array, labels: Array
    ) -> Array: ...
    def mean_velocity_jvp(
        self, config: Config, params: Params, z: Array, r: Array, t: Array, labels: Array,
        tangent: Array,
    ) -> tuple[Array, Array]: ...  # fmt: skip
    def ablations(self) -> tuple[str, ...]: ...
    def activations(
        self, config: Config, params: Params, z: Array, t: Array, h: Array, labels: Array
    ) -> dict[str, Array]: ...


class Objective(Protocol):
    """Loss, and every intermediate quantity.

    `jvp_forms` are the supported values of method.jvp. `times` returns t and r, `interpolate` z and
    v, `guided_velocity` v_g, `drop_labels` v_g and the labels that the network gets.
    `squared_error` and `adaptive_weight` are [batch], `target` has the shape of v_g, and no
    gradient flows through the last two. The gradient has the structure of the parameters.

    Raises:
        ValueError: from `loss` and `loss_and_gradient`, naming an array of another shape or kind.
    """

    def jvp_forms(self) -> tuple[str, ...]: ...
    def times(self, config: Config, draws: Draws) -> tuple[Array, Array]: ...
    def interpolate(self, x: Array, noise: Array, t: Array) -> tuple[Array, Array]: ...
    def guided_velocity(
        self, config: Config, params: Params, z: Array, t: Array, v: Array, labels: Array
    ) -> Array: ...
    def drop_labels(
        self, config: Config, labels: Array, v: Array, v_g: Array, draws: Draws
    ) -> tuple[Array, Array]: ...
    def target(self, v_g: Array, du_dt: Array, t: Array, r: Array) -> Array: ...
    def squared_error(self, u: Array, u_target: Array) -> Array: ...
    def adaptive_weight(self, config: Config, error: Array) -> Array: ...
    def loss(
        self, config: Config, params: Params, batch: Batch, draws: Draws, step: Any = None
    ) -> Loss: ...
    def loss_and_gradient(
        self, config: Config, params: Params, batch: Batch, draws: Draws, step: Any = None
    ) -> tuple[Loss, Params]: ...


class Trainer(Protocol):
    """Training steps, training states, and sampling.

    `accumulate` is `loss_and_gradient` over the parts of a batch. `learning_rate` takes the number
    of steps made; `clip_gradient` returns the gradient and its norm [] before clipping.
    `train_step` and `compile_step` may donate the buffers of the given state. `sample` steps
    through the times 1 = s_0 > … > s_N = 0, host numbers, with one network call per step.

    Raises:
        CheckpointError: from `restore_checkpoint`, for damaged files or a network of another size.
        ValueError: from `load_state` as from `load_params`; from `sample`, for times that do not
            fall from 1 to 0 or an array of another shape.
    """

    def accumulate(
        self, config: Config, params: Params, batch: Batch, draws: Draws, step: Any = None
    ) -> tuple[Loss, Params]: ...
    def learning_rate(self, config: Config, step: Any) -> Any: ...
    def clip_gradient(self, config: Config, gradient: Params) -> tuple[Params, Array]: ...
    def init_state(self, config: Config, params: Params) -> State: ...
    def train_step(
        self, config: Config, state: State, batch: Batch, draws: Draws
    ) -> tuple[State, Loss]: ...
    def compile_step(self, config: Config) -> Step: ...
    def save_checkpoint(self, path: Path, state: State) -> None: ...
    def restore_checkpoint(self, path: Path, config: Config) -> State: ...
    def export_state(self, config: Config, state: State) -> CanonicalState: ...
    def load_state(self, config: Config, canonical: CanonicalState) -> State: ...
    def device_draws(self, config: Config, step: int) -> Draws: ...
    def sample(
        self, config: Config, params: Params, noise: Array, labels: Array, times: Sequence[float]
    ) -> Array: ...


class Vision(Protocol):
    """Autoencoder of the latents, and Inception features for FID.

    Images of the autoencoder are in -1..1. `encode` returns mean and standard deviation of the
    latent, a factor of 8 smaller and on the autoencoder's own scale; `decode` maps latents back.
    Images of Inception are [n, height, width, 3] in 0..255, its features [n, features].

    Raises:
        NotInstalledError: from the loaders, naming the package that is missing.
        UserError: from `inception_features`, for an unknown mode.
        ValueError: for images or latents of another shape.
    """

    def load_autoencoder(self, autoencoder: Autoencoder) -> Any: ...
    def encode(self, model: Any, images: Array) -> tuple[Array, Array]: ...
    def decode(self, model: Any, latents: Array) -> Array: ...
    def load_inception(self, weights: InceptionWeights) -> Any: ...
    def inception_features(self, model: Any, images: Array, mode: str) -> Array: ...


class Bench(Protocol):
    """Cost of a compiled step, and a product of two matrices [size, size] for comparison."""

    def compile_with_cost(
        self, config: Config, state: State, batch: Batch, draws: Draws
    ) -> tuple[Step, Cost]: ...
    def matrix_product(self, config: Config, size: int) -> Callable[[], Array]: ...


PARTS = (Core, Objective, Trainer, Vision, Bench)
NAMES = tuple(name for part in PARTS for name in vars(part) if not name.startswith("_"))
ESSENTIAL = (
    "put", "get", "load_params", "export_params", "mean_velocity", "mean_velocity_jvp",
    "loss_and_gradient", "sample",
)  # fmt: skip


class Implementation(Core, Objective, Trainer, Vision, Bench, Protocol):
    """The whole protocol, as both implementations offer it."""
