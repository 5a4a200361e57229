"""Encodes a folder of images, such as ImageNet, to latents, written as shards for the trainer."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.progress import MofNCompleteColumn, Progress

from impls.common.config import DatasetConfig
from impls.data.folder import LAYOUT, ImageFolder, class_names, image_files
from impls.data.prepare import SHARD_SIZE, PrepareError, begin, digest, writable, write_shard
from impls.files import shards
from impls.files.autoencoder import Autoencoder, fingerprint, read_autoencoder
from impls.files.reading import training_folder
from impls.files.shards import Layout, array_path
from impls.interop.convert import implementation

AHEAD = 3  # batches that are being decoded while one is encoded
DECODERS = max(8, os.cpu_count() or 1)  # threads; Pillow lets several run at once

Images = NDArray[np.float32]  # [batch, height, width, channel]


class Encoded(NamedTuple):
    """What an encoding has come to."""

    layout: Layout
    num_images: int  # of the shards of this process, those encoded earlier included
    num_shards: int
    is_whole: bool  # whether every process is done, and the index is written


def encode_folder(
    images: Path,
    vae: Path,
    output: Path,
    *,
    framework: str = "jax",
    image_size: int = 256,
    batch_size: int = 32,
    shard_size: int = SHARD_SIZE,
    half: bool = False,
    flip: bool = False,
    num_processes: int = 1,
    process: int = 0,
) -> Encoded:
    """Encode every image of a folder of classes to the mean and deviation of its latent.

    Images are cropped as ADM crops ImageNet, and numbered as torchvision's ImageFolder does.
    Process i of P writes the shards i, i + P, i + 2P, …; the one that finishes last writes the
    index. What was stopped goes on after its last whole shard, to the same bits, since every batch
    is filled up to the same size. Images are told apart by their names alone, so after changing
    what is in them, encode into another folder.

    Args:
        images: folder with a folder for each class in it or in its folder train.
        vae: folder of the autoencoder: see `impls.files.autoencoder`.
        output: folder to write to: see `impls.files.shards`.
        image_size: pixels along each side after cropping.
        batch_size: images that are encoded at once.
        shard_size: images in each shard but the last; a shard is held in memory.
        half: store float16, half the size, with means and deviations rounded to 11 bits.
        flip: encode the mirror image of each image too.
        num_processes, process: how many share the work, each started by itself, and which this is.

    Raises:
        DataError: when there are no images, or one is damaged.
        PrepareError: for sizes that do not fit, or when the output cannot be written or holds
            other latents.
        UserError: when the autoencoder cannot be read, or a package is not installed.
    """
    if not 0 <= process < num_processes:
        raise PrepareError(
            f"--process is {process}, expected 0 .. {num_processes - 1}, below --num-processes"
        )
    autoencoder = read_autoencoder(vae)
    examples, labels, about = _source(images, image_size)
    starts = range(0, len(labels), shard_size)
    layout = Layout(
        shape=_latent_shape(autoencoder, image_size),
        dtype="float16" if half else "float32",
        flip=flip,
        counts=tuple(min(shard_size, len(labels) - start) for start in starts),
    )
    mine = range(process, len(starts), num_processes)
    about |= {"vae": fingerprint(autoencoder), "framework": framework, "image_size": image_size}
    missing = [number for number in mine if not array_path(output, "labels", number).exists()]
    rows = [range(starts[n], starts[n] + layout.counts[n]) for n in missing]
    # Before anything is written, so that a package that is not installed leaves nothing behind.
    encoder = _Encoder(framework, autoencoder, batch_size) if missing else None
    begin(output, about | layout._asdict(), mine)
    num_images = sum(layout.counts[number] for number in mine)
    if encoder:
        with _counting(num_images, num_images - sum(map(len, rows))) as advance:
            batches = _decoded(examples, rows, batch_size)
            with closing(batches):
                for number, shard in zip(missing, rows, strict=True):
                    arrays = _encode_shard(encoder, batches, len(shard), layout, advance)
                    write_shard(output, number, *arrays, labels[shard.start : shard.stop])
    is_whole = all(array_path(output, "labels", n).exists() for n in range(len(starts)))
    if is_whole:
        with writable(output):
            shards.write_index(output, layout)
    return Encoded(layout, num_images, len(mine), is_whole)


class _Encoder:
    """An autoencoder of a framework, NumPy in and NumPy out, a fixed number of images at once."""

    def __init__(self, framework: str, autoencoder: Autoencoder, batch_size: int) -> None:
        self._module, self._batch_size = implementation(framework), batch_size
        self._model = self._module.load_autoencoder(autoencoder)

    def __call__(self, images: Images) -> NDArray[Any]:
        """Mean, then deviation, along the last axis: [n, height, width, 2 channel], n <= batch."""
        filled = np.zeros((self._batch_size, *images.shape[1:]), images.dtype)
        filled[: len(images)] = images
        module = self._module
        mean, std = module.get(module.encode(self._model, module.put(filled)))
        return np.concatenate([mean, std], axis=-1)[: len(images)]


@contextmanager
def _counting(num_images: int, done: int) -> Iterator[Callable[[int], None]]:
    """A progress bar that counts images."""
    with Progress(*Progress.get_default_columns(), MofNCompleteColumn()) as progress:
        task = progress.add_task("encoding", total=num_images, completed=done)
        yield partial(progress.advance, task)


def _source(images: Path, image_size: int) -> tuple[ImageFolder, NDArray[np.int32], dict[str, Any]]:
    """The images, their labels, and what says in the plan which they are."""
    folder = training_folder(images)
    classes = class_names(folder, f"give --imagenet {LAYOUT}")
    paths, labels = image_files(folder, classes)
    config = DatasetConfig(name="folder", image_size=image_size, image_channels=3, flip=False)
    names = (path.removeprefix(str(folder)) for path in paths)
    return ImageFolder(paths, labels, config), labels, {"names": digest(names)}


def _latent_shape(autoencoder: Autoencoder, image_size: int) -> tuple[int, int, int]:
    """(height, width, 2 channel) of what is stored of an image."""
    config = autoencoder.config
    if image_size % config.factor or image_size < config.factor:
        raise PrepareError(
            f"--image-size is {image_size}, expected a multiple of {config.factor}, by which the"
            " autoencoder reduces each side"
        )
    if config.in_channels != 3:
        raise PrepareError(
            f"the autoencoder encodes images of {config.in_channels} channels, expected 3 (colour)"
        )
    side = image_size // config.factor
    return side, side, 2 * config.latent_channels


def _decoded(
    examples: ImageFolder, rows: Sequence[range], batch_size: int
) -> Generator[Images, None, None]:
    """Batches of each shard in turn, decoded by threads before they are asked for.

    No batch reaches over the end of its shard, so a shard holds the same bits whoever writes it.
    """
    spans = [
        shard[start : start + batch_size]
        for shard in rows
        for start in range(0, len(shard), batch_size)
    ]
    pool, waiting = ThreadPoolExecutor(DECODERS), deque[list[Future[Any]]]()
    try:
        for number in range(len(spans) + AHEAD):
            if number < len(spans):
                chosen = [np.array([index]) for index in spans[number]]
                waiting.append([pool.submit(examples.batch, index, None) for index in chosen])
            if number >= AHEAD:
                yield np.concatenate([future.result().images for future in waiting.popleft()])
    finally:
        pool.shutdown(cancel_futures=True)


def _encode_shard(
    encoder: _Encoder,
    batches: Iterator[Images],
    num_images: int,
    layout: Layout,
    advance: Callable[[int], None],
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Moments of the images of one shard and, where the layout has them, of the mirrored ones."""
    stored = np.empty((num_images, *layout.shape), layout.dtype)
    mirrored = np.empty_like(stored) if layout.flip else None
    done = 0
    while done < num_images:
        batch = next(batches)
        rows = slice(done, done + len(batch))
        with np.errstate(over="ignore"):  # of --half, which is found below
            stored[rows] = encoder(batch)
            if mirrored is not None:
                mirrored[rows] = encoder(batch[:, :, ::-1])
        done += len(batch)
        advance(len(batch))
    for array in (stored, mirrored):
        if array is not None and not np.isfinite(array).all():
            raise PrepareError(
                "the autoencoder gives numbers that are not finite: is it damaged, or are they too"
                " large for --half?"
            )
    return stored, mirrored
