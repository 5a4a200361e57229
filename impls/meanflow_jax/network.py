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
from .dit import DiT, Part, Parts
from .stacking import unstack

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
    return _mean_velocities(config, params, [Part(z, t, h, labels)])[0]


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
    rows = slice(num_primal), slice(num_primal, None)
    primal, dual = (Part(z[i], t[i], (t - r)[i], labels[i]) for i in rows)
    if not len(tangent):
        return _mean_velocities(config, params, [primal])[0], tangent

    def velocities(z: Array, t: Array, r: Array) -> list[Array]:
        parts = [primal] if num_primal else []
        return _mean_velocities(config, params, [*parts, Part(z, t, t - r, dual.labels)])

    dr, dt = config.method.tangent_of_times
    r_dual = r[num_primal:]
    along = (tangent, jnp.full_like(dual.t, dt), jnp.full_like(r_dual, dr))
    out, tangents = jax.jvp(velocities, (dual.z, dual.t, r_dual), along)
    return jnp.concatenate(out), tangents[-1]


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
    found = _intermediates(config.network, params, low, t, h, labels)
    outputs = {"/".join(path[:-1]): out[0] for path, out in flatten_dict(found).items()}
    return unstack({name: array for name, array in outputs.items() if name})


def parameter_shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """Shape of every parameter that the network itself declares, by canonical name.

    Nothing is allocated, so the largest size costs as little as the smallest.
    """
    size = config.network
    image = jax.ShapeDtypeStruct((1, size.input_size, size.input_size, size.in_channels), "float32")
    time, label = (jax.ShapeDtypeStruct((1,), dtype) for dtype in ("float32", "int32"))
    key = jax.ShapeDtypeStruct((2,), "uint32")

    def declared(*given: Array) -> Any:
        return unstack(_module(size).init(*given)["params"])

    arrays = jax.eval_shape(declared, key, image, time, time, label)
    return {name: array.shape for name, array in arrays.items()}


def _mean_velocities(config: Config, params: Any, parts: Parts) -> list[Array]:
    """u of each part of a batch, of which some may have tangents."""
    dtype = parts[0].z.dtype
    low = _product_dtype(config, parts[0].z)
    params = _cast(config.network, params, low)
    cast = [part._replace(z=part.z.astype(low)) for part in parts]
    return [u.astype(dtype) for u in _apply(config.network, params, cast)]


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
def _apply(size: Network, params: Any, parts: Parts) -> list[Array]:
    """u of each part, compiled once per network; inside another jit it is inlined."""
    module, variables = _module(size), {"params": params}
    if not hasattr(module, "of_parts"):  # no loop that the parts could share
        return [module.apply(variables, *part) for part in parts]
    found: list[Array] = module.apply(variables, parts, method="of_parts")
    return found


@functools.partial(jax.jit, static_argnums=0)
def _intermediates(size: Network, params: Any, *inputs: Array) -> Any:
    variables = {"params": params}
    _, state = _module(size).apply(
        variables, *inputs, capture_intermediates=True, mutable="intermediates"
    )
    return state["intermediates"]
