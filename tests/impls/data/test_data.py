"""The digits are what scikit-learn bundles, scaled to exactly -1 .. 1."""

import numpy as np

from impls.common.types import Batch
from impls.data import digits

LABEL_COUNTS = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]  # UCI, 0 to 9
FIRST_ROW = [0, 0, 5, 13, 9, 1, 0, 0]  # grey levels of the first image, a zero


def test_digits_are_those_that_were_published():
    data = digits()
    assert isinstance(data, Batch)
    images, labels = data
    assert (images.shape, images.dtype) == ((1797, 8, 8, 1), np.float32)
    assert (labels.shape, labels.dtype) == ((1797,), np.int32)
    assert labels[:10].tolist() == list(range(10))
    assert np.bincount(labels).tolist() == LABEL_COUNTS


def test_digits_keep_all_seventeen_grey_levels_exactly_and_upright():
    images, _ = digits()
    np.testing.assert_array_equal(np.unique(images), np.arange(17) / 8 - 1)
    np.testing.assert_array_equal(images[0, 0, :, 0], np.array(FIRST_ROW) / 8 - 1)


def test_digits_can_be_changed_without_changing_the_next_call():
    digits().images[...] = 0
    assert digits().images.any()
