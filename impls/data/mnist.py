"""Reader of MNIST (LeCun, Cortes and Burges) from idx files: 60,000 digits, 28 x 28 grey."""

import gzip
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from impls.common.config import DatasetConfig
from impls.common.errors import DataError
from impls.data.examples import Arrays, check_labels
from impls.files.reading import readable, root_folder

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
NEEDED = f"the folder with {IMAGES} and {LABELS} of MNIST, plain or as .gz"
FOLDERS = (".", "MNIST/raw", "raw")  # torchvision writes to MNIST/raw
UNSIGNED_BYTE = 8  # code of the element type


def mnist(config: DatasetConfig) -> Arrays:
    """Training images of MNIST, [n, 28, 28, 1]; never mirrored.

    Raises:
        DataError: when a file is missing or damaged.
    """
    root = root_folder(config, NEEDED)
    files = _find(root, IMAGES), _find(root, LABELS)
    images, labels = read_idx(files[0], 3), read_idx(files[1], 1)
    if not 0 < len(images) == len(labels):
        raise DataError(
            f"{files[0]} holds {len(images)} images and {files[1]} {len(labels)} labels: download"
            " both again"
        )
    check_labels(labels, config.num_classes, files[1])
    return Arrays(images[..., None], labels.astype(np.int32), flip=False)


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


def _find(root: Path, name: str) -> Path:
    spellings = (name, name.replace("-idx", ".idx"))
    for folder, spelling, ending in product(FOLDERS, spellings, ("", ".gz")):
        if (path := root / folder / f"{spelling}{ending}").is_file():
            return path
    raise DataError(f"there is no {name} in {root}, plain or as .gz: set dataset.root to {NEEDED}")
