"""Packed latents: memory-mapped .npy shards.

    index.json                format, version, shape, dtype, flip, counts: written last
    images-00000.npy          [n, height, width, 2 channel] float32 or float16: mean, then std
    image_flip-00000.npy      the same of the mirrored images, only where flip is true
    labels-00000.npy          [n] int32
    packing.json              settings that must match to resume an interrupted preparation

NumPy alone can open each file.
"""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from impls.common.errors import DataError
from impls.files.reading import readable
from impls.files.writing import write_whole

INDEX, PLAN = "index.json", "packing.json"
FORMAT, VERSION = "meanflow latents", 1
DTYPES = ("float32", "float16")
KINDS = ("images", "image_flip", "labels")
AGAIN = "write it again with meanflow prepare"


class Layout(NamedTuple):
    """Index of a folder of shards."""

    shape: tuple[int, ...]  # (height, width, 2 channel) of an example
    dtype: str  # of the images
    flip: bool  # mirrored images are stored too
    counts: tuple[int, ...]  # examples in each shard


class Stored(NamedTuple):
    """Arrays of some examples of a shard, in the order of KINDS."""

    images: NDArray[Any]  # [n, height, width, 2 channel]
    flipped: NDArray[Any] | None  # the same of the mirrored images, where they are stored
    labels: NDArray[np.int32]  # [n]


class Shards(NamedTuple):
    """Opened shards of a folder, with memory-mapped images."""

    shape: tuple[int, ...]  # (height, width, 2 channel) of an example
    images: list[NDArray[Any]]  # of each shard: [n, height, width, 2 channel]
    flipped: list[NDArray[Any]]  # the same, or empty
    labels: NDArray[np.int32]  # of all shards, in memory


def array_path(folder: Path, kind: str, number: int) -> Path:
    """Path of the images, image_flip or labels of a shard."""
    return folder / f"{kind}-{number:05d}.npy"


def open_shards(folder: Path) -> Shards:
    """Shards of a folder, opened.

    Raises:
        DataError: when a file is missing, shorter than it should be, or of another shape.
    """
    layout = read_index(folder)

    def arrays(kind: str, shape: tuple[int, ...], dtype: str) -> list[NDArray[Any]]:
        opened = []
        for number, count in enumerate(layout.counts):
            path = array_path(folder, kind, number)
            with readable(path, AGAIN):
                array = np.load(path, mmap_mode="r")
                if (array.shape, array.dtype) != ((count, *shape), dtype):
                    raise ValueError(f"it holds {array.dtype} {array.shape}, unlike {INDEX}")
            opened.append(array.view(np.ndarray))  # plain arrays: memmap's own indexing is slow
        return opened

    return Shards(
        layout.shape,
        arrays("images", layout.shape, layout.dtype),
        arrays("image_flip", layout.shape, layout.dtype) if layout.flip else [],
        np.concatenate(arrays("labels", (), "int32")),
    )


def read_index(folder: Path) -> Layout:
    """Index of a folder of shards, read from disk.

    Raises:
        DataError: when it is damaged or of a later release.
    """
    path = folder / INDEX
    with readable(path, AGAIN):
        read = json.loads(path.read_text(encoding="utf-8"))
        if (read["format"], read["version"]) != (FORMAT, VERSION):
            raise DataError(f"{path} has version {read['version']}: use a later release")
        shape, counts = tuple(map(int, read["shape"])), tuple(map(int, read["counts"]))
        if len(shape) != 3 or shape[2] % 2 or read["dtype"] not in DTYPES or min(counts) < 1:
            raise ValueError("its values contradict each other")
        return Layout(shape, read["dtype"], bool(read["flip"]), counts)


def write_index(folder: Path, layout: Layout) -> None:
    """Write the index, which completes the data set."""
    about = {"format": FORMAT, "version": VERSION, **layout._asdict()}
    write_whole(folder / INDEX, json.dumps(about).encode())


def is_written(folder: Path, number: int) -> bool:
    """True if a shard is complete: its labels are written last."""
    return array_path(folder, "labels", number).exists()


def write_shard(folder: Path, number: int, batches: Sequence[Stored]) -> None:
    """Write the arrays of one shard, from those of its batches."""
    for kind, parts in zip(KINDS, zip(*batches, strict=True), strict=True):
        if parts[0] is not None:
            write_array(array_path(folder, kind, number), *parts)


def write_array(path: Path, *parts: NDArray[Any]) -> None:
    """Write a .npy file of arrays that follow each other along the first axis."""
    rows = [np.ascontiguousarray(part) for part in parts]
    about = np.lib.format.header_data_from_array_1_0(rows[0])
    about["shape"] = (sum(map(len, rows)), *rows[0].shape[1:])
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, about)
    # Not np.save: it hides the reason of a failed write.
    write_whole(path, header.getvalue(), *(part.data.cast("B") for part in rows))
