"""Handwritten digits bundled with scikit-learn, without a download."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from impls.common.config import DatasetConfig
from impls.common.types import Batch
from impls.data.examples import Arrays, check_labels

DIGITS_LEVELS = 16  # scikit-learn's digits have grey levels 0 .. 16
HELD_OUT = 5  # of the digits, every fifth image is held out for evaluation


def digits() -> Batch:
    """Scikit-learn's bundled handwritten digits (Alpaydin and Kaynak, UCI 1998).

    Returns:
        images: [1797, 8, 8, 1] float32 in -1..1; labels: [1797] int32 in 0..9.
    """
    from sklearn.datasets import load_digits

    data: Any = load_digits()
    images: NDArray[np.float32] = (data.images / (DIGITS_LEVELS / 2) - 1).astype(np.float32)
    return Batch(images[..., None], data.target.astype(np.int32))


def digits_split(held_out: bool) -> Batch:
    """Training digits, or the held-out ones: every fifth image."""
    images, labels = digits()
    chosen = (np.arange(len(labels)) % HELD_OUT == HELD_OUT - 1) == held_out
    return Batch(images[chosen], labels[chosen])


def training_digits(config: DatasetConfig) -> Arrays:
    """Training digits; never mirrored, since a mirrored digit is not a digit."""
    images, labels = digits_split(held_out=False)
    check_labels(labels, config.num_classes, config.name)
    return Arrays(images, labels, flip=False)
