"""ImageNet as latents of the Stable Diffusion VAE: one .pt file each, or packed into shards.

An example holds the mean and standard deviation of the latent of an image; the latent is sampled
again each time the example is used.
"""

import os
from abc import abstractmethod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from impls.common.config import DatasetConfig
from impls.common.errors import DataError
from impls.common.types import Batch
from impls.data.examples import Examples, Indices, Rows, check_labels
from impls.files import shards, torch_files
from impls.files.autoencoder import SCALE
from impls.files.reading import readable, root_folder, training_folder

NEEDED = "the folder with the .pt latents (or with their folder train), or with packed shards"
WRONG = "write it again, with 'image' [2C, H, W] (mean, then std) and 'label'"


class Latent(NamedTuple):
    """Content of a .pt file."""

    image: NDArray[Any]  # [height, width, 2 channel] float32 or float16: mean, then std
    flipped: NDArray[Any] | None  # of the mirrored image, where the file has 'image_flip'
    label: int


def latents(config: DatasetConfig) -> "Latents":
    """Latents at ROOT/train or ROOT: packed shards if there is an index.json, else .pt files.

    Rows are mirrored only if mirrored images were encoded too, since mirroring a latent is not the
    same as encoding a mirrored image. The official files have none, so those are never mirrored.

    Raises:
        DataError: when there are none, or they are damaged.
    """
    root = root_folder(config, NEEDED)
    for folder in (root, root / "train"):
        if (folder / shards.INDEX).is_file():
            return PackedLatents(folder, config)
        if (folder / shards.PLAN).is_file():
            raise DataError(f"{folder} is incomplete: run the same meanflow prepare again")
    return LatentFiles(training_folder(root), config)


class Latents(Examples):
    """Latents of any kind of file, sampled for each row of each step."""

    def __init__(self, shape: tuple[int, ...], *, can_flip: bool) -> None:
        """Take the shape of the stored arrays: (height, width, 2 channel)."""
        self.shape, self._can_flip = (*shape[:2], shape[2] // 2), can_flip

    @abstractmethod
    def moments(self, indices: Indices, mirrored: NDArray[np.bool_]) -> Batch:
        """Stored arrays [n, height, width, 2 channel] float32, mirrored where asked; and labels."""

    def batch(self, indices: Indices, rows: Rows | None) -> Batch:
        """Batch of latents (mean + std e) 0.18215, with e standard normal."""
        still = np.zeros(len(indices), bool)
        mirrored = rows.mirrored() if rows and self._can_flip else still
        images, labels = self.moments(indices, mirrored)
        mean, std = np.split(images, 2, axis=-1)
        noise = rows.noise(self.shape) if rows else np.float32(0)
        return Batch((mean + std * noise) * SCALE, labels)


class LatentFiles(Latents):
    """Latents in one .pt file per image, in the order of their names."""

    def __init__(self, folder: Path, config: DatasetConfig) -> None:
        """Find the files in a folder."""
        self._folder, self._names = folder, latent_names(folder)
        self._num_classes = config.num_classes
        first = read_latent(folder / self._names[0])
        super().__init__(first.image.shape, can_flip=config.flip and first.flipped is not None)

    def __len__(self) -> int:
        return len(self._names)

    def moments(self, indices: Indices, mirrored: NDArray[np.bool_]) -> Batch:
        """Arrays read from files, each checked when it is read."""
        height, width, channels = self.shape
        images = np.empty((len(indices), height, width, 2 * channels), np.float32)
        labels = np.empty(len(indices), np.int32)
        for row, (index, flip) in enumerate(zip(indices, mirrored, strict=True)):
            path = self._folder / self._names[index]
            latent = read_latent(path)
            image = latent.flipped if flip else latent.image
            if image is None or image.shape != images.shape[1:]:
                raise DataError(f"{path} holds other arrays than {self._names[0]}: {WRONG}")
            images[row], labels[row] = image, latent.label
            check_labels(labels[row : row + 1], self._num_classes, path)
        return Batch(images, labels)


class PackedLatents(Latents):
    """Memory-mapped shards of latents, written by `meanflow prepare`: see `shards`."""

    def __init__(self, folder: Path, config: DatasetConfig) -> None:
        """Open the shards in a folder."""
        self._packed = packed = shards.open_shards(folder)
        check_labels(packed.labels, config.num_classes, folder)
        self._ends = np.cumsum([len(images) for images in packed.images])
        super().__init__(packed.shape, can_flip=config.flip and bool(packed.flipped))

    def __len__(self) -> int:
        return len(self._packed.labels)

    def moments(self, indices: Indices, mirrored: NDArray[np.bool_]) -> Batch:
        """Arrays copied from the memory-mapped shards."""
        packed = self._packed
        images = np.empty((len(indices), *packed.shape), np.float32)
        numbers = np.searchsorted(self._ends, indices, side="right")
        for row, (shard, index, flip) in enumerate(zip(numbers, indices, mirrored, strict=True)):
            stored = (packed.flipped if flip else packed.images)[shard]
            images[row] = stored[index - self._ends[shard]]  # counted from the shard's end
        return Batch(images, packed.labels[indices])


def latent_names(folder: Path) -> list[str]:
    """Names of the .pt files in a folder, sorted.

    Raises:
        DataError: when there are none.
    """
    with readable(folder, "give the folder of the .pt latents"):
        names = sorted(entry.name for entry in os.scandir(folder) if entry.name.endswith(".pt"))
    if not names:
        raise DataError(f"there are no .pt files in {folder}: give {NEEDED}")
    return names


def read_latent(path: Path) -> Latent:
    """Latent read from a .pt file: `torch.save({"image": [2C, H, W], "label": a number})`.

    Raises:
        DataError: when it is damaged, or has other content.
    """
    loaded = torch_files.load(path)
    with readable(path, WRONG):
        label = np.asarray(loaded["label"])
        if label.size != 1 or label.dtype.kind not in "iu" or not 0 <= label.item() < 2**31:
            raise ValueError("'label' is not a whole number, 0 or more")
        flipped = loaded.get("image_flip")
        return Latent(
            _channels_last(loaded["image"]),
            None if flipped is None else _channels_last(flipped),
            int(label.item()),
        )


def _channels_last(image: NDArray[Any]) -> NDArray[Any]:
    """Transposition [2C, height, width] -> [height, width, 2C]."""
    if image.dtype not in (np.float32, np.float16):
        raise ValueError(f"'image' is {image.dtype}, not float32 or float16")
    if image.ndim != 3 or image.shape[0] % 2:
        raise ValueError(f"'image' is {image.shape}, not [2C, H, W]")
    return image.transpose(1, 2, 0)
