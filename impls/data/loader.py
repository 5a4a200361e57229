"""Data loader: the configured data set, in batches prefetched by threads of Grain."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from impls.common.config import Config, DatasetConfig
from impls.common.draws import image_shape
from impls.common.errors import DataError
from impls.common.types import Batch
from impls.data.bundled import training_digits
from impls.data.cifar import cifar10
from impls.data.examples import Example, Examples, Indices, Rows
from impls.data.folder import image_folder
from impls.data.latents import latents
from impls.data.mnist import mnist

# Of each of impls.common.config.DATA_SETS.
SOURCES: dict[str, Callable[[DatasetConfig], Examples]] = {
    "digits": training_digits,
    "mnist": mnist,
    "cifar10": cifar10,
    "folder": image_folder,
    "imgnet_latent": latents,
}


def source(config: Config) -> Examples:
    """Training examples of the data set `dataset.name`.

    Raises:
        DataError: for missing or damaged files, a label out of range, or images of another shape
            than configured.
    """
    examples = SOURCES[config.dataset.kind](config.dataset)
    shape = image_shape(config.network)
    if examples.shape != shape:
        raise DataError(
            f"the images of {config.dataset.name} are {examples.shape}, but dataset.image_size and"
            f" dataset.image_channels make {shape}"
        )
    return examples


def steps_per_epoch(config: Config, num_examples: int) -> int:
    """Number of full batches in an epoch; the last partial one is dropped.

    Raises:
        DataError: when there is not a single full batch.
    """
    steps = num_examples // config.training.batch_size
    if not steps:
        raise DataError(
            f"training.batch_size is {config.training.batch_size}, expected at most the"
            f" {num_examples} examples of {config.dataset.name}"
        )
    return steps


def batches(
    config: Config,
    examples: Examples | Sequence[Example],
    start: int = 0,
    process: int = 0,
    num_processes: int = 1,
) -> Iterator[Batch]:
    """Infinite iterator of batches from step `start` on; each process gets its rows of each batch.

    Grain shuffles as a pure function of (seed, epoch, position), again in each epoch, or with
    `dataset.reshuffle` off in the order of the first epoch always, which is what the official code
    does in a single process. The last partial batch of an epoch is dropped.

    Args:
        examples: from `source`, or any sequence of (image, label).
        start: first step.
        process, num_processes: this process takes rows [process * B / P, (process + 1) * B / P).

    Raises:
        DataError: if the batch is not a multiple of the processes; from `next`, if a file cannot be
            read.
    """
    import grain  # here, because it loads JAX where that is installed

    assert 0 <= process < num_processes
    rows, seed = config.training.batch_size, config.training.seed
    if rows % num_processes:
        raise DataError(
            f"training.batch_size is {rows}, expected a multiple of the {num_processes} processes"
        )
    used = steps_per_epoch(config, len(examples)) * rows
    order = grain.MapDataset.range(len(examples)).seed(seed).shuffle().slice(slice(0, used))
    order = order.repeat(reseed_each_epoch=config.dataset.reshuffle)
    share = rows // num_processes
    shares = order.batch(share)  # of step 0: those of process 0, 1, …; then those of step 1
    _ = shares[0]  # the first access sets up Grain's statistics, which threads must not race for

    def load(step: int) -> Batch:
        indices = shares[step * num_processes + process]
        return _take(examples, indices, Rows(seed, step, process * share, share))

    steps = grain.MapDataset.range(start, np.iinfo(np.int32).max).map(load)
    options = grain.ReadOptions(
        num_threads=config.dataset.num_workers,
        prefetch_buffer_size=config.dataset.num_workers * config.dataset.prefetch_factor,
    )
    return _until_an_error(iter(steps.to_iter_dataset(options)))


def _take(examples: Examples | Sequence[Example], indices: Indices, rows: Rows) -> Batch:
    if isinstance(examples, Examples):
        return examples.batch(indices, rows)
    images, labels = zip(*(examples[int(index)] for index in indices), strict=True)
    return Batch(np.stack(images), np.array(labels, np.int32))


def _until_an_error(loaded: Any) -> Iterator[Batch]:
    """Iterator that ends at an error; Grain would continue, with each batch one step too early."""
    try:
        yield from loaded
    finally:
        loaded.close()  # its threads
