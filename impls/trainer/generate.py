"""Samples and scores of a checkpoint, in either framework."""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from impls.common.config import Config, DatasetConfig
from impls.common.draws import sampling_labels, sampling_noise
from impls.common.errors import UserError
from impls.common.timesteps import sampling_times
from impls.common.types import Batch
from impls.fid import small_images
from impls.fid.small_images import DATA_SETS, Score, conditional_accuracy, frechet
from impls.files.checkpoints import Checkpoint
from impls.files.pictures import picture_grid, to_uint8, write_png
from impls.files.resumable import split
from impls.files.writing import writable, write_whole
from impls.frameworks import implementation
from impls.interop.convert import chosen_weights

BATCH = 256  # samples made at once
GRID = 100  # samples shown in the picture


def generate(
    checkpoint: Checkpoint,
    num_samples: int,
    num_steps: int | None,
    seed: int,
    labels: str | int,
    framework: str | None = None,
    which: str = "ema",
) -> Batch:
    """Samples of a checkpoint in either framework, with the labels they are conditioned on.

    Sample i depends on (seed, i) alone, not on the number of samples.

    Args:
        num_steps: sampling steps (NFE); the configuration's times when absent.
        labels: "random", "balanced" (0, 1, 2, … in turn) or one label for all.
        framework: framework to sample with; the checkpoint's own when absent.
        which: "ema", "params" or a decay, see `impls.interop.convert.chosen_weights`.
    """
    config = checkpoint.config
    times, chosen = sampling_times(config, num_steps), _labels(config, num_samples, seed, labels)
    module = implementation(framework or checkpoint.framework)
    params = module.load_params(config, chosen_weights(checkpoint, which))
    images = []
    for rows in split(range(num_samples), BATCH):
        noise = sampling_noise(config, seed, rows)
        inputs = module.put((noise, chosen[rows.start : rows.stop]))
        images.append(module.get(module.sample(config, params, *inputs, times)))
    return Batch(np.concatenate(images), chosen)


def _labels(config: Config, count: int, seed: int, labels: str | int) -> NDArray[np.int32]:
    classes: int = config.network.num_classes
    if labels == "random":
        return sampling_labels(config, seed, range(count))
    if labels == "balanced":
        return np.resize(np.arange(classes, dtype=np.int32), count)
    if str(labels) not in map(str, range(classes)):
        raise UserError(
            f"--labels is {labels}, expected random, balanced or one of 0 .. {classes - 1}"
        )
    return np.full(count, int(labels), np.int32)


def write_samples(samples: Batch, folder: Path, *, single: bool) -> list[Path]:
    """Write samples.npz and grid.png, with `single` one PNG per sample too; returns the paths.

    Samples that are not images, such as latents, are written to samples.npz alone.
    """
    pictures = samples.images.shape[-1] in (1, 3)
    if single and not pictures:
        raise UserError(
            f"samples have {samples.images.shape[-1]} channels, expected 1 or 3 for"
            " --save-images: latents must be decoded first"
        )
    with writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
        written = [folder / "samples.npz"]
        content = io.BytesIO()
        np.savez_compressed(content, allow_pickle=False, **samples._asdict())
        write_whole(written[0], content.getbuffer())
        if pictures:
            written.append(folder / "grid.png")
            write_png(written[1], picture_grid(samples.images[:GRID], scale=4))
        for i, image in enumerate(samples.images if single else []):
            path = folder / f"{i:06d}.png"
            write_png(path, to_uint8(image).squeeze())
            written.append(path)
    return written


def scores(data: DatasetConfig, samples: Batch) -> dict[str, tuple[Score, Score]]:
    """Scores by name: (that of the samples, that of real images), see `impls.fid.small_images`.

    Real images are the held-out ones for the accuracy, and the training images for the distance,
    which is a distance from the held-out ones.
    """
    held_out, train = (small_images.split(data, held_out) for held_out in (True, False))
    name = f"{DATA_SETS[data.kind].title} Fréchet distance"
    return {
        "conditional accuracy": (
            conditional_accuracy(data, *samples), conditional_accuracy(data, *held_out),
        ),
        name: (frechet(data, samples.images), frechet(data, train.images)),
    }  # fmt: skip
