"""The batch of (seed, step): the same after a resume, in every process, with any loader."""

import tracemalloc
import zlib
from itertools import islice

import numpy as np
import pytest
from refusals import refusal

from impls.common.config_files import load_config
from impls.common.draws import Stream, uniform
from impls.common.types import Batch
from impls.data import Arrays, DataError, Rows, batches, source
from impls.files import shards

NUM = 50  # examples, each a row of pixels that tell which it is
ROWS = 16  # of a batch: three of them are an epoch, two examples are left over
KINDS = ["bytes", "latents"]

# crc32 of (images, labels) of the digits at batch 128, recorded when they were the only data set:
# results were measured with these batches.
RECORDED = {
    0: (0xB342DC49, 0xED1C8D11),
    10: (0x5B7DCCCE, 0x70C790A8),
    11: (0x909E82BD, 0x71BC9C86),
    23: (0x8B111AFF, 0xFF50C3D2),
}


def config(**changes):
    dotted = {key.replace("__", "."): value for key, value in changes.items()}
    return load_config("digits", {"training.batch_size": ROWS, **dotted})


@pytest.fixture(params=KINDS)
def examples(request, tmp_path):
    """Examples with every random choice that there is: some mirrored, or mirrored and drawn."""
    levels = np.arange(NUM, dtype=np.uint8)[:, None, None, None] + np.zeros((1, 2, 3, 4), np.uint8)
    levels += np.arange(3, dtype=np.uint8)[:, None] * 60
    labels = np.arange(NUM, dtype=np.int32)
    if request.param == "bytes":
        return Arrays(levels, labels, flip=True)
    square = np.concatenate([levels[:, :, :2], np.ones((NUM, 2, 2, 4), np.uint8)], axis=3)
    layout = shards.Layout((2, 2, 8), "float32", True, (30, 20))
    whole = shards.Stored(square.astype(np.float32), -square.astype(np.float32), labels)
    for number, rows in enumerate([slice(0, 30), slice(30, NUM)]):
        shards.write_shard(tmp_path, number, [shards.Stored(*(array[rows] for array in whole))])
    shards.write_index(tmp_path, layout)
    keys = {"name": "imgnet_latent", "root": tmp_path, "num_classes": NUM}
    keys |= {"image_size": 2, "image_channels": 4}
    return source(config(**{f"dataset__{key}": value for key, value in keys.items()}))


def first(count, settings, examples, **where):
    return list(islice(batches(settings, examples, **where), count))


def assert_same(one, other):
    assert len(one) == len(other) > 0
    for a, b in zip(one, other, strict=True):
        assert a.images.tobytes() == b.images.tobytes()
        assert a.labels.tolist() == b.labels.tolist()


def test_batches_of_the_digits_are_the_recorded_ones():
    settings = load_config("digits")
    made = first(24, settings, source(settings))
    for step, sums in RECORDED.items():
        assert tuple(zlib.crc32(array.tobytes()) for array in made[step]) == sums
    parts = [
        first(1, settings, source(settings), start=11, process=process, num_processes=2)[0]
        for process in range(2)
    ]
    assert zlib.crc32(b"".join(part.images.tobytes() for part in parts)) == RECORDED[11][0]


@pytest.mark.parametrize(
    ("workers", "start", "num_processes"), [(0, 1, 1), (1, 3, 2), (4, 0, 1), (4, 7, 4)]
)
def test_batches_depend_on_neither_threads_nor_start_nor_processes(
    examples, workers, start, num_processes
):
    settings = config(dataset__num_workers=workers)
    shares = [
        first(9 - start, settings, examples, start=start, process=i, num_processes=num_processes)
        for i in range(num_processes)
    ]
    joined = [
        Batch(*map(np.concatenate, zip(*parts, strict=True))) for parts in zip(*shares, strict=True)
    ]
    assert_same(first(9, config(dataset__num_workers=0), examples)[start:], joined)


def test_another_seed_gives_another_order_and_other_choices(examples):
    one, other = (first(3, config(training__seed=seed), examples) for seed in (1, 2))
    assert [batch.labels.tolist() for batch in one] != [batch.labels.tolist() for batch in other]
    assert Rows(1, 0, 0, 64).mirrored().tolist() != Rows(2, 0, 0, 64).mirrored().tolist()


def epochs(settings, examples, count):
    made = first(3 * count, settings, examples)
    labels = np.concatenate([batch.labels for batch in made]).reshape(count, 3 * ROWS)
    return [list(row) for row in labels.tolist()]


def test_an_epoch_shows_each_example_at_most_once(examples):
    shown = epochs(config(), examples, 4)
    assert all(len(set(epoch)) == 3 * ROWS for epoch in shown)
    assert set().union(*shown) == set(range(NUM))  # what one epoch drops, another shows


def test_an_epoch_of_whole_batches_shows_each_example_once():
    every = Arrays(np.zeros((48, 1, 1, 1), np.uint8), np.arange(48, dtype=np.int32), flip=False)
    assert [sorted(epoch) for epoch in epochs(config(), every, 3)] == [list(range(48))] * 3


def test_each_epoch_has_an_order_of_its_own_unless_reshuffle_is_off(examples):
    anew = epochs(config(), examples, 3)
    again = epochs(config(dataset__reshuffle=False), examples, 3)
    assert len({tuple(epoch) for epoch in anew}) == 3
    assert again == [anew[0]] * 3


def test_random_choices_differ_between_epochs_of_the_same_order(examples):
    made = first(6, config(dataset__reshuffle=False), examples)
    assert made[0].labels.tolist() == made[3].labels.tolist()
    assert made[0].images.tobytes() != made[3].images.tobytes()


def test_half_of_the_rows_are_mirrored_along_the_width_where_the_stream_says():
    levels = np.arange(2 * 3, dtype=np.uint8).reshape(1, 2, 3, 1).repeat(800, 0) * 50
    labels = np.zeros(800, np.int32)
    made = first(200, config(), Arrays(levels, labels, flip=True))
    as_stored = np.array([[0, 50, 100], [150, 200, 250]]) / 127.5 - 1
    chosen = np.stack([uniform((ROWS,), 42, Stream.FLIP, step) < 0.5 for step in range(200)])
    expected = np.where(chosen[..., None, None], as_stored[:, ::-1], as_stored)
    shown = np.stack([batch.images[..., 0] for batch in made])
    np.testing.assert_allclose(shown, expected, rtol=0, atol=1e-7)
    assert abs(chosen.sum() - 1600) < 5 * 3200**0.5 / 2  # five standard deviations of a fair coin
    assert levels.tobytes() == (np.arange(6, dtype=np.uint8) * 50).tobytes() * 800


def test_an_example_by_its_number_has_no_random_choices(examples):
    image, label = examples[7]
    assert label == 7
    assert image.tobytes() == examples[7][0].tobytes()
    assert [label for _, label in examples] == list(range(NUM))
    with pytest.raises(IndexError):
        examples[NUM]


def test_any_sequence_of_examples_can_be_loaded():
    listed = [(np.full((2, 2, 1), i, np.float32), i) for i in range(NUM)]
    [batch] = first(1, config(), listed)
    assert batch.images[:, 0, 0, 0].tolist() == batch.labels.tolist()
    assert (batch.images.dtype, batch.labels.dtype) == (np.float32, np.int32)


def test_memory_does_not_grow_with_the_steps():
    every = Arrays(np.zeros((999, 8, 8, 1), np.uint8), np.arange(999, dtype=np.int32), flip=True)
    made = batches(config(), every)
    for _ in range(100):
        next(made)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(300):
            next(made)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 300 * 500  # bytes: one batch is 4096 and its labels


def test_a_batch_that_does_not_divide_is_refused_at_once(examples):
    said = refusal(DataError, batches, config(), examples, num_processes=3)
    assert said.startswith("training.batch_size is 16, expected a multiple of the 3")
    said = refusal(DataError, batches, config(training__batch_size=51), examples)
    assert said.startswith("training.batch_size is 51, expected at most the 50")


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_an_error_while_loading_is_the_same_sentence_and_the_end(workers):
    class Damaged(Arrays):
        def batch(self, indices, rows):
            if rows is not None and rows.step == 5:
                raise DataError("example 5 is damaged")
            return super().batch(indices, rows)

    every = Damaged(np.zeros((NUM, 2, 2, 1), np.uint8), np.arange(NUM, dtype=np.int32), flip=False)
    made = batches(config(dataset__num_workers=workers), every)
    assert len(list(islice(made, 5))) == 5
    assert refusal(DataError, next, made) == "example 5 is damaged"
    assert list(made) == []


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("image_size", 16, "the images of digits are (8, 8, 1), but dataset"),
        ("num_classes", 5, "in digits is 5, expected 0 .. 4"),
    ],
)
def test_a_data_set_that_does_not_fit_is_refused(key, value, says):
    assert says in refusal(DataError, lambda: source(config(**{f"dataset__{key}": value})))
