"""The DiT of MeanFlow: u(z, t, h, y), the average velocity over [t - h, t], and its derivative.

`mean_velocity` runs the module below. `mean_velocity_jvp`, where the train step gets u and du/dt,
carries dual numbers (a value and its tangent) through the network: in JAX as `jax.jvp` of the
module, in PyTorch not by a general JVP but through the same layers written out for dual numbers in
tangent.py. Only where method.jvp is autodiff is it `torch.func.jvp` of the module.
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
    """A linear layer over the last axis, with a bias that starts at zero."""

    width: int
    init: Any

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """[…, features] -> […, width]"""
        kernel = self.param("kernel", self.init, (x.shape[-1], self.width), jnp.float32)
        bias = self.param("bias", _zeros, (self.width,), jnp.float32)
        return linear(x, kernel, bias)


class PatchEmbed(nn.Module):
    """Patches through one linear layer, plus the position embedding."""

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
    """Sinusoid, Linear, SiLU, Linear: one for each time that is embedded."""

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
    """Linear, tanh-GELU, Linear."""

    size: Network

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """[batch, token, width] -> [batch, token, width]"""
        width = self.size.hidden_size
        hidden = Dense(int(width * self.size.mlp_ratio), init=_xavier, name="fc1")(x)
        return Dense(width, init=_xavier, name="fc2")(nn.gelu(hidden, approximate=True))


class Block(nn.Module):
    """A DiT block: attention and MLP, each modulated and gated by the condition (adaLN-Zero)."""

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
    """Modulated LayerNorm and a linear layer to the pixels of each patch."""

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
    """Average velocity over [t - h, t]: u(z, t, h, y).

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
    """u and its total derivative: du/dt = tangent . grad_z u + d_t u, with r held fixed.

    The tangent of (z, r, t) is (tangent, 0, 1); another method.tangent gives the derivative along
    that one.

    Args:
        tangent: [moving, height, width, channel] of the last rows; the others get no du/dt.

    Returns:
        u: [batch, height, width, channel];  du_dt: [moving, height, width, channel]
    """
    still = len(z) - len(tangent)
    at_rest, moving = ([x[rows] for x in (z, r, t)] for rows in (slice(still), slice(still, None)))

    def u(z: Array, r: Array, t: Array, labels: Array) -> Array:
        return mean_velocity(config, params, z, t, t - r, labels)

    if not len(tangent):
        return u(z, r, t, labels), tangent
    _, r_moving, t_moving = moving
    dr, dt = config.method.tangent_of_times
    along = (tangent, jnp.full_like(r_moving, dr), jnp.full_like(t_moving, dt))
    out, du_dt = jax.jvp(lambda *x: u(*x, labels[still:]), tuple(moving), along)
    if still:
        out = jnp.concatenate([u(*at_rest, labels[:still]), out])
    return out, du_dt


def ablations() -> tuple[str, ...]:
    """Keys of the paper's ablations that are understood here beside the official ones."""
    return ("method.tangent", "model.embedding")


def activations(
    config: Config, params: Any, z: Array, t: Array, h: Array, labels: Array
) -> dict[str, Array]:
    """What each module of the network puts out, by canonical module name ("blocks_0/attn")."""
    low = z.astype(_product_dtype(config, z))
    params = _cast(params, low.dtype)
    intermediates = _intermediates(config.network, params, low, t, h, labels)
    return {
        "/".join(path[:-1]): outputs[0] for path, outputs in flatten_dict(intermediates).items()
    }


def parameter_shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """Canonical name -> shape of every parameter that the network itself declares.

    Nothing is allocated, so the largest size costs as little as the smallest.
    """
    size = config.network
    image = jax.ShapeDtypeStruct((1, size.input_size, size.input_size, size.in_channels), "float32")
    time, label = (jax.ShapeDtypeStruct((1,), dtype) for dtype in ("float32", "int32"))
    key = jax.ShapeDtypeStruct((2,), "uint32")
    declared = jax.eval_shape(DiT(size).init, key, image, time, time, label)
    return {name: array.shape for name, array in flatten_dict(declared["params"], sep="/").items()}


def _product_dtype(config: Config, z: Array) -> Any:
    """What the blocks compute in: `training.precision` where it is lower than that of z."""
    return jnp.bfloat16 if config.training.precision == "bfloat16" else z.dtype


def _cast(params: Any, dtype: Any) -> Any:
    """Parameters as the blocks use them; those that times pass through stay what they are."""
    return {
        name: part
        if name in TIME_EMBEDDERS
        else jax.tree.map(lambda array: array.astype(dtype), part)
        for name, part in params.items()
    }


@functools.partial(jax.jit, static_argnums=0)
def _apply(size: Network, params: Any, *inputs: Array) -> Array:
    """Compiled once per size, whatever the method around it; inside another jit it is inlined."""
    return DiT(size).apply({"params": params}, *inputs)


@functools.partial(jax.jit, static_argnums=0)
def _intermediates(size: Network, params: Any, *inputs: Array) -> Any:
    variables = {"params": params}
    _, state = DiT(size).apply(
        variables, *inputs, capture_intermediates=True, mutable="intermediates"
    )
    return state["intermediates"]
