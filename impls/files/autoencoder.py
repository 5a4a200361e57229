"""The VAE of Stable Diffusion on disk: its configuration, and its tensors by diffusers' names.

A folder as that of huggingface.co/stabilityai/sd-vae-ft-mse holds config.json and
diffusion_pytorch_model.safetensors. Nothing is downloaded.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors.numpy import load_file

from impls.common.errors import UserError
from impls.files.downloads import not_the_file
from impls.files.reading import readable
from impls.files.resumable import digest_tensors

SCALE = np.float32(0.18215)  # brings latents to about unit variance
CONFIG, WEIGHTS = "config.json", "diffusion_pytorch_model.safetensors"
PICKLED = "diffusion_pytorch_model.bin"
SOURCE = "huggingface.co/stabilityai/sd-vae-ft-mse"
# Names of the attention before diffusers 0.17, which published files still have -> names of today.
OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
# What is written in a configuration for the one network that is read; diffusers' default first.
EXPECTED: dict[str, tuple[Any, ...]] = {
    "act_fn": ("silu", "swish"),  # two names of one function
    "mid_block_add_attention": (True,),
    "use_quant_conv": (True,),
    "use_post_quant_conv": (True,),
    "scaling_factor": (float(str(SCALE)),),
    "shift_factor": (None,),
    "latents_mean": (None,),
    "latents_std": (None,),
}

Shapes = dict[str, tuple[int, ...]]
Count = Annotated[int, Field(strict=True, ge=1)]


class AutoencoderError(UserError):
    """Autoencoder that cannot be read; the message is one sentence for the user."""


class AutoencoderConfig(BaseModel):
    """Keys of config.json that determine the network; the defaults are diffusers' own."""

    model_config = ConfigDict(frozen=True)

    in_channels: Count = 3  # of the images that are encoded
    out_channels: Count = 3  # of those that are decoded
    block_out_channels: Annotated[tuple[Count, ...], Field(min_length=1)] = (64,)
    layers_per_block: Count = 1  # residual blocks at each resolution; one more in the decoder
    latent_channels: Count = 4
    norm_num_groups: Count = 32  # of each GroupNorm

    @property
    def factor(self) -> int:
        """Downsampling factor: pixels per side of an image for one of the latent, usually 8."""
        return int(2 ** (len(self.block_out_channels) - 1))


class Autoencoder(NamedTuple):
    """Autoencoder, independent of a framework."""

    config: AutoencoderConfig
    tensors: dict[str, NDArray[Any]]  # diffusers' name -> array; kernels are [out, in, 3, 3]


def tensor_shapes(config: AutoencoderConfig) -> Shapes:
    """Name and shape of every tensor, as diffusers' AutoencoderKL has them, in data-flow order."""
    channels, latent = config.block_out_channels, config.latent_channels
    shapes = _conv("encoder.conv_in", config.in_channels, channels[0])
    width = channels[0]
    for i, wider in enumerate(channels):
        shapes |= _resnets(f"encoder.down_blocks.{i}", width, wider, config.layers_per_block)
        width = wider
        if i < len(channels) - 1:
            shapes |= _conv(f"encoder.down_blocks.{i}.downsamplers.0.conv", width, width)
    shapes |= _middle("encoder.mid_block", width)
    shapes |= _layer("encoder.conv_norm_out", width)
    shapes |= _conv("encoder.conv_out", width, 2 * latent)
    shapes |= _conv("quant_conv", 2 * latent, 2 * latent, 1)
    shapes |= _conv("post_quant_conv", latent, latent, 1)
    shapes |= _conv("decoder.conv_in", latent, width)
    shapes |= _middle("decoder.mid_block", width)
    for i, narrower in enumerate(reversed(channels)):
        shapes |= _resnets(f"decoder.up_blocks.{i}", width, narrower, config.layers_per_block + 1)
        width = narrower
        if i < len(channels) - 1:
            shapes |= _conv(f"decoder.up_blocks.{i}.upsamplers.0.conv", width, width)
    shapes |= _layer("decoder.conv_norm_out", width)
    return shapes | _conv("decoder.conv_out", width, config.out_channels)


def read_autoencoder(folder: Path) -> Autoencoder:
    """Autoencoder read from a folder, or from its folder `vae`, as in a pipeline's files.

    Raises:
        AutoencoderError: when a file is missing, damaged or of another kind, the network is of
            another kind, or a tensor is missing, unknown or of another shape.
    """
    if not folder.is_dir():
        found = "is not a folder" if folder.exists() else "does not exist"
        raise AutoencoderError(f"{folder} {found}: {_remedy(CONFIG, WEIGHTS)}")
    if not (folder / CONFIG).exists() and (folder / "vae" / CONFIG).exists():
        folder = folder / "vae"
    config = _read_config(folder / CONFIG)
    tensors = _renamed(_read_tensors(folder / WEIGHTS))
    _check_tensors(folder / WEIGHTS, config, tensors)
    return Autoencoder(
        config,
        {name: tensors[name].astype(np.float32, copy=False) for name in tensor_shapes(config)},
    )


def fingerprint(autoencoder: Autoencoder) -> str:
    """SHA-256 of the configuration and of every tensor, the same under old and new names."""
    return digest_tensors(autoencoder.tensors, autoencoder.config.model_dump_json())


def check_images(config: AutoencoderConfig, images: Any) -> None:
    """Raise ValueError unless images are [batch, height, width, channel] that can be encoded."""
    shape, factor = tuple(images.shape), config.factor
    if len(shape) != 4 or shape[3] != config.in_channels or shape[1] % factor or shape[2] % factor:
        raise ValueError(
            f"images have shape {shape}, expected (batch, height, width, {config.in_channels})"
            f" with sides that are multiples of {factor}"
        )


def check_latents(config: AutoencoderConfig, latents: Any) -> None:
    """Raise ValueError unless latents are [batch, height, width, channel] that can be decoded."""
    shape = tuple(latents.shape)
    if len(shape) != 4 or shape[3] != config.latent_channels:
        raise ValueError(
            f"latents have shape {shape}, expected (batch, height, width, {config.latent_channels})"
        )


def _read_config(path: Path) -> AutoencoderConfig:
    with readable(path, _remedy(CONFIG), AutoencoderError):
        read = json.loads(_bytes(path))
        kind = read["_class_name"]
    if kind != "AutoencoderKL":
        raise AutoencoderError(
            f"{path} is the configuration of {str(kind)[:80]}, expected AutoencoderKL:"
            f" {_remedy(CONFIG, WEIGHTS)}"
        )
    known = {name: read[name] for name in AutoencoderConfig.model_fields if name in read}
    try:
        config = AutoencoderConfig(**known)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise AutoencoderError(
            f"{key} in {path} is {first['input']!r:.80}, expected a whole number, 1 or more:"
            f" {_remedy(CONFIG)}"
        ) from error
    _check_kind(path, config, read)
    return config


def _check_kind(path: Path, config: AutoencoderConfig, read: Mapping[str, Any]) -> None:
    """Raise AutoencoderError for a configuration of a network that is not implemented here."""
    count = len(config.block_out_channels)
    blocks = {
        "down_block_types": (["DownEncoderBlock2D"] * count,),
        "up_block_types": (["UpDecoderBlock2D"] * count,),
    }
    for key, allowed in {**EXPECTED, **blocks}.items():
        default = ["absent"] if key in blocks and count > 1 else allowed[0]
        if (got := read.get(key, default)) not in allowed:
            raise AutoencoderError(
                f"{key} in {path} is {got!r:.120}, expected {allowed[0]!r}: only autoencoders of"
                f" the kind of Stable Diffusion 1 and 2 are read, such as {SOURCE}"
            )
    groups = config.norm_num_groups
    for width in config.block_out_channels:
        if width % groups:
            raise AutoencoderError(
                f"block_out_channels in {path} holds {width}, expected a multiple of"
                f" norm_num_groups, which is {groups}: {_remedy(CONFIG)}"
            )


def _read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    pickled = path.with_name(PICKLED)
    if not path.exists() and pickled.exists():
        raise AutoencoderError(
            f"{path.parent} has its weights only as {PICKLED}, a pickle, which is not read:"
            f" {_remedy(WEIGHTS)}, or let diffusers convert it with"
            " AutoencoderKL.from_pretrained(FOLDER).save_pretrained(FOLDER)"
        )
    _bytes(path, 256)
    try:
        return load_file(path)
    except Exception as error:  # safetensors has a kind of its own
        raise AutoencoderError(
            f"{path} cannot be read ({str(error)[:120]}), it may have been cut short:"
            f" {_remedy(WEIGHTS)}"
        ) from error


def _bytes(path: Path, count: int = -1) -> bytes:
    """First bytes of a file, which must not be a failed download."""
    with readable(path, _remedy(path.name), AutoencoderError), path.open("rb") as file:
        read = file.read(count)
    if read and (what := not_the_file(path)):
        raise AutoencoderError(f"{path} is {what}: {_remedy(path.name)}")
    return read


def _renamed(tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Tensors under current names; kernels of attention [C, C, 1, 1] become [C, C]."""
    renamed = {}
    for name, array in tensors.items():
        before, attention, part = name.partition(".attentions.0.")
        kind, _, leaf = part.rpartition(".")
        today = f"{before}{attention}{OLD_NAMES.get(kind, kind)}.{leaf}" if attention else name
        is_pointwise = attention and array.shape[2:] == (1, 1)
        renamed[today] = array[:, :, 0, 0] if is_pointwise else array
    return renamed


def _check_tensors(
    path: Path, config: AutoencoderConfig, tensors: Mapping[str, NDArray[Any]]
) -> None:
    expected = tensor_shapes(config)
    for name, shape in expected.items():
        if name not in tensors:
            raise AutoencoderError(
                f"{path} lacks the tensor {name} {shape}: are {CONFIG} and the weights of one"
                " autoencoder, in the layout of diffusers?"
            )
        got = tensors[name]
        if got.shape != shape:
            raise AutoencoderError(
                f"the tensor {name} in {path} is {got.shape}, expected {shape}: are {CONFIG} and"
                " the weights of one autoencoder?"
            )
        if got.dtype.kind != "f" and got.dtype.name != "bfloat16":
            raise AutoencoderError(
                f"the tensor {name} in {path} is {got.dtype}, expected floating-point numbers:"
                f" {_remedy(WEIGHTS)}"
            )
    for name in tensors:
        if name not in expected:
            raise AutoencoderError(
                f"{path} holds the tensor {name}, which the network in {CONFIG} does not have:"
                " are the two files of one autoencoder?"
            )


def _remedy(*files: str) -> str:
    return f"get {' and '.join(files)} from {SOURCE}"


def _layer(name: str, *shape: int) -> Shapes:
    """Weight of this shape, and a bias of its first length."""
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def _conv(name: str, width: int, wider: int, side: int = 3) -> Shapes:
    return _layer(name, wider, width, side, side)


def _resnets(block: str, width: int, wider: int, count: int) -> Shapes:
    """Residual blocks one after another, of which the first changes the width."""
    shapes: Shapes = {}
    for i in range(count):
        name, given = f"{block}.resnets.{i}", width if i == 0 else wider
        shapes |= _layer(f"{name}.norm1", given)
        shapes |= _conv(f"{name}.conv1", given, wider)
        shapes |= _layer(f"{name}.norm2", wider)
        shapes |= _conv(f"{name}.conv2", wider, wider)
        if given != wider:
            shapes |= _conv(f"{name}.conv_shortcut", given, wider, 1)
    return shapes


def _middle(block: str, width: int) -> Shapes:
    """A residual block, attention over all positions, a residual block."""
    attention = f"{block}.attentions.0"
    shapes = _resnets(block, width, width, 2) | _layer(f"{attention}.group_norm", width)
    for part in OLD_NAMES.values():
        shapes |= _layer(f"{attention}.{part}", width, width)
    return shapes
