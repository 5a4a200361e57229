"""`meanflow convert` and `meanflow prepare`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import tyro
from tyro.conf import UseAppendAction

from impls.common.errors import UserError
from meanflow_repro.options import Override, app, assignment, check_count


@app.command(name="convert")
def convert(
    *,
    checkpoint: Path | None = None,
    from_official: Path | None = None,
    from_torch: Path | None = None,
    rename: UseAppendAction[tuple[str, ...]] = (),
    config: str = "mf_b4",
    override: Override = (),
    framework: Literal["jax", "torch"] | None = None,
    output: Path | None = None,
    safetensors: Path | None = None,
    weights: str = "ema",
) -> int:
    """Carry a checkpoint to the other framework, bit for bit, or write its plain weights.

    Args:
        checkpoint: a run's folder, or that of one of its checkpoints.
        from_official: instead of it a checkpoint of the authors' code, or a folder that holds one.
        from_torch: or a .pt, .pth or .safetensors file of a PyTorch port with the names of DiT.
        rename: OLD=NEW, beginnings of names in that file; may be repeated.
        config: of what is imported: a preset's name or a YAML file.
        override: SECTION.KEY=VALUE, laid over that configuration; may be repeated.
        framework: whose checkpoint to write.
        output: folder of a run to write it to, which can be resumed there.
        safetensors: file to write plain weights to, under the names of facebookresearch/DiT.
        weights: of that file: ema, params (no average), or the decay of an average that was kept.
    """
    from impls.common.config_files import load_config
    from impls.files import checkpoints
    from impls.interop import convert as converting

    if (framework is None) != (output is None):
        raise UserError("--framework and --output belong together: give both, or --safetensors")
    given = [path for path in (checkpoint, from_official, from_torch) if path is not None]
    if len(given) != 1:
        raise UserError("give either --checkpoint, --from-official or --from-torch")
    if output is None and (safetensors is None or checkpoint is None):
        raise UserError("nothing to write: give --framework and --output, or --safetensors")
    if checkpoint is not None:
        found = checkpoints.find(checkpoint)
    loaded = load_config(config, dict(map(assignment, override)))
    if framework is not None and output is not None:
        if checkpoint is not None:
            found = converting.convert(found, framework, output)
        elif from_official is not None:
            found = converting.import_official(from_official, loaded, framework, output)
        elif from_torch is not None:
            renamed = [_beginnings(rule) for rule in rename]
            found = converting.import_torch(from_torch, loaded, framework, output, renamed)
        print(f"wrote {found.path}")
    if safetensors is not None:
        converting.write_safetensors(found, weights, safetensors)
        print(f"wrote {safetensors}")
    return 0


def _beginnings(rule: str) -> tuple[str, str]:
    old, sign, new = rule.partition("=")
    if not sign or not old:
        raise UserError(f"--rename is {rule}, expected OLD=NEW, two beginnings of names")
    return old, new


preparation = tyro.extras.SubcommandApp()
app.command(preparation, name="prepare", help="Turn data sets into what the trainer reads fastest.")


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
        input: folder of .pt files, or with them in its folder train.
        output: folder to write the shards to; a packing that was stopped goes on.
        shard_size: latents in each shard.
        half: store float16, which halves the size and rounds.
    """
    from impls.data import prepare

    check_count("--shard-size", shard_size)
    packed = prepare.pack(input, output, shard_size, half=half)
    print(f"packed {sum(packed.counts)} latents into {len(packed.counts)} shards in {output}")
    return 0


@preparation.command(name="latents")
def latents(
    *,
    imagenet: Path,
    vae: Path,
    output: Path,
    framework: Literal["jax", "torch"] = "jax",
    image_size: int = 256,
    batch_size: int = 32,
    shard_size: int = 8192,
    half: bool = False,
    flip: bool = False,
    num_processes: int = 1,
    process: int = 0,
    device: str = "auto",
) -> int:
    """Encode a folder of images, such as ImageNet, to latents, in shards ready for training.

    Several processes share the work when each is started with its own --process, on one machine or
    many; each uses one device (CUDA_VISIBLE_DEVICES chooses a GPU). The index, which makes the
    shards a data set, is written by the one that finishes last. Started again, a process goes on
    after its last whole shard.

    Args:
        imagenet: folder with a folder of images for each class, in it or in its folder train.
        vae: folder with config.json and diffusion_pytorch_model.safetensors of the autoencoder,
            from huggingface.co/stabilityai/sd-vae-ft-mse.
        output: folder to write the shards to.
        framework: encodes; torch does it with diffusers.
        image_size: pixels along each side, after cropping the middle as ADM does.
        batch_size: images that are encoded at once.
        shard_size: latents in each shard.
        half: store float16, which halves the size and rounds.
        flip: encode the mirror image of each image too; training then mirrors at random.
        num_processes: processes that share the work.
        process: which of them this is, from 0.
        device: auto (a GPU or TPU where there is one), cpu, cuda, …
    """
    from impls.data.encode import encode_folder
    from impls.interop.convert import implementation

    counts = {
        "--image-size": image_size,
        "--batch-size": batch_size,
        "--shard-size": shard_size,
        "--num-processes": num_processes,
    }
    for option, value in counts.items():
        check_count(option, value)
    implementation(framework).select_device(device)
    made = encode_folder(
        imagenet,
        vae,
        output,
        framework=framework,
        image_size=image_size,
        batch_size=batch_size,
        shard_size=shard_size,
        half=half,
        flip=flip,
        num_processes=num_processes,
        process=process,
    )
    print(f"encoded {made.num_images} images into {made.num_shards} shards in {output}")
    if not made.is_whole:
        print("not whole yet: the process that finishes last writes the index")
    return 0
