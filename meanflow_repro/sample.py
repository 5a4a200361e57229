"""`meanflow sample`."""

from pathlib import Path

from meanflow_repro import options
from meanflow_repro.options import app, check_generation


@app.command(name="sample")
def sample(
    *,
    checkpoint: options.Run,
    output_dir: Path,
    num_samples: int = 64,
    num_steps: options.NumSteps = None,
    seed: int = 0,
    labels: str = "balanced",
    weights: options.Weights = "ema",
    framework: options.Maker = None,
    device: options.Device = "auto",
    save_images: bool = False,
    checksum: options.Checksum = True,
) -> int:
    """Sample from a checkpoint of either framework; writes samples.npz and grid.png.

    Args:
        output_dir: folder to write to.
        num_samples: number of samples.
        seed: seed of the noise and of random labels.
        labels: balanced (0, 1, 2, … in turn), random, or one class number.
        save_images: also write each sample as a PNG file.
    """
    from impls.files import checkpoints
    from impls.frameworks import implementation
    from impls.trainer.generate import generate, write_samples

    check_generation(1, num_samples, num_steps, seed)
    found = checkpoints.find(checkpoint, checksum=checksum)
    implementation(framework or found.framework).select_device(device)
    made = generate(found, num_samples, num_steps, seed, labels, framework, weights)
    for path in write_samples(made, output_dir, single=save_images)[:2]:
        print(f"wrote {path}")
    return 0
