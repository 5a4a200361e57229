"""`meanflow prepare`: shards of latents, which training reads fastest."""

from pathlib import Path

import tyro

from meanflow_repro.options import Device, Framework, app, check_batches, check_counts

preparation = tyro.extras.SubcommandApp()


app.command(preparation, name="prepare", help="Encode images to latents, or pack them, in shards.")


@preparation.command(name="pack")
def pack(
    *,
    input: Path,  # noqa: A002  the name of the option
    output: Path,
    shard_size: int = 8192,
    half: bool = False,
) -> int:
    """Pack latents, one .pt file each, into memory-mapped shards, which are read much faster.

    Args:
        input: folder of .pt files, directly or in its folder train.
        output: folder to write the shards to; an interrupted run resumes.
        shard_size: latents in each shard.
        half: store float16, which halves the size and rounds.
    """
    from impls.data import prepare

    check_counts(shard_size=shard_size)
    packed = prepare.pack(input, output, shard_size, half=half)
    print(f"packed {sum(packed.counts)} latents into {len(packed.counts)} shards in {output}")
    return 0


@preparation.command(name="latents")
def latents(
    *,
    imagenet: Path,
    vae: Path,
    output: Path,
    framework: Framework = "jax",
    image_size: int = 256,
    batch_size: int = 32,
    shard_size: int = 8192,
    half: bool = False,
    flip: bool = False,
    num_processes: int = 1,
    process: int = 0,
    device: Device = "auto",
) -> int:
    """Encode a folder of images, such as ImageNet, to latents, in shards ready for training.

    Several processes share the work when each is started with its own --process, on one machine or
    many; each uses one device (CUDA_VISIBLE_DEVICES selects a GPU). The process that finishes last
    writes the index, without which the shards cannot be read. An interrupted process resumes after
    its last complete shard.

    Args:
        imagenet: folder with one folder of images per class, directly or in its folder train.
        vae: folder with config.json and diffusion_pytorch_model.safetensors of the autoencoder,
            from huggingface.co/stabilityai/sd-vae-ft-mse.
        output: folder to write the shards to.
        framework: framework to encode with; torch uses diffusers.
        image_size: pixels per side after ADM's center crop.
        batch_size: images encoded at once.
        shard_size: latents in each shard.
        half: store float16, which halves the size and rounds.
        flip: encode each image mirrored too; training then picks one of the two at random.
        num_processes: number of processes that share the work.
        process: number of this process, from 0.
    """
    from impls.data.encode import encode_folder
    from impls.frameworks import implementation

    check_counts(image_size=image_size, shard_size=shard_size, num_processes=num_processes)
    check_batches(batch_size=batch_size)
    implementation(framework).select_device(device)
    made = encode_folder(
        imagenet, vae, output, framework=framework, image_size=image_size, batch_size=batch_size,
        shard_size=shard_size, half=half, flip=flip, num_processes=num_processes, process=process,
    )  # fmt: skip
    print(f"encoded {made.num_images} images into {made.num_shards} shards in {output}")
    if not made.is_whole:
        print("not complete yet: the process that finishes last writes the index")
    return 0
