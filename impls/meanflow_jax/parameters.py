"""Conversion of parameters between canonical form and this framework's layout."""

from typing import Any

import numpy as np

from impls.common import parameters
from impls.common.config import Config

from .device import get, put
from .stacking import stack, unstack


def load_params(config: Config, canonical: dict[str, np.ndarray]) -> Any:
    """Parameters in this framework's layout from canonical ones (see `impls.common.parameters`).

    The canonical names are the paths of the flax tree, but that blocks are stacked (stacking.py).

    Raises:
        ValueError: naming the first tensor that is missing, unknown or of another shape.
    """
    parameters.check_parameters(config.network, canonical)
    return put(stack(canonical, np.stack))


def export_params(config: Config, params: Any) -> dict[str, np.ndarray]:
    """Canonical name -> NumPy array, the inverse of `load_params`."""
    flat = unstack(get(params))
    return {tensor.name: flat[tensor.name] for tensor in parameters.tensors(config.network)}


def init_params(config: Config, seed: int) -> Any:
    """Initial parameters, the same numbers in both frameworks: see `impls.common.parameters`."""
    return load_params(config, parameters.initial_parameters(config.network, seed))
