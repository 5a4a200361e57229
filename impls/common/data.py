"""Data sets as NumPy, and the batch of (seed, step).

A source is anything with a length and `source[i] -> (image, label)`. Grain shuffles it anew each
epoch, as a pure function of (seed, epoch, position), so the batch of a step needs no state: it is
the same in both frameworks, after a resume, and however many processes share it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from impls.common.config import Config
from impls.common.errors import UserError
from impls.common.records import Batch

DIGITS_LEVELS = 16  # scikit-learn's digits have grey levels 0 .. 16
HELD_OUT = 5  # of the digits, every fifth image is held out for evaluation

Example = tuple[NDArray[np.float32], int]  # image [height, width, channel], label


class DataError(UserError):
    """Data that cannot be used; the message is one sentence for the user."""


def digits() -> Batch:
    """Scikit-learn's bundled handwritten digits (Alpaydin and Kaynak, UCI 1998), no download.

    Returns:
        images: [1797, 8, 8, 1] float32 in -1..1; labels: [1797] int32 in 0..9.
    """
    from sklearn.datasets import load_digits

    data: Any = load_digits()
    images: NDArray[np.float32] = (data.images / (DIGITS_LEVELS / 2) - 1).astype(np.float32)
    return Batch(images[..., None], data.target.astype(np.int32))


def digits_split(held_out: bool) -> Batch:
    """The digits to train on, or those held out: every fifth image."""
    images, labels = digits()
    chosen = (np.arange(len(labels)) % HELD_OUT == HELD_OUT - 1) == held_out
    return Batch(images[chosen], labels[chosen])


def source(config: Config) -> Sequence[Example]:
    """The training examples that `dataset.name` stands for.

    Raises:
        DataError: for a name that is not known, or data of another shape than configured.
    """
    name = config.dataset.name
    if name != "digits":
        raise DataError(f"dataset.name is {name}, expected digits: no other data set is built in")
    images, labels = digits_split(held_out=False)
    examples = [(image, int(label)) for image, label in zip(images, labels, strict=True)]
    size = config.network
    shape = (size.input_size, size.input_size, size.in_channels)
    if examples[0][0].shape != shape:
        raise DataError(
            f"the images of {name} are {examples[0][0].shape}, but dataset.image_size and"
            f" dataset.image_channels make {shape}"
        )
    return examples


def steps_per_epoch(config: Config, num_examples: int) -> int:
    """Full batches in one pass over the data; the last partial one is dropped.

    Raises:
        DataError: when there is not one full batch.
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
    examples: Sequence[Example],
    start: int = 0,
    process: int = 0,
    num_processes: int = 1,
) -> Iterator[Batch]:
    """Batches from step `start` on, without end; each process gets its rows of each batch.

    Args:
        examples: from `source`.
        start: first step.
        process, num_processes: this process takes rows [process * B / P, (process + 1) * B / P).
    """
    import grain  # here, because it loads JAX where that is installed

    rows, seed = config.training.batch_size, config.training.seed
    if rows % num_processes:
        raise DataError(
            f"training.batch_size is {rows}, expected a multiple of the {num_processes} processes"
        )
    used = steps_per_epoch(config, len(examples)) * rows
    order = grain.MapDataset.source(range(len(examples))).seed(seed).shuffle()
    order = order.slice(slice(0, used)).repeat()
    share = rows // num_processes

    def load(step: int) -> Batch:
        first = step * rows + process * share
        chosen = [examples[int(order[i])] for i in range(first, first + share)]
        images, labels = zip(*chosen, strict=True)
        return Batch(np.stack(images), np.array(labels, np.int32))

    steps = grain.MapDataset.range(start, np.iinfo(np.int32).max).map(load)
    options = grain.ReadOptions(
        num_threads=config.dataset.num_workers,
        prefetch_buffer_size=config.dataset.num_workers * config.dataset.prefetch_factor,
    )
    return iter(steps.to_iter_dataset(options))
