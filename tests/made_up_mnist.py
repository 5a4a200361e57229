"""Made-up MNIST: scikit-learn's digits, enlarged to 28 x 28 and written as idx files."""

import struct

import numpy as np

from impls.data import digits_split

NAMES = "{}-images-idx3-ubyte", "{}-labels-idx1-ubyte"
NUM_TRAIN, NUM_HELD_OUT = 300, 120


def idx(array):
    """An idx file of bytes."""
    sizes = b"".join(struct.pack(">I", size) for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


def write_made_up(folder, num_train=NUM_TRAIN, num_held_out=NUM_HELD_OUT):
    """Write both parts; no held-out images for 0."""
    folder.mkdir(exist_ok=True)
    for part, count in (("train", num_train), ("t10k", num_held_out)):
        images, labels = digits_split(held_out=part == "t10k")
        enlarged = np.kron(images[:count, ..., 0], np.ones((3, 3)))  # to 24 x 24
        levels = np.pad(np.rint((enlarged + 1) * 127.5), ((0, 0), (2, 2), (2, 2)))
        for name, array in zip(NAMES, (levels, labels[:count]), strict=True):
            if count:
                (folder / name.format(part)).write_bytes(idx(array.astype(np.uint8)))
    return folder
