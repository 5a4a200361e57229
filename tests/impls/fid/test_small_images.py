"""Scores of small images on draws from a set of digits, whose scores are known."""

import functools

import numpy as np
import pytest
from made_up_mnist import NUM_HELD_OUT, write_made_up
from refusals import refusal

from impls.common import draws
from impls.common.config_files import load_config
from impls.common.draws import Stream
from impls.common.errors import UserError
from impls.data import DataError, digits_split
from impls.fid import small_images
from impls.fid.distance import frechet_distance
from impls.fid.moments import moments

TRIALS, SAMPLES = 150, 500
DIGITS = load_config("digits").dataset


def rows(trial, count):
    """Rows drawn with replacement from the digits that are trained on."""
    size = len(digits_split(held_out=False).labels)
    return (draws.uniform((count,), 8, Stream.CHECK, trial) * size).astype(np.int64)


@functools.cache
def scores():
    """Distances of as many sets of digits, each drawn anew."""
    images = digits_split(held_out=False).images
    return [small_images.frechet(DIGITS, images[rows(trial, SAMPLES)]) for trial in range(TRIALS)]


def test_every_distance_lies_inside_its_interval():
    assert [score for score in scores() if not score.low < score.value < score.high] == []


def test_interval_of_the_distance_covers_as_often_as_it_says():
    expected = np.mean([score.value for score in scores()])
    share = np.mean([score.low <= expected <= score.high for score in scores()])
    assert 0.9 <= share <= 0.99


def test_distance_is_above_that_of_all_the_digits_it_draws_from_by_its_bias_alone():
    real, drawn_from = (
        moments(small_images.features(DIGITS, digits_split(held_out=held_out).images))
        for held_out in (True, False)
    )
    both = drawn_from.mean, drawn_from.covariance, real.mean, real.covariance
    true = frechet_distance(*both)
    expected = np.mean([score.value for score in scores()])
    assert true < expected < 1.5 * true
    whole = small_images.frechet(DIGITS, digits_split(held_out=False).images)
    assert whole.value == pytest.approx(true)


def test_accuracy_is_the_share_that_is_read_right_inside_its_interval():
    images, labels = digits_split(held_out=True)
    score = small_images.conditional_accuracy(DIGITS, images, np.roll(labels, 1))
    assert score.low < score.value < score.high < 0.3
    assert small_images.conditional_accuracy(DIGITS, images, labels).value > 0.95


# MNIST


def mnist(folder, *counts):
    """Configuration of made-up MNIST in a folder."""
    return load_config("mnist", {"dataset.root": str(write_made_up(folder, *counts))}).dataset


def test_mnist_has_a_classifier_of_its_own(tmp_path):
    data = mnist(tmp_path)
    small_images.check(data)
    held_out = small_images.split(data, held_out=True)
    assert small_images.features(data, held_out.images).shape == (NUM_HELD_OUT, 64)
    assert small_images.conditional_accuracy(data, *held_out).value > 0.8
    real = small_images.frechet(data, small_images.split(data, held_out=False).images)
    noise = small_images.frechet(data, np.roll(held_out.images, 9, axis=1))
    assert real.value < 0.5 * noise.value


def test_the_classifier_is_trained_on_the_first_images_of_a_large_copy(tmp_path, monkeypatch):
    monkeypatch.setattr(small_images, "MOST", 100)
    sizes = {name: mnist(tmp_path / name, count) for name, count in (("all", 150), ("first", 100))}
    images = small_images.split(sizes["all"], held_out=True).images
    one, other = (small_images.features(data, images) for data in sizes.values())
    assert np.array_equal(one, other)


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ((150, 0), "there is no t10k-images-idx3-ubyte in"),
        ((150, 99), "has 99 held-out images, expected 100 or more"),
        ((99, 100), "has 99 training images, expected 100 or more"),
    ],
)
def test_images_that_are_missing_or_too_few_are_said(counts, said, tmp_path):
    assert said in refusal(DataError, small_images.check, mnist(tmp_path, *counts))


def test_images_without_a_score_are_said():
    said = refusal(UserError, small_images.check, load_config("cifar10").dataset)
    assert said.startswith("only digits and mnist can be scored here, and the data set is cifar10")
