"""The DiT of MeanFlow: average velocity u(z, t, h, y) over [t - h, t]."""

import torch
import torch.nn.functional as F
from torch import nn

from impls.common import parameters
from impls.common.networks.dit import TIME_FEATURES, Sizes, time_embedders

from .device import Array
from .layers import (
    constant,
    layer_norm,
    modulate,
    patchify,
    positions,
    sinusoid,
    split_heads,
    unpatchify,
)


class PatchEmbed(nn.Module):
    """Patch embedding: one linear layer, plus the position embedding."""

    def __init__(self, size: Sizes) -> None:
        super().__init__()
        self.size = size
        # Named and laid out as DiT's convolution, computed as the matrix product that it is.
        self.proj = nn.Conv2d(size.in_channels, size.hidden_size, size.patch_size, size.patch_size)
        self.position = positions(size)

    def forward(self, z: Array) -> Array:
        """[batch, height, width, channel] -> [batch, token, width]"""
        size, patch = self.size, self.size.patch_size
        kernel = self.proj.weight.permute(2, 3, 1, 0).reshape(-1, size.hidden_size)
        position = constant(self.position, z)
        return patchify(z, patch) @ kernel + self.proj.bias + position


class TimeEmbedder(nn.Module):
    """Time embedding (sinusoid, Linear, SiLU, Linear), one for each time that is embedded."""

    def __init__(self, size: Sizes) -> None:
        super().__init__()
        width = size.hidden_size
        self.mlp = nn.Sequential(
            nn.Linear(TIME_FEATURES, width), nn.SiLU(), nn.Linear(width, width)
        )

    def forward(self, time: Array) -> Array:
        """[batch] -> [batch, width]"""
        return self.mlp(sinusoid(time))


class LabelEmbedder(nn.Module):
    """Label embedding: a table of num_classes + 1 rows, the last for "no label"."""

    def __init__(self, size: Sizes) -> None:
        super().__init__()
        self.embedding_table = nn.Embedding(size.num_classes + 1, size.hidden_size)

    def forward(self, labels: Array) -> Array:
        """[batch] integer -> [batch, width]"""
        return self.embedding_table(labels)


class Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, size: Sizes) -> None:
        super().__init__()
        self.size = size
        self.qkv = nn.Linear(size.hidden_size, 3 * size.hidden_size)
        self.proj = nn.Linear(size.hidden_size, size.hidden_size)

    def forward(self, x: Array) -> Array:
        """[batch, token, width] -> [batch, token, width]"""
        q, k, v = split_heads(self.qkv(x), self.size.num_heads)
        out = F.scaled_dot_product_attention(q, k, v)
        return self.proj(out.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """MLP of a block: Linear, tanh-GELU, Linear."""

    def __init__(self, size: Sizes) -> None:
        super().__init__()
        hidden = int(size.hidden_size * size.mlp_ratio)
        self.fc1 = nn.Linear(size.hidden_size, hidden)
        self.fc2 = nn.Linear(hidden, size.hidden_size)

    def forward(self, x: Array) -> Array:
        """[batch, token, width] -> [batch, token, width]"""
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


class Block(nn.Module):
    """DiT block: attention and MLP, each modulated and gated by the condition (adaLN-Zero)."""

    def __init__(self, size: Sizes) -> None:
        super().__init__()
        width = size.hidden_size
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        self.attn = Attention(size)
        self.mlp = Mlp(size)

    def forward(self, x: Array, c: Array) -> Array:
        """x [batch, token, width], c [batch, width] -> [batch, token, width]"""
        chunks = self.adaLN_modulation(c)
        shift_msa, scale_msa, gate_msa, shift_mlp, scale_mlp, gate_mlp = chunks.chunk(6, -1)
        attn = self.attn(modulate(layer_norm(x), shift_msa, scale_msa))
        x = x + gate_msa[:, None] * attn
        mlp = self.mlp(modulate(layer_norm(x), shift_mlp, scale_mlp))
        return x + gate_mlp[:, None] * mlp


class FinalLayer(nn.Module):
    """Output layer: modulated LayerNorm and a linear layer to the pixels of each patch."""

    def __init__(self, size: Sizes) -> None:
        super().__init__()
        width, pixels = size.hidden_size, size.patch_size**2 * size.in_channels
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))
        self.linear = nn.Linear(width, pixels)

    def forward(self, x: Array, c: Array) -> Array:
        """x [batch, token, width], c [batch, width] -> [batch, token, patch * patch * channel]"""
        shift, scale = self.adaLN_modulation(c).chunk(2, -1)
        x = modulate(layer_norm(x), shift, scale)
        return self.linear(x)


class DiT(nn.Module):
    """The whole network, conditioned on time t, interval h and label y.

    A new one starts from `impls.common.parameters.initial_parameters`; its state_dict has the names
    and layouts of facebookresearch/DiT.
    """

    def __init__(self, size: Sizes, seed: int = 0) -> None:
        super().__init__()
        self.size = size
        device = torch.get_default_device()
        with torch.device("meta"):  # PyTorch would draw random numbers to start from
            self.x_embedder = PatchEmbed(size)
            for name in time_embedders(size):
                self.add_module(name, TimeEmbedder(size))
            self.y_embedder = LabelEmbedder(size)
            self.blocks = nn.ModuleList(Block(size) for _ in range(size.depth))
            self.final_layer = FinalLayer(size)
        if device.type != "meta":
            initial = parameters.to_torch(size, parameters.initial_parameters(size, seed))
            state = {name: torch.tensor(array, device=device) for name, array in initial.items()}
            self.load_state_dict(state, assign=True)

    def forward(self, z: Array, t: Array, h: Array, labels: Array) -> Array:
        """z [batch, height, width, channel], t, h, labels [batch] -> u, shaped as z"""
        x = self.x_embedder(z)
        times = {"t": t, "r": t - h, "h": h}
        embedders = ((self.get_submodule(f"{name}_embedder"), name) for name in self.size.times)
        first, *more = (embedder(times[name]) for embedder, name in embedders)
        c = (sum(more, first) + self.y_embedder(labels)).to(z.dtype)
        for block in self.blocks:
            x = block(x, c)
        return unpatchify(self.final_layer(x, c), self.size.patch_size)
