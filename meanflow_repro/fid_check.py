"""`meanflow fid-check`."""

import os
from pathlib import Path
from typing import Any, Literal

from impls.common.errors import UserError
from meanflow_repro import options


@options.app.command(name="fid-check")
def fid_check(
    *,
    checkpoint: Path | None = None,
    vae: Path | None = None,
    inception: Path | None = None,
    stats: Path | None = None,
    num_samples: int = 50_000,
    num_steps: options.NumSteps = None,
    seed: int = 0,
    weights: str = "ema",
    mode: Literal["legacy_tensorflow", "clean"] = "legacy_tensorflow",
    config: str = "mf_b4",
    framework: tuple[options.Framework, ...] = ("jax", "torch"),
    device: options.Device = "auto",
    batch_size: int = 50,
    output_dir: Path = Path("runs/fid-check"),
    record: options.ScoreRecords = None,
    checksum: options.Checksum = True,
    override: options.Override = (),
) -> int:
    """FID of a checkpoint in both frameworks from the same noise, beside the published value.

    Without files the same code runs on tiny stand-ins, and both frameworks must agree to rounding.
    Exit status 1 if a FID differs from the expected value, or the two frameworks differ from each
    other, by more than one training seed can resolve.

    Args:
        checkpoint: a run's folder, or a checkpoint of the authors' code or its parent folder.
        vae: folder of the autoencoder, as of stabilityai/sd-vae-ft-mse; leave out for pixel models.
        inception: inception-2015-12-05.pt, or pytorch-fid's file.
        stats: .npz file with mean and covariance of the data's features, in either layout.
        num_samples: number of samples; published FIDs use 50000.
        seed: seed of noise and labels.
        weights: ema, params (the raw parameters), or the decay of one of the stored EMAs.
        mode: image resizing: legacy_tensorflow, as in published FIDs, or clean; never mix them.
        config: configuration of an official checkpoint: a preset's name or a YAML file.
        framework: one framework or both.
        batch_size: samples generated at once.
        output_dir: folder for features and sample images; an interrupted check resumes there.
    """
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # leaves memory to PyTorch
    given = {"--checkpoint": checkpoint, "--inception": inception, "--stats": stats}
    missing = [option for option, path in given.items() if path is None]
    if vae is None and len(missing) == len(given):
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # the stand-ins are tiny
    elif missing:
        raise UserError(f"{missing[0]} is missing: give all files, or none for the stand-ins")
    options.check_generation(100, num_samples, num_steps, seed)
    options.check_batches(batch_size=batch_size)
    options.check_writable(None, record)

    from bench.fid.command import Options, check_files, check_standins
    from impls.frameworks import implementation

    subjects: dict[str, Any] = {name: implementation(name) for name in dict.fromkeys(framework)}
    for subject in subjects.values():
        subject.select_device(device)
    if checkpoint is None or inception is None or stats is None:
        return 0 if check_standins(subjects, record) else 1
    changes = options.overrides(override)
    scored = Options(
        checkpoint, vae, inception, stats, config, changes, weights, mode, num_samples,
        num_steps, seed, batch_size, output_dir, record, checksum,
    )  # fmt: skip
    return 0 if check_files(subjects, scored) else 1
