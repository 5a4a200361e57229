"""The MeanFlow objective in NumPy, one function per step, in the official order.

Rows are samples; times are (batch,), images (batch, height, width, channel). The objective adds
the image axes. Everything keeps the dtype of its inputs, so the same text is the float64 arbiter
and shows what float32 rounding alone does.
"""

from typing import Any, NamedTuple

import numpy as np

from .layers import Array
from .network import Params, mean_velocity, mean_velocity_jvp, mean_velocity_vjp


class Loss(NamedTuple):
    """The objective and every quantity on the way to it, in the order of `impls.common.types`."""

    total: Any
    squared_error: Array
    weight: Array
    v_loss: Array
    t: Array
    r: Array
    z: Array
    v: Array
    v_g: Array
    labels_in: Array
    u: Array
    du_dt: Array
    target: Array


def times(config: Any, draws: Any) -> tuple[Array, Array]:
    """Later and earlier time of each row, r <= t, and r = t in a share data_proportion of them.

    logit_normal: sigmoid(P_std raw + P_mean);  uniform: raw;  t = max, r = min
    equal_rows first: r = t in the first int(B data_proportion) rows, as in the official code
    equal_rows random: r = t where equal_uniform < data_proportion
    """
    method = config.method
    t, r = draws.t_raw, draws.r_raw
    if method.noise_dist == "logit_normal":
        t, r = (1 / (1 + np.exp(-(raw * method.P_std + method.P_mean))) for raw in (t, r))
    t, r = np.maximum(t, r), np.minimum(t, r)
    equal = np.arange(len(t)) < int(len(t) * method.data_proportion)
    if method.equal_rows == "random":
        equal = draws.equal_uniform < method.data_proportion
    return t, np.where(equal, t, r)


def interpolate(x: Array, noise: Array, t: Array) -> tuple[Array, Array]:
    """Noisy state and its velocity: z = (1 - t) x + t e, v = e - x"""
    t = _image_axes(t)
    return (1 - t) * x + t * noise, noise - x


def guided_velocity(
    config: Any, params: Params, z: Array, t: Array, v: Array, labels: Array
) -> Array:
    """Guided velocity field, without gradient.

    kappa = 0:  v_g = v_u + omega (v - v_u)
    kappa > 0:  v_g = omega v + (1 - omega - kappa) v_u + kappa v_c
    outside t_start <= t <= t_end, or guidance_eq "none":  v_g = v
    with v_u = u(z, t, 0, null), v_c = u(z, t, 0, y)
    """
    method = config.method
    if method.guidance_eq == "none":
        return v
    inside = (t >= method.t_start) & (t <= method.t_end)
    omega = _image_axes(np.where(inside, method.omega, np.ones_like(t)))
    kappa = _image_axes(np.where(inside, method.kappa, np.zeros_like(t)))
    h = np.zeros_like(t)
    null = np.full_like(labels, config.network.num_classes)
    v_u = mean_velocity(config, params, z, t, h, null)
    if method.kappa == 0:
        return v_u + omega * (v - v_u)
    v_c = mean_velocity(config, params, z, t, h, labels)
    return omega * v + (1 - omega - kappa) * v_u + kappa * v_c


def drop_labels(
    config: Any, labels: Array, v: Array, v_g: Array, draws: Any
) -> tuple[Array, Array]:
    """Label dropout: as many of the *first* rows as uniforms fall below class_dropout_prob.

    A dropped row gets the null label and loses its guidance: y := num_classes, v_g := v.

    Returns:
        v_g, labels_in
    """
    num_drop = int((draws.drop_uniform < config.method.class_dropout_prob).sum())
    dropped = np.arange(len(labels)) < num_drop
    labels_in = np.where(dropped, config.network.num_classes, labels).astype(labels.dtype)
    return np.where(_image_axes(dropped), v, v_g), labels_in


def target(v_g: Array, du_dt: Array, t: Array, r: Array) -> Array:
    """Regression target for the average velocity, without gradient.

    u_tgt = v_g - clip(t - r, 0, 1) du/dt      (MeanFlow identity, with r held fixed)
    """
    return v_g - _image_axes(np.clip(t - r, 0, 1)) * du_dt


def squared_error(u: Array, u_target: Array) -> Array:
    """Per-sample squared error, a sum over pixels and channels: [batch]"""
    return ((u - u_target) ** 2).sum((1, 2, 3))


def adaptive_weight(config: Any, error: Array) -> Array:
    """Weight of each sample, without gradient: w = 1 / (s + norm_eps)^norm_p"""
    return 1 / (error + config.method.norm_eps) ** config.method.norm_p


def loss(config: Any, params: Params, batch: Any, draws: Any) -> Loss:
    """The MeanFlow loss: mean over the batch of w ||u - u_tgt||^2.

    Args:
        params: canonical name -> array.
        batch: images [batch, height, width, channel], labels [batch].
        draws: t_raw, r_raw, noise, drop_uniform, equal_uniform, see `impls.common.types.Draws`.
    """
    t, r = times(config, draws)
    z, v = interpolate(batch.images, draws.noise, t)
    v_g = guided_velocity(config, params, z, t, v, batch.labels)
    v_g, labels_in = drop_labels(config, batch.labels, v, v_g, draws)
    u, du_dt = mean_velocity_jvp(config, params, z, r, t, labels_in, v_g)
    u_target = target(v_g, du_dt, t, r)
    error = squared_error(u, u_target)
    weight = adaptive_weight(config, error)
    total = (weight * error).mean()
    v_loss = squared_error(u, v)
    return Loss(
        total, error, weight, v_loss, t, r, z, v, v_g, labels_in, u, du_dt, u_target
    )  # fmt: skip


def loss_and_gradient(config: Any, params: Params, batch: Any, draws: Any) -> tuple[Loss, Params]:
    """The loss and its gradient by parameter name.

    Target and weight are constants to the gradient, so with w_i = 1 / (s_i + norm_eps)^norm_p
    it is the pullback of the cotangent 2 w_i (u_i - u_tgt_i) / B of u.
    """
    out = loss(config, params, batch, draws)
    cotangent = 2 * _image_axes(out.weight) * (out.u - out.target) / len(out.t)
    h = out.t - out.r
    gradient = mean_velocity_vjp(config, params, out.z, out.t, h, out.labels_in, cotangent)
    return out, gradient


def _image_axes(x: Array) -> Array:
    """[batch] -> [batch, 1, 1, 1]"""
    return x[:, None, None, None]
