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
    """Make the reference statistics of FID from a folder of images.

    Args:
        images: folder with images anywhere below it.
        inception: file of Inception's weights, NVIDIA's .pt or pytorch-fid's .pth.
        output: .npz file to write; a run that was stopped goes on.
        mode: how images are resized to 299 x 299: as TensorFlow 1 did, which is what published
            FIDs of ImageNet use, or as clean-fid does.
        image_size: pixels of a side that images are cropped to first, as ADM crops them.
        framework: computes the features.
        batch_size: images on the device at a time.
        num_processes: started with the same options, each with its own --process, share the work.
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
