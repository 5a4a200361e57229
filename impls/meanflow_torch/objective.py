"""The MeanFlow objective, one function per step, in the official order.

Rows are samples; times are [batch], images [batch, height, width, channel]. The objective adds
the image axes. Every random number comes in as an argument (see `impls.common.draws`).
"""

from typing import Any

import torch

from impls.common.config import Config
from impls.common.shapes import check_step
from impls.common.types import Batch, Draws, Loss

from .device import Array
from .network import mean_velocity, mean_velocity_jvp


def times(config: Config, draws: Draws) -> tuple[Array, Array]:
    """Later and earlier time of each row, r <= t, and r = t in a share data_proportion of them.

    logit_normal: sigmoid(P_std raw + P_mean);  uniform: raw;  t = max, r = min
    equal_rows first: r = t in the first int(B data_proportion) rows, as in the official code
    equal_rows random: r = t where equal_uniform < data_proportion
    """
    method = config.method
    t, r = draws.t_raw, draws.r_raw
    if method.noise_dist == "logit_normal":
        t, r = (torch.sigmoid(raw * method.P_std + method.P_mean) for raw in (t, r))
    t, r = torch.maximum(t, r), torch.minimum(t, r)
    equal = _rows(t) < num_equal_rows(config, len(t))
    if method.equal_rows == "random":
        equal = draws.equal_uniform < method.data_proportion
    return t, torch.where(equal, t, r)


def num_equal_rows(config: Config, num_rows: int) -> int:
    """How many rows, the first ones, have r = t where none is random: int(B data_proportion)"""
    return int(num_rows * config.method.data_proportion)


def interpolate(x: Array, noise: Array, t: Array) -> tuple[Array, Array]:
    """Noisy state and its velocity: z = (1 - t) x + t e, v = e - x"""
    t = _image_axes(t)
    return (1 - t) * x + t * noise, noise - x


def guided_velocity(
    config: Config, params: Any, z: Array, t: Array, v: Array, labels: Array
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
    h, null = torch.zeros_like(t), torch.full_like(labels, config.network.num_classes)
    params = _stop(params)
    v_u = mean_velocity(config, params, z, t, h, null)
    v_c = mean_velocity(config, params, z, t, h, labels) if method.kappa else v_u
    return guide(config, t, v, v_u, v_c)


def guide(config: Config, t: Array, v: Array, v_u: Array, v_c: Array) -> Array:
    """The formula of `guided_velocity`, from its three velocities."""
    method = config.method
    inside = (t >= method.t_start) & (t <= method.t_end)
    omega = _image_axes(torch.where(inside, method.omega, torch.ones_like(t)))
    kappa = _image_axes(torch.where(inside, method.kappa, torch.zeros_like(t)))
    if method.kappa == 0:
        return v_u + omega * (v - v_u)
    return omega * v + (1 - omega - kappa) * v_u + kappa * v_c


def drop_labels(
    config: Config, labels: Array, v: Array, v_g: Array, draws: Draws
) -> tuple[Array, Array]:
    """Label dropout: as many of the *first* rows as uniforms fall below class_dropout_prob.

    A dropped row gets the null label and loses its guidance: y := num_classes, v_g := v.

    Returns:
        v_g, labels_in
    """
    num_drop = (draws.drop_uniform < config.method.class_dropout_prob).sum()
    dropped = _rows(labels) < num_drop
    labels_in = torch.where(dropped, config.network.num_classes, labels).to(labels.dtype)
    return torch.where(_image_axes(dropped), v, v_g), labels_in


def jvp_forms() -> tuple[str, ...]:
    """Values of method.jvp that are understood here; "dense" is the official form."""
    return ("sparse", "dense", "autodiff")


def dense_velocities(
    config: Config, params: Any, z: Array, v: Array, t: Array, r: Array, labels: Array, draws: Draws
) -> tuple[Array, Array, Array, Array]:
    """Guidance, label dropout and JVP as the official code has them: every row in every call.

    Returns:
        v_g, labels_in, u, du_dt
    """
    v_g = guided_velocity(config, params, z, t, v, labels)
    v_g, labels_in = drop_labels(config, labels, v, v_g, draws)
    u, du_dt = mean_velocity_jvp(config, params, z, r, t, labels_in, v_g)
    return v_g, labels_in, u, du_dt


def sparse_velocities(
    config: Config, params: Any, z: Array, v: Array, t: Array, r: Array, labels: Array, draws: Draws
) -> tuple[Array, Array, Array, Array]:
    """The same without what cancels, in about three quarters of the arithmetic.

    Where r = t, du/dt is multiplied by t - r = 0, so it is not computed: du_dt is 0 there. And
    v_c = u(z, t, 0, y) is the very u of the loss, without its gradient, unless the label was
    dropped, where v_g = v whatever v_c is. Shapes are known beforehand, so r = t must hold in the
    first rows: not for equal_rows random.

    Returns:
        v_g, labels_in, u, du_dt
    """
    num_equal, num_classes = num_equal_rows(config, len(t)), config.network.num_classes
    if config.method.guidance_eq == "none" or config.method.kappa == 0:  # no v_c in it
        v_g = guided_velocity(config, params, z, t, v, labels)
        v_g, labels_in = drop_labels(config, labels, v, v_g, draws)
        u, du_dt = mean_velocity_jvp(config, params, z, r, t, labels_in, v_g[num_equal:])
        return v_g, labels_in, u, torch.concatenate([torch.zeros_like(v[:num_equal]), du_dt])
    null = torch.full_like(labels, num_classes)
    both = mean_velocity(
        config,
        _stop(params),
        torch.concatenate([z, z[num_equal:]]),
        t_both := torch.concatenate([t, t[num_equal:]]),
        torch.zeros_like(t_both),
        torch.concatenate([null, labels[num_equal:]]),
    )
    v_u, v_c = both[: len(t)], both[len(t) :]
    moving = guide(config, t[num_equal:], v[num_equal:], v_u[num_equal:], v_c)
    v_g = torch.concatenate([v[:num_equal], moving])
    v_g, labels_in = drop_labels(config, labels, v, v_g, draws)
    u, du_dt = mean_velocity_jvp(config, params, z, r, t, labels_in, v_g[num_equal:])
    v_c = torch.concatenate([_stop(u[:num_equal]), v_c])
    v_g, _ = drop_labels(config, labels, v, guide(config, t, v, v_u, v_c), draws)
    return v_g, labels_in, u, torch.concatenate([torch.zeros_like(v[:num_equal]), du_dt])


def target(v_g: Array, du_dt: Array, t: Array, r: Array) -> Array:
    """Regression target for the average velocity, without gradient.

    u_tgt = v_g - clip(t - r, 0, 1) du/dt      (MeanFlow identity, with r held fixed)
    """
    return _stop(v_g - _image_axes(torch.clip(t - r, 0, 1)) * du_dt)


def squared_error(u: Array, u_target: Array) -> Array:
    """Per-sample squared error, a sum over pixels and channels: [batch]"""
    return torch.square(u - u_target).sum((1, 2, 3))


def adaptive_weight(config: Config, error: Array) -> Array:
    """Weight of each sample, without gradient: w = 1 / (s + norm_eps)^norm_p"""
    return _stop(1 / (error + config.method.norm_eps) ** config.method.norm_p)


def loss(config: Config, params: Any, batch: Batch, draws: Draws) -> Loss:
    """The MeanFlow loss: mean over the batch of w ||u - u_tgt||^2.

    Rows of r = t that are random (equal_rows) take the dense form, whatever method.jvp says.

    Args:
        params: from `load_params` or `init_params`.
        batch: images [batch, height, width, channel], labels [batch].
        draws: t_raw, r_raw, noise, drop_uniform, equal_uniform, see `impls.common.types.Draws`.

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
    error = squared_error(u, u_target)
    weight = adaptive_weight(config, error)
    total = (weight * error).mean()
    v_loss = squared_error(u, v)
    return Loss(total, error, weight, v_loss, t, r, z, v, v_g, labels_in, u, du_dt, u_target)


def loss_and_gradient(config: Config, params: Any, batch: Batch, draws: Draws) -> tuple[Loss, Any]:
    """The loss and the gradient of its total, in the tree of `params`."""
    check_step(config, batch, draws)
    params = {name: array.requires_grad_() for name, array in _stop(params).items()}
    out = loss(config, params, batch, draws)
    gradient = torch.autograd.grad(out.total, list(params.values()))
    return Loss(*(array.detach() for array in out)), dict(zip(params, gradient, strict=True))


def _image_axes(x: Array) -> Array:
    """[batch] -> [batch, 1, 1, 1]"""
    return x[:, None, None, None]


def _rows(x: Array) -> Array:
    """0, 1, 2, … along the batch: [batch]"""
    return torch.arange(len(x), device=x.device)


def _stop(tree: Any) -> Any:
    """The arrays of a tree without gradient."""
    if isinstance(tree, dict):
        return {name: _stop(node) for name, node in tree.items()}
    return tree.detach()
