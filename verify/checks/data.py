"""The batches that every run reads: functions of (seed, step) alone."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np

from impls.common.config import Config
from impls.common.config_files import load_config
from impls.common.types import Batch
from impls.data import batches, source
from verify.compare import Error, mismatches, worst
from verify.probe import Probe
from verify.registry import check

BATCH_SIZE, NUM_STEPS = 240, 8  # of 1438 digits: an epoch ends within, and drops a partial batch


def _config() -> Config:
    return load_config(
        "digits",
        {"training.batch_size": BATCH_SIZE, "training.seed": 5, "dataset.num_workers": 0},
    )


def _read(
    config: Config, start: int, stop: int, process: int = 0, processes: int = 1
) -> list[Batch]:
    reader: Iterator[Batch] = batches(config, source(config), start, process, processes)
    return list(islice(reader, stop - start))


def _different(actual: list[Batch], expected: list[Batch]) -> Error:
    """Entries that differ, in the worst batch."""
    errors = {}
    for step, (ours, theirs) in enumerate(zip(actual, expected, strict=True)):
        for field, one, other in zip(Batch._fields, ours, theirs, strict=True):
            errors[f"{field} of batch {step}"] = mismatches(one, other)
    return worst(errors)


@check("data", "put get", exact=True)
def batches_do_not_depend_on_processes(probe: Probe) -> float:
    """The rows of 2 or 4 processes, one after another, are the batch of one process, every bit."""
    config, errors = _config(), {}
    whole = _read(config, 0, NUM_STEPS)
    for processes in (2, 4):
        shares = [_read(config, 0, NUM_STEPS, process, processes) for process in range(processes)]
        joined = [
            Batch(*map(np.concatenate, zip(*rows, strict=True)))
            for rows in zip(*shares, strict=True)
        ]
        errors[f"{processes} processes"] = _different(joined, whole)
    return worst(errors)


@check("data", "put get", exact=True)
def batches_do_not_depend_on_the_start(probe: Probe) -> float:
    """Batch k is the same for a run that starts at step k, also in a later epoch."""
    config, errors = _config(), {}
    whole = _read(config, 0, NUM_STEPS)
    for start in (1, NUM_STEPS - 1):
        errors[f"from step {start}"] = _different(_read(config, start, NUM_STEPS), whole[start:])
    return worst(errors)


@check("data", "put get", exact=True)
def an_epoch_shows_each_example_once(probe: Probe) -> float:
    """Within an epoch no digit comes twice, and the next epoch has another order."""
    config = _config()
    read = _read(config, 0, NUM_STEPS)
    examples = source(config)
    in_epoch = len(examples) // BATCH_SIZE
    # Some digits are equal: as often as the data hold it, an image may come.
    held, counts = np.unique(
        _rows([examples[i][0] for i in range(len(examples))]), axis=0, return_counts=True
    )
    allowed = {image.tobytes(): count for image, count in zip(held, counts, strict=True)}
    shown, times = np.unique(
        _rows([x for b in read[:in_epoch] for x in b.images]), axis=0, return_counts=True
    )
    extra = sum(
        max(0, n - allowed.get(image.tobytes(), 0)) for image, n in zip(shown, times, strict=True)
    )
    repeated = mismatches(read[in_epoch].labels, read[0].labels) == 0
    return worst({"shown too often": float(extra), "the order again": float(repeated)})


def _rows(images: list[np.ndarray]) -> np.ndarray:
    return np.stack(images).reshape(len(images), -1)
