"""Weights of FID's Inception network, read from either of the two common files with NumPy only.

Both hold the network of TensorFlow's inception-2015-12-05: `inception-2015-12-05.pt`, NVIDIA's
TorchScript file, which clean-fid, EDM and StyleGAN score with, and
`pt_inception-2015-12-05-6726825d.pth`, pytorch-fid's under torchvision's names. Nothing is ever
downloaded. Names, kernels and the consistency of channels are checked, but not the number of
channels, so a narrow network of the same topology can stand in for it.
"""

import hashlib
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from impls.common.errors import UserError, did_you_mean
from impls.common.paths import expanded
from impls.files.downloads import not_the_file
from impls.files.inception_layers import PARTS, tensor_names, topology
from impls.files.reading import readable
from impls.files.torch_files import ScriptModule, load

Array = NDArray[Any]
LEGACY, CLEAN = MODES = ("legacy_tensorflow", "clean")
SIDE = 299  # pixels that the network reads

TORCHSCRIPT, STATE_DICT = "torchscript", "state_dict"
NVIDIA_NAME = "inception-2015-12-05.pt"
# Its SHA-256 as k-diffusion's evaluation and others pin it, and its size in bytes.
NVIDIA_SHA256 = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"
NVIDIA_SIZE = 95_607_719
# Of the narrow network with random weights that `meanflow verify` loads in the place of either.
STANDIN_SHA256 = "437a21eb44160c270c40108bc4ae6b6334fc42c5ecd897217cfd4541856741ab"
TRUSTED = "MEANFLOW_TRUSTED_TORCHSCRIPT"  # SHA-256 of further files whose code may run
SOURCES = (
    f"{NVIDIA_NAME} from https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/"
    f" ({NVIDIA_SIZE} bytes, SHA-256 {NVIDIA_SHA256[:8]}…) or pt_inception-2015-12-05-6726825d.pth"
    " from https://github.com/mseitzer/pytorch-fid/releases/tag/fid_weights (SHA-256 6726825d…)"
)


class InceptionError(UserError):
    """Invalid or wrong file of Inception; the message is one sentence for the user."""


class InceptionWeights(NamedTuple):
    """Inception's tensors, and their origin."""

    path: Path
    sha256: str  # of the file
    layout: str  # TORCHSCRIPT or STATE_DICT
    # "layers.mixed.tower.conv_1.weight" [out, in, height, width], … .beta, .mean, .var [out],
    # "output.weight" [classes, features], "output.bias" [classes]; their dtype is that computed in
    tensors: dict[str, Array]

    @property
    def num_features(self) -> int:
        """Number of features: 2048 in the real network."""
        return int(self.tensors["output.weight"].shape[1])


def read_inception(path: Path | str) -> InceptionWeights:
    """Inception's weights read from either file, as float32.

    Raises:
        InceptionError: when the file is missing, damaged, a web page, another network, or not the
            one whose hash is in its name.
    """
    path = expanded(path)
    if not path.is_file():
        raise InceptionError(f"there is no Inception file {path}: get {SOURCES}")
    if what := not_the_file(path):
        raise InceptionError(f"{path} is {what}: get {SOURCES}")
    with readable(path, f"get {SOURCES}", InceptionError):
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        held = load(path, remedy=f"get {SOURCES}")
    _check_hash(path, sha256)
    if isinstance(held, ScriptModule):
        layout, tensors = TORCHSCRIPT, held.tensors()
    else:
        layout, tensors = STATE_DICT, _from_torchvision(path, held)
    _check(path, tensors)
    chosen = {name: np.array(tensors[name], np.float32) for name in tensor_names()}
    return InceptionWeights(path, sha256, layout, chosen)


def trusted_content(weights: InceptionWeights) -> bytes:
    """Bytes of a trusted TorchScript file, for PyTorch to load, which runs the code in it.

    Raises:
        InceptionError: when it is neither NVIDIA's file nor one that the user trusts by its SHA-256
            in the environment variable TRUSTED, or has changed since its tensors were read.
    """
    path, sha256 = weights.path, weights.sha256
    trusted = (
        NVIDIA_SHA256,
        STANDIN_SHA256,
        *re.split(r"[,\s]+", os.environ.get(TRUSTED, "").lower()),
    )
    if sha256 not in trusted:
        raise InceptionError(
            f"{path} is TorchScript, whose code PyTorch would run, and not NVIDIA's file: if you"
            f" know where it comes from, set {TRUSTED}={sha256}, else use --framework jax, which"
            f" reads its numbers alone, or get {SOURCES}"
        )
    with readable(path, f"get {SOURCES}", InceptionError):
        content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise InceptionError(f"{path} has changed since it was read: start again")
    return content


def check_mode(mode: str) -> None:
    """Check that a mode is one of MODES.

    Raises:
        UserError: naming the valid modes.
    """
    if mode not in MODES:
        known = " or ".join(MODES)
        raise UserError(f"the mode is {mode}, expected {known}{did_you_mean(mode, MODES)}")


def check_images(shape: tuple[int, ...], mode: str) -> None:
    """Check that images are [n, height, width, 3], and that the mode is known.

    Raises:
        UserError: for the mode.
        ValueError: for the shape.
    """
    check_mode(mode)
    if len(shape) != 4 or shape[3] != 3:
        raise ValueError(f"images have shape {shape}, expected [n, height, width, 3]")


def clean_resize(images: Array) -> NDArray[np.float32]:
    """Images at 299 x 299 as clean-fid's mode "clean" resizes them (Parmar et al. 2022).

    Each channel is resized by Pillow as a float image, with an antialiased bicubic filter, without
    rounding to integers; the result is clipped to 0..255.

    Args:
        images: [n, height, width, 3] in 0..255, uint8 or float.

    Returns:
        [n, 299, 299, 3] float32.
    """

    def resized(image: Array) -> Array:
        channels = map(Image.fromarray, np.moveaxis(image, -1, 0))
        made = (channel.resize((SIDE, SIDE), Image.Resampling.BICUBIC) for channel in channels)
        return np.stack([np.asarray(channel) for channel in made], -1)

    with ThreadPoolExecutor() as pool:  # Pillow lets other threads run while it resizes
        found = list(pool.map(resized, images.astype(np.float32)))
    return np.reshape(found, (len(images), SIDE, SIDE, images.shape[3])).clip(0, 255)


def _check_hash(path: Path, sha256: str) -> None:
    """Raise InceptionError if a hash in the file's name, as torch.hub writes it, does not match."""
    named = re.search(r"-([0-9a-f]{8,64})\.\w+$", path.name)
    expected = NVIDIA_SHA256 if path.name == NVIDIA_NAME else named[1] if named else ""
    if not sha256.startswith(expected):
        raise InceptionError(
            f"{path} has the SHA-256 {sha256}, expected {expected} for a file of that name:"
            " download it again, or rename it if it is meant to differ"
        )


def _from_torchvision(path: Path, held: Any) -> dict[str, Array]:
    """Tensors under TorchScript's names from torchvision's, with batch norm's scale folded in.

    gamma (w x - mean) / sqrt(var + eps) + beta = (gamma w x - gamma mean) / sqrt(var + eps) + beta
    """
    held = held if isinstance(held, dict) else {}
    tensors = {}
    for ours, theirs in tensor_names().items():
        if isinstance(held.get(theirs), np.ndarray):
            tensors[ours] = held[theirs]
    for layer in topology()[0]:
        gamma = held.get(f"{layer.torchvision}.bn.weight", np.ones(1))
        weight, mean = (f"layers.{layer.name}.{part}" for part in ("weight", "mean"))
        if (gamma != 1).any() and {weight, mean} <= tensors.keys():
            _expect(path, f"{layer.torchvision}.bn.weight", gamma.shape, tensors[mean].shape)
            tensors[weight] = tensors[weight] * gamma[:, None, None, None]
            tensors[mean] = tensors[mean] * gamma
    return tensors


def _check(path: Path, tensors: dict[str, Array]) -> None:
    """Check names, kernels and channels against the topology, and that numbers are finite."""
    for ours, theirs in tensor_names().items():
        if ours not in tensors:
            raise InceptionError(
                f"{path} is not FID's Inception: it holds neither {ours} nor {theirs}; get"
                f" {SOURCES}"
            )
        if not tensors[ours].ndim:
            _expect(path, ours, (), ("channels", "…"))
    layers, joined = topology()
    widths: dict[str, int] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in layers:
        name = f"layers.{layer.name}"
        width = widths[layer.name] = tensors[f"{name}.weight"].shape[0]
        inputs = sum(widths[read] for read in layer.reads) or 3  # the image has three
        shapes[f"{name}.weight"] = width, inputs, *layer.kernel
        shapes |= {f"{name}.{part}": (width,) for part in PARTS[1:]}
    classes = tensors["output.bias"].shape[0]
    shapes["output.weight"] = classes, sum(widths[read] for read in joined)
    for name, shape in shapes.items():
        _expect(path, name, tensors[name].shape, shape)
    for name in tensor_names():
        if not np.isfinite(tensors[name]).all():
            raise InceptionError(
                f"{name} in {path} holds a number that is not finite: get {SOURCES}"
            )


def _expect(path: Path, name: str, got: tuple[int, ...], expected: tuple[Any, ...]) -> None:
    if got != expected:
        raise InceptionError(
            f"{name} in {path} has shape {got}, expected {expected}: it is another network; get"
            f" {SOURCES}"
        )
