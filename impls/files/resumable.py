"""Resumable processing of many items, in batches and saved part by part.

Four pipelines use it: images to latents, .pt files to shards, images to moments of their features,
noise to features of samples. Each stores a plan beside its results: the settings that must match to
resume.
"""

import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from rich.progress import MofNCompleteColumn, Progress

AHEAD = 3  # batches that are read ahead while one is processed
READERS = max(8, os.cpu_count() or 1)  # threads; Pillow lets several run at once

Item = TypeVar("Item")
Made = TypeVar("Made")


def split(rows: range, size: int) -> list[range]:
    """Rows in groups of a given size; the last one may be smaller."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def work_through(
    parts: Sequence[range],
    batch_size: int,
    read: Callable[[int], Item],
    make: Callable[[list[Item]], Made],
    save: Callable[[range, list[Made]], None],
    advance: Callable[[int], None],
) -> None:
    """Read the items of each part, process them in batches, and save the results of each part.

    No batch spans two parts, so a part has the same bits whichever process makes it.

    Args:
        parts: numbers of the items that are saved together, without parts saved before.
        read: reads an item by its number, in a thread, while earlier batches are processed.
        make: processes the items of a batch.
        save: saves a part, given the results of its batches.
        advance: called with the number of items just done.
    """
    batches = [split(part, batch_size) for part in parts]
    with closing(_read_ahead([rows for part in batches for rows in part], read)) as items:
        for part, its_batches in zip(parts, batches, strict=True):
            made = []
            for rows in its_batches:
                made.append(make(next(items)))
                advance(len(rows))
            save(part, made)


def _read_ahead(
    batches: Sequence[range], read: Callable[[int], Item]
) -> Generator[list[Item], None, None]:
    """Items of each batch, read ahead by threads."""
    pool, waiting = ThreadPoolExecutor(READERS), deque[list[Future[Item]]]()
    try:
        for number in range(len(batches) + AHEAD):
            if number < len(batches):
                waiting.append([pool.submit(read, index) for index in batches[number]])
            if number >= AHEAD:
                yield [future.result() for future in waiting.popleft()]
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def progress_bar(doing: str, total: int, done: int) -> Iterator[Callable[[int], None]]:
    """Context with a progress bar over items, some done before; yields a function to advance it."""
    with Progress(*Progress.get_default_columns(), MofNCompleteColumn()) as progress:
        yield partial(progress.advance, progress.add_task(doing, total=total, completed=done))


def digest(names: Iterable[str]) -> str:
    """SHA-256 of names in their order."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def digest_tensors(tensors: Mapping[str, NDArray[Any]], about: str = "") -> str:
    """SHA-256 of names and bytes of tensors in their order, after a text about them."""
    found = hashlib.sha256(about.encode())
    for name, array in tensors.items():
        found.update(name.encode())
        found.update(np.ascontiguousarray(array).data.cast("B"))
    return found.hexdigest()


def changed(begun: Mapping[str, Any], plan: Mapping[str, Any]) -> list[str]:
    """Names of settings in which a plan differs from the stored one of an interrupted run."""
    now = json.loads(json.dumps(plan))  # tuples are stored as lists
    return [name for name in now if begun.get(name) != now[name]]
