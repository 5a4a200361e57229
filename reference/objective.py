"""The MeanFlow objective (algorithm 1), one function per step, in the official order.

Rows are samples; times are [batch], images [batch, height, width, channel]. The objective adds
the image axes. Every function keeps the dtype of its inputs: in float64 this is the arbiter, and in
float32 it shows the error of rounding alone.
"""

from typing import Any, NamedTuple

import numpy as np

from .layers import Array, Params
from .network import derivative_vjp, mean_velocity, mean_velocity_jvp, mean_velocity_vjp


class Loss(NamedTuple):
    """MeanFlow loss and its intermediate quantities, the fields of `impls.common.types.Loss`."""

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
    """Time sampler (section 4.3): times t and r <= t of each row, r = t in a share of the rows.

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
    """Interpolant and its conditional velocity: z = (1 - t) x + t e, v = e - x"""
    t = _image_axes(t)
    return (1 - t) * x + t * noise, noise - x


def guided_velocity(
    config: Any, params: Params, z: Array, t: Array, v: Array, labels: Array
) -> Array:
    """Guided velocity for classifier-free guidance in training, without gradient.

    kappa = 0:  v_g = v_u + omega (v - v_u)                              (eq. 19)
    kappa > 0:  v_g = omega v + (1 - omega - kappa) v_u + kappa v_c      (appendix B.1)
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
    """Label dropout of classifier-free guidance, in the first num_drop rows.

    num_drop is the number of uniforms below class_dropout_prob, as in the official code. A dropped
    row gets the null label and no guidance: y := num_classes, v_g := v.

    Returns:
        v_g, labels_in
    """
    num_drop = int((draws.drop_uniform < config.method.class_dropout_prob).sum())
    dropped = np.arange(len(labels)) < num_drop
    labels_in = np.where(dropped, config.network.num_classes, labels).astype(labels.dtype)
    return np.where(_image_axes(dropped), v, v_g), labels_in


def tangent_velocity(
    config: Any, params: Params, z: Array, t: Array, v_g: Array, labels: Array
) -> Array:
    """Velocity w that u is differentiated along, without gradient: du/dt along (w, 0, 1).

    tangent_velocity guided:  w = v_g, as in MeanFlow
    tangent_velocity network: w = u(z, t, 0, y), as in improved MeanFlow (arXiv 2512.02012)

    Args:
        labels: [batch], after dropout.
    """
    if config.method.tangent_velocity == "guided":
        return v_g
    return mean_velocity(config, params, z, t, np.zeros_like(t), labels)


def target(v_g: Array, du_dt: Array, t: Array, r: Array) -> Array:
    """Regression target for the average velocity, without gradient.

    u_tgt = v_g - clip(t - r, 0, 1) du/dt      (eq. 10, 11; guided eq. 18)

    It is the MeanFlow identity (eq. 6) with r held fixed; the clip is the official code's.
    """
    return v_g - _image_axes(np.clip(t - r, 0, 1)) * du_dt


def tangent_gradient(config: Any, step: Any = None) -> float:
    """Share l of the gradient of du/dt that the loss passes on, in 0..1.

    tangent_gradient, or with tangent_gradient_steps T: tangent_gradient min(1, step / T)

    Args:
        step: number of steps made; not read without a schedule.

    Raises:
        ValueError: when there is a schedule and no step.
    """
    share, num_steps = config.method.tangent_gradient, config.method.tangent_gradient_steps
    if num_steps is not None and step is None:
        raise ValueError(
            "method.tangent_gradient_steps is set: pass step, the number of steps made"
        )
    return share if num_steps is None else share * min(1.0, float(step) / num_steps)


def squared_error(u: Array, u_target: Array) -> Array:
    """Squared error of each sample, a sum over pixels and channels: s = ||u - u_tgt||^2, [batch]"""
    return ((u - u_target) ** 2).sum((1, 2, 3))


def num_averaged(config: Any) -> int:
    """Number that each squared error is divided by: of pixels and channels with reduction mean."""
    size = config.network
    return size.input_size**2 * size.in_channels if config.method.reduction == "mean" else 1


def adaptive_weight(config: Any, error: Array) -> Array:
    """Adaptive weight (section 4.3), without gradient: w = 1 / (s + norm_eps)^norm_p, [batch]"""
    return 1 / (error + config.method.norm_eps) ** config.method.norm_p


def loss(config: Any, params: Params, batch: Any, draws: Any, step: Any = None) -> Loss:
    """MeanFlow loss (eq. 9, guided eq. 17; algorithm 1): mean over the batch of w ||u - u_tgt||^2.

    Args:
        params: canonical name -> array.
        batch: images [batch, height, width, channel], labels [batch].
        draws: t_raw, r_raw, noise, drop_uniform, equal_uniform, see `impls.common.types.Draws`.
        step: not read: what a schedule changes is the gradient.
    """
    t, r = times(config, draws)
    z, v = interpolate(batch.images, draws.noise, t)
    v_g = guided_velocity(config, params, z, t, v, batch.labels)
    v_g, labels_in = drop_labels(config, batch.labels, v, v_g, draws)
    w = tangent_velocity(config, params, z, t, v_g, labels_in)
    u, du_dt = mean_velocity_jvp(config, params, z, r, t, labels_in, w)
    u_target = target(v_g, du_dt, t, r)
    error = squared_error(u, u_target) / num_averaged(config)
    weight = adaptive_weight(config, error)
    total = (weight * error).mean()
    v_loss = squared_error(u, v)
    return Loss(
        total, error, weight, v_loss, t, r, z, v, v_g, labels_in, u, du_dt, u_target
    )  # fmt: skip


def loss_and_gradient(
    config: Any, params: Params, batch: Any, draws: Any, step: Any = None
) -> tuple[Loss, Params]:
    """MeanFlow loss and its gradient, by canonical parameter name.

    Target and weight pass no gradient, so it is the VJP of u with the cotangent
    g_i = 2 w_i (u_i - u_tgt_i) / B. Modular MeanFlow (arXiv 2508.17426) differentiates
    V = u + clip(t - r, 0, 1) SG_l[du/dt], SG_l[x] = l x + (1 - l) sg(x), in place of u: it adds the
    VJP of du/dt with the cotangent l clip(t - r, 0, 1) g. The loss itself does not depend on l.

    Args:
        step: number of steps made; read by tangent_gradient_steps alone.
    """
    out = loss(config, params, batch, draws, step)
    cotangent = 2 * _image_axes(out.weight) * (out.u - out.target) / len(out.t)
    cotangent /= num_averaged(config)
    h = out.t - out.r
    gradient = mean_velocity_vjp(config, params, out.z, out.t, h, out.labels_in, cotangent)
    if config.method.tangent_gradient:
        w = tangent_velocity(config, params, out.z, out.t, out.v_g, out.labels_in)
        share = tangent_gradient(config, step) * _image_axes(np.clip(h, 0, 1))
        inputs = out.z, out.r, out.t, out.labels_in, w, share * cotangent
        more = derivative_vjp(config, params, *inputs)
        gradient = {name: array + more[name] for name, array in gradient.items()}
    return out, gradient


def _image_axes(x: Array) -> Array:
    """[batch] -> [batch, 1, 1, 1]"""
    return x[:, None, None, None]
