"""The MeanFlow objective (algorithm 1), one function per step, in the official order.

Rows are samples; times are [batch], images [batch, height, width, channel]. The objective adds
the image axes. Every random number comes in as an argument (see `impls.common.draws`).
"""

from typing import Any

import jax
import jax.numpy as jnp

from impls.common.config import Config
from impls.common.shapes import check_step
from impls.common.types import Batch, Draws, Loss

from .device import Array
from .network import mean_velocity, mean_velocity_jvp


def times(config: Config, draws: Draws) -> tuple[Array, Array]:
    """Time sampler (section 4.3): times t and r <= t of each row, r = t in a share of the rows.

    logit_normal: sigmoid(P_std raw + P_mean);  uniform: raw;  t = max, r = min
    equal_rows first: r = t in the first int(B data_proportion) rows, as in the official code
    equal_rows random: r = t where equal_uniform < data_proportion
    """
    method = config.method
    t, r = draws.t_raw, draws.r_raw
    if method.noise_dist == "logit_normal":
        t, r = (jax.nn.sigmoid(raw * method.P_std + method.P_mean) for raw in (t, r))
    t, r = jnp.maximum(t, r), jnp.minimum(t, r)
    equal = _rows(t) < num_equal_rows(config, len(t))
    if method.equal_rows == "random":
        equal = draws.equal_uniform < method.data_proportion
    return t, jnp.where(equal, t, r)


def num_equal_rows(config: Config, num_rows: int) -> int:
    """Number of rows with r = t, the first ones, for equal_rows first: int(B data_proportion)"""
    return int(num_rows * config.method.data_proportion)


def interpolate(x: Array, noise: Array, t: Array) -> tuple[Array, Array]:
    """Interpolant and its conditional velocity: z = (1 - t) x + t e, v = e - x"""
    t = _image_axes(t)
    return (1 - t) * x + t * noise, noise - x


def guided_velocity(
    config: Config, params: Any, z: Array, t: Array, v: Array, labels: Array
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
    h, null = jnp.zeros_like(t), jnp.full_like(labels, config.network.num_classes)
    params = _stop(params)
    v_u = mean_velocity(config, params, z, t, h, null)
    v_c = mean_velocity(config, params, z, t, h, labels) if method.kappa else v_u
    return guide(config, t, v, v_u, v_c)


def guide(config: Config, t: Array, v: Array, v_u: Array, v_c: Array) -> Array:
    """Guided velocity (see `guided_velocity`) from v and the network's v_u and v_c."""
    method = config.method
    inside = (t >= method.t_start) & (t <= method.t_end)
    omega = _image_axes(jnp.where(inside, method.omega, jnp.ones_like(t)))
    kappa = _image_axes(jnp.where(inside, method.kappa, jnp.zeros_like(t)))
    if method.kappa == 0:
        return v_u + omega * (v - v_u)
    return omega * v + (1 - omega - kappa) * v_u + kappa * v_c


def drop_labels(
    config: Config, labels: Array, v: Array, v_g: Array, draws: Draws
) -> tuple[Array, Array]:
    """Label dropout of classifier-free guidance, in the first num_drop rows.

    num_drop is the number of uniforms below class_dropout_prob, as in the official code. A dropped
    row gets the null label and no guidance: y := num_classes, v_g := v.

    Returns:
        v_g, labels_in
    """
    num_drop = (draws.drop_uniform < config.method.class_dropout_prob).sum()
    dropped = _rows(labels) < num_drop
    labels_in = jnp.where(dropped, config.network.num_classes, labels).astype(labels.dtype)
    return jnp.where(_image_axes(dropped), v, v_g), labels_in


def tangent_velocity(
    config: Config, params: Any, z: Array, t: Array, v_g: Array, labels: Array
) -> Array:
    """Velocity w that u is differentiated along, without gradient: du/dt along (w, 0, 1).

    tangent_velocity guided:  w = v_g, as in MeanFlow
    tangent_velocity network: w = u(z, t, 0, y), as in improved MeanFlow (arXiv 2512.02012)

    Args:
        labels: [batch], after dropout.
    """
    if config.method.tangent_velocity == "guided":
        return v_g
    return mean_velocity(config, _stop(params), z, t, jnp.zeros_like(t), labels)


def jvp_forms() -> tuple[str, ...]:
    """Values of method.jvp that this implementation supports; "dense" is the official form."""
    return ("sparse", "dense", "autodiff")


def dense_velocities(
    config: Config, params: Any, z: Array, v: Array, t: Array, r: Array, labels: Array, draws: Draws
) -> tuple[Array, Array, Array, Array]:
    """Guidance, label dropout and JVP of the official code: every row in every network call.

    Returns:
        v_g, labels_in, u, du_dt
    """
    v_g = guided_velocity(config, params, z, t, v, labels)
    v_g, labels_in = drop_labels(config, labels, v, v_g, draws)
    w = tangent_velocity(config, params, z, t, v_g, labels_in)
    u, du_dt = mean_velocity_jvp(config, params, z, r, t, labels_in, w)
    return v_g, labels_in, u, du_dt


def sparse_velocities(
    config: Config, params: Any, z: Array, v: Array, t: Array, r: Array, labels: Array, draws: Draws
) -> tuple[Array, Array, Array, Array]:
    """The values of `dense_velocities` that the loss needs, for about 3/4 of the arithmetic.

    Where r = t, du/dt is multiplied by t - r = 0: it is not computed, and du_dt is 0 there. In
    those rows v_c = u(z, t, 0, y) is also the u of the loss, which is reused without its gradient;
    where the label was dropped the two differ, but v_g = v there whatever v_c is. Shapes must be
    static, so the rows with r = t must be the first ones: not for equal_rows random.

    Returns:
        v_g, labels_in, u, du_dt
    """
    num_equal, num_classes = num_equal_rows(config, len(t)), config.network.num_classes
    if config.method.guidance_eq == "none" or config.method.kappa == 0:  # no v_c in it
        v_g = guided_velocity(config, params, z, t, v, labels)
        v_g, labels_in = drop_labels(config, labels, v, v_g, draws)
        apart = (x[num_equal:] for x in (z, t, v_g, labels_in))
        w = tangent_velocity(config, params, *apart)
        u, du_dt = mean_velocity_jvp(config, params, z, r, t, labels_in, w)
        return v_g, labels_in, u, jnp.concatenate([jnp.zeros_like(v[:num_equal]), du_dt])
    null = jnp.full_like(labels, num_classes)
    both = mean_velocity(
        config,
        _stop(params),
        jnp.concatenate([z, z[num_equal:]]),
        t_both := jnp.concatenate([t, t[num_equal:]]),
        jnp.zeros_like(t_both),
        jnp.concatenate([null, labels[num_equal:]]),
    )
    v_u, v_c = both[: len(t)], both[len(t) :]
    v_g_apart = guide(config, t[num_equal:], v[num_equal:], v_u[num_equal:], v_c)  # where r < t
    v_g = jnp.concatenate([v[:num_equal], v_g_apart])
    v_g, labels_in = drop_labels(config, labels, v, v_g, draws)
    apart = (x[num_equal:] for x in (z, t, v_g, labels_in))
    w = tangent_velocity(config, params, *apart)
    u, du_dt = mean_velocity_jvp(config, params, z, r, t, labels_in, w)
    v_c = jnp.concatenate([_stop(u[:num_equal]), v_c])
    v_g, _ = drop_labels(config, labels, v, guide(config, t, v, v_u, v_c), draws)
    return v_g, labels_in, u, jnp.concatenate([jnp.zeros_like(v[:num_equal]), du_dt])


def target(v_g: Array, du_dt: Array, t: Array, r: Array) -> Array:
    """Regression target for the average velocity, without gradient.

    u_tgt = v_g - clip(t - r, 0, 1) du/dt      (eq. 10, 11; guided eq. 18)

    It is the MeanFlow identity (eq. 6) with r held fixed; the clip is the official code's.
    """
    return _stop(v_g - _image_axes(jnp.clip(t - r, 0, 1)) * du_dt)


def tangent_gradient(config: Config, step: Any = None) -> Any:
    """Share l of the gradient of du/dt that the loss passes on, in 0..1.

    tangent_gradient, or with tangent_gradient_steps T: tangent_gradient min(1, step / T)

    Args:
        step: number of steps made, a number or a [] array; not read without a schedule.

    Raises:
        ValueError: when there is a schedule and no step.
    """
    share, num_steps = config.method.tangent_gradient, config.method.tangent_gradient_steps
    if num_steps is not None and step is None:
        raise ValueError(
            "method.tangent_gradient_steps is set: pass step, the number of steps made"
        )
    return share if num_steps is None else share * _ramp(step, num_steps)


def with_tangent_gradient(share: Any, u: Array, du_dt: Array, t: Array, r: Array) -> Array:
    """u, with the share l of the gradient of du/dt: u + clip(t - r, 0, 1) l (du/dt - sg(du/dt))

    Its value is u. Its squared error against u_tgt is that of Modular MeanFlow (arXiv 2508.17426),

    V = u + clip(t - r, 0, 1) SG_l[du/dt] against v_g,      SG_l[x] = l x + (1 - l) sg(x)
    """
    weight = _image_axes(jnp.clip(t - r, 0, 1)) * _like(u, share)
    return u + weight * (du_dt - _stop(du_dt))


def squared_error(u: Array, u_target: Array) -> Array:
    """Squared error of each sample, a sum over pixels and channels: s = ||u - u_tgt||^2, [batch]"""
    return jnp.square(u - u_target).sum((1, 2, 3))


def num_averaged(config: Config) -> int:
    """Number that each squared error is divided by: of pixels and channels with reduction mean."""
    size = config.network
    return size.input_size**2 * size.in_channels if config.method.reduction == "mean" else 1


def adaptive_weight(config: Config, error: Array) -> Array:
    """Adaptive weight (section 4.3), without gradient: w = 1 / (s + norm_eps)^norm_p, [batch]"""
    return _stop(1 / (error + config.method.norm_eps) ** config.method.norm_p)


def loss(config: Config, params: Any, batch: Batch, draws: Draws, step: Any = None) -> Loss:
    """MeanFlow loss (eq. 9, guided eq. 17; algorithm 1): mean over the batch of w ||u - u_tgt||^2.

    With equal_rows random the dense form is taken, whatever method.jvp says.

    Args:
        params: from `load_params` or `init_params`.
        batch: images [batch, height, width, channel], labels [batch].
        draws: t_raw, r_raw, noise, drop_uniform, equal_uniform, see `impls.common.types.Draws`.
        step: number of steps made, [] or a number; read by tangent_gradient_steps alone.

    Raises:
        ValueError: for an array of another shape or kind, naming it.
    """
    check_step(config, batch, draws)
    t, r = times(config, draws)
    z, v = interpolate(batch.images, draws.noise, t)
    sparse = config.method.jvp == "sparse" and config.method.equal_rows == "first"
    velocities = sparse_velocities if sparse else dense_velocities
    v_g, labels_in, u, du_dt = velocities(config, params, z, v, t, r, batch.labels, draws)
    u_target = target(v_g, du_dt, t, r)
    share = tangent_gradient(config, step)
    compound = with_tangent_gradient(share, u, du_dt, t, r) if config.method.tangent_gradient else u
    error = squared_error(compound, u_target) / num_averaged(config)
    weight = adaptive_weight(config, error)
    total = (weight * error).mean()
    v_loss = squared_error(u, v)
    return Loss(total, error, weight, v_loss, t, r, z, v, v_g, labels_in, u, du_dt, u_target)


def loss_and_gradient(
    config: Config, params: Any, batch: Batch, draws: Draws, step: Any = None
) -> tuple[Loss, Any]:
    """MeanFlow loss and the gradient of its total, in the tree of `params`."""
    check_step(config, batch, draws)

    def total(params: Any) -> tuple[Array, Loss]:
        out = loss(config, params, batch, draws, step)
        return out.total, out

    (_, out), gradient = jax.value_and_grad(total, has_aux=True)(params)
    return out, gradient


def _image_axes(x: Array) -> Array:
    """[batch] -> [batch, 1, 1, 1]"""
    return x[:, None, None, None]


def _ramp(step: Any, num_steps: int) -> Any:
    """min(1, step / num_steps)"""
    return jnp.minimum(1, step / num_steps)


def _like(x: Array, number: Any) -> Array:
    """A number in the dtype of an array: []"""
    return jnp.asarray(number, x.dtype)


def _rows(x: Array) -> Array:
    """Row numbers 0, 1, 2, …: [batch]"""
    return jnp.arange(len(x))


def _stop(tree: Any) -> Any:
    """Stop-gradient of every array of a tree."""
    return jax.lax.stop_gradient(tree)
