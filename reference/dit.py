"""The DiT in NumPy with its derivatives written by hand: forward pass, JVP and VJP.

`forward` computes u and keeps the residuals, the intermediate arrays that the derivatives need.
`jvp` carries a tangent of (z, t, h) forward through the layers (forward mode), `vjp` a cotangent
of u back to the parameters (reverse mode). No automatic differentiation is involved.
"""

from types import SimpleNamespace
from typing import Any

import numpy as np

from .layers import (
    Array,
    Params,
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
    sinusoid_jvp,
    softmax,
    softmax_jacobian,
    split_heads,
    unpatchify,
)

Residuals = SimpleNamespace  # of the forward pass, by name; `res` for short


# --------------------------------------------------------------------------- forward pass


def _linear(params: Params, name: str, x: Array) -> Array:
    return x @ params[f"{name}/kernel"] + params[f"{name}/bias"]


def _modulate(x: Array, shift: Array, scale: Array) -> Array:
    """adaLN modulation: x (1 + scale) + shift, with shift and scale [batch, width] per sample."""
    return x * (1 + scale[:, None]) + shift[:, None]


def forward(size: Any, params: Params, z: Array, t: Array, h: Array, labels: Array) -> Residuals:
    """Forward pass: u and the residuals."""
    res = Residuals(labels=labels)
    grid = size.input_size // size.patch_size
    position = position_embedding(size.hidden_size, grid).astype(z.real.dtype)
    res.patches = patchify(z, size.patch_size)
    kernel = params["x_embedder/kernel"].reshape(-1, size.hidden_size)
    res.tokens_in = res.patches @ kernel + params["x_embedder/bias"] + position
    times = {"t": t, "r": t - h, "h": h}
    res.times = {name: _time_forward(params, name, times[name]) for name in size.times}
    first, *more = (time.out for time in res.times.values())
    res.c = sum(more, first) + params["y_embedder/embedding"][labels]
    res.blocks, x = [], res.tokens_in
    for i in range(size.depth):
        res.blocks.append(_block_forward(params, f"blocks_{i}", size.num_heads, x, res.c))
        x = res.blocks[-1].x_out
    res.x_final = x
    shift, res.scale = np.split(_linear(params, "final_layer/adaLN", silu(res.c)), 2, axis=-1)
    res.final_in = _modulate(layer_norm(x), shift, res.scale)
    res.tokens_out = _linear(params, "final_layer/linear", res.final_in)
    res.u = unpatchify(res.tokens_out, size.patch_size, size.in_channels)
    return res


def _time_forward(params: Params, name: str, time: Array) -> Residuals:
    """Time embedding of t, r or h: sinusoid, Linear, SiLU, Linear."""
    features = sinusoid(time)
    hidden = _linear(params, f"{name}_embedder/fc1", features)
    out = _linear(params, f"{name}_embedder/fc2", silu(hidden))
    return Residuals(time=time, features=features, hidden=hidden, out=out)


def _block_forward(params: Params, name: str, heads: int, x: Array, c: Array) -> Residuals:
    """DiT block: x + gate attention(modulate(norm(x))), then x + gate mlp(modulate(norm(x)))"""
    res = Residuals(x_in=x, chunks=_linear(params, f"{name}/adaLN", silu(c)))
    shift_msa, scale_msa, gate_msa, shift_mlp, scale_mlp, gate_mlp = _adaln_chunks(res.chunks)

    res.attention_in = _modulate(layer_norm(x), shift_msa, scale_msa)
    qkv = split_heads(_linear(params, f"{name}/attn/qkv", res.attention_in), heads)
    res.q, res.k, res.v = qkv
    res.p = softmax(res.q @ _transposed(res.k) * _attention_scale(res.q))
    res.heads_out = merge_heads(res.p @ res.v)
    res.attention_out = _linear(params, f"{name}/attn/proj", res.heads_out)
    res.x_mid = x + gate_msa[:, None] * res.attention_out

    res.mlp_in = _modulate(layer_norm(res.x_mid), shift_mlp, scale_mlp)
    res.hidden = _linear(params, f"{name}/mlp/fc1", res.mlp_in)
    res.mlp_out = _linear(params, f"{name}/mlp/fc2", gelu(res.hidden))
    res.x_out = res.x_mid + gate_mlp[:, None] * res.mlp_out
    return res


def _adaln_chunks(chunks: Array) -> list[Array]:
    """adaLN modulation: shift_msa, scale_msa, gate_msa, shift_mlp, scale_mlp, gate_mlp.

    [batch, 6 * width] -> [batch, width] each
    """
    return np.split(chunks, 6, axis=-1)


def _transposed(x: Array) -> Array:
    return x.swapaxes(-1, -2)


def _attention_scale(q: Array) -> float:
    """Scale of the attention logits: head_dim^-1/2"""
    return float(q.shape[-1] ** -0.5)


def activations(params: Params, res: Residuals) -> dict[str, Array]:
    """Output of each module of the DiT, by canonical module name."""
    out = {
        "x_embedder": res.tokens_in,
        **{f"{name}_embedder": time.out for name, time in res.times.items()},
        "y_embedder": params["y_embedder/embedding"][res.labels],
        "final_layer": res.tokens_out,
    }
    for i, block in enumerate(res.blocks):
        out[f"blocks_{i}/adaLN"] = block.chunks
        out[f"blocks_{i}/attn"] = block.attention_out
        out[f"blocks_{i}/mlp"] = block.mlp_out
        out[f"blocks_{i}"] = block.x_out
    return out


# ------------------------------------------------------------------------------------ JVP


def jvp(size: Any, params: Params, res: Residuals, dz: Array, dt: Array, dh: Array) -> Array:
    """JVP of the network: the tangent of u for the tangent (dz, dt, dh) of (z, t, h)."""
    kernel = params["x_embedder/kernel"].reshape(-1, size.hidden_size)
    dx = patchify(dz, size.patch_size) @ kernel
    rates = {"t": dt, "r": dt - dh, "h": dh}
    first, *more = (_time_jvp(params, n, time, rates[n]) for n, time in res.times.items())
    dc = sum(more, first)
    dsilu = silu_jacobian(res.c, dc)
    for i, block in enumerate(res.blocks):
        dx = _block_jvp(params, f"blocks_{i}", size.num_heads, block, dx, dsilu)
    dshift, dscale = np.split(dsilu @ params["final_layer/adaLN/kernel"], 2, axis=-1)
    dx = _modulate_jvp(res.x_final, res.scale, dx, dshift, dscale)
    du = dx @ params["final_layer/linear/kernel"]
    return unpatchify(du, size.patch_size, size.in_channels)


def _time_jvp(params: Params, name: str, res: Residuals, dtime: Array) -> Array:
    """JVP of a time embedding."""
    dhidden = sinusoid_jvp(res.time, dtime) @ params[f"{name}_embedder/fc1/kernel"]
    return silu_jacobian(res.hidden, dhidden) @ params[f"{name}_embedder/fc2/kernel"]


def _modulate_jvp(x: Array, scale: Array, dx: Array, dshift: Array, dscale: Array) -> Array:
    """JVP of modulate(layer_norm(x), shift, scale)."""
    dnorm = layer_norm_jacobian(x, dx)
    return dnorm * (1 + scale[:, None]) + layer_norm(x) * dscale[:, None] + dshift[:, None]


def _block_jvp(
    params: Params, name: str, heads: int, res: Residuals, dx: Array, dsilu: Array
) -> Array:
    """JVP of a DiT block; dsilu is the tangent of silu(c)."""
    _, scale_msa, gate_msa, _, scale_mlp, gate_mlp = _adaln_chunks(res.chunks)
    dshift_msa, dscale_msa, dgate_msa, dshift_mlp, dscale_mlp, dgate_mlp = _adaln_chunks(
        dsilu @ params[f"{name}/adaLN/kernel"]
    )
    da = _modulate_jvp(res.x_in, scale_msa, dx, dshift_msa, dscale_msa)
    dq, dk, dv = split_heads(da @ params[f"{name}/attn/qkv/kernel"], heads)
    dlogits = (dq @ _transposed(res.k) + res.q @ _transposed(dk)) * _attention_scale(res.q)
    dheads = softmax_jacobian(res.p, dlogits) @ res.v + res.p @ dv
    da = merge_heads(dheads) @ params[f"{name}/attn/proj/kernel"]
    dx = dx + dgate_msa[:, None] * res.attention_out + gate_msa[:, None] * da

    dm = _modulate_jvp(res.x_mid, scale_mlp, dx, dshift_mlp, dscale_mlp)
    dm = gelu_jacobian(res.hidden, dm @ params[f"{name}/mlp/fc1/kernel"])
    dm = dm @ params[f"{name}/mlp/fc2/kernel"]
    return dx + dgate_mlp[:, None] * res.mlp_out + gate_mlp[:, None] * dm


# ------------------------------------------------------------------------------------ VJP


def vjp(size: Any, params: Params, res: Residuals, cotangent: Array) -> Params:
    """VJP of the network: the gradient of sum(cotangent * u), by canonical parameter name."""
    grads: Params = {}
    g = patchify(cotangent, size.patch_size)
    g = _linear_vjp(params, grads, "final_layer/linear", res.final_in, g)
    g, gshift, gscale = _modulate_vjp(res.x_final, res.scale, g)
    silu_c = silu(res.c)
    gchunks = np.concatenate([gshift, gscale], axis=-1)
    gsilu = _linear_vjp(params, grads, "final_layer/adaLN", silu_c, gchunks)
    for i in reversed(range(size.depth)):
        g, gblock = _block_vjp(
            params, grads, f"blocks_{i}", size.num_heads, res.blocks[i], silu_c, g
        )
        gsilu = gsilu + gblock
    gc = silu_jacobian(res.c, gsilu)
    for name, time in res.times.items():
        ghidden = _linear_vjp(params, grads, f"{name}_embedder/fc2", silu(time.hidden), gc)
        ghidden = silu_jacobian(time.hidden, ghidden)
        _linear_vjp(params, grads, f"{name}_embedder/fc1", time.features, ghidden)
    grads["y_embedder/embedding"] = np.zeros(params["y_embedder/embedding"].shape, gc.dtype)
    np.add.at(grads["y_embedder/embedding"], res.labels, gc)
    kernel = params["x_embedder/kernel"]
    grads["x_embedder/kernel"] = _outer(res.patches, g).reshape(kernel.shape)
    grads["x_embedder/bias"] = g.sum((0, 1))
    return {name: grads[name] for name in params}


def _outer(x: Array, g: Array) -> Array:
    """Gradient of a kernel: the sum over all leading axes of x_i g_j, [in, out]"""
    return x.reshape(-1, x.shape[-1]).T @ g.reshape(-1, g.shape[-1])


def _linear_vjp(params: Params, grads: Params, name: str, x: Array, g: Array) -> Array:
    """VJP of a linear layer: stores the gradient of kernel and bias, returns the cotangent of x."""
    grads[f"{name}/kernel"] = _outer(x, g)
    grads[f"{name}/bias"] = g.reshape(-1, g.shape[-1]).sum(0)
    return g @ params[f"{name}/kernel"].T


def _modulate_vjp(x: Array, scale: Array, g: Array) -> tuple[Array, Array, Array]:
    """VJP of modulate(layer_norm(x), shift, scale): cotangents of x, shift and scale."""
    gx = layer_norm_jacobian(x, g * (1 + scale[:, None]))
    return gx, g.sum(1), (g * layer_norm(x)).sum(1)


def _block_vjp(
    params: Params, grads: Params, name: str, heads: int, res: Residuals, silu_c: Array, g: Array
) -> tuple[Array, Array]:
    """VJP of a DiT block: cotangents of its x and of silu(c)."""
    _, scale_msa, gate_msa, _, scale_mlp, gate_mlp = _adaln_chunks(res.chunks)

    ggate_mlp = (g * res.mlp_out).sum(1)
    gm = _linear_vjp(params, grads, f"{name}/mlp/fc2", gelu(res.hidden), g * gate_mlp[:, None])
    gm = gelu_jacobian(res.hidden, gm)
    gm = _linear_vjp(params, grads, f"{name}/mlp/fc1", res.mlp_in, gm)
    gm, gshift_mlp, gscale_mlp = _modulate_vjp(res.x_mid, scale_mlp, gm)
    g = g + gm

    ggate_msa = (g * res.attention_out).sum(1)
    ga = _linear_vjp(params, grads, f"{name}/attn/proj", res.heads_out, g * gate_msa[:, None])
    gheads = separate_heads(ga, heads)
    glogits = softmax_jacobian(res.p, gheads @ _transposed(res.v)) * _attention_scale(res.q)
    gqkv = np.stack([glogits @ res.k, _transposed(glogits) @ res.q, _transposed(res.p) @ gheads])
    ga = _linear_vjp(params, grads, f"{name}/attn/qkv", res.attention_in, merge_qkv(gqkv))
    ga, gshift_msa, gscale_msa = _modulate_vjp(res.x_in, scale_msa, ga)

    gchunks = np.concatenate(
        [gshift_msa, gscale_msa, ggate_msa, gshift_mlp, gscale_mlp, ggate_mlp], axis=-1
    )
    return g + ga, _linear_vjp(params, grads, f"{name}/adaLN", silu_c, gchunks)
