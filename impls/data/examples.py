"""Interface of data sets: a length, examples by number, and batches of them."""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from impls.common.draws import Stream, normal, uniform
from impls.common.errors import DataError
from impls.common.types import Batch

Example = tuple[NDArray[np.float32], int]  # image [height, width, channel], label
Indices = NDArray[np.int64]

# -1 .. 1 for each byte, as the official ToTensor and Normalize(0.5, 0.5), but rounded once.
LEVELS: NDArray[np.float32] = (np.arange(256) / 127.5 - 1).astype(np.float32)


class Rows(NamedTuple):
    """Rows of one step's batch: the random key of augmentations of the examples in them.

    The key of row i is (seed, step, i), with i counted over the whole batch, so augmentations are
    the same however many processes share the batch, and after a resume.
    """

    seed: int
    step: int
    first: int  # counted over the whole batch
    num_rows: int

    def mirrored(self) -> NDArray[np.bool_]:
        """Mask of mirrored rows, each with probability 1/2: [num_rows] bool."""
        drawn = uniform((self.first + self.num_rows,), self.seed, Stream.FLIP, self.step)
        return drawn[self.first :] < 0.5

    def noise(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Standard normal noise for sampling latents: [num_rows, *shape] float32."""
        numbers = range(self.first, self.first + self.num_rows)
        return np.stack(
            [normal(shape, self.seed, Stream.LATENT, self.step, row) for row in numbers]
        )


class Examples(ABC):
    """Training examples of a data set."""

    shape: tuple[int, ...]  # (height, width, channel) of the images of a batch

    @abstractmethod
    def __len__(self) -> int:
        """Number of examples."""

    @abstractmethod
    def batch(self, indices: Indices, rows: Rows | None) -> Batch:
        """Batch of the examples with these numbers, augmented as given rows of a step.

        Args:
            indices: [n] int64, each 0 .. len - 1.
            rows: n rows, or None for no augmentation: nothing mirrored, latents at their mean.

        Returns:
            images: [n, height, width, channel] float32; labels: [n] int32.

        Raises:
            DataError: when a file cannot be read.
        """

    def __getitem__(self, index: int) -> Example:
        """Image [height, width, channel] and label of one example, without augmentation."""
        images, labels = self.batch(np.array([range(len(self))[index]]), None)
        return images[0], int(labels[0])


class Images(Examples):
    """Images with labels, optionally mirrored at random."""

    def __init__(self, shape: tuple[int, ...], labels: NDArray[np.int32], *, flip: bool) -> None:
        """Take the image shape, labels [n], and whether rows are mirrored at random."""
        self.shape, self._labels, self._flip = shape, labels, flip

    def __len__(self) -> int:
        return len(self._labels)

    @abstractmethod
    def pixels(self, indices: Indices) -> NDArray[Any]:
        """Copies [n, height, width, channel]: uint8, or float32 in -1 .. 1."""

    def batch(self, indices: Indices, rows: Rows | None) -> Batch:
        """Copies of the rows; uint8 is converted to -1 .. 1 only here, to save memory."""
        images = self.pixels(indices)
        if images.dtype == np.uint8:
            images = LEVELS[images]
        if rows is not None and self._flip:
            mirrored = rows.mirrored()
            images[mirrored] = images[mirrored, :, ::-1]
        return Batch(images, self._labels[indices])


class Arrays(Images):
    """Images in memory."""

    def __init__(self, images: NDArray[Any], labels: NDArray[np.int32], *, flip: bool) -> None:
        """Take the arrays without copying: images as `pixels` returns them, labels [n]."""
        super().__init__(images.shape[1:], labels, flip=flip)
        self._images = images

    def pixels(self, indices: Indices) -> NDArray[Any]:
        """Copies from memory."""
        return self._images[indices]


def check_labels(labels: NDArray[Any], num_classes: int, where: object) -> None:
    """Check that labels are 0 .. num_classes - 1.

    Raises:
        DataError: naming the first wrong label, its index and `where` it was found.
    """
    wrong = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if wrong.size:
        raise DataError(
            f"label {int(wrong[0])} in {where} is {int(labels[wrong[0]])}, expected"
            f" 0 .. {num_classes - 1} (dataset.num_classes is {num_classes})"
        )
