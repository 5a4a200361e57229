"""The scores of digits on draws from a set of digits, whose scores are known."""

import functools

import numpy as np
import pytest

from impls.common import draws
from impls.common.draws import Stream
from impls.data import digits_split
from impls.fid import digits
from impls.fid.distance import frechet_distance
from impls.fid.moments import moments

TRIALS, SAMPLES = 150, 500


def rows(trial, count):
    """Rows drawn with replacement from the digits that are trained on."""
    size = len(digits_split(held_out=False).labels)
    return (draws.uniform((count,), 8, Stream.CHECK, trial) * size).astype(np.int64)


@functools.cache
def scores():
    """Distances of as many sets of digits, each drawn anew."""
    images = digits_split(held_out=False).images
    return [digits.digits_frechet(images[rows(trial, SAMPLES)]) for trial in range(TRIALS)]


def test_every_distance_lies_inside_its_interval():
    assert [score for score in scores() if not score.low < score.value < score.high] == []


def test_interval_of_the_distance_covers_as_often_as_it_says():
    expected = np.mean([score.value for score in scores()])
    share = np.mean([score.low <= expected <= score.high for score in scores()])
    assert 0.9 <= share <= 0.99


def test_distance_is_above_that_of_all_the_digits_it_draws_from_by_its_bias_alone():
    real, drawn_from = (
        moments(digits.features(digits_split(held_out=held_out).images))
        for held_out in (True, False)
    )
    both = drawn_from.mean, drawn_from.covariance, real.mean, real.covariance
    true = frechet_distance(*both)
    expected = np.mean([score.value for score in scores()])
    assert true < expected < 1.5 * true
    assert digits.digits_frechet(digits_split(held_out=False).images).value == pytest.approx(true)


def test_accuracy_is_the_share_that_is_read_right_inside_its_interval():
    images, labels = digits_split(held_out=True)
    score = digits.conditional_accuracy(images, np.roll(labels, 1))
    assert score.low < score.value < score.high < 0.3
    assert digits.conditional_accuracy(images, labels).value > 0.95
