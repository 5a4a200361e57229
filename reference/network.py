"""Average velocity u(z, t, h, y) over [t - h, t] of any network, its JVP and its VJP.

NETWORKS has a module for each kind of network. Its `forward` computes u and keeps the residuals,
the intermediate arrays that its `vjp`, written by hand, and its `activations` need. Where it has no
`jvp` written by hand, the complex step of the forward pass is the JVP.
"""

from types import ModuleType
from typing import Any

import numpy as np

from . import dit
from .complex_step import COMPLEX_STEP_FLOAT32, complex_step
from .layers import Array, Params

NETWORKS: dict[str, ModuleType] = {"dit": dit}


def mean_velocity(
    config: Any, params: Params, z: Array, t: Array, h: Array, labels: Array
) -> Array:
    """Average velocity over [r, t] = [t - h, t]: u(z, t, h, y).

    u approximates 1 / (t - r) times the integral of v(z_s, s) ds from r to t      (eq. 3)

    Args:
        params: canonical name -> array.
        z: [batch, height, width, channel], the state at time t.
        t, h: [batch], time in 0..1 and length of the interval.
        labels: [batch] integer, num_classes for "no label".

    Returns:
        [batch, height, width, channel]
    """
    size = config.network
    return NETWORKS[size.kind].forward(size, params, z, t, h, labels).u


def mean_velocity_jvp(
    config: Any, params: Params, z: Array, r: Array, t: Array, labels: Array, tangent: Array
) -> tuple[Array, Array]:
    """Average velocity and its total derivative in t with r held fixed, as a JVP.

    du/dt = tangent . grad_z u + d_t u      (eq. 8)

    The tangent of (z, r, t) is (tangent, 0, 1), hence that of (z, t, h = t - r) is (tangent, 1, 1);
    another method.tangent gives the derivative along that one.

    Returns:
        u, du_dt: [batch, height, width, channel] each.
    """
    size, network = config.network, NETWORKS[config.network.kind]
    dr, dt = (np.full_like(t, rate) for rate in config.method.tangent_of_times)
    if hasattr(network, "jvp"):
        res = network.forward(size, params, z, t, t - r, labels)
        return res.u, network.jvp(size, params, res, tangent, dt, dt - dr)

    def u(z: Array, t: Array, h: Array) -> Array:
        return mean_velocity(config, params, z, t, h, labels)

    inputs = (z, t, t - r)
    return u(*inputs), complex_step(u, inputs, (tangent, dt, dt - dr))


def mean_velocity_vjp(
    config: Any, params: Params, z: Array, t: Array, h: Array, labels: Array, cotangent: Array
) -> Params:
    """VJP of u in the parameters: the gradient of sum(cotangent * u), by canonical name."""
    size, network = config.network, NETWORKS[config.network.kind]
    res = network.forward(size, params, z, t, h, labels)
    return network.vjp(size, params, res, cotangent)


def derivative_vjp(
    config: Any, params: Params, z: Array, r: Array, t: Array, labels: Array, tangent: Array,
    cotangent: Array,
) -> Params:  # fmt: skip
    """VJP of du/dt in the parameters: the gradient of sum(cotangent * du/dt), by canonical name.

    du/dt is a derivative of u along (tangent, 0, 1), so this is one of the VJP of u, which the
    complex step gives without another derivation by hand: Im VJP(z + i e tangent, r, t + i e) / e.
    """
    step = COMPLEX_STEP_FLOAT32  # its square vanishes in float64 too
    dr, dt = (1j * step * rate for rate in config.method.tangent_of_times)
    z, r, t = z + 1j * step * tangent, r + dr, t + dt
    moved = mean_velocity_vjp(config, params, z, t, t - r, labels, cotangent)
    return {name: array.imag / step for name, array in moved.items()}


def ablations() -> tuple[str, ...]:
    """Configuration keys of ablations and other losses that this implementation supports."""
    other = ("method.tangent_gradient", "method.tangent_velocity", "method.reduction")
    return ("method.tangent", "model.embedding", *other)


def activations(
    config: Any, params: Params, z: Array, t: Array, h: Array, labels: Array
) -> dict[str, Array]:
    """Output of each module of the network, by canonical module name."""
    size = config.network
    res = NETWORKS[size.kind].forward(size, params, z, t, h, labels)
    return NETWORKS[size.kind].activations(params, res)
