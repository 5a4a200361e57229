"""Tiny stand-ins for the files of fid-check, in the real formats, and their expected scores.

The checkpoint is a real one of the authors' code, of a tiny network; autoencoder and Inception have
the real topology, few channels and random weights. Their FID has no meaning, and must be the same
in every framework. `python -m bench.fid.standins` computes the expected numbers with NumPy.
"""

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np

import reference
from impls.common.config_files import from_sizes
from impls.fid.generation import Pipeline, Source, in_dtype
from impls.fid.moments import merge, moments
from impls.fid.statistics import Statistics, load_statistics, save_statistics
from impls.files.autoencoder import read_autoencoder
from impls.files.inception import LEGACY, read_inception
from impls.files.resumable import split
from impls.interop.official_checkpoint import load_official
from reference.frechet import frechet_distance
from verify.golden import BUNDLED

FILES = Path(__file__).parents[2] / "verify" / "fixtures" / "standins"
CHECKPOINT, TRAINING = BUNDLED / "checkpoint_5", BUNDLED / "train_5_steps.json"
STATISTICS, EXPECTED = FILES / "statistics.npz", FILES / "expected.json"
NUM_SAMPLES = 200  # more than Inception's stand-in has features
BATCH_SIZE = 20


def source(seed: int = 0) -> Source:
    """Stand-ins, read in the same way as the real files."""
    about = json.loads(TRAINING.read_text(encoding="utf-8"))
    config = from_sizes(about["model"], about["method"])
    return Source(
        config,
        load_official(CHECKPOINT, config).ema_params,
        read_autoencoder(FILES / "vae"),
        read_inception(FILES / "inception.pt"),
        LEGACY,
        None,
        seed,
    )


def statistics() -> Statistics:
    """Reference statistics of other samples of the same network, by NumPy in float64."""
    return load_statistics(STATISTICS)


def expected() -> dict[str, float]:
    """Expected FID by NumPy in float64, and the relative error of NumPy in float32."""
    found: dict[str, float] = json.loads(EXPECTED.read_text(encoding="utf-8"))
    return found


def _by_numpy(seed: int, dtype: Any) -> Statistics:
    """Statistics of the reference's samples, computed in a dtype."""
    pipeline = Pipeline(reference, in_dtype(source(seed), dtype))
    parts = (moments(pipeline.run(rows)[0]) for rows in split(range(NUM_SAMPLES), BATCH_SIZE))
    whole = functools.reduce(merge, parts)
    about = whole.num_samples, pipeline.source.mode, pipeline.source.inception.sha256
    return Statistics(whole.mean, whole.covariance, *about)


def _write() -> None:
    """Write the statistics of one seed, and the FID of another seed from them."""
    real = _by_numpy(1, np.float64)
    save_statistics(STATISTICS, real)
    exact, rounded = (
        frechet_distance(made.mean, made.covariance, real.mean, real.covariance)
        for made in (_by_numpy(0, np.float64), _by_numpy(0, np.float32))
    )
    found = {"fid": exact, "float32": abs(rounded / exact - 1)}
    EXPECTED.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    _write()
    print(f"wrote {STATISTICS.name} and {EXPECTED.name}")  # noqa: T201
