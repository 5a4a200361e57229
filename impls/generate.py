"""Samples and scores of a checkpoint, in either framework."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from impls.common.checkpoints import Checkpoint
from impls.common.config import Config
from impls.common.config_files import config_hash
from impls.common.data import digits_split
from impls.common.draws import sampling_labels, sampling_noise
from impls.common.errors import UserError
from impls.common.runlog import picture_grid, to_uint8
from impls.common.scores import Score, conditional_accuracy, digits_frechet
from impls.common.solver import sampling_times
from impls.convert import chosen_weights, implementation
from results.environment import environment
from results.schema import Record

BATCH = 256  # samples made at once
GRID = 100  # samples shown in the picture


class Samples(NamedTuple):
    """Generated images with the labels they were asked for."""

    images: NDArray[np.float32]  # [n, height, width, channel]
    labels: NDArray[np.int32]  # [n]


def generate(
    checkpoint: Checkpoint,
    num_samples: int,
    num_steps: int | None,
    seed: int,
    labels: str | int,
    framework: str | None = None,
    which: str = "ema",
) -> Samples:
    """Samples of a checkpoint, made by either framework.

    Sample i depends on (seed, i) alone, not on how many are made.

    Args:
        num_steps: network calls for each; the configuration's times when absent.
        labels: "random", "balanced" (0, 1, 2, … in turn) or one label for all.
        framework: makes the samples; the checkpoint's own when absent.
        which: "ema", "params" or a decay, see `impls.convert.chosen_weights`.
    """
    config = checkpoint.config
    times, chosen = sampling_times(config, num_steps), _labels(config, num_samples, seed, labels)
    module = implementation(framework or checkpoint.framework)
    params = module.load_params(config, chosen_weights(checkpoint, which))
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
    """Write samples.npz and grid.png, and with `single` one PNG each; returns what was written.

    Images that are no pictures, such as latents, are written to samples.npz alone.
    """
    pictures = samples.images.shape[-1] in (1, 3)
    if single and not pictures:
        raise UserError(
            f"samples have {samples.images.shape[-1]} channels, expected 1 or 3 for"
            " --save-images: latents must be decoded first"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = [folder / "samples.npz"]
        np.savez_compressed(written[0], images=samples.images, labels=samples.labels)
        if pictures:
            written.append(folder / "grid.png")
            Image.fromarray(picture_grid(samples.images[:GRID], scale=4)).save(written[1])
        for i, image in enumerate(samples.images if single else []):
            path = folder / f"{i:06d}.png"
            Image.fromarray(to_uint8(image).squeeze()).save(path)
            written.append(path)
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}") from error
    return written


def scores(samples: Samples) -> dict[str, tuple[Score, Score]]:
    """Score name -> (that of samples of digits, that of real ones), see `impls.common.scores`.

    Real digits are those held out for the accuracy, and those trained on for the distance, which is
    measured from the held-out ones.
    """
    real, train = digits_split(held_out=True), digits_split(held_out=False)
    return {
        "conditional accuracy": (conditional_accuracy(*samples), conditional_accuracy(*real)),
        "digits Frechet distance": (digits_frechet(samples.images), digits_frechet(train.images)),
    }


def check_scored(config: Config) -> None:
    """Raise UserError for a data set that there is no score for."""
    if config.dataset.name != "digits":
        name = config.dataset.name
        raise UserError(
            f"this scores digits, and the checkpoint is of {name}: meanflow fid-check scores images"
        )


def score_records(
    checkpoint: Checkpoint,
    framework: str,
    found: dict[str, tuple[Score, Score]],
    settings: dict[str, int | float | str],
) -> list[Record]:
    """A record of each score and of its value for real digits, and of the seconds of training."""
    training = checkpoint.config.training
    settings = {"training_seed": training.seed, "training_step": checkpoint.step, **settings}
    about = {
        "unit": "1",
        "dtype": "float32",
        "config_hash": config_hash(checkpoint.config),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        **environment(),
    }
    subject, records = f"impls.meanflow_{framework}", []
    for name, scores_found in found.items():
        what = f"evaluate/{name.replace(' ', '_')}"
        for of, given, score in zip(
            (subject, "real digits"), (settings, {}), scores_found, strict=True
        ):
            interval = (score.low, score.high)
            records.append(
                Record(
                    subject=of,
                    what=what,
                    value=score.value,
                    interval=interval,
                    settings=given,
                    **about,
                )
            )
    seconds = _training_seconds(checkpoint)
    if seconds is not None:
        about["unit"] = "seconds"
        what = "train/seconds"
        records.append(
            Record(subject=subject, what=what, value=seconds, settings=settings, **about)
        )
    return records


def _training_seconds(checkpoint: Checkpoint) -> float | None:
    """Time in the training loop, compilation included, by the log of an unbroken run."""
    log = checkpoint.path.parent.parent / "scalars.jsonl"
    if not log.is_file():
        return None
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    steps = [0, *(line["step"] for line in lines)]
    if steps[-1] != checkpoint.step or any(b <= a for a, b in pairwise(steps)):
        return None
    return float(
        sum(
            (b - a) / x["steps_per_second"]
            for (a, b), x in zip(pairwise(steps), lines, strict=True)
        )
    )
