"""The border of the reference: NumPy in, NumPy out."""

from __future__ import annotations

from typing import Any

import numpy as np


def put(tree: Any) -> Any:
    """NumPy arrays as this subject's own arrays: NumPy arrays."""
    return tree


def get(tree: Any) -> Any:
    """This subject's arrays as NumPy arrays."""
    return tree


def sync(tree: Any) -> Any:
    """Wait until the arrays are computed: they are."""
    return tree


def load_params(config: Any, canonical: dict[str, Any]) -> dict[str, Any]:
    """Parameters in this subject's layout, which is the canonical one, from canonical arrays."""
    return {name: np.array(array) for name, array in canonical.items()}


def export_params(config: Any, params: dict[str, Any]) -> dict[str, Any]:
    """Canonical name -> NumPy array."""
    return {name: np.array(array) for name, array in params.items()}
