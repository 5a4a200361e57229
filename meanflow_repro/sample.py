"""`meanflow sample`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from meanflow_repro.options import app, check_count


@app.command(name="sample")
def sample(
    *,
    checkpoint: Path,
    output_dir: Path,
    num_samples: int = 64,
    num_steps: int | None = None,
    seed: int = 0,
    labels: str = "balanced",
    weights: str = "ema",
    framework: Literal["jax", "torch"] | None = None,
    device: str = "auto",
    save_images: bool = False,
) -> int:
    """Make samples with a checkpoint of either framework: samples.npz and grid.png.

    Args:
        checkpoint: a run's folder, or that of one of its checkpoints.
        output_dir: folder to write to.
        num_samples: how many.
        num_steps: network calls for each; as configured (one) by default.
        seed: of the noise and of random labels.
        labels: balanced (0, 1, 2, … in turn), random, or one label.
        weights: ema, params (no average), or the decay of one of the averages that were kept.
        framework: makes the samples; that of the checkpoint by default.
        device: auto (a GPU or TPU where there is one), cpu, cuda, …
        save_images: also write each sample as a PNG.
    """
    from impls.files import checkpoints
    from impls.frameworks import implementation
    from impls.trainer.generate import generate, write_samples

    check_count("--num-samples", num_samples)
    check_count("--num-steps", num_steps)
    found = checkpoints.find(checkpoint)
    implementation(framework or found.framework).select_device(device)
    made = generate(found, num_samples, num_steps, seed, labels, framework, weights)
    for path in write_samples(made, output_dir, single=save_images)[:2]:
        print(f"wrote {path}")
    return 0
