"""Average velocity u(z, t, h, y) over [t - h, t] of any network, and its JVP.

`mean_velocity` applies the module that NETWORKS has for the network's kind. `mean_velocity_jvp`,
from which the train step takes u and du/dt, carries dual numbers (primal and tangent) through it:
in JAX by `jax.jvp` of the module; in PyTorch through the same layers written for dual numbers
(dual_dit.py), or, where a network has no such form or method.jvp is autodiff, by `torch.func.jvp`
of the module.
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict

from impls.common.config import Config
from impls.common.networks.table import Network

from .device import Array
from .dit import DiT

NETWORKS = {"dit": DiT}


def mean_velocity(
    config: Config, params: Any, z: Array, t: Array, h: Array, labels: Array
) -> Array:
    """Average velocity over [r, t] = [t - h, t]: u(z, t, h, y).

    u approximates 1 / (t - r) times the integral of v(z_s, s) ds from r to t      (eq. 3)

    Args:
        params: from `load_params` or `init_params`.
        z: [batch, height, width, channel], the state at time t.
        t, h: [batch], time in 0..1 and length of the interval.
        labels: [batch] integer, num_classes for "no label".

    Returns:
        [batch, height, width, channel]
    """
    low = z.astype(_product_dtype(config, z))
    params = _cast(config.network, params, low.dtype)
    u = _apply(config.network, params, low, t, h, labels)
    return u.astype(z.dtype)


def mean_velocity_jvp(
    config: Config, params: Any, z: Array, r: Array, t: Array, labels: Array, tangent: Array
) -> tuple[Array, Array]:
    """Average velocity and its total derivative in t with r held fixed, as a JVP.

    du/dt = tangent . grad_z u + d_t u      (eq. 8)

    The tangent of (z, r, t) is (tangent, 0, 1); another method.tangent gives the derivative along
    that one.

    Args:
        tangent: [num_tangents, height, width, channel], of the last rows; the rows before them get
            no du/dt.

    Returns:
        u: [batch, height, width, channel];  du_dt: [num_tangents, height, width, channel]
    """
    num_primal = len(z) - len(tangent)  # rows without a tangent
    parts = slice(num_primal), slice(num_primal, None)
    primal, dual = ([x[rows] for x in (z, r, t)] for rows in parts)

    def u(z: Array, r: Array, t: Array, labels: Array) -> Array:
        return mean_velocity(config, params, z, t, t - r, labels)

    if not len(tangent):
        return u(z, r, t, labels), tangent
    _, r_dual, t_dual = dual
    dr, dt = config.method.tangent_of_times
    along = (tangent, jnp.full_like(r_dual, dr), jnp.full_like(t_dual, dt))
    out, du_dt = jax.jvp(lambda *x: u(*x, labels[num_primal:]), tuple(dual), along)
    if num_primal:
        out = jnp.concatenate([u(*primal, labels[:num_primal]), out])
    return out, du_dt


def ablations() -> tuple[str, ...]:
    """Configuration keys of ablations and other losses that this implementation supports."""
    other = ("method.tangent_gradient", "method.tangent_velocity", "method.reduction")
    return ("method.tangent", "model.embedding", *other)


def activations(
    config: Config, params: Any, z: Array, t: Array, h: Array, labels: Array
) -> dict[str, Array]:
    """Output of each module of the network, by canonical module name ("blocks_0/attn")."""
    low = z.astype(_product_dtype(config, z))
    params = _cast(config.network, params, low.dtype)
    intermediates = _intermediates(config.network, params, low, t, h, labels)
    return {
        "/".join(path[:-1]): outputs[0] for path, outputs in flatten_dict(intermediates).items()
    }


def parameter_shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """Shape of every parameter that the network itself declares, by canonical name.

    Nothing is allocated, so the largest size costs as little as the smallest.
    """
    size = config.network
    image = jax.ShapeDtypeStruct((1, size.input_size, size.input_size, size.in_channels), "float32")
    time, label = (jax.ShapeDtypeStruct((1,), dtype) for dtype in ("float32", "int32"))
    key = jax.ShapeDtypeStruct((2,), "uint32")
    declared = jax.eval_shape(_module(size).init, key, image, time, time, label)
    return {name: array.shape for name, array in flatten_dict(declared["params"], sep="/").items()}


def _product_dtype(config: Config, z: Array) -> Any:
    """Dtype that the blocks compute in: `training.precision` where it is lower than that of z."""
    return jnp.bfloat16 if config.training.precision == "bfloat16" else z.dtype


def _module(size: Network) -> nn.Module:
    """The network of these sizes."""
    return NETWORKS[size.kind](size)


def _cast(size: Network, params: Any, dtype: Any) -> Any:
    """Parameters in the dtype of the blocks; those that are `exact` keep their own."""
    return {
        name: part if name in size.exact else jax.tree.map(lambda array: array.astype(dtype), part)
        for name, part in params.items()
    }


@functools.partial(jax.jit, static_argnums=0)
def _apply(size: Network, params: Any, *inputs: Array) -> Array:
    """u of these parameters, compiled once per network; inside another jit it is inlined."""
    return _module(size).apply({"params": params}, *inputs)


@functools.partial(jax.jit, static_argnums=0)
def _intermediates(size: Network, params: Any, *inputs: Array) -> Any:
    variables = {"params": params}
    _, state = _module(size).apply(
        variables, *inputs, capture_intermediates=True, mutable="intermediates"
    )
    return state["intermediates"]
