"""Reference statistics of a folder of images: what FID compares samples with."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.progress import MofNCompleteColumn, Progress

from impls.data.examples import DataError
from impls.data.folder import ENDINGS, list_images, read_image
from impls.fid.extraction import Extractor, extractor
from impls.fid.moments import Moments, merge, moments
from impls.fid.statistics import Statistics, StatisticsError, save_statistics
from impls.files.inception import InceptionWeights, check_mode
from impls.files.reading import readable
from impls.files.shards import write_whole

BLOCK = 2048  # images between two times that what was found is saved
READERS = 8  # threads that decode images
NOTHING = Moments(0, np.zeros(0), np.zeros((0, 0)))


class _Part(NamedTuple):
    """What one process has found so far."""

    num_done: int  # of its images
    found: Moments


def folder_statistics(
    implementation: Any,
    weights: InceptionWeights,
    folder: Path,
    output: Path,
    mode: str,
    image_size: int = 256,
    batch_size: int = 64,
    process: int = 0,
    num_processes: int = 1,
) -> Statistics | None:
    """Mean and covariance of the features of every image below a folder, written to a .npz file.

    Each image is centre-cropped to image_size as ADM does, and made RGB. What was found is saved
    every 2048 images in OUTPUT.parts, where a run that was stopped goes on; images are told apart
    by their names alone. The last of several processes to finish merges what they found.

    Args:
        implementation: a module of the protocol.
        process: number of this process, below num_processes, which all see the same files.

    Returns:
        The statistics, or None while other processes are at work.

    Raises:
        DataError: when there are no images, or one is damaged.
        StatisticsError: when the output exists or cannot be written, or was begun with other
            images or options.
    """
    check_mode(mode)
    if not 0 <= process < num_processes:
        raise StatisticsError(
            f"--process is {process}, expected 0 to {num_processes - 1} with --num-processes"
            f" {num_processes}"
        )
    if output.exists():
        raise StatisticsError(f"{output} exists already: remove it, or give another --output")
    paths = list_images(folder)
    if len(paths) < 2:
        raise DataError(
            f"{folder} holds {len(paths)} images ({', '.join(ENDINGS)}), expected 2 or more: give"
            " a folder with images anywhere below it"
        )
    plan = _plan(folder, paths, weights, mode, image_size)
    parts = Path(f"{output}.parts")
    files = [parts / f"{number}-of-{num_processes}.npz" for number in range(num_processes)]
    own = paths[process::num_processes]
    begun = _read(files[process], plan)
    if begun is None or begun.num_done < len(own):
        features = extractor(implementation, weights, mode, batch_size)
        _collect(features, own, image_size, batch_size, begun, files[process], plan)
    whole = _merged([_read(file, plan) for file in files], len(paths))
    if whole is None:
        return None
    statistics = Statistics(whole.mean, whole.covariance, len(paths), mode, weights.sha256)
    save_statistics(output, statistics)
    shutil.rmtree(parts, ignore_errors=True)
    return statistics


def _plan(
    folder: Path, paths: list[str], weights: InceptionWeights, mode: str, image_size: int
) -> dict[str, Any]:
    """What must be the same for a run to go on, and for the parts of several to be merged."""
    names = "\n".join(path.removeprefix(str(folder)) for path in paths)
    return {
        "images": hashlib.sha256(names.encode()).hexdigest(),
        "inception": weights.sha256,
        "mode": mode,
        "image_size": image_size,
    }


def _merged(parts: list[_Part | None], num_images: int) -> Moments | None:
    """Of all processes, or None while one has images left."""
    whole = NOTHING
    for process, part in enumerate(parts):
        expected = len(range(process, num_images, len(parts)))
        if expected != (part.num_done if part else 0):
            return None
        whole = merge(whole, part.found) if part else whole
    return whole


def _collect(
    features: Extractor,
    paths: list[str],
    image_size: int,
    batch_size: int,
    begun: _Part | None,
    file: Path,
    plan: dict[str, Any],
) -> None:
    """Go through the images that are left, saving what was found block by block."""
    start, found = begun or _Part(0, NOTHING)
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    with Progress(*columns) as progress, ThreadPoolExecutor(READERS) as pool:
        task = progress.add_task("features", total=len(paths), completed=start)
        for block in range(start, len(paths), BLOCK):
            chosen = paths[block : block + BLOCK]
            rows = []
            for images in _decoded(chosen, image_size, batch_size, pool):
                rows.append(features(images))
                progress.advance(task, len(images))
            found = merge(found, moments(np.concatenate(rows)))
            _write(file, _Part(block + len(chosen), found), plan)


def _decoded(
    paths: list[str], image_size: int, batch_size: int, pool: ThreadPoolExecutor
) -> Iterator[NDArray[np.uint8]]:
    """Batches [n, image_size, image_size, 3]; the next one is read while one is worked on."""
    starts = range(0, len(paths), batch_size)
    batches = [paths[start : start + batch_size] for start in starts]

    def begin(number: int) -> list[Any]:
        chosen = batches[number] if number < len(batches) else []
        return [pool.submit(read_image, path, image_size, 3) for path in chosen]

    ahead = begin(0)
    for number in range(len(batches)):
        reading, ahead = ahead, begin(number + 1)
        yield np.stack([image.result() for image in reading])


def _write(file: Path, part: _Part, plan: dict[str, Any]) -> None:
    content = io.BytesIO()
    arrays = {"mean": part.found.mean, "scatter": part.found.scatter}
    numbers = {"num_done": np.array(part.num_done), "plan": np.array(json.dumps(plan))}
    np.savez(content, allow_pickle=False, **arrays, **numbers)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, content.getvalue())
    except OSError as error:
        raise StatisticsError(f"cannot write to {file}: {error.strerror or error}") from error


def _read(file: Path, plan: dict[str, Any]) -> _Part | None:
    """What a process has saved, or None where it has not begun."""
    if not file.exists():
        return None
    with (
        readable(file, "remove it"),
        file.open("rb") as opened,
        np.load(opened, allow_pickle=False) as held,
    ):
        begun = json.loads(str(held["plan"]))
        num_done = int(held["num_done"])
        part = _Part(num_done, Moments(num_done, held["mean"], held["scatter"]))
    for name, value in plan.items():
        if begun.get(name) != value:
            raise StatisticsError(
                f"{file} was begun with another {name.replace('_', ' ')}: give the same options,"
                f" or remove {file.parent}"
            )
    return part
