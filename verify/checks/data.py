"""Batches of training data, which depend on (seed, step) alone."""

from collections import Counter
from collections.abc import Iterator
from itertools import islice

import numpy as np

from impls.common.config import Config
from impls.common.config_files import load_config
from impls.common.types import Batch
from impls.data import batches, source
from verify.compare import mismatches
from verify.probe import Probe
from verify.registry import Errors, check

BATCH_SIZE, NUM_STEPS = 240, 8  # of 1438 digits: an epoch ends within, and drops a partial batch


def _config() -> Config:
    settings = {"training.batch_size": BATCH_SIZE, "training.seed": 5, "dataset.num_workers": 0}
    return load_config("digits", settings)


def _read(
    config: Config, start: int, stop: int, process: int = 0, processes: int = 1
) -> list[Batch]:
    reader: Iterator[Batch] = batches(config, source(config), start, process, processes)
    return list(islice(reader, stop - start))


def _different(actual: list[Batch], expected: list[Batch], place: str) -> Errors:
    """Number of entries that differ in each batch."""
    for step, (ours, theirs) in enumerate(zip(actual, expected, strict=True)):
        for field, one, other in zip(Batch._fields, ours, theirs, strict=True):
            yield f"{place}: {field} of batch {step}", mismatches(one, other)


@check("put get", exact=True)
def batches_do_not_depend_on_processes(probe: Probe) -> Errors:
    """The rows of 2 or 4 processes, concatenated, are bit-equal to the batch of one process."""
    config = _config()
    whole = _read(config, 0, NUM_STEPS)
    for processes in (2, 4):
        shares = [_read(config, 0, NUM_STEPS, process, processes) for process in range(processes)]
        joined = [
            Batch(*map(np.concatenate, zip(*rows, strict=True)))
            for rows in zip(*shares, strict=True)
        ]
        yield from _different(joined, whole, f"{processes} processes")


@check("put get", exact=True)
def batches_do_not_depend_on_the_start(probe: Probe) -> Errors:
    """Batch k is the same for a run that starts at step k, also in a later epoch."""
    config = _config()
    whole = _read(config, 0, NUM_STEPS)
    for start in (1, NUM_STEPS - 1):
        read = _read(config, start, NUM_STEPS)
        yield from _different(read, whole[start:], f"from step {start}")


@check("put get", exact=True)
def an_epoch_shows_each_example_once(probe: Probe) -> Errors:
    """Within an epoch no digit is repeated, and the next epoch has another order."""
    config = _config()
    read = _read(config, 0, NUM_STEPS)
    examples = source(config)
    in_epoch = len(examples) // BATCH_SIZE
    # Some digits are equal: as often as the data hold it, an image may come.
    held = Counter(examples[i][0].tobytes() for i in range(len(examples)))
    shown = Counter(image.tobytes() for batch in read[:in_epoch] for image in batch.images)
    yield "shown too often", float((shown - held).total())
    yield "the order again", float(mismatches(read[in_epoch].labels, read[0].labels) == 0)
