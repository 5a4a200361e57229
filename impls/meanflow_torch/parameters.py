"""Conversion of parameters between canonical form and this framework's layout."""

from typing import Any

import numpy as np

from impls.common import parameters
from impls.common.config import Config

from .device import get, put


def load_params(config: Config, canonical: dict[str, np.ndarray]) -> Any:
    """Parameters in this framework's layout from canonical ones (see `impls.common.parameters`).

    The result is a state_dict of `DiT`, with the names and layouts of facebookresearch/DiT.

    Raises:
        ValueError: naming the first tensor that is missing, unknown or of another shape.
    """
    return put(parameters.to_torch(config.network, canonical))


def export_params(config: Config, params: Any) -> dict[str, np.ndarray]:
    """Canonical name -> NumPy array, the inverse of `load_params`."""
    return parameters.from_torch(config.network, get(params))


def init_params(config: Config, seed: int) -> Any:
    """Initial parameters, the same numbers in both frameworks: see `impls.common.parameters`."""
    return load_params(config, parameters.initial_parameters(config.network, seed))
