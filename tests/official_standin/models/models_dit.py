"""Stand-in for the authors' models_dit.py: a DiT whose parameters have the names of theirs.

They start at zero, where nothing has to be compiled to draw them.
"""

import jax.numpy as jnp
from flax import linen as nn

zeros = nn.initializers.zeros


class Linear(nn.Module):
    features: int

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.features, kernel_init=zeros, name="_flax_linear")(x)


class Embedding(nn.Module):
    count: int
    features: int

    @nn.compact
    def __call__(self, labels):
        table = nn.Embed(self.count, self.features, embedding_init=zeros, name="_flax_embedding")
        return table(labels)


class LabelEmbedder(nn.Module):
    num_classes: int
    hidden_size: int

    @nn.compact
    def __call__(self, labels):
        return Embedding(self.num_classes + 1, self.hidden_size, name="embedding_table")(labels)


class TimeEmbedder(nn.Module):
    hidden_size: int

    def setup(self):
        self.mlp = nn.Sequential([Linear(self.hidden_size), nn.silu, Linear(self.hidden_size)])

    def __call__(self, time):
        octaves = jnp.arange(128, dtype=jnp.float32) / 128
        angle = time[:, None] * jnp.exp(-jnp.log(jnp.float32(10000)) * octaves)
        return self.mlp(jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], axis=1))


class Modulation(nn.Module):
    """Shifts, scales and gates from the condition, as `number` arrays [batch, 1, width]."""

    number: int
    width: int

    @nn.compact
    def __call__(self, c):
        c = Linear(self.number * self.width, name="layers_1")(nn.silu(c))
        return jnp.split(c[:, None], self.number, axis=-1)


class Attention(nn.Module):
    num_heads: int

    @nn.compact
    def __call__(self, x):
        rows, tokens, width = x.shape
        shape = (rows, tokens, 3, self.num_heads, width // self.num_heads)
        q, k, v = jnp.moveaxis(Linear(3 * width, name="qkv")(x).reshape(shape), 2, 0)
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / shape[-1] ** 0.5
        mixed = jnp.einsum("bhqk,bkhd->bqhd", nn.softmax(scores), v)
        return Linear(width, name="proj")(mixed.reshape(x.shape))


class Mlp(nn.Module):
    hidden: int

    @nn.compact
    def __call__(self, x):
        hidden = nn.gelu(Linear(self.hidden, name="fc1")(x))
        return Linear(x.shape[-1], name="fc2")(hidden)


def normalized(x, shift, scale):
    mean = jnp.mean(x, axis=-1, keepdims=True)
    x = (x - mean) / jnp.sqrt(jnp.var(x, axis=-1, keepdims=True) + 1e-6)
    return x * (1 + scale) + shift


class Block(nn.Module):
    num_heads: int
    mlp_ratio: float

    @nn.compact
    def __call__(self, x, c):
        width = x.shape[-1]
        parts = Modulation(6, width, name="adaLN_modulation")(c)
        x = x + parts[2] * Attention(self.num_heads, name="attn")(normalized(x, *parts[:2]))
        mlp = Mlp(int(width * self.mlp_ratio), name="mlp")
        return x + parts[5] * mlp(normalized(x, *parts[3:5]))


class Blocks(nn.Module):
    depth: int
    num_heads: int
    mlp_ratio: float

    @nn.compact
    def __call__(self, x, c):
        for i in range(self.depth):
            x = Block(self.num_heads, self.mlp_ratio, name=f"layers_{i}")(x, c)
        return x


class FinalLayer(nn.Module):
    features: int

    @nn.compact
    def __call__(self, x, c):
        shift, scale = Modulation(2, x.shape[-1], name="adaLN_modulation")(c)
        return Linear(self.features, name="linear")(normalized(x, shift, scale))


class PatchEmbed(nn.Module):
    patch_size: int
    hidden_size: int

    @nn.compact
    def __call__(self, x):
        patch = (self.patch_size, self.patch_size)
        return nn.Conv(self.hidden_size, patch, patch, kernel_init=zeros, name="proj")(x)


def positions(grid, width):
    """[grid, grid, width]: the column, then the row."""
    frequencies = 10000.0 ** (-jnp.arange(width // 4, dtype=jnp.float32) / (width // 4))
    angle = jnp.arange(grid, dtype=jnp.float32)[:, None] * frequencies
    axis = jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=1)
    shape = (grid, grid, width // 2)
    column, row = (jnp.broadcast_to(a, shape) for a in (axis[None], axis[:, None]))
    return jnp.concatenate([column, row], axis=-1)


class DiT(nn.Module):
    input_size: int = 32
    patch_size: int = 2
    in_channels: int = 4
    hidden_size: int = 1152
    depth: int = 28
    num_heads: int = 16
    mlp_ratio: float = 4.0
    class_dropout_prob: float = 0.1
    num_classes: int = 1000
    learn_sigma: bool = False

    @nn.compact
    def __call__(self, x, t, h, y, train=False, key=None):
        width, patch, channels = self.hidden_size, self.patch_size, self.in_channels
        rows, grid = len(x), self.input_size // patch
        tokens = PatchEmbed(patch, width, name="x_embedder")(x) + positions(grid, width)
        c = TimeEmbedder(width, name="t_embedder")(t) + TimeEmbedder(width, name="h_embedder")(h)
        c = c + LabelEmbedder(self.num_classes, width, name="y_embedder")(y)
        blocks = Blocks(self.depth, self.num_heads, self.mlp_ratio, name="blocks")
        tokens = blocks(tokens.reshape(rows, grid * grid, width), c)
        pixels = FinalLayer(patch * patch * channels, name="final_layer")(tokens, c)
        pixels = pixels.reshape(rows, grid, grid, patch, patch, channels)
        return jnp.swapaxes(pixels, 2, 3).reshape(x.shape)
