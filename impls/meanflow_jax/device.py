"""Choice of the device, and conversion between NumPy arrays and arrays on it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from impls.common.errors import UserError

Array = jax.Array


def select_device(name: str) -> None:
    """Select the device to compute on: "auto" (the fastest available), "cpu", "cuda", …

    Raises:
        UserError: when there is no such device.
    """
    if name != "auto":
        try:
            jax.config.update("jax_default_device", jax.devices(name)[0])
        except RuntimeError as error:
            raise UserError(f"--device is {name}, but JAX has no such device here") from error


def device_name() -> str:
    """Kind and model of the selected device: "cpu", "gpu NVIDIA H200", …"""
    device = jax.config.jax_default_device or jax.devices()[0]
    return " ".join(dict.fromkeys((device.platform, device.device_kind)))


def put(tree: Any) -> Any:
    """NumPy arrays, in any tree of tuples and dictionaries, as arrays of the default device.

    Raises:
        ValueError: for float64 without 64-bit mode, which JAX would round to float32 silently.
    """
    return jax.tree.map(_put, tree)


def get(tree: Any) -> Any:
    """Arrays of the device, in any tree, as NumPy arrays."""
    return jax.tree.map(np.asarray, tree)


def sync(tree: Any) -> Any:
    """Wait until every array of the tree is computed, and return the tree."""
    return jax.block_until_ready(tree)


def clear_caches() -> None:
    """Free compiled programs and the caches of their compilation."""
    jax.clear_caches()


def _put(array: Any) -> Array:
    if np.asarray(array).dtype == np.float64 and not jax.config.jax_enable_x64:
        raise ValueError(
            "float64 array given to JAX in 32-bit mode, which would round it silently:"
            " set JAX_ENABLE_X64=1 or pass float32"
        )
    return jnp.asarray(array)
