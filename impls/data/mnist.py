"""Reader of MNIST (LeCun, Cortes and Burges) from idx files: 60,000 digits, 28 x 28 grey."""

import gzip
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from impls.common.config import DatasetConfig
from impls.common.errors import DataError
from impls.common.types import Batch
from impls.data.examples import LEVELS, Arrays, check_labels
from impls.files.reading import readable, root_folder

FILES = "{}-images-idx3-ubyte", "{}-labels-idx1-ubyte"
TRAIN, HELD_OUT = "train", "t10k"  # how the names of the files begin
FOLDERS = (".", "MNIST/raw", "raw")  # torchvision writes to MNIST/raw
UNSIGNED_BYTE = 8  # code of the element type


def mnist(config: DatasetConfig) -> Arrays:
    """Training images of MNIST, [n, 28, 28, 1]; never mirrored.

    Raises:
        DataError: when a file is missing or damaged.
    """
    images, labels = _read(config, TRAIN)
    return Arrays(images, labels, flip=False)


def mnist_split(config: DatasetConfig, held_out: bool) -> Batch:
    """Training images of MNIST, or the held-out ones: files t10k-*.

    Returns:
        images: [n, 28, 28, 1] float32 in -1..1; labels: [n] int32 in 0..9.

    Raises:
        DataError: when a file is missing or damaged.
    """
    images, labels = _read(config, HELD_OUT if held_out else TRAIN)
    return Batch(LEVELS[images], labels)


def _read(config: DatasetConfig, part: str) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Images [n, 28, 28, 1] and labels [n] of one of the two parts."""
    names = [name.format(part) for name in FILES]
    needed = f"the folder with {' and '.join(names)} of MNIST, plain or as .gz"
    root = root_folder(config, needed)
    files = [_find(root, name, needed) for name in names]
    images, labels = read_idx(files[0], 3), read_idx(files[1], 1)
    if not 0 < len(images) == len(labels):
        raise DataError(
            f"{files[0]} holds {len(images)} images and {files[1]} {len(labels)} labels: download"
            " both again"
        )
    check_labels(labels, config.num_classes, files[1])
    return images[..., None], labels.astype(np.int32)


def read_idx(path: Path, num_axes: int) -> NDArray[np.uint8]:
    """Array of bytes in an idx file, plain or gzipped.

    Two zero bytes, the element type, the number of axes; each size as a big-endian 32-bit integer;
    the elements, last axis fastest.

    Raises:
        DataError: when it is damaged, or of another type or number of axes.
    """
    with readable(path, "download it again"):
        stored = path.read_bytes()
        content = gzip.decompress(stored) if path.suffix == ".gz" else stored
        if content[:4] != bytes([0, 0, UNSIGNED_BYTE, num_axes]):
            raise ValueError(f"not an idx file of bytes with {num_axes} axes")
        sizes: Any = np.frombuffer(content, ">i4", num_axes, offset=4)
        elements = np.frombuffer(content, np.uint8, offset=4 + 4 * num_axes)
        return elements.reshape([int(size) for size in sizes])


def _find(root: Path, name: str, needed: str) -> Path:
    spellings = (name, name.replace("-idx", ".idx"))
    for folder, spelling, ending in product(FOLDERS, spellings, ("", ".gz")):
        if (path := root / folder / f"{spelling}{ending}").is_file():
            return path
    raise DataError(f"there is no {name} in {root}, plain or as .gz: set dataset.root to {needed}")
