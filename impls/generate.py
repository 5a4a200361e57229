"""Samples and scores of a checkpoint, in either framework."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from impls.common import scores as digits_scores
from impls.common.checkpoints import Checkpoint, CheckpointError
from impls.common.config import Config
from impls.common.data import digits_split
from impls.common.draws import sampling_labels, sampling_noise
from impls.common.errors import UserError
from impls.common.runlog import picture_grid, to_uint8

BATCH = 256  # samples made at once
GRID = 100  # samples shown in the picture


class Samples(NamedTuple):
    """Generated images with the labels they were asked for."""

    images: NDArray[np.float32]  # [n, height, width, channel]
    labels: NDArray[np.int32]  # [n]


def implementation(framework: str) -> Any:
    """The module of a framework.

    Raises:
        UserError: when the framework is not installed.
    """
    try:
        return importlib.import_module(f"impls.meanflow_{framework}")
    except ModuleNotFoundError as error:
        raise UserError(
            f"the package {error.name} is not installed, which --framework {framework} needs:"
            f' pip install -e ".[{framework}]"'
        ) from error


def even_times(num_steps: int) -> tuple[float, ...]:
    """1 = s_0 > … > s_N = 0 in equal steps."""
    return tuple(1 - step / num_steps for step in range(num_steps + 1))


def generate(
    checkpoint: Checkpoint,
    num_samples: int,
    num_steps: int,
    seed: int,
    labels: str | int,
) -> Samples:
    """Samples of the moving average of a checkpoint, read by its own framework.

    Sample i depends on (seed, i) alone, not on how many are made.

    Args:
        labels: "random", "balanced" (0, 1, 2, … in turn) or one label for all.
    """
    config = checkpoint.config
    module = implementation(checkpoint.framework)
    params = module.restore_checkpoint(checkpoint.state, config).ema_params
    times, chosen = even_times(num_steps), _labels(config, num_samples, seed, labels)
    images = []
    for rows in _chunks(num_samples):
        noise = sampling_noise(config, seed, rows)
        inputs = module.put((noise, chosen[rows.start : rows.stop]))
        images.append(module.get(module.sample(config, params, *inputs, times)))
    return Samples(np.concatenate(images), chosen)


def _chunks(count: int) -> Iterator[range]:
    for start in range(0, count, BATCH):
        yield range(start, min(start + BATCH, count))


def _labels(config: Config, count: int, seed: int, labels: str | int) -> NDArray[np.int32]:
    classes: int = config.network.num_classes
    if labels == "random":
        return sampling_labels(config, seed, range(count))
    if labels == "balanced":
        return np.resize(np.arange(classes, dtype=np.int32), count)
    if not str(labels).isdigit() or int(labels) >= classes:
        raise UserError(
            f"labels are {labels}, expected random, balanced or one of 0 .. {classes - 1}"
        )
    return np.full(count, int(labels), np.int32)


def write_samples(samples: Samples, folder: Path, *, single: bool) -> list[Path]:
    """Write samples.npz and grid.png, and with `single` one PNG each; returns what was written."""
    channels = samples.images.shape[-1]
    if channels not in (1, 3):
        raise CheckpointError(
            f"samples have {channels} channels, no pictures: decode latents first"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = [folder / "samples.npz", folder / "grid.png"]
        np.savez_compressed(written[0], images=samples.images, labels=samples.labels)
        Image.fromarray(picture_grid(samples.images[:GRID], scale=4)).save(written[1])
        for i, image in enumerate(samples.images if single else []):
            path = folder / f"{i:06d}.png"
            Image.fromarray(to_uint8(image).squeeze()).save(path)
            written.append(path)
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}") from error
    return written


def scores(
    checkpoint: Checkpoint, num_samples: int, num_steps: int, seed: int
) -> list[Sequence[str]]:
    """Rows of (score, samples, real held-out digits) for people.

    Raises:
        UserError: for a checkpoint of another data set than digits.
    """
    if checkpoint.config.dataset.name != "digits":
        name = checkpoint.config.dataset.name
        raise UserError(f"there is no score for {name} yet, expected a checkpoint of digits")
    made = generate(checkpoint, num_samples, num_steps, seed, "balanced")
    real, train = digits_split(held_out=True), digits_split(held_out=False)

    def show(score: digits_scores.Score) -> str:
        return f"{score.value:.3f} [{score.low:.3f}, {score.high:.3f}]"

    return [
        (
            "conditional accuracy",
            show(digits_scores.conditional_accuracy(*made)),
            show(digits_scores.conditional_accuracy(*real)),
        ),
        (
            "digits Frechet distance",
            show(digits_scores.digits_frechet(made.images)),
            show(digits_scores.digits_frechet(train.images)),
        ),
    ]
