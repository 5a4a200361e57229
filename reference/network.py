"""The DiT in NumPy, walked three ways: the value, a tangent forward, a cotangent back.

`_forward` computes the value and keeps on a tape what the derivatives need. `_push` carries a
tangent of (z, t, h) through the same layers by hand; `_pull` carries a cotangent of u back to the
parameters by hand. No automatic differentiation is involved anywhere.
"""

from types import SimpleNamespace
from typing import Any

import numpy as np

from .layers import (
    Array,
    gelu,
    gelu_jacobian,
    layer_norm,
    layer_norm_jacobian,
    merge_heads,
    merge_qkv,
    patchify,
    position_embedding,
    separate_heads,
    silu,
    silu_jacobian,
    sinusoid,
    sinusoid_tangent,
    softmax,
    softmax_jacobian,
    split_heads,
    unpatchify,
)

Params = dict[str, Array]
Tape = SimpleNamespace


def mean_velocity(
    config: Any, params: Params, z: Array, t: Array, h: Array, labels: Array
) -> Array:
    """Average velocity over [t - h, t]: u(z, t, h, y).

    Args:
        params: canonical name -> array.
        z: [batch, height, width, channel], the state at time t.
        t, h: [batch], time in 0..1 and length of the interval.
        labels: [batch] integer, num_classes for "no label".

    Returns:
        [batch, height, width, channel]
    """
    return _forward(config.network, params, z, t, h, labels).u


def mean_velocity_jvp(
    config: Any, params: Params, z: Array, r: Array, t: Array, labels: Array, tangent: Array
) -> tuple[Array, Array]:
    """u and its total derivative: du/dt = tangent . grad_z u + d_t u, with r held fixed.

    The tangent of (z, r, t) is (tangent, 0, 1), hence that of (z, t, h = t - r) is (tangent, 1, 1);
    another method.tangent gives the derivative along that one.

    Returns:
        u, du_dt: [batch, height, width, channel] each.
    """
    tape = _forward(config.network, params, z, t, t - r, labels)
    dr, dt = (np.full_like(t, rate) for rate in config.method.tangent_of_times)
    return tape.u, _push(config.network, params, tape, tangent, dt, dt - dr)


def mean_velocity_pullback(
    config: Any, params: Params, z: Array, t: Array, h: Array, labels: Array, cotangent: Array
) -> Params:
    """Gradient of sum(cotangent * u) with respect to every parameter, by canonical name."""
    tape = _forward(config.network, params, z, t, h, labels)
    return _pull(config.network, params, tape, cotangent)


def ablations() -> tuple[str, ...]:
    """Keys of the paper's ablations that are understood here beside the official ones."""
    return ("method.tangent", "model.embedding")


def activations(
    config: Any, params: Params, z: Array, t: Array, h: Array, labels: Array
) -> dict[str, Array]:
    """What each module of the network puts out, by canonical module name."""
    tape = _forward(config.network, params, z, t, h, labels)
    out = {
        "x_embedder": tape.tokens_in,
        **{f"{name}_embedder": time.out for name, time in tape.times.items()},
        "y_embedder": params["y_embedder/embedding"][labels],
        "final_layer": tape.tokens_out,
    }
    for i, block in enumerate(tape.blocks):
        out[f"blocks_{i}/adaLN"] = block.chunks
        out[f"blocks_{i}/attn"] = block.attention_out
        out[f"blocks_{i}/mlp"] = block.mlp_out
        out[f"blocks_{i}"] = block.x_out
    return out


# ---------------------------------------------------------------------------------- value


def _linear(params: Params, name: str, x: Array) -> Array:
    return x @ params[f"{name}/kernel"] + params[f"{name}/bias"]


def _modulate(x: Array, shift: Array, scale: Array) -> Array:
    """x (1 + scale) + shift, with shift and scale per sample."""
    return x * (1 + scale[:, None]) + shift[:, None]


def _forward(size: Any, params: Params, z: Array, t: Array, h: Array, labels: Array) -> Tape:
    tape = Tape(labels=labels)
    grid = size.input_size // size.patch_size
    position = position_embedding(size.hidden_size, grid).astype(z.real.dtype)
    tape.patches = patchify(z, size.patch_size)
    kernel = params["x_embedder/kernel"].reshape(-1, size.hidden_size)
    tape.tokens_in = tape.patches @ kernel + params["x_embedder/bias"] + position
    times = {"t": t, "r": t - h, "h": h}
    tape.times = {name: _time_forward(params, name, times[name]) for name in size.times}
    first, *more = (time.out for time in tape.times.values())
    tape.c = sum(more, first) + params["y_embedder/embedding"][labels]
    tape.blocks, x = [], tape.tokens_in
    for i in range(size.depth):
        tape.blocks.append(_block_forward(params, f"blocks_{i}", size.num_heads, x, tape.c))
        x = tape.blocks[-1].x_out
    tape.x_final = x
    shift, tape.scale = np.split(_linear(params, "final_layer/adaLN", silu(tape.c)), 2, axis=-1)
    tape.final_in = _modulate(layer_norm(x), shift, tape.scale)
    tape.tokens_out = _linear(params, "final_layer/linear", tape.final_in)
    tape.u = unpatchify(tape.tokens_out, size.patch_size, size.in_channels)
    return tape


def _time_forward(params: Params, name: str, time: Array) -> Tape:
    """Sinusoid, Linear, SiLU, Linear: of t, r or h."""
    features = sinusoid(time)
    hidden = _linear(params, f"{name}_embedder/fc1", features)
    out = _linear(params, f"{name}_embedder/fc2", silu(hidden))
    return Tape(time=time, features=features, hidden=hidden, out=out)


def _block_forward(params: Params, name: str, heads: int, x: Array, c: Array) -> Tape:
    """x + gate attention(modulate(norm(x))), then x + gate mlp(modulate(norm(x)))"""
    tape = Tape(x_in=x, chunks=_linear(params, f"{name}/adaLN", silu(c)))
    shift_msa, scale_msa, gate_msa, shift_mlp, scale_mlp, gate_mlp = _six(tape.chunks)

    tape.attention_in = _modulate(layer_norm(x), shift_msa, scale_msa)
    qkv = split_heads(_linear(params, f"{name}/attn/qkv", tape.attention_in), heads)
    tape.q, tape.k, tape.v = qkv
    tape.p = softmax(tape.q @ _transposed(tape.k) * _attention_scale(tape.q))
    tape.heads_out = merge_heads(tape.p @ tape.v)
    tape.attention_out = _linear(params, f"{name}/attn/proj", tape.heads_out)
    tape.x_mid = x + gate_msa[:, None] * tape.attention_out

    tape.mlp_in = _modulate(layer_norm(tape.x_mid), shift_mlp, scale_mlp)
    tape.hidden = _linear(params, f"{name}/mlp/fc1", tape.mlp_in)
    tape.mlp_out = _linear(params, f"{name}/mlp/fc2", gelu(tape.hidden))
    tape.x_out = tape.x_mid + gate_mlp[:, None] * tape.mlp_out
    return tape


def _six(chunks: Array) -> list[Array]:
    """shift_msa, scale_msa, gate_msa, shift_mlp, scale_mlp, gate_mlp: [batch, width] each"""
    return np.split(chunks, 6, axis=-1)


def _transposed(x: Array) -> Array:
    return x.swapaxes(-1, -2)


def _attention_scale(q: Array) -> float:
    """head_dim^-1/2"""
    return float(q.shape[-1] ** -0.5)


# -------------------------------------------------------------------------------- tangent


def _push(size: Any, params: Params, tape: Tape, dz: Array, dt: Array, dh: Array) -> Array:
    """Tangent of u for the tangent (dz, dt, dh) of (z, t, h)."""
    kernel = params["x_embedder/kernel"].reshape(-1, size.hidden_size)
    dx = patchify(dz, size.patch_size) @ kernel
    rates = {"t": dt, "r": dt - dh, "h": dh}
    first, *more = (_time_push(params, n, time, rates[n]) for n, time in tape.times.items())
    dc = sum(more, first)
    dsilu = silu_jacobian(tape.c, dc)
    for i, block in enumerate(tape.blocks):
        dx = _block_push(params, f"blocks_{i}", size.num_heads, block, dx, dsilu)
    dshift, dscale = np.split(dsilu @ params["final_layer/adaLN/kernel"], 2, axis=-1)
    dx = _modulate_push(tape.x_final, tape.scale, dx, dshift, dscale)
    du = dx @ params["final_layer/linear/kernel"]
    return unpatchify(du, size.patch_size, size.in_channels)


def _time_push(params: Params, name: str, tape: Tape, dtime: Array) -> Array:
    dhidden = sinusoid_tangent(tape.time, dtime) @ params[f"{name}_embedder/fc1/kernel"]
    return silu_jacobian(tape.hidden, dhidden) @ params[f"{name}_embedder/fc2/kernel"]


def _modulate_push(x: Array, scale: Array, dx: Array, dshift: Array, dscale: Array) -> Array:
    """Tangent of modulate(layer_norm(x), shift, scale)."""
    dnorm = layer_norm_jacobian(x, dx)
    return dnorm * (1 + scale[:, None]) + layer_norm(x) * dscale[:, None] + dshift[:, None]


def _block_push(
    params: Params, name: str, heads: int, tape: Tape, dx: Array, dsilu: Array
) -> Array:
    _, scale_msa, gate_msa, _, scale_mlp, gate_mlp = _six(tape.chunks)
    dshift_msa, dscale_msa, dgate_msa, dshift_mlp, dscale_mlp, dgate_mlp = _six(
        dsilu @ params[f"{name}/adaLN/kernel"]
    )
    da = _modulate_push(tape.x_in, scale_msa, dx, dshift_msa, dscale_msa)
    dq, dk, dv = split_heads(da @ params[f"{name}/attn/qkv/kernel"], heads)
    dlogits = (dq @ _transposed(tape.k) + tape.q @ _transposed(dk)) * _attention_scale(tape.q)
    dheads = softmax_jacobian(tape.p, dlogits) @ tape.v + tape.p @ dv
    da = merge_heads(dheads) @ params[f"{name}/attn/proj/kernel"]
    dx = dx + dgate_msa[:, None] * tape.attention_out + gate_msa[:, None] * da

    dm = _modulate_push(tape.x_mid, scale_mlp, dx, dshift_mlp, dscale_mlp)
    dm = gelu_jacobian(tape.hidden, dm @ params[f"{name}/mlp/fc1/kernel"])
    dm = dm @ params[f"{name}/mlp/fc2/kernel"]
    return dx + dgate_mlp[:, None] * tape.mlp_out + gate_mlp[:, None] * dm


# ------------------------------------------------------------------------------ cotangent


def _pull(size: Any, params: Params, tape: Tape, cotangent: Array) -> Params:
    """Gradient of sum(cotangent * u), by canonical parameter name."""
    grads: Params = {}
    g = patchify(cotangent, size.patch_size)
    g = _linear_pull(params, grads, "final_layer/linear", tape.final_in, g)
    g, gshift, gscale = _modulate_pull(tape.x_final, tape.scale, g)
    silu_c = silu(tape.c)
    gchunks = np.concatenate([gshift, gscale], axis=-1)
    gsilu = _linear_pull(params, grads, "final_layer/adaLN", silu_c, gchunks)
    for i in reversed(range(size.depth)):
        g, gblock = _block_pull(
            params, grads, f"blocks_{i}", size.num_heads, tape.blocks[i], silu_c, g
        )
        gsilu = gsilu + gblock
    gc = silu_jacobian(tape.c, gsilu)
    for name, time in tape.times.items():
        ghidden = _linear_pull(params, grads, f"{name}_embedder/fc2", silu(time.hidden), gc)
        ghidden = silu_jacobian(time.hidden, ghidden)
        _linear_pull(params, grads, f"{name}_embedder/fc1", time.features, ghidden)
    grads["y_embedder/embedding"] = np.zeros_like(params["y_embedder/embedding"])
    np.add.at(grads["y_embedder/embedding"], tape.labels, gc)
    kernel = params["x_embedder/kernel"]
    grads["x_embedder/kernel"] = _outer(tape.patches, g).reshape(kernel.shape)
    grads["x_embedder/bias"] = g.sum((0, 1))
    return {name: grads[name] for name in params}


def _outer(x: Array, g: Array) -> Array:
    """sum over all leading axes of x_i g_j: [in, out]"""
    return x.reshape(-1, x.shape[-1]).T @ g.reshape(-1, g.shape[-1])


def _linear_pull(params: Params, grads: Params, name: str, x: Array, g: Array) -> Array:
    """Store the gradient of kernel and bias; return the cotangent of x."""
    grads[f"{name}/kernel"] = _outer(x, g)
    grads[f"{name}/bias"] = g.reshape(-1, g.shape[-1]).sum(0)
    return g @ params[f"{name}/kernel"].T


def _modulate_pull(x: Array, scale: Array, g: Array) -> tuple[Array, Array, Array]:
    """Cotangents of x, shift and scale of modulate(layer_norm(x), shift, scale)."""
    gx = layer_norm_jacobian(x, g * (1 + scale[:, None]))
    return gx, g.sum(1), (g * layer_norm(x)).sum(1)


def _block_pull(
    params: Params, grads: Params, name: str, heads: int, tape: Tape, silu_c: Array, g: Array
) -> tuple[Array, Array]:
    """Cotangents of the block's x and of silu(c)."""
    _, scale_msa, gate_msa, _, scale_mlp, gate_mlp = _six(tape.chunks)

    ggate_mlp = (g * tape.mlp_out).sum(1)
    gm = _linear_pull(params, grads, f"{name}/mlp/fc2", gelu(tape.hidden), g * gate_mlp[:, None])
    gm = gelu_jacobian(tape.hidden, gm)
    gm = _linear_pull(params, grads, f"{name}/mlp/fc1", tape.mlp_in, gm)
    gm, gshift_mlp, gscale_mlp = _modulate_pull(tape.x_mid, scale_mlp, gm)
    g = g + gm

    ggate_msa = (g * tape.attention_out).sum(1)
    ga = _linear_pull(params, grads, f"{name}/attn/proj", tape.heads_out, g * gate_msa[:, None])
    gheads = separate_heads(ga, heads)
    glogits = softmax_jacobian(tape.p, gheads @ _transposed(tape.v)) * _attention_scale(tape.q)
    gqkv = np.stack([glogits @ tape.k, _transposed(glogits) @ tape.q, _transposed(tape.p) @ gheads])
    ga = _linear_pull(params, grads, f"{name}/attn/qkv", tape.attention_in, merge_qkv(gqkv))
    ga, gshift_msa, gscale_msa = _modulate_pull(tape.x_in, scale_msa, ga)

    gchunks = np.concatenate(
        [gshift_msa, gscale_msa, ggate_msa, gshift_mlp, gscale_mlp, ggate_mlp], axis=-1
    )
    return g + ga, _linear_pull(params, grads, f"{name}/adaLN", silu_c, gchunks)
