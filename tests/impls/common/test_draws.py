"""Every random number is a pure function of (seed, stream, indices)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from impls.common import draws
from impls.common.draws import Stream

SEEDS = st.integers(0, 2**64)
INDICES = st.integers(0, 2**63)
SAMPLING = (draws.sampling_noise, draws.sampling_labels)


def test_the_integers_of_the_streams_never_change():
    assert {stream.name: int(stream) for stream in Stream} == {
        "TIME_T": 0, "TIME_R": 1, "NOISE": 2, "LABEL_DROPOUT": 3, "SAMPLE_NOISE": 4,
        "SAMPLE_LABEL": 5, "INITIAL_PARAMETER": 6, "CHECK": 7, "LATENT": 8, "FLIP": 9,
        "DEVICE": 10, "EQUAL_ROW": 11,
    }  # fmt: skip
    assert len(Stream.__members__) == len(Stream)  # no alias: no two share an integer


@given(SEEDS, st.sampled_from(Stream), INDICES)
def test_every_part_of_the_key_counts(seed, stream, index):
    other = Stream((stream + 1) % 8)
    keys = [(seed, stream), (seed, stream, index), (seed, stream, index + 1)]
    keys += [(seed + 1, stream, index), (seed, other, index), (seed, stream, index, index)]
    drawn = {draws.normal((4,), *key).tobytes() for key in keys}
    assert len(drawn) == len(keys)


@given(SEEDS, INDICES)
def test_uniforms_are_float32_of_24_bits_and_below_one(seed, index):
    drawn = draws.uniform((1000,), seed, Stream.CHECK, index)
    assert drawn.dtype == np.float32
    assert drawn.min() >= 0
    assert drawn.max() < 1
    whole = drawn.astype(np.float64) * 2**24  # a rounded double would have other bits, and reach 1
    np.testing.assert_array_equal(whole, np.floor(whole))


def test_a_negative_seed_is_refused_by_its_value():
    with pytest.raises(ValueError, match=r"^seed is -1, expected a whole number >= 0$"):
        draws.normal((1,), -1, Stream.NOISE)


# The draws of a training step


def test_no_draw_of_a_step_repeats_another_nor_the_next_step(tiny):
    both = [*draws.training_draws(tiny, 3, 0, 16), *draws.training_draws(tiny, 3, 1, 16)]
    assert len({array.reshape(-1)[:16].tobytes() for array in both}) == len(both)


# The draws of samples


def test_a_sample_depends_on_its_index_and_not_on_its_batch(tiny):
    noise, labels = (draw(tiny, 9, range(12)) for draw in SAMPLING)
    order = [7, 0, 11, 7]
    for together, draw in zip((noise, labels), SAMPLING, strict=True):
        np.testing.assert_array_equal(draw(tiny, 9, order), together[order])
    assert len({row.tobytes() for row in noise}) == 12


def test_no_samples_are_an_empty_batch(tiny):
    noise, labels = (draw(tiny, 9, []) for draw in SAMPLING)
    assert (noise.shape, noise.dtype) == ((0, 4, 4, 1), np.float32)
    assert (labels.shape, labels.dtype) == ((0,), np.int32)


def test_sampled_labels_are_every_class_and_never_the_null_label(tiny):
    labels = draws.sampling_labels(tiny, 0, range(300))
    assert labels.dtype == np.int32
    assert set(labels.tolist()) == set(range(tiny.network.num_classes))
