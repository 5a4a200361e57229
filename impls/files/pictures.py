"""Conversion of images to bytes, grids of images, and PNG files."""

import io
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from impls.files.writing import write_whole

LINE = 96  # grey level between the images of a grid
TEXT = 14  # height of a line of text, in pixels


def to_uint8(images: NDArray[Any]) -> NDArray[np.uint8]:
    """Pixels of images in -1..1, as in the official evaluation: clip(127.5 x + 128), truncated"""
    return np.clip(127.5 * images + 128, 0, 255).astype(np.uint8)


def write_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write pixels [height, width] or [height, width, 3] as a PNG file, atomically.

    Raises:
        OSError: when the file cannot be written.
    """
    write_whole(path, png(pixels))


def picture_grid(images: NDArray[Any], columns: int = 0, scale: int = 1) -> NDArray[np.uint8]:
    """Grid of images: [n, height, width, 1 or 3] in -1..1 -> [H, W, 3] uint8.

    Args:
        columns: images in a row; 0 for a nearly square grid.
        scale: each pixel becomes scale x scale.

    Images are separated by grey lines half as wide as their pixels.
    """
    pixels = to_uint8(images).repeat(scale, 1).repeat(scale, 2)
    line = (0, max(scale // 2, 1))
    pixels = np.pad(pixels, ((0, 0), line, line, (0, 0)), constant_values=LINE)
    columns = columns or math.ceil(math.sqrt(len(pixels)))
    rows = math.ceil(len(pixels) / columns)
    blank = np.full((rows * columns - len(pixels), *pixels.shape[1:]), LINE, np.uint8)
    cells = np.concatenate([pixels, blank]).reshape(rows, columns, *pixels.shape[1:])
    grid = cells.transpose(0, 2, 1, 3, 4).reshape(rows * pixels.shape[1], -1, pixels.shape[3])
    return np.broadcast_to(grid, (*grid.shape[:2], 3)) if grid.shape[2] == 1 else grid


def labelled_grid(
    images: NDArray[Any], labels: Iterable[object], scale: int = 1
) -> NDArray[np.uint8]:
    """Grid of images with a column for each label, which is written above: [H, W, 3] uint8.

    Args:
        images: [n, height, width, 1 or 3] in -1..1, row by row.
    """
    texts = [str(label) for label in labels]
    grid = picture_grid(images, len(texts), scale)
    width = grid.shape[1] // len(texts)
    heading = Image.new("RGB", (grid.shape[1], TEXT))
    for i, text in enumerate(texts):
        ImageDraw.Draw(heading).text((i * width + 2, 1), text, "white")
    return np.concatenate([np.asarray(heading), grid])


def png(picture: NDArray[np.uint8]) -> bytes:
    """Content of a PNG file of a picture [height, width, 3]."""
    content = io.BytesIO()
    Image.fromarray(picture).save(content, "PNG")
    return content.getvalue()
