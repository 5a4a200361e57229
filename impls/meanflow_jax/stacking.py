"""Parameters of all blocks in one array each, over which the network loops.

blocks/mlp/fc1/kernel [block, features, width] has the tensors of blocks_0/mlp/fc1/kernel,
blocks_1/mlp/fc1/kernel, … in order; a network without such names has nothing stacked.
"""

import re
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

STACK = "blocks"
_ONE = re.compile(rf"^{STACK}_(\d+)(?=/|$)")


def stack(flat: dict[str, Any], of_blocks: Callable[[list[Any]], Any] = jnp.stack) -> Any:
    """Tree of a dictionary by canonical name, with the arrays of all blocks in one."""
    found: dict[str, dict[int, Any]] = {}
    for name, array in flat.items():
        match = _ONE.match(name)
        number = int(match[1]) if match else 0
        found.setdefault(_ONE.sub(STACK, name), {})[number] = array
    return unflatten_dict(
        {
            name: of_blocks([arrays[i] for i in sorted(arrays)]) if _is_stacked(name) else arrays[0]
            for name, arrays in found.items()
        },
        sep="/",
    )


def unstack(tree: Any) -> dict[str, Any]:
    """Dictionary by canonical name of a tree, or of a flat one: the inverse of `stack`."""
    flat: dict[str, Any] = {}
    for name, array in flatten_dict(tree, sep="/").items():
        if _is_stacked(name):
            rest = name.removeprefix(STACK)
            flat |= {f"{STACK}_{i}{rest}": array[i] for i in range(len(array))}
        else:
            flat[name] = array
    return flat


def _is_stacked(name: str) -> bool:
    return name.partition("/")[0] == STACK
