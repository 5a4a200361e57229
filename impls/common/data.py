"""Data sets as NumPy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from impls.common.records import Batch

DIGITS_LEVELS = 16  # scikit-learn's digits have grey levels 0 .. 16


def digits() -> Batch:
    """Scikit-learn's bundled handwritten digits (Alpaydin and Kaynak, UCI 1998), no download.

    Returns:
        images: [1797, 8, 8, 1] float32 in -1..1; labels: [1797] int32 in 0..9.
    """
    from sklearn.datasets import load_digits

    data: Any = load_digits()
    images: NDArray[np.float32] = (data.images / (DIGITS_LEVELS / 2) - 1).astype(np.float32)
    return Batch(images[..., None], data.target.astype(np.int32))
