"""What a data set offers: a length, examples by number, and batches of them."""

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
    """Rows of one step's batch: the key of every random choice about the examples in them.

    Row i of a step chooses by (seed, step, i), counted over the whole batch, so its choices are the
    same however many processes share the batch, and after a resume.
    """

    seed: int
    step: int
    first: int  # counted over the whole batch
    num_rows: int

    def mirrored(self) -> NDArray[np.bool_]:
        """Which rows show the mirror image, each with probability 1/2: [num_rows] bool."""
        drawn = uniform((self.first + self.num_rows,), self.seed, Stream.FLIP, self.step)
        return drawn[self.first :] < 0.5

    def noise(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Standard normals with which latents are drawn: [num_rows, *shape] float32."""
        numbers = range(self.first, self.first + self.num_rows)
        return np.stack(
            [normal(shape, self.seed, Stream.LATENT, self.step, row) for row in numbers]
        )


class Examples(ABC):
    """The training examples of a data set."""

    shape: tuple[int, ...]  # (height, width, channel) of the images of a batch

    @abstractmethod
    def __len__(self) -> int:
        """How many there are."""

    @abstractmethod
    def batch(self, indices: Indices, rows: Rows | None) -> Batch:
        """The examples with these numbers, as the given rows of a step show them.

        Args:
            indices: [n] int64, each 0 .. len - 1.
            rows: n of them. None for no random choice: nothing mirrored, latents at their mean.

        Returns:
            images: [n, height, width, channel] float32; labels: [n] int32.

        Raises:
            DataError: when a file cannot be read.
        """

    def __getitem__(self, index: int) -> Example:
        """Image [height, width, channel] and label of one example, without random choices."""
        images, labels = self.batch(np.array([range(len(self))[index]]), None)
        return images[0], int(labels[0])


class Images(Examples):
    """Images with labels, mirrored at random where that is wanted."""

    def __init__(self, shape: tuple[int, ...], labels: NDArray[np.int32], *, flip: bool) -> None:
        """Of images of this shape and their labels [n]; flip: whether rows may be mirrored."""
        self.shape, self._labels, self._flip = shape, labels, flip

    def __len__(self) -> int:
        return len(self._labels)

    @abstractmethod
    def pixels(self, indices: Indices) -> NDArray[Any]:
        """Copies [n, height, width, channel]: uint8 levels, or float32 as the network has them."""

    def batch(self, indices: Indices, rows: Rows | None) -> Batch:
        """Copies of the rows; uint8 levels become -1 .. 1 here, so that memory holds bytes."""
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
        """Keep the arrays, not copies of them: images as `pixels` gives them, labels [n]."""
        super().__init__(images.shape[1:], labels, flip=flip)
        self._images = images

    def pixels(self, indices: Indices) -> NDArray[Any]:
        """From memory."""
        return self._images[indices]


def check_labels(labels: NDArray[Any], num_classes: int, where: object) -> None:
    """Refuse a label that is not 0 .. num_classes - 1.

    Raises:
        DataError: naming the first such label, its index and `where` it stands.
    """
    wrong = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if wrong.size:
        raise DataError(
            f"label {int(wrong[0])} in {where} is {int(labels[wrong[0]])}, expected"
            f" 0 .. {num_classes - 1} (dataset.num_classes is {num_classes})"
        )
