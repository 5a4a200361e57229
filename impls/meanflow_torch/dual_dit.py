"""Forward-mode differentiation of the DiT by dual numbers: primal and tangent in one pass.

The JVP of `torch.func.jvp`, without its costs: that one keeps tangents for a backward pass that
never comes, has no forward-mode rule for fused attention, and PyTorch 2.13 compiles its zero
tangents into buffers that it then refuses to write to. A row whose du/dt is not needed has a primal
and no tangent.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F

from impls.common.networks.dit import Sizes

from .device import Array
from .layers import (
    LAYER_NORM_EPS,
    constant,
    frequencies,
    modulate,
    patchify,
    positions,
    sinusoid,
    split_heads,
    unpatchify,
)

Params = dict[str, Array]
aten = torch.ops.aten


class Dual(NamedTuple):
    """Dual number: a primal, and the tangent of its last rows. Tangents pass no gradient."""

    primal: Array  # [batch, …]
    tangent: Array  # [num_tangents, …], num_tangents <= batch

    @property
    def point(self) -> Array:
        """Point of linearization: the primal of the rows with a tangent, without gradient."""
        return self.primal.detach()[len(self.primal) - len(self.tangent) :]

    def __add__(self, other: Any) -> Dual:
        """Sum of two dual numbers of the same shape; a plain tensor is a constant."""
        if isinstance(other, Dual):
            return Dual(self.primal + other.primal, self.tangent + other.tangent)
        return Dual(self.primal + other, self.tangent)


def dual_mean_velocity(
    size: Sizes, params: Params, z: Dual, t: Dual, h: Dual, labels: Array
) -> Dual:
    """Average velocity u(z, t, h, y), and its JVP along the tangents of z, t and h (eq. 8).

    Args:
        params: of `DiT`, by name, in the dtypes to compute in.
        z: [batch, height, width, channel];  t, h: [batch];  labels: [batch]
    """
    x = embed_patches(size, params, z)
    times = {"t": t, "r": Dual(t.primal - h.primal, t.tangent - h.tangent), "h": h}
    first, *more = (embed_time(params, f"{name}_embedder", times[name]) for name in size.times)
    c = sum(more, first) + F.embedding(labels, params["y_embedder.embedding_table.weight"])
    c = silu(Dual(*(part.to(z.primal.dtype) for part in c)))  # SiLU, the first layer of every adaLN
    for block in range(size.depth):
        x = dit_block(size, params, f"blocks.{block}", x, c)
    shift, scale = chunks(linear(params, "final_layer.adaLN_modulation.1", c), 2)
    x = linear(params, "final_layer.linear", modulated_norm(x, shift, scale))
    return Dual(*(unpatchify(part, size.patch_size) for part in x))


def embed_patches(size: Sizes, params: Params, z: Dual) -> Dual:
    """Patch embedding: one linear layer, plus the position embedding."""
    kernel = params["x_embedder.proj.weight"].permute(2, 3, 1, 0).reshape(-1, size.hidden_size)
    primal, tangent = (patchify(part, size.patch_size) for part in z)
    position = constant(positions(size), primal)
    primal = primal @ kernel + params["x_embedder.proj.bias"] + position
    return Dual(primal, tangent @ kernel.detach())


def embed_time(params: Params, name: str, time: Dual) -> Dual:
    """Time embedding: sinusoid, Linear, SiLU, Linear.

    Tangent of the sinusoid: d[cos(f t), sin(f t)] = [-sin(f t), cos(f t)] f dt
    """
    features = sinusoid(time.primal)
    cosine, sine = Dual(features, time.tangent).point.chunk(2, -1)
    rate = constant(frequencies(), time.primal) * time.tangent[:, None]
    x = Dual(features, torch.cat([-sine * rate, cosine * rate], -1))
    return linear(params, f"{name}.mlp.2", silu(linear(params, f"{name}.mlp.0", x)))


def dit_block(size: Sizes, params: Params, name: str, x: Dual, c: Dual) -> Dual:
    """DiT block (adaLN-Zero); c [batch, width] is the condition after its SiLU."""
    six = chunks(linear(params, f"{name}.adaLN_modulation.1", c), 6)
    shift_msa, scale_msa, gate_msa, shift_mlp, scale_mlp, gate_mlp = six
    attn = attention(size, params, f"{name}.attn", modulated_norm(x, shift_msa, scale_msa))
    x = gated_sum(x, gate_msa, attn)
    hidden = gelu(linear(params, f"{name}.mlp.fc1", modulated_norm(x, shift_mlp, scale_mlp)))
    return gated_sum(x, gate_mlp, linear(params, f"{name}.mlp.fc2", hidden))


def attention(size: Sizes, params: Params, name: str, x: Dual) -> Dual:
    """Multi-head self-attention: p v with p = softmax(s), s = q k^T / sqrt(head_dim)

    Tangent dp v + p dv, with dp = p (ds - sum(p ds))
    """
    qkv = linear(params, f"{name}.qkv", x)
    q, k, v = split_heads(qkv.primal, size.num_heads)
    out = F.scaled_dot_product_attention(q, k, v)
    q, k, v = split_heads(qkv.point, size.num_heads)
    dq, dk, dv = split_heads(qkv.tangent, size.num_heads)
    scale = q.shape[-1] ** -0.5
    wide = torch.promote_types(q.dtype, torch.float32)
    p = (q @ k.transpose(-1, -2) * scale).softmax(-1, dtype=wide)
    ds = (dq @ k.transpose(-1, -2) + q @ dk.transpose(-1, -2)) * scale
    dp = p * (ds - (p * ds).sum(-1, keepdim=True))
    tangent = dp.to(q.dtype) @ v + p.to(q.dtype) @ dv
    merged = Dual(*(part.transpose(1, 2).flatten(2) for part in (out, tangent)))
    return linear(params, f"{name}.proj", merged)


def linear(params: Params, name: str, x: Dual) -> Dual:
    """Linear layer: W x + b;  tangent W dx"""
    weight, bias = params[f"{name}.weight"], params[f"{name}.bias"]
    return Dual(F.linear(x.primal, weight, bias), F.linear(x.tangent, weight.detach()))


# The Jacobians of SiLU, GELU and LayerNorm are symmetric (JVP = VJP), so the fused kernels of
# PyTorch's backward pass serve for tangents too.


def silu(x: Dual) -> Dual:
    """SiLU: x s with s = sigmoid(x);  tangent s (1 + x (1 - s)) dx"""
    return Dual(F.silu(x.primal), aten.silu_backward(x.tangent, x.point))


def gelu(x: Dual) -> Dual:
    """GELU, tanh approximation: x/2 (1 + T) with T = tanh(c (x + a x^3))

    Tangent (1 + T + x (1 - T^2) c (1 + 3 a x^2)) dx/2, with c = sqrt(2/pi) and a = 0.044715
    """
    tangent = aten.gelu_backward(x.tangent, x.point, approximate="tanh")
    return Dual(F.gelu(x.primal, approximate="tanh"), tangent)


def layer_norm(x: Dual) -> Dual:
    """LayerNorm: y = (x - mean) / s over the last axis

    Tangent (dx - mean(dx) - y mean(y dx)) / s, with s the deviation
    """
    width = x.primal.shape[-1:]
    primal, *statistics = torch.native_layer_norm(x.primal, width, None, None, LAYER_NORM_EPS)
    mean, rstd = (Dual(part, x.tangent).point for part in statistics)
    given = (x.point, width, mean, rstd, None, None, [True, False, False])
    return Dual(primal, aten.native_layer_norm_backward(x.tangent, *given)[0])


def modulated_norm(x: Dual, shift: Dual, scale: Dual) -> Dual:
    """adaLN: layer_norm(x) (1 + scale) + shift, shift and scale [batch, width] per sample."""
    y = layer_norm(x)
    tangent = torch.addcmul(shift.tangent[:, None], y.tangent, 1 + scale.point[:, None])
    tangent = tangent.addcmul(y.point, scale.tangent[:, None])
    return Dual(modulate(y.primal, shift.primal, scale.primal), tangent)


def gated_sum(x: Dual, gate: Dual, y: Dual) -> Dual:
    """Gated residual: x + gate y, the gate [batch, width] per sample

    Tangent dx + gate dy + dgate y
    """
    tangent = torch.addcmul(x.tangent, gate.point[:, None], y.tangent)
    tangent = tangent.addcmul(gate.tangent[:, None], y.point)
    return Dual(torch.addcmul(x.primal, gate.primal[:, None], y.primal), tangent)


def chunks(x: Dual, count: int) -> list[Dual]:
    """Equal parts of the last axis."""
    return [Dual(*parts) for parts in zip(*(part.chunk(count, -1) for part in x), strict=True)]
