"""Average velocity u(z, t, h, y) over [t - h, t] of any network, and its JVP.

`mean_velocity` applies the module that NETWORKS has for the network's kind. `mean_velocity_jvp`,
from which the train step takes u and du/dt, carries dual numbers (primal and tangent) through it:
in JAX by `jax.jvp` of the module; in PyTorch through the same layers written for dual numbers
(dual_dit.py), or, where a network has no such form or method.jvp is autodiff, by `torch.func.jvp`
of the module.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from impls.common import parameters
from impls.common.config import Config
from impls.common.networks.table import Network

from .device import Array
from .dit import DiT
from .dual_dit import Dual, dual_mean_velocity

NETWORKS = {"dit": DiT}
_DUAL_FORMS = {"dit": dual_mean_velocity}


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
    low = z.to(_product_dtype(config, z))
    params = _cast(config.network, params, low.dtype)
    u = _apply(config.network, params, low, t, h, labels)
    return u.to(z.dtype)


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
    if not len(tangent):
        return mean_velocity(config, params, z, t, t - r, labels), tangent
    size, low = config.network, _product_dtype(config, z)
    t_dual = t[len(t) - len(tangent) :]
    dr, dt = (torch.full_like(t_dual, rate) for rate in config.method.tangent_of_times)
    duals = Dual(z.to(low), tangent.to(low)), Dual(t, dt), Dual(t - r, dt - dr)
    jvp = _forward_mode if takes_autodiff(config) else _DUAL_FORMS[size.kind]
    u, du_dt = jvp(size, _cast(size, params, low), *duals, labels)
    return u.to(z.dtype), du_dt.to(z.dtype)


def takes_autodiff(config: Config) -> bool:
    """Whether the JVP is that of `torch.func.jvp`: asked for, or the only one that will do.

    A network may have no other, and no gradient passes through the tangents of dual numbers.
    """
    asked = config.method.jvp == "autodiff" or config.method.tangent_gradient > 0
    return asked or config.network.kind not in _DUAL_FORMS


def ablations() -> tuple[str, ...]:
    """Configuration keys of ablations and other losses that this implementation supports."""
    other = ("method.tangent_gradient", "method.tangent_velocity", "method.reduction")
    return ("method.tangent", "model.embedding", *other)


def activations(
    config: Config, params: Any, z: Array, t: Array, h: Array, labels: Array
) -> dict[str, Array]:
    """Output of each module of the network, by canonical module name ("blocks_0/attn")."""
    module, out = meta_module(config.network), {}

    def record(name: str) -> Any:
        return lambda _module, _inputs, output: out.update({name: output})

    modules = [(name, part) for name, part in module.named_modules() if name]
    hooks = [
        part.register_forward_hook(record(_canonical(config.network, name)))
        for name, part in modules
    ]
    try:
        mean_velocity(config, params, z, t, h, labels)
    finally:
        for hook in hooks:
            hook.remove()
    return out


def parameter_shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """Shape of every parameter that the network itself declares, by canonical name.

    Nothing is allocated, so the largest size costs as little as the smallest.
    """
    known = {tensor.torch: tensor for tensor in parameters.tensors(config.network)}
    shapes = {}
    for name, parameter in meta_module(config.network).named_parameters():
        axes = parameters.canonical_axes(known[name]) if name in known else range(parameter.ndim)
        canonical = known[name].name if name in known else name
        shapes[canonical] = tuple(parameter.shape[axis] for axis in axes)
    return shapes


def _canonical(size: Network, name: str) -> str:
    """Canonical name of a module of PyTorch's: "blocks_0/attn" of "blocks.0.attn"."""
    for theirs, ours in size.renamed:
        name = name.replace(theirs, ours)
    return name.replace(".", "/")


def _forward_mode(
    size: Network, params: Any, z: Dual, t: Dual, h: Dual, labels: Array
) -> tuple[Array, Array]:
    """JVP of the module by `torch.func.jvp`: slower, but of any network."""
    module = meta_module(size)  # made here: torch.func.jvp refuses what making it does
    inputs, along = zip(z, t, h, strict=True)
    num_primal = len(z.primal) - len(z.tangent)  # rows without a tangent

    def u(*inputs: Array) -> Array:
        return torch.func.functional_call(module, params, (*inputs, labels[num_primal:]))

    # The fused kernels have no forward mode; what that of layer_norm returns has a wrong gradient.
    with sdpa_kernel(SDPBackend.MATH), _PlainLayerNorm():
        out, du_dt = torch.func.jvp(u, tuple(x[num_primal:] for x in inputs), along)
    if num_primal:
        rest = _apply(size, params, *(x[:num_primal] for x in (*inputs, labels)))
        out = torch.cat([rest, out])
    return out, du_dt


class _PlainLayerNorm(TorchFunctionMode):
    """LayerNorm from elementary operations, wherever F.layer_norm is called.

    The gradient of a JVP through F.layer_norm is silently wrong in PyTorch 2.13: its tangent passes
    none through mean and deviation (pytorch/pytorch#196700).
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not F.layer_norm:
            return func(*args, **(kwargs or {}))
        return _layer_norm(*args, **(kwargs or {}))


def _layer_norm(
    x: Array, shape: Any, weight: Array | None = None, bias: Array | None = None, eps: float = 1e-5
) -> Array:
    """F.layer_norm over the last axes, which have this shape."""
    axes = tuple(range(-len(shape), 0))
    centred = x - x.mean(axes, keepdim=True)
    y = centred / torch.sqrt((centred**2).mean(axes, keepdim=True) + eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def _product_dtype(config: Config, z: Array) -> torch.dtype:
    """Dtype that the blocks compute in: `training.precision` where it is lower than that of z."""
    return torch.bfloat16 if config.training.precision == "bfloat16" else z.dtype


def _cast(size: Network, params: Any, dtype: torch.dtype) -> Any:
    """Parameters in the dtype of the blocks; those that are `exact` keep their own."""
    return {
        name: tensor if name.startswith(size.exact) else tensor.to(dtype)
        for name, tensor in params.items()
    }


def _apply(size: Network, params: Any, *inputs: Array) -> Array:
    """u of these parameters."""
    return torch.func.functional_call(meta_module(size), params, inputs)


def meta_module(size: Network) -> nn.Module:
    """The network on the meta device: modules without parameter data, which each call supplies.

    Made once per size and kept in a plain dictionary: torch.compile traces through functools.cache
    and would make it anew.
    """
    if size not in _MODULES:
        with torch.device("meta"):
            _MODULES[size] = NETWORKS[size.kind](size)
    return _MODULES[size]


_MODULES: dict[Network, nn.Module] = {}
