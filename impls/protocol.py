"""What verify and bench may call: a module with these names is a subject.

Arrays are the framework's own; `put` and `get` cross the border. `Params` is whatever the subject
likes to keep its parameters in. A subject that lacks a name is not failed by the checks that need
it: they say "not applicable" and why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from impls.common.config import Config
from impls.common.records import Array, Batch, CanonicalState, Draws, Loss

Canonical = dict[str, np.ndarray[Any, Any]]  # canonical name -> array: see impls.common.weights
Params = Any
State = Any  # has step, params, ema_params, ema_more, opt_state


class Implementation(Protocol):
    """The protocol. Shapes: images [batch, height, width, channel]; times and labels [batch]."""

    def select_device(self, name: str) -> None: ...
    def put(self, tree: Any) -> Any: ...
    def get(self, tree: Any) -> Any: ...
    def sync(self, tree: Any) -> Any: ...

    def init_params(self, config: Config, seed: int) -> Params: ...
    def load_params(self, config: Config, canonical: Canonical) -> Params: ...
    def export_params(self, config: Config, params: Params) -> Canonical: ...
    def parameter_shapes(self, config: Config) -> dict[str, tuple[int, ...]]: ...

    def mean_velocity(
        self, config: Config, params: Params, z: Array, t: Array, h: Array, labels: Array
    ) -> Array: ...
    def mean_velocity_jvp(
        self,
        config: Config,
        params: Params,
        z: Array,
        r: Array,
        t: Array,
        labels: Array,
        tangent: Array,
    ) -> tuple[Array, Array]: ...  # u, du_dt
    def activations(
        self, config: Config, params: Params, z: Array, t: Array, h: Array, labels: Array
    ) -> dict[str, Array]: ...

    def times(self, config: Config, draws: Draws) -> tuple[Array, Array]: ...  # t, r
    def interpolate(self, x: Array, noise: Array, t: Array) -> tuple[Array, Array]: ...  # z, v
    def guided_velocity(
        self, config: Config, params: Params, z: Array, t: Array, v: Array, labels: Array
    ) -> Array: ...
    def drop_labels(
        self, config: Config, labels: Array, v: Array, v_g: Array, draws: Draws
    ) -> tuple[Array, Array]: ...  # v_g, labels_in
    def target(self, v_g: Array, du_dt: Array, t: Array, r: Array) -> Array: ...
    def squared_error(self, u: Array, u_target: Array) -> Array: ...
    def adaptive_weight(self, config: Config, error: Array) -> Array: ...
    def loss(self, config: Config, params: Params, batch: Batch, draws: Draws) -> Loss: ...
    def loss_and_gradient(
        self, config: Config, params: Params, batch: Batch, draws: Draws
    ) -> tuple[Loss, Params]: ...

    def accumulate(
        self, config: Config, params: Params, batch: Batch, draws: Draws
    ) -> tuple[Loss, Params]: ...
    def learning_rate(self, config: Config, step: Any) -> Any: ...
    def clip_gradient(self, config: Config, gradient: Params) -> tuple[Params, Array]: ...
    def init_state(self, config: Config, params: Params) -> State: ...
    def train_step(
        self, config: Config, state: State, batch: Batch, draws: Draws
    ) -> tuple[State, Loss]: ...

    def compile_step(
        self, config: Config
    ) -> Callable[[State, Batch, Draws], tuple[State, Any]]: ...  # state, metrics
    def save_checkpoint(self, path: Path, state: State) -> None: ...
    def restore_checkpoint(self, path: Path, config: Config) -> State: ...
    def export_state(self, config: Config, state: State) -> CanonicalState: ...
    def load_state(self, config: Config, canonical: CanonicalState) -> State: ...
    def device_draws(self, config: Config, step: int) -> Draws: ...

    def sample(
        self, config: Config, params: Params, noise: Array, labels: Array, times: Sequence[float]
    ) -> Array: ...
