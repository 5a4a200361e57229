"""FID reference statistics of a folder of images."""

import functools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from impls.common.errors import DataError
from impls.data.folder import ENDINGS, list_images, read_image
from impls.fid.extraction import Extractor, extractor
from impls.fid.moments import NOTHING, Moments, merge, moments
from impls.fid.statistics import Statistics, StatisticsError, save_statistics
from impls.files.inception import InceptionWeights, check_mode
from impls.files.reading import readable
from impls.files.resumable import changed, digest, progress_bar, split, work_through
from impls.files.writing import write_arrays

BLOCK = 2048  # images after which partial results are saved


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

    Each image is center-cropped to image_size as ADM does, and converted to RGB. Partial results
    are saved every 2048 images in OUTPUT.parts, from which interrupted runs resume; images are
    identified by their names alone. The last of several processes to finish merges their results.

    Args:
        implementation: a module of the protocol.
        process: number of this process, below num_processes, which all see the same files.

    Returns:
        The statistics, or None while other processes are at work.

    Raises:
        DataError: when there are no images, or one is damaged.
        StatisticsError: when the output exists or cannot be written, or was started with other
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
            " a folder with images at any depth"
        )
    # What must be the same for a run to resume, and for the parts of several to be merged.
    plan = {
        "images": digest(path.removeprefix(str(folder)) for path in paths),
        "inception": weights.sha256,
        "mode": mode,
        "image_size": image_size,
    }
    parts = Path(f"{output}.parts")
    files = [parts / f"{number}-of-{num_processes}.npz" for number in range(num_processes)]
    own = paths[process::num_processes]
    begun = _read(files[process], plan)
    if begun.num_samples < len(own):
        features = extractor(implementation, weights, mode, batch_size)
        _collect(features, own, image_size, batch_size, begun, files[process], plan)
    found = [_read(file, plan) for file in files]
    if sum(part.num_samples for part in found) < len(paths):
        return None
    whole = functools.reduce(merge, found)
    statistics = Statistics(whole.mean, whole.covariance, len(paths), mode, weights.sha256)
    save_statistics(output, statistics)
    shutil.rmtree(parts, ignore_errors=True)
    return statistics


def _collect(
    features: Extractor,
    paths: list[str],
    image_size: int,
    batch_size: int,
    found: Moments,
    file: Path,
    plan: dict[str, Any],
) -> None:
    """Process the remaining images, and save partial results after each block."""

    def save(_: range, made: list[NDArray[Any]]) -> None:
        nonlocal found
        found = merge(found, moments(np.concatenate(made)))
        arrays = {"mean": found.mean, "scatter": found.scatter}
        about = {"num_done": np.array(found.num_samples), "plan": np.array(json.dumps(plan))}
        write_arrays(file, arrays | about, StatisticsError)

    blocks = split(range(found.num_samples, len(paths)), BLOCK)
    with progress_bar("features", len(paths), found.num_samples) as advance:
        work_through(
            blocks,
            batch_size,
            lambda index: read_image(paths[index], image_size, 3),
            lambda images: features(np.stack(images)),
            save,
            advance,
        )


def _read(file: Path, plan: dict[str, Any]) -> Moments:
    """Partial results that a process has saved; of no images if it has not started."""
    if not file.exists():
        return NOTHING
    with (
        readable(file, "remove it"),
        file.open("rb") as opened,
        np.load(opened, allow_pickle=False) as held,
    ):
        begun = json.loads(str(held["plan"]))
        found = Moments(int(held["num_done"]), held["mean"], held["scatter"])
        other = changed(begun, plan)
    if other:
        raise StatisticsError(
            f"{file} was started with another {other[0].replace('_', ' ')}: give the same options,"
            f" or remove {file.parent}"
        )
    return found
