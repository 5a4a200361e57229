"""The DiT of MeanFlow: average velocity u(z, t, h, y) over [t - h, t]."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from impls.common.networks.dit import Sizes
from impls.common.positions import position_embedding

from .device import Array
from .layers import layer_norm, linear, modulate, patchify, sinusoid, split_heads, unpatchify

_KEPT = "kept"  # name of the activations that the backward pass reads; it computes the others anew
_kept = functools.partial(checkpoint_name, name=_KEPT)


class Part(NamedTuple):
    """Rows of a batch; of some of them tangents may be wanted, and of others none."""

    z: Array  # [batch, height, width, channel]
    t: Array  # [batch]
    h: Array  # [batch]
    labels: Array  # [batch] integer


Parts = Sequence[Part]

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

    size: Sizes

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

    size: Sizes

    @nn.compact
    def __call__(self, time: Array) -> Array:
        """[batch] -> [batch, width]"""
        width = self.size.hidden_size
        hidden = Dense(width, init=_normal, name="fc1")(sinusoid(time))
        return Dense(width, init=_normal, name="fc2")(nn.silu(hidden))


class Attention(nn.Module):
    """Multi-head self-attention."""

    size: Sizes

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """[batch, token, width] -> [batch, token, width]"""
        width, wide = self.size.hidden_size, jnp.promote_types(x.dtype, jnp.float32)
        qkv = _kept(Dense(3 * width, init=_xavier, name="qkv")(x))
        q, k, v = split_heads(qkv, self.size.num_heads)
        logits = jnp.einsum("bqhd,bkhd->bhqk", q, k) * q.shape[-1] ** -0.5
        probabilities = nn.softmax(logits.astype(wide), axis=-1).astype(x.dtype)
        out = jnp.einsum("bhqk,bkhd->bqhd", probabilities, v).reshape(x.shape)
        return _kept(Dense(width, init=_xavier, name="proj")(out))


class Mlp(nn.Module):
    """MLP of a block: Linear, tanh-GELU, Linear."""

    size: Sizes

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """[batch, token, width] -> [batch, token, width]"""
        width = self.size.hidden_size
        hidden = _kept(Dense(int(width * self.size.mlp_ratio), init=_xavier, name="fc1")(x))
        return _kept(Dense(width, init=_xavier, name="fc2")(nn.gelu(hidden, approximate=True)))


class Block(nn.Module):
    """DiT block: attention and MLP, each modulated and gated by the condition (adaLN-Zero)."""

    size: Sizes

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

    size: Sizes

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

    size: Sizes

    def __call__(self, z: Array, t: Array, h: Array, labels: Array) -> Array:
        """z [batch, height, width, channel], t, h, labels [batch] -> u, shaped as z"""
        return self.of_parts([Part(z, t, h, labels)])[0]

    @nn.compact
    def of_parts(self, parts: Parts) -> list[Array]:
        """u of each part of a batch, shaped as its z.

        The parts go through one loop over the blocks, whose parameters are stacked: a block is
        compiled once and read once for all parts.
        """
        size, width = self.size, self.size.hidden_size
        patches = PatchEmbed(size, name="x_embedder")
        embedders = {name: TimeEmbedder(size, name=f"{name}_embedder") for name in size.times}
        table = nn.Embed(size.num_classes + 1, width, embedding_init=_normal, name="y_embedder")
        final = FinalLayer(size, name="final_layer")

        def condition(part: Part) -> Array:
            times = {"t": part.t, "r": part.t - part.h, "h": part.h}
            first, *more = (embedder(times[name]) for name, embedder in embedders.items())
            return (sum(more, first) + table(part.labels)).astype(part.z.dtype)

        tokens = [patches(part.z) for part in parts]
        conditions = [condition(part) for part in parts]
        tokens, _ = _loop(size.depth)(Block(size, name="blocks"), tokens, conditions)
        out = (final(x, c) for x, c in zip(tokens, conditions, strict=True))
        return [unpatchify(patches, size.patch_size) for patches in out]


def _loop(depth: int) -> Any:
    """The blocks one after another, for every part of a batch."""

    def body(block: Block, tokens: list[Array], conditions: list[Array]) -> tuple[Any, None]:
        return [block(x, c) for x, c in zip(tokens, conditions, strict=True)], None

    policy = jax.checkpoint_policies.save_only_these_names(_KEPT)
    return nn.scan(
        nn.remat(body, prevent_cse=False, policy=policy),
        variable_axes={"params": 0, "intermediates": 0},
        split_rngs={"params": True},
        in_axes=nn.broadcast,
        length=depth,
    )
