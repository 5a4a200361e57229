"""Reader of CIFAR-10 (Krizhevsky 2009) from its archives: 50,000 colour photographs, 32 x 32."""

import io
import tarfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from impls.common.config import DatasetConfig
from impls.common.errors import DataError
from impls.data.examples import Arrays, check_labels
from impls.files.reading import DataUnpickler, readable, root_folder

BATCHES = [f"data_batch_{number}" for number in range(1, 6)]  # the binary ones end in .bin
FOLDERS = ("cifar-10-batches-py", "cifar-10-batches-bin", ".")
ARCHIVES = ("cifar-10-python.tar.gz", "cifar-10-binary.tar.gz")
NEEDED = f"the folder with {' or '.join(ARCHIVES)}, or with the files of one of them"
DOWNLOAD = "download CIFAR-10 again"
PIXELS = 3 * 32 * 32

Part = tuple[NDArray[np.uint8], NDArray[np.int64]]  # pixels [n, 3072], labels [n]


def cifar10(config: DatasetConfig) -> Arrays:
    """Training images of CIFAR-10, [n, 32, 32, 3]; mirrored at random as in the official code.

    Raises:
        DataError: when a file is missing or damaged.
    """
    root = root_folder(config, NEEDED)
    parts = []
    for name, content in _contents(root):
        with readable(name, DOWNLOAD):
            part = (read_binary if name.endswith(".bin") else read_pickle)(content)
        check_labels(part[1], config.num_classes, name)
        parts.append(part)
    pixels, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    images = pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return Arrays(np.ascontiguousarray(images), labels.astype(np.int32), flip=config.flip)


def read_binary(content: bytes) -> Part:
    """Images and labels from records: a label byte, 1024 red, 1024 green, 1024 blue bytes."""
    records = np.frombuffer(content, np.uint8).reshape(-1, 1 + PIXELS)
    if not len(records):
        raise ValueError("it is empty")
    return records[:, 1:], records[:, 0].astype(np.int64)


def read_pickle(content: bytes) -> Part:
    """Images and labels from a pickled dictionary of `data`, in the same order, and `labels`."""
    named: dict[tuple[str, str], Any] = {
        ("numpy.core.multiarray", "_reconstruct"): lambda *_: _Array(),
        ("numpy._core.multiarray", "_reconstruct"): lambda *_: _Array(),
        ("numpy", "ndarray"): _Array,
        ("numpy", "dtype"): _Dtype,
        # Bytes, in pickles of protocol 2 that Python 3 wrote.
        ("_codecs", "encode"): lambda text, _: text.encode("latin1"),
    }
    loaded = DataUnpickler(io.BytesIO(content), named, encoding="bytes").load()
    values = {name.decode() if isinstance(name, bytes) else name: loaded[name] for name in loaded}
    pixels, labels = values["data"].array(), np.asarray(values["labels"], np.int64)
    if labels.ndim != 1 or pixels.shape != (len(labels), PIXELS) or not len(labels):
        raise ValueError(f"{labels.shape} labels and {pixels.shape} pixels")
    return pixels, labels


class _Dtype:
    """Element type of an array in a pickle; only bytes are accepted."""

    def __init__(self, code: object, *_: object) -> None:
        if code not in ("u1", b"u1"):
            raise ValueError("its pixels are not bytes")

    def __setstate__(self, state: object) -> None:
        """Byte order and alignment, which bytes do not have."""


class _Array:
    """NumPy array in a pickle, restored without NumPy's own functions."""

    def __setstate__(self, state: tuple[int, tuple[int, ...], _Dtype, bool, bytes]) -> None:
        _, self._shape, _, self._is_fortran, self._content = state

    def array(self) -> NDArray[np.uint8]:
        flat = np.frombuffer(self._content, np.uint8)
        return flat.reshape(self._shape, order="F" if self._is_fortran else "C")


def _contents(root: Path) -> Iterator[tuple[str, bytes]]:
    """Path and content of each of the five training files, unpacked or in an archive."""
    for folder, ending in product(FOLDERS, ("", ".bin")):
        paths = [root / folder / f"{name}{ending}" for name in BATCHES]
        if paths[0].is_file():
            for path in paths:
                with readable(path, DOWNLOAD):
                    content = path.read_bytes()
                yield str(path), content
            return
    for path in (root, *(root / name for name in ARCHIVES)):
        if path.is_file():
            with readable(path, DOWNLOAD):
                found = _extract(path)
            if len(found) != len(BATCHES):
                raise DataError(f"{path} lacks some of data_batch_1 .. 5: {DOWNLOAD}")
            yield from ((f"{path}/{name}", found[name]) for name in sorted(found))
            return
    raise DataError(f"there is no data_batch_1 of CIFAR-10 in {root}: set dataset.root to {NEEDED}")


def _extract(path: Path) -> dict[str, bytes]:
    """Training files in an archive: name -> content."""
    found = {}
    with tarfile.open(path) as archive:
        for member in archive:
            name = Path(member.name).name
            if member.isfile() and name.removesuffix(".bin") in BATCHES:
                content = archive.extractfile(member)
                assert content is not None  # it is a file
                found[name] = content.read()
    return found
