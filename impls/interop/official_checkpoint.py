"""Reader of checkpoints of the authors' code, without JAX.

Their code writes a folder checkpoint_<step> with a msgpack file `checkpoint`: step, params,
ema_params and the state of optax.adamw, arrays in flax's own extension type. Later versions of
flax and Orbax write a folder in OCDBT format instead, which Orbax reads. A file of flax with only
parameters is read too: the EMA is then set to the parameters, and the optimizer starts fresh.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from impls.common import parameters
from impls.common.config import Config
from impls.common.errors import UserError
from impls.common.networks import dit
from impls.common.parameters import Parameters
from impls.common.types import CanonicalState
from impls.files.downloads import not_the_file
from impls.interop.ocdbt import MANIFEST, read_ocdbt

ARRAY, SCALAR = 1, 3  # flax.serialization's numbers for an array and for one NumPy number
FILE = "checkpoint"
UNPACKED = "params", "ema_params"


def find_official(path: Path) -> Path:
    """Official checkpoint at a path: a msgpack file, or a folder in OCDBT format.

    The path is that, its folder, a parent of such folders, or one above; the last step is taken.

    Raises:
        UserError: when there is none.
    """
    if path.is_file():
        return path
    for above in ("", "checkpoint_*/", "*/checkpoint_*/", "*/"):
        found = [file for file in path.glob(f"{above}{FILE}") if file.is_file()]
        found += [file.parent for file in path.glob(f"{above}{MANIFEST}")]
        if found:
            return max(found, key=_step_of)
    raise UserError(
        f"there is no official checkpoint at {path}: give the folder checkpoint_<step>, or its"
        " parent; github.com/Gsunshine/meanflow links the published one"
    )


def load_official(path: Path, config: Config) -> CanonicalState:
    """Training state of an official checkpoint, in canonical form.

    Args:
        path: see `find_official`.
        config: configuration of the network that it should hold.

    Raises:
        UserError: for a file that is not a checkpoint, or a network of another size, naming the
            tensor; for a folder in OCDBT format if Orbax is not installed or fails.
    """
    found = find_official(path)
    tree = _read(found) if found.is_file() else read_ocdbt(found)
    if "net" in tree:
        tree = {"params": tree}
    given = [tree[key] for key in UNPACKED if key in tree]
    if not given:
        raise UserError(f"{found} has no params: it is not a checkpoint of the authors' train.py")
    params, ema_params = (_canonical(found, config, tree.get(key, given[0])) for key in UNPACKED)
    if "opt_state" not in tree:
        return CanonicalState.without_moments(0, params, ema_params)
    adam = _adam(tree["opt_state"])
    if adam is None:
        raise UserError(f"{found} has no moments of Adam in its opt_state")
    first, second = (_canonical(found, config, adam[key]) for key in ("mu", "nu"))
    counts = int(tree.get("step", 0)), int(adam["count"])
    return CanonicalState(counts[0], params, ema_params, (), counts[1], first, second)


def likely_size(official: Mapping[str, NDArray[Any]]) -> str | None:
    """Name of the network with the width, depth and patch size of these tensors, if any."""
    kernel = official.get("net/x_embedder/proj/kernel")
    if kernel is None:
        return None
    blocks = {match[1] for name in official if (match := re.match(r"net/blocks/(\w+)/", name))}
    for letter, (depth, width, _) in dit.NAMED.items():
        if (depth, width) == (len(blocks), kernel.shape[-1]):
            return f"DiT_{letter}_{kernel.shape[0]}"
    return None


def _canonical(file: Path, config: Config, tree: Any) -> Parameters:
    official = dict(_flat(tree))
    try:
        params = parameters.from_official(config.network, official)
    except ValueError as error:
        size = likely_size(official)
        hint = f"; it looks like model.cls {size}" if size else ""
        raise UserError(f"{file}: {error}{hint}") from error
    return {name: np.array(array) for name, array in params.items()}


def _flat(tree: Any, prefix: str = "") -> Iterator[tuple[str, NDArray[Any]]]:
    """{"a": {"b": x}} -> a/b: x"""
    for name, node in tree.items():
        if isinstance(node, dict):
            yield from _flat(node, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", node


def _adam(opt_state: Any) -> Any:
    """Part of an optax state that holds count, mu and nu."""
    parts = opt_state.values() if isinstance(opt_state, dict) else opt_state
    found = [part for part in parts or () if isinstance(part, dict) and "mu" in part]
    return found[0] if found else None


def _read(file: Path) -> dict[str, Any]:
    what = not_the_file(file)
    try:
        tree = msgpack.unpackb(file.read_bytes(), ext_hook=_array, strict_map_key=False)
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from error
    except Exception as error:  # msgpack and NumPy raise many kinds
        what = what or "not a complete msgpack file: was the download cut short?"
        raise UserError(f"{file} is {what}") from error
    if not isinstance(tree, dict):
        raise UserError(f"{file} is not a checkpoint: it holds a {type(tree).__name__}")
    return tree


def _array(code: int, content: bytes) -> Any:
    """Array of flax's msgpack extension types: shape, dtype name and bytes."""
    if code not in (ARRAY, SCALAR):
        raise ValueError(f"extension type {code}")
    shape, dtype, raw = msgpack.unpackb(content)
    array = np.frombuffer(raw, dtype.decode() if isinstance(dtype, bytes) else dtype)
    return array.reshape(shape)[()] if code == SCALAR else array.reshape(shape)


def _step_of(found: Path) -> int:
    """Step in the name of a checkpoint's folder."""
    digits = re.search(r"(\d+)$", (found.parent if found.name == FILE else found).name)
    return int(digits[1]) if digits else -1
