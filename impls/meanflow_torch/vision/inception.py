"""Inception-v3 features, from which FID and the Inception score are computed."""

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from impls.common.errors import NotInstalledError
from impls.files.inception import (
    CLEAN,
    LEGACY,
    NVIDIA_NAME,
    SIDE,
    TORCHSCRIPT,
    InceptionWeights,
    check_images,
    clean_resize,
    trusted_content,
)

from ..device import Array, exact_products, get, put
from .torchvision_inception import torchvision_inception
from .torchvision_operators import import_torchvision


class _Network(NamedTuple):
    layers: nn.Module  # [n, 3, 299, 299] in -1..1 -> features
    whole: nn.Module | None  # the TorchScript file's own: it resizes too, and is float32 inside
    dtype: torch.dtype


def load_inception(weights: InceptionWeights) -> Any:
    """Inception-v3 with its weights on the device; it computes in the dtype of its arrays.

    Args:
        weights: as `impls.files.inception.read_inception` reads them.

    Raises:
        UserError: when a package that it needs is not installed.
    """
    dtype = put(weights.tensors["output.bias"]).dtype
    load = _from_torchscript if weights.layout == TORCHSCRIPT else torchvision_inception
    with _cleanfid_installed(), torch.device("cpu"):
        network = load(weights)
    network = network.eval().to(torch.get_default_device(), dtype)
    if weights.layout == TORCHSCRIPT:
        return _Network(network.layers, network.base if dtype == torch.float32 else None, dtype)
    return _Network(network, None, dtype)


def inception_features(model: Any, images: Array, mode: str) -> Array:
    """Inception-v3 features (the last pooling layer) of images resized to 299 x 299.

    features = pool(layers((x - 128) / 128)), where x is resized as TensorFlow 1 did in mode
    `legacy_tensorflow`, and as clean-fid does in mode `clean`

    Args:
        model: from `load_inception`.
        images: [n, height, width, 3] in 0..255, uint8 or float.
        mode: one of `impls.files.inception.MODES`.

    Returns:
        [n, features] in the model's dtype; there are 2048 features.

    Raises:
        UserError: for an unknown mode.
        ValueError: for images of another shape.
    """
    check_images(tuple(images.shape), mode)
    if mode == CLEAN:
        images = put(clean_resize(get(images)))
    x = images.permute(0, 3, 1, 2).to(model.dtype).contiguous()
    with torch.no_grad(), exact_products():
        if mode == LEGACY and model.whole is not None:
            return model.whole(x, return_features=True)
        if mode == LEGACY:
            x = _resize(x)
        return model.layers((x - 128) / 128).flatten(1)


def _resize(x: Array) -> Array:
    """Bilinear resize of TensorFlow 1, without half-pixel centres.

    source = destination * input / output
    """
    rows, columns = (
        torch.arange(SIDE, dtype=x.dtype, device=x.device) * (2 / SIDE) + (1 / size - 1)
        for size in x.shape[2:]
    )
    grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1)
    grid = grid.expand(len(x), -1, -1, -1)
    return F.grid_sample(x, grid, "bilinear", padding_mode="border", align_corners=False)


def _from_torchscript(weights: InceptionWeights) -> Any:
    """Network of a TorchScript file, as clean-fid loads it: its `base`, and the `layers` of that.

    Its forward is not called: it is these, reshaped to 2048 features, and a stand-in has fewer.

    Raises:
        UserError: when the file is none whose code is known or trusted.
    """
    from cleanfid.inception_torchscript import InceptionV3W

    content = trusted_content(weights)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        file = Path(folder) / NVIDIA_NAME  # the name that clean-fid wants
        file.write_bytes(content)
        warnings.filterwarnings("ignore", ".*torch.jit", DeprecationWarning)
        return InceptionV3W(folder, download=False)


@contextmanager
def _cleanfid_installed() -> Iterator[None]:
    """Context in which a missing clean-fid (or package that it needs) raises what to install."""
    try:
        import_torchvision()
        yield
    except ModuleNotFoundError as error:
        raise NotInstalledError(
            f"the package {error.name} is not installed, which Inception in PyTorch needs:"
            ' pip install -c constraints.txt -e ".[fid]"'
        ) from error
