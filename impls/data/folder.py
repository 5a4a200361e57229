"""Folder of images with one folder per class, cropped as ADM crops ImageNet."""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from impls.common.config import DatasetConfig
from impls.common.errors import DataError
from impls.data.examples import Images, Indices
from impls.files.reading import readable, root_folder, training_folder

ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
LAYOUT = "the folder of images, with one folder per class in it or in its folder train"
MODES = {1: "L", 3: "RGB"}  # Pillow's name of grey and colour, by image_channels


def image_folder(config: DatasetConfig) -> "ImageFolder":
    """Images below ROOT/train/CLASS or ROOT/CLASS; mirrored at random as in the official code.

    Labels number the class folders in the order of their names. Within a class the order is that of
    torchvision's ImageFolder, so that example i is the same image.

    Raises:
        DataError: when there are none, or more classes than `num_classes`.
    """
    folder = training_folder(root_folder(config, LAYOUT))
    classes = class_names(folder, f"set dataset.root to {LAYOUT}")
    if len(classes) > config.num_classes:
        raise DataError(
            f"{folder} holds {len(classes)} folders, expected one for each class:"
            f" dataset.num_classes is {config.num_classes}"
        )
    if config.image_channels not in MODES:
        raise DataError(
            f"dataset.image_channels is {config.image_channels}, expected 3 (colour) or 1 (grey)"
            f" for the images of {config.name}"
        )
    paths, labels = image_files(folder, classes)
    return ImageFolder(paths, labels, config)


def class_names(folder: Path, remedy: str) -> list[str]:
    """Names of the class folders in a folder, in the order of their labels.

    Raises:
        DataError: when there are none, with the remedy.
    """
    with readable(folder, remedy):
        classes = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    if not classes:
        raise DataError(f"{folder} holds no folders: {remedy}")
    return classes


def image_files(folder: Path, classes: list[str]) -> tuple[list[str], NDArray[np.int32]]:
    """Paths [n] of the images of these classes, and their labels [n].

    Raises:
        DataError: when a class has none.
    """
    paths, labels = [], []
    for label, name in enumerate(classes):
        found = list_images(folder / name)
        if not found:
            raise DataError(
                f"{folder / name} holds no images ({', '.join(ENDINGS)}): remove it or fill it"
            )
        paths += found
        labels += [label] * len(found)
    return paths, np.array(labels, np.int32)


def list_images(folder: Path) -> list[str]:
    """Paths of the images at any depth below a folder."""
    found = []
    for parent, _, names in sorted(os.walk(folder, followlinks=True)):
        found += [f"{parent}/{name}" for name in sorted(names) if name.lower().endswith(ENDINGS)]
    return found


class ImageFolder(Images):
    """Images on disk, decoded, cropped and then mirrored on access, as in the official code."""

    def __init__(self, paths: list[str], labels: NDArray[np.int32], config: DatasetConfig) -> None:
        """Take paths [n] and labels [n]."""
        size = config.image_size
        super().__init__((size, size, config.image_channels), labels, flip=config.flip)
        self._paths = paths

    def pixels(self, indices: Indices) -> NDArray[np.uint8]:
        """Images read from disk."""
        size, _, channels = self.shape
        return np.stack([read_image(self._paths[index], size, channels) for index in indices])


def read_image(path: str, size: int, channels: int) -> NDArray[np.uint8]:
    """Image read from disk and center-cropped: [size, size, channels], 3 (colour) or 1 (grey).

    Raises:
        DataError: when it is damaged.
    """
    with readable(path, "replace the file or remove it"), Image.open(path) as image:
        pixels = centre_crop(image.convert(MODES[channels]), size)
    return pixels.reshape(size, size, channels)


def centre_crop(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """Center crop of ADM (Dhariwal and Nichol 2021): the middle square, resized to size x size.

    Halved by box filters while the short side is 2 size or more, resized to short side = size by
    bicubic interpolation, then cropped at the center, rounded towards the top left.

    Returns:
        [size, size] or [size, size, channel] uint8.
    """
    while min(image.size) >= 2 * size:
        width, height = image.size
        image = image.resize((width // 2, height // 2), Image.Resampling.BOX)
    scale = size / min(image.size)
    width, height = (round(side * scale) for side in image.size)
    pixels = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))
    top, left = (height - size) // 2, (width - size) // 2
    return pixels[top : top + size, left : left + size]
