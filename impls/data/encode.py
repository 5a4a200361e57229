"""Encoding of a folder of images, such as ImageNet, to shards of latents."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from impls.common.config import DatasetConfig
from impls.data import Example
from impls.data.folder import LAYOUT, ImageFolder, class_names, image_files
from impls.data.prepare import SHARD_SIZE, PrepareError, write_shards
from impls.files.autoencoder import Autoencoder, fingerprint, read_autoencoder
from impls.files.reading import training_folder
from impls.files.resumable import digest, split
from impls.files.shards import Layout, Stored
from impls.frameworks import implementation


class Encoded(NamedTuple):
    """Result of an encoding."""

    layout: Layout
    num_images: int  # of the shards of this process, those encoded earlier included
    num_shards: int
    is_whole: bool  # every process is done, and the index is written


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
    """Encode every image of a folder of classes to the mean and standard deviation of its latent.

    Images are cropped as ADM crops ImageNet, and numbered as in torchvision's ImageFolder. Process
    i of P writes the shards i, i + P, i + 2P, …; the one that finishes last writes the index. An
    interrupted process resumes after its last complete shard, with the same bits, since every batch
    is padded to the same size. Images are identified by their names alone: after changing their
    content, encode into another folder.

    Args:
        images: folder with one folder per class, directly or in its folder train.
        vae: folder of the autoencoder: see `impls.files.autoencoder`.
        output: folder to write to: see `impls.files.shards`.
        image_size: pixels per side after the crop.
        batch_size: images encoded at once.
        shard_size: images in each shard but the last; a shard is held in memory.
        half: store float16, half the size, with means and deviations rounded to 11 bits.
        flip: encode each image mirrored too.
        num_processes, process: number of processes that share the work, and number of this one.

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
    examples, about = _source(images, image_size)
    layout = Layout(
        shape=_latent_shape(autoencoder, image_size),
        dtype="float16" if half else "float32",
        flip=flip,
        counts=tuple(map(len, split(range(len(examples)), shard_size))),
    )
    numbers = range(process, len(layout.counts), num_processes)
    about |= {"vae": fingerprint(autoencoder), "framework": framework, "image_size": image_size}
    # Before anything is written, so that a package that is not installed leaves nothing behind.
    encode = _encoder(framework, autoencoder, layout, batch_size)
    is_whole = write_shards(
        "encoding", output, about, layout, numbers, batch_size, examples.__getitem__, encode
    )
    num_images = sum(layout.counts[number] for number in numbers)
    return Encoded(layout, num_images, len(numbers), is_whole)


def _encoder(
    framework: str, autoencoder: Autoencoder, layout: Layout, batch_size: int
) -> Callable[[list[Example]], Stored]:
    """Encoder: a function of a batch of examples that returns the arrays to store."""
    module = implementation(framework)
    model = module.load_autoencoder(autoencoder)

    def moments(images: NDArray[np.float32]) -> NDArray[Any]:
        """Mean, then standard deviation: [n, height, width, 2 channel]; the batch is padded."""
        filled = np.zeros((batch_size, *images.shape[1:]), images.dtype)
        filled[: len(images)] = images
        encoded = module.get(module.encode(model, module.put(filled)))
        with np.errstate(over="ignore"):  # of --half, which is found below
            stored = np.concatenate(encoded, axis=-1)[: len(images)].astype(layout.dtype)
        if not np.isfinite(stored).all():
            raise PrepareError(
                "the autoencoder's output is not finite: is it damaged, or are the numbers too"
                " large for --half?"
            )
        return stored

    def encode(examples: list[Example]) -> Stored:
        images, labels = (np.array(column) for column in zip(*examples, strict=True))
        mirrored = moments(images[:, :, ::-1]) if layout.flip else None
        return Stored(moments(images), mirrored, labels.astype(np.int32))

    return encode


def _source(images: Path, image_size: int) -> tuple[ImageFolder, dict[str, Any]]:
    """Images, and their identification in the plan."""
    folder = training_folder(images)
    classes = class_names(folder, f"give --imagenet {LAYOUT}")
    paths, labels = image_files(folder, classes)
    config = DatasetConfig(name="folder", image_size=image_size, image_channels=3, flip=False)
    names = (path.removeprefix(str(folder)) for path in paths)
    return ImageFolder(paths, labels, config), {"names": digest(names)}


def _latent_shape(autoencoder: Autoencoder, image_size: int) -> tuple[int, int, int]:
    """Shape of the stored latent of an image: (height, width, 2 channel)."""
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
