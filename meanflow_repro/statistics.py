"""`meanflow statistics`."""

from pathlib import Path
from typing import Literal

from meanflow_repro.options import Device, Framework, app, check_batches, check_counts


@app.command(name="statistics")
def statistics(
    *,
    images: Path,
    inception: Path,
    output: Path,
    mode: Literal["legacy_tensorflow", "clean"] = "legacy_tensorflow",
    image_size: int = 256,
    framework: Framework = "jax",
    device: Device = "auto",
    batch_size: int = 64,
    num_processes: int = 1,
    process: int = 0,
) -> int:
    """Compute FID reference statistics (mean and covariance of Inception features) of images.

    Args:
        images: folder with images at any depth.
        inception: file of Inception's weights, NVIDIA's .pt or pytorch-fid's .pth.
        output: .npz file to write; an interrupted run resumes.
        mode: how images are resized to 299 x 299: as TensorFlow 1 did, which is what published
            FIDs of ImageNet use, or as clean-fid does.
        image_size: pixels per side of ADM's center crop, which comes first.
        framework: framework to compute the features with.
        batch_size: images on the device at once.
        num_processes: number of processes that share the work, each started with its own --process.
        process: number of this process, from 0.
    """
    from impls.fid.image_folder import folder_statistics
    from impls.files.inception import read_inception
    from impls.frameworks import implementation

    check_counts(image_size=image_size, num_processes=num_processes)
    check_batches(batch_size=batch_size)
    weights = read_inception(inception)
    chosen = implementation(framework)
    chosen.select_device(device)
    made = folder_statistics(
        chosen, weights, images, output, mode, image_size, batch_size, process, num_processes
    )
    if made is None:
        print(f"process {process} is done; the last of {num_processes} writes {output}")
    else:
        print(f"wrote {output}: {len(made.mean)} features of {made.num_images} images, {mode}")
    return 0
