"""The DiT of MeanFlow: average velocity u(z, t, h, y) over [t - h, t], and its JVP.

`mean_velocity` applies the module below. `mean_velocity_jvp`, from which the train step takes u and
du/dt, carries dual numbers (primal and tangent) through the network: in JAX by `jax.jvp` of the
module, in PyTorch through the same layers written for dual numbers in dual_dit.py, or, where
method.jvp is autodiff, by `torch.func.jvp` of the module.
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict

from impls.common.config import Config, Network
from impls.common.parameters import TIME_EMBEDDERS
from impls.common.positions import position_embedding

from .device import Array
from .layers import layer_norm, linear, modulate, patchify, sinusoid, split_heads, unpatchify

_xavier = nn.initializers.xavier_uniform()
_normal = nn.initializers.normal(0.02)
_zeros = nn.initializers.zeros


class Dense(nn.Module):
    """Linear layer over the last axis, with a bias that starts at zero."""

    width: int
    init: Any

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """[…, features] -> […, width]"""
        kernel = self.param("kernel", self.init, (x.shape[-1], self.width), jnp.float32)
        bias = self.param("bias", _zeros, (self.width,), jnp.float32)
        return linear(x, kernel, bias)


class PatchEmbed(nn.Module):
    """Patch embedding: one linear layer, plus the position embedding."""

    size: Network

    @nn.compact
    def __call__(self, z: Array) -> Array:
        """[batch, height, width, channel] -> [batch, token, width]"""
        size, patch = self.size, self.size.patch_size
        grid = size.input_size // patch
        kernel = self.param(
            "kernel",
            nn.initializers.xavier_uniform(in_axis=(0, 1, 2), out_axis=-1),
            (patch, patch, size.in_channels, size.hidden_size),
            jnp.float32,
        )
        bias = self.param("bias", _zeros, (size.hidden_size,), jnp.float32)
        position = jnp.asarray(position_embedding(size.hidden_size, grid), z.dtype)
        tokens = linear(patchify(z, patch), kernel.reshape(-1, size.hidden_size), bias)
        return tokens + position[None]


class TimeEmbedder(nn.Module):
    """Time embedding (sinusoid, Linear, SiLU, Linear), one for each time that is embedded."""

    size: Network

    @nn.compact
    def __call__(self, time: Array) -> Array:
        """[batch] -> [batch, width]"""
        width = self.size.hidden_size
        hidden = Dense(width, init=_normal, name="fc1")(sinusoid(time))
        return Dense(width, init=_normal, name="fc2")(nn.silu(hidden))


class Attention(nn.Module):
    """Multi-head self-attention."""

    size: Network

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """[batch, token, width] -> [batch, token, width]"""
        width, wide = self.size.hidden_size, jnp.promote_types(x.dtype, jnp.float32)
        qkv = Dense(3 * width, init=_xavier, name="qkv")(x)
        q, k, v = split_heads(qkv, self.size.num_heads)
        logits = q @ k.swapaxes(-1, -2) * q.shape[-1] ** -0.5
        probabilities = nn.softmax(logits.astype(wide), axis=-1).astype(x.dtype)
        out = (probabilities @ v).swapaxes(1, 2).reshape(x.shape)
        return Dense(width, init=_xavier, name="proj")(out)


class Mlp(nn.Module):
    """MLP of a block: Linear, tanh-GELU, Linear."""

    size: Network

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """[batch, token, width] -> [batch, token, width]"""
        width = self.size.hidden_size
        hidden = Dense(int(width * self.size.mlp_ratio), init=_xavier, name="fc1")(x)
        return Dense(width, init=_xavier, name="fc2")(nn.gelu(hidden, approximate=True))


class Block(nn.Module):
    """DiT block: attention and MLP, each modulated and gated by the condition (adaLN-Zero)."""

    size: Network

    @nn.compact
    def __call__(self, x: Array, c: Array) -> Array:
        """x [batch, token, width], c [batch, width] -> [batch, token, width]"""
        width = self.size.hidden_size
        chunks = Dense(6 * width, init=_zeros, name="adaLN")(nn.silu(c))
        shift_msa, scale_msa, gate_msa, shift_mlp, scale_mlp, gate_mlp = jnp.split(chunks, 6, -1)
        attn = Attention(self.size, name="attn")(modulate(layer_norm(x), shift_msa, scale_msa))
        x = x + gate_msa[:, None] * attn
        mlp = Mlp(self.size, name="mlp")(modulate(layer_norm(x), shift_mlp, scale_mlp))
        return x + gate_mlp[:, None] * mlp


class FinalLayer(nn.Module):
    """Output layer: modulated LayerNorm and a linear layer to the pixels of each patch."""

    size: Network

    @nn.compact
    def __call__(self, x: Array, c: Array) -> Array:
        """x [batch, token, width], c [batch, width] -> [batch, token, patch * patch * channel]"""
        width, pixels = self.size.hidden_size, self.size.patch_size**2 * self.size.in_channels
        chunks = Dense(2 * width, init=_zeros, name="adaLN")(nn.silu(c))
        shift, scale = jnp.split(chunks, 2, -1)
        x = modulate(layer_norm(x), shift, scale)
        return Dense(pixels, init=_zeros, name="linear")(x)


class DiT(nn.Module):
    """The whole network, conditioned on time t, interval h and label y."""

    size: Network

    @nn.compact
    def __call__(self, z: Array, t: Array, h: Array, labels: Array) -> Array:
        """z [batch, height, width, channel], t, h, labels [batch] -> u, shaped as z"""
        size, width = self.size, self.size.hidden_size
        x = PatchEmbed(size, name="x_embedder")(z)
        times = {"t": t, "r": t - h, "h": h}
        embedders = ((TimeEmbedder(size, name=f"{name}_embedder"), name) for name in size.times)
        first, *more = (embedder(times[name]) for embedder, name in embedders)
        table = nn.Embed(size.num_classes + 1, width, embedding_init=_normal, name="y_embedder")
        c = (sum(more, first) + table(labels)).astype(z.dtype)
        for i in range(size.depth):
            x = Block(size, name=f"blocks_{i}")(x, c)
        return unpatchify(FinalLayer(size, name="final_layer")(x, c), size.patch_size)


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
    low = z.astype(_product_dtype(config, z))
    u = _apply(config.network, _cast(params, low.dtype), low, t, h, labels)
    return u.astype(z.dtype)


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
    parts = slice(num_primal), slice(num_primal, None)
    primal, dual = ([x[rows] for x in (z, r, t)] for rows in parts)

    def u(z: Array, r: Array, t: Array, labels: Array) -> Array:
        return mean_velocity(config, params, z, t, t - r, labels)

    if not len(tangent):
        return u(z, r, t, labels), tangent
    _, r_dual, t_dual = dual
    dr, dt = config.method.tangent_of_times
    along = (tangent, jnp.full_like(r_dual, dr), jnp.full_like(t_dual, dt))
    out, du_dt = jax.jvp(lambda *x: u(*x, labels[num_primal:]), tuple(dual), along)
    if num_primal:
        out = jnp.concatenate([u(*primal, labels[:num_primal]), out])
    return out, du_dt


def ablations() -> tuple[str, ...]:
    """Configuration keys of ablations and other losses that this implementation supports."""
    other = ("method.tangent_gradient", "method.tangent_velocity", "method.reduction")
    return ("method.tangent", "model.embedding", *other)


def activations(
    config: Config, params: Any, z: Array, t: Array, h: Array, labels: Array
) -> dict[str, Array]:
    """Output of each module of the network, by canonical module name ("blocks_0/attn")."""
    low = z.astype(_product_dtype(config, z))
    params = _cast(params, low.dtype)
    intermediates = _intermediates(config.network, params, low, t, h, labels)
    return {
        "/".join(path[:-1]): outputs[0] for path, outputs in flatten_dict(intermediates).items()
    }


def parameter_shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """Shape of every parameter that the network itself declares, by canonical name.

    Nothing is allocated, so the largest size costs as little as the smallest.
    """
    size = config.network
    image = jax.ShapeDtypeStruct((1, size.input_size, size.input_size, size.in_channels), "float32")
    time, label = (jax.ShapeDtypeStruct((1,), dtype) for dtype in ("float32", "int32"))
    key = jax.ShapeDtypeStruct((2,), "uint32")
    declared = jax.eval_shape(DiT(size).init, key, image, time, time, label)
    return {name: array.shape for name, array in flatten_dict(declared["params"], sep="/").items()}


def _product_dtype(config: Config, z: Array) -> Any:
    """Dtype that the blocks compute in: `training.precision` where it is lower than that of z."""
    return jnp.bfloat16 if config.training.precision == "bfloat16" else z.dtype


def _cast(params: Any, dtype: Any) -> Any:
    """Parameters in the dtype of the blocks; those of the time embeddings keep their own."""
    return {
        name: part
        if name in TIME_EMBEDDERS
        else jax.tree.map(lambda array: array.astype(dtype), part)
        for name, part in params.items()
    }


@functools.partial(jax.jit, static_argnums=0)
def _apply(size: Network, params: Any, *inputs: Array) -> Array:
    """u of these parameters, compiled once per size; inside another jit it is inlined."""
    return DiT(size).apply({"params": params}, *inputs)


@functools.partial(jax.jit, static_argnums=0)
def _intermediates(size: Network, params: Any, *inputs: Array) -> Any:
    variables = {"params": params}
    _, state = DiT(size).apply(
        variables, *inputs, capture_intermediates=True, mutable="intermediates"
    )
    return state["intermediates"]
