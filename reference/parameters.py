"""Conversion of parameters, which the reference keeps in canonical form."""

from typing import Any

import numpy as np


def load_params(config: Any, canonical: dict[str, Any]) -> dict[str, Any]:
    """Parameters in this subject's layout, which is the canonical one, from canonical arrays."""
    return {name: np.array(array) for name, array in canonical.items()}


def export_params(config: Any, params: dict[str, Any]) -> dict[str, Any]:
    """Canonical name -> NumPy array."""
    return {name: np.array(array) for name, array in params.items()}
