"""Checkpoints that the authors' code wrote, read without JAX.

Their saver makes a folder checkpoint_<step> with a msgpack file `checkpoint`: step, params,
ema_params and the state of optax.adamw, arrays in flax's own extension type.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from impls.common import weights
from impls.common.config import SIZES, Config
from impls.common.errors import UserError
from impls.common.records import CanonicalState

Parameters = dict[str, NDArray[Any]]
ARRAY, SCALAR = 1, 3  # flax.serialization's numbers for an array and for one NumPy number
FILE = "checkpoint"
UNPACKED = "params", "ema_params"


class OfficialError(UserError):
    """An official checkpoint that cannot be used; the message is one sentence for the user."""


def find_official(path: Path) -> Path:
    """The msgpack file at a path: the file, its folder, a parent of such folders or one above.

    Raises:
        OfficialError: when there is none.
    """
    if path.is_file():
        return path
    for pattern in (FILE, f"checkpoint_*/{FILE}", f"*/checkpoint_*/{FILE}", f"*/{FILE}"):
        found = [file for file in path.glob(pattern) if file.is_file()]
        if found:
            return max(found, key=lambda file: _step_of(file.parent))
    if any(path.rglob("manifest.ocdbt")):
        raise OfficialError(
            f"{path} is in Orbax's later OCDBT format, which is not read yet:"
            " save it with use_ocdbt=False"
        )
    raise OfficialError(
        f"there is no official checkpoint at {path}: give the folder checkpoint_<step>, or its"
        " parent"
    )


def load_official(path: Path, config: Config) -> CanonicalState:
    """The whole training state of an official checkpoint, in canonical names.

    Args:
        path: see `find_official`.
        config: of the network that it should hold.

    Raises:
        OfficialError: for a file that is none, or a network of another size, naming the tensor.
    """
    file = find_official(path)
    tree = _read(file)
    missing = [key for key in ("step", *UNPACKED, "opt_state") if key not in tree]
    if missing:
        raise OfficialError(f"{file} has no {missing[0]}: it is no checkpoint of their train.py")
    adam = _adam(tree["opt_state"])
    if adam is None:
        raise OfficialError(f"{file} has no moments of Adam in its opt_state")
    trees = (*(tree[key] for key in UNPACKED), adam["mu"], adam["nu"])
    params, ema_params, first, second = (_canonical(file, config, part) for part in trees)
    return CanonicalState(
        int(tree["step"]), params, ema_params, (), int(adam["count"]), first, second
    )


def likely_size(official: Mapping[str, NDArray[Any]]) -> str | None:
    """The name of the network whose tensors these are by width, depth and patch, if one is."""
    kernel = official.get("net/x_embedder/proj/kernel")
    if kernel is None:
        return None
    blocks = {match[1] for name in official if (match := re.match(r"net/blocks/(\w+)/", name))}
    for letter, (depth, width, _) in SIZES.items():
        if (depth, width) == (len(blocks), kernel.shape[-1]):
            return f"DiT_{letter}_{kernel.shape[0]}"
    return None


def _canonical(file: Path, config: Config, tree: Any) -> Parameters:
    official = dict(_flat(tree))
    try:
        params = weights.from_official(config.network, official)
    except ValueError as error:
        size = likely_size(official)
        hint = f"; it looks like model.cls {size}" if size else ""
        raise OfficialError(f"{file}: {error}{hint}") from error
    return {name: np.array(array) for name, array in params.items()}


def _flat(tree: Any, prefix: str = "") -> Iterator[tuple[str, NDArray[Any]]]:
    """{"a": {"b": x}} -> a/b: x"""
    for name, node in tree.items():
        if isinstance(node, dict):
            yield from _flat(node, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", node


def _adam(opt_state: Any) -> Any:
    """The part of an optax state that holds count, mu and nu."""
    parts = opt_state.values() if isinstance(opt_state, dict) else opt_state
    found = [part for part in parts or () if isinstance(part, dict) and "mu" in part]
    return found[0] if found else None


def _read(file: Path) -> dict[str, Any]:
    try:
        tree = msgpack.unpackb(file.read_bytes(), ext_hook=_array, strict_map_key=False)
    except OSError as error:
        raise OfficialError(f"cannot read {file}: {error.strerror}") from error
    except Exception as error:  # msgpack and NumPy raise many kinds
        raise OfficialError(
            f"{file} is no whole msgpack file: was it downloaded to its end?"
        ) from error
    if not isinstance(tree, dict):
        raise OfficialError(f"{file} is no checkpoint: it holds a {type(tree).__name__}")
    return tree


def _array(code: int, content: bytes) -> Any:
    """flax's extension types: shape, dtype name and bytes of an array."""
    if code not in (ARRAY, SCALAR):
        raise ValueError(f"extension type {code}")
    shape, dtype, raw = msgpack.unpackb(content)
    array = np.frombuffer(raw, dtype.decode() if isinstance(dtype, bytes) else dtype)
    return array.reshape(shape)[()] if code == SCALAR else array.reshape(shape)


def _step_of(folder: Path) -> int:
    digits = re.search(r"(\d+)$", folder.name)
    return int(digits[1]) if digits else -1
