"""Choice of the device, and conversion between NumPy arrays and arrays on it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree as pytree

from impls.common.errors import UserError

Array = torch.Tensor


def select_device(name: str) -> None:
    """Select the device to compute on: "auto" (the fastest available), "cpu", "cuda", …

    Raises:
        UserError: when there is no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"--device is {name}, but PyTorch has no such device here") from error
    if name != torch.get_default_device().type:  # setting one costs every call a little
        torch.set_default_device(name)


def device_name() -> str:
    """Kind and model of the selected device: "cpu", "gpu NVIDIA H200", …"""
    kind = torch.get_default_device().type
    return f"gpu {torch.cuda.get_device_name()}" if kind == "cuda" else kind


def put(tree: Any) -> Any:
    """NumPy arrays, in any tree of tuples and dictionaries, as tensors of the default device."""
    return pytree.tree_map(_put, tree)


def get(tree: Any) -> Any:
    """Tensors, in any tree, as NumPy arrays."""
    return pytree.tree_map(_get, tree)


def sync(tree: Any) -> Any:
    """Wait until every tensor of the tree is computed, and return the tree."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return tree


def clear_caches() -> None:
    """Free compiled programs and the caches of their compilation."""
    if "torch._dynamo" in sys.modules:  # else nothing was compiled, and the import takes seconds
        torch.compiler.reset()


@contextmanager
def exact_products() -> Iterator[None]:
    """Convolutions in float32, not in TF32, which cuDNN takes by default."""
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        yield


def _get(leaf: Any) -> np.ndarray:
    """NumPy array of a leaf, which may also be a host number."""
    return leaf.detach().cpu().numpy().copy() if isinstance(leaf, torch.Tensor) else np.array(leaf)


def _put(array: Any) -> Array:
    return torch.tensor(np.asarray(array), device=torch.get_default_device())
