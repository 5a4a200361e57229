"""Features of many samples, saved to disk as they are computed, so that interrupted runs resume.

FRAMEWORK.npy         [num_samples, feature] float32: 400 MB for 50,000 samples
FRAMEWORK.json        what they are of, and how many there are so far
FRAMEWORK.png         the first samples, to be looked at
"""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from impls.common.config_files import config_hash
from impls.common.errors import UserError
from impls.fid.generation import Pipeline, Source, num_calls
from impls.fid.moments import Array, MomentGroups, Moments
from impls.fid.scores import InceptionScore, add_sums, inception_score, score_sums
from impls.files.autoencoder import fingerprint
from impls.files.pictures import picture_grid, write_png
from impls.files.resumable import changed, digest_tensors, split, work_through
from impls.files.writing import writable, write_whole

SHOWN = 16  # samples in the picture
CHUNK = 1024  # features that are read at once


def plan(source: Source, num_samples: int) -> dict[str, int | float | str]:
    """Settings that must match to resume: all that the features depend on but the framework."""
    autoencoder = source.autoencoder
    return {
        "num_samples": num_samples,
        "num_steps": num_calls(source),
        "sampling_seed": source.seed,
        "labels": "uniformly random",
        "uint8": "clip(127.5 x + 128, 0, 255), truncated",
        "resize": source.mode,
        "inception_sha256": source.inception.sha256,
        "vae_sha256": fingerprint(autoencoder) if autoencoder else "none",
        "params_sha256": digest_tensors(dict(sorted(source.params.items()))),
        "config_hash": config_hash(source.config),
    }


def make_features(
    pipeline: Pipeline,
    file: Path,
    num_samples: int,
    batch_size: int,
    advance: Callable[[int], None],
) -> Array:
    """Features [num_samples, feature] of samples 0, 1, …, as a view of the file.

    Args:
        file: path without an ending; features that it holds already are not computed again.
        advance: called with the number of samples just done.

    Raises:
        UserError: when the file holds features of other samples, or cannot be written.
    """
    about = plan(pipeline.source, num_samples)
    with writable(file.parent):
        done, features = _opened(file, about, pipeline.source.inception.num_features)

        def save(rows: range, made: list[tuple[Array, Array]]) -> None:
            [(features[rows.start : rows.stop], images)] = made
            if rows.start == 0:
                write_png(file.with_suffix(".png"), picture_grid(images[:SHOWN]))
            features.flush()
            notes = json.dumps({**about, "done": rows.stop}, indent=1) + "\n"
            write_whole(file.with_suffix(".json"), notes.encode())

        advance(done)
        work_through(
            split(range(done, num_samples), batch_size),
            batch_size,
            int,  # a number is all of an item
            lambda rows: pipeline.run(range(rows[0], rows[-1] + 1)),
            save,
            advance,
        )
    return np.asarray(features)


def summaries(features: Array, weight: Array) -> tuple[tuple[Moments, ...], InceptionScore | None]:
    """Moments of groups of samples, and the Inception score if there are enough samples.

    Args:
        features: [num_samples, feature], read a part at a time.
        weight: [class, feature] of Inception's last layer.
    """
    groups, sums = MomentGroups(), []
    for rows in split(range(len(features)), CHUNK):
        part = np.asarray(features[rows.start : rows.stop])
        groups.add(part)
        sums.append(score_sums(part, weight, rows.start, len(features)))
    whole = functools.reduce(add_sums, sums)
    return groups.groups(), inception_score(whole) if whole.num_samples.all() else None


def _opened(file: Path, about: dict[str, Any], num_features: int) -> tuple[int, Any]:
    """Number of samples done, and the array of features, which is created if it is absent."""
    file.parent.mkdir(parents=True, exist_ok=True)
    array, notes = file.with_suffix(".npy"), file.with_suffix(".json")
    shape = about["num_samples"], num_features
    if not notes.exists():
        opened = np.lib.format.open_memmap(array, mode="w+", dtype=np.float32, shape=shape)
        return 0, opened
    try:
        noted = json.loads(notes.read_text(encoding="utf-8"))
        done = int(noted.pop("done"))
        opened = np.lib.format.open_memmap(array, mode="r+")
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise UserError(f"{notes} is damaged: remove it to start again") from error
    if noted != about or opened.shape != shape:
        differs = ", ".join(sorted(changed(noted, about))) or "shape"
        raise UserError(
            f"{file.parent} holds features of other samples ({differs}"
            " differs): give another --output-dir, or remove this one"
        )
    return done, opened
