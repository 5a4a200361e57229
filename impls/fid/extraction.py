"""Inception features of any number of images, in batches of a fixed size."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from impls.files.inception import InceptionWeights

Extractor = Callable[[NDArray[Any]], NDArray[Any]]


def extractor(
    implementation: Any, weights: InceptionWeights, mode: str, batch_size: int
) -> Extractor:
    """Feature extractor: images [n, height, width, 3] in 0..255 -> features [n, features].

    The last batch is padded, so that it does not need another compilation.

    Args:
        implementation: a module of the protocol.
        mode: one of `impls.files.inception.MODES`.
        batch_size: images that are on the device at a time.

    Raises:
        UserError: for an unknown mode, or when a package is not installed.
    """
    model = implementation.load_inception(weights)

    def features(images: NDArray[Any]) -> NDArray[Any]:
        found = [np.zeros((0, weights.num_features), np.float32)]
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size]
            missing = batch_size - len(batch)
            filled = np.pad(batch, ((0, missing), (0, 0), (0, 0), (0, 0)))
            put = implementation.put(filled)
            made = implementation.get(implementation.inception_features(model, put, mode))
            found.append(made[: len(batch)])
        return np.concatenate(found)

    return features
