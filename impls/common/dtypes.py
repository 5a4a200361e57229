"""Conversion of trees of arrays to another floating dtype."""

from typing import Any

import numpy as np


def as_dtype(tree: Any, dtype: Any) -> Any:
    """The tree with its floating arrays in another dtype; integers keep theirs."""
    if isinstance(tree, dict):
        return {name: as_dtype(node, dtype) for name, node in tree.items()}
    if isinstance(tree, tuple):
        nodes = [as_dtype(node, dtype) for node in tree]
        return type(tree)(*nodes) if hasattr(tree, "_fields") else tuple(nodes)
    array = np.asarray(tree)
    return array.astype(dtype) if array.dtype.kind == "f" else array
