"""The DiT of MeanFlow: u(z, t, h, y), the average velocity over [t - h, t]."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from impls.common import weights
from impls.common.config import Config, Network
from impls.common.weights import TIME_FEATURES

LAYER_NORM_EPS = 1e-6
MAX_PERIOD = 10000.0


def sinusoid(time: torch.Tensor) -> torch.Tensor:
    """[cos(f_k t), sin(f_k t)] with f_k = 10000^(-k/128), of the raw time in 0..1.

    Args:
        time: [batch] float.

    Returns:
        [batch, 256] in the dtype of `time`.
    """
    half = TIME_FEATURES // 2
    frequencies = np.exp(-math.log(MAX_PERIOD) * np.arange(half) / half)
    angle = time[:, None] * _constant(frequencies, time)
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


def position_embedding(width: int, grid: int) -> np.ndarray:
    """Fixed 2-D sine-cosine embedding, tokens in row-major order: [grid * grid, width] float64.

    The first half of the width encodes the column (w), the second the row (h); each half is
    [sin, cos] of width/4 frequencies 10000^(-k / (width/4)).
    """
    quarter = width // 4
    frequencies = MAX_PERIOD ** (-np.arange(quarter) / quarter)
    angle = np.arange(grid)[:, None] * frequencies
    axis = np.concatenate([np.sin(angle), np.cos(angle)], axis=-1)
    row, column = np.divmod(np.arange(grid * grid), grid)
    return np.concatenate([axis[column], axis[row]], axis=-1)


def modulate(x: torch.Tensor, shift: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """x (1 + scale) + shift, with shift and scale [batch, width] per sample."""
    return x * (1 + scale[:, None]) + shift[:, None]


def layer_norm(x: torch.Tensor) -> torch.Tensor:
    """(x - mean) / sqrt(var + 1e-6) over the last axis, without affine parameters.

    The variance is the mean of squared deviations; the official code has flax's default
    E[x^2] - E[x]^2, which loses digits and agrees to rounding.
    """
    return F.layer_norm(x, x.shape[-1:], eps=LAYER_NORM_EPS)


class PatchEmbed(nn.Module):
    """Patches through one linear layer, plus the position embedding."""

    def __init__(self, size: Network) -> None:
        super().__init__()
        self.size = size
        # A convolution in name and layout; computed as the matrix product that it is.
        self.proj = nn.Conv2d(size.in_channels, size.hidden_size, size.patch_size, size.patch_size)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """[batch, height, width, channel] -> [batch, token, width]"""
        size, patch = self.size, self.size.patch_size
        grid = size.input_size // patch
        kernel = self.proj.weight.permute(2, 3, 1, 0).reshape(-1, size.hidden_size)
        patches = z.reshape(-1, grid, patch, grid, patch, size.in_channels)
        patches = patches.permute(0, 1, 3, 2, 4, 5).reshape(z.shape[0], grid * grid, -1)
        position = _constant(position_embedding(size.hidden_size, grid), z)
        return patches @ kernel + self.proj.bias + position


class TimeEmbedder(nn.Module):
    """Sinusoid, Linear, SiLU, Linear: one for t, another for h."""

    def __init__(self, size: Network) -> None:
        super().__init__()
        width = size.hidden_size
        self.mlp = nn.Sequential(
            nn.Linear(TIME_FEATURES, width), nn.SiLU(), nn.Linear(width, width)
        )

    def forward(self, time: torch.Tensor) -> torch.Tensor:
        """[batch] -> [batch, width]"""
        return self.mlp(sinusoid(time))


class LabelEmbedder(nn.Module):
    """A table of num_classes + 1 rows; the last is "no label"."""

    def __init__(self, size: Network) -> None:
        super().__init__()
        self.embedding_table = nn.Embedding(size.num_classes + 1, size.hidden_size)

    def forward(self, labels: torch.Tensor) -> torch.Tensor:
        """[batch] integer -> [batch, width]"""
        return self.embedding_table(labels)


class Attention(nn.Module):
    """Multi-head self-attention, written out so that a tangent passes through it."""

    def __init__(self, size: Network) -> None:
        super().__init__()
        self.size = size
        self.qkv = nn.Linear(size.hidden_size, 3 * size.hidden_size)
        self.proj = nn.Linear(size.hidden_size, size.hidden_size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[batch, token, width] -> [batch, token, width]"""
        width, heads = self.size.hidden_size, self.size.num_heads
        qkv = self.qkv(x).reshape(*x.shape[:2], 3, heads, width // heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        logits = q @ k.transpose(-1, -2) * (width // heads) ** -0.5
        probabilities = logits.softmax(-1, dtype=_at_least_float32(x)).to(x.dtype)
        out = (probabilities @ v).transpose(1, 2).reshape(x.shape)
        return self.proj(out)


class Mlp(nn.Module):
    """Linear, tanh-GELU, Linear."""

    def __init__(self, size: Network) -> None:
        super().__init__()
        hidden = int(size.hidden_size * size.mlp_ratio)
        self.fc1 = nn.Linear(size.hidden_size, hidden)
        self.fc2 = nn.Linear(hidden, size.hidden_size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[batch, token, width] -> [batch, token, width]"""
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


class Block(nn.Module):
    """A DiT block: attention and MLP, each modulated and gated by the condition (adaLN-Zero)."""

    def __init__(self, size: Network) -> None:
        super().__init__()
        width = size.hidden_size
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        self.attn = Attention(size)
        self.mlp = Mlp(size)

    def forward(self, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        """x [batch, token, width], c [batch, width] -> [batch, token, width]"""
        chunks = self.adaLN_modulation(c)
        shift_msa, scale_msa, gate_msa, shift_mlp, scale_mlp, gate_mlp = chunks.chunk(6, -1)
        attn = self.attn(modulate(layer_norm(x), shift_msa, scale_msa))
        x = x + gate_msa[:, None] * attn
        mlp = self.mlp(modulate(layer_norm(x), shift_mlp, scale_mlp))
        return x + gate_mlp[:, None] * mlp


class FinalLayer(nn.Module):
    """Modulated LayerNorm and a linear layer to the pixels of each patch."""

    def __init__(self, size: Network) -> None:
        super().__init__()
        width, pixels = size.hidden_size, size.patch_size**2 * size.in_channels
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))
        self.linear = nn.Linear(width, pixels)

    def forward(self, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        """x [batch, token, width], c [batch, width] -> [batch, token, patch * patch * channel]"""
        shift, scale = self.adaLN_modulation(c).chunk(2, -1)
        x = modulate(layer_norm(x), shift, scale)
        return self.linear(x)


class DiT(nn.Module):
    """The whole network, conditioned on time t, interval h and label y.

    A new one starts from `impls.common.weights.initial_parameters`; its state_dict has the names
    and layouts of facebookresearch/DiT.
    """

    def __init__(self, size: Network, seed: int = 0) -> None:
        super().__init__()
        self.size = size
        device = torch.get_default_device()
        with torch.device("meta"):  # PyTorch would draw random numbers to start from
            self.x_embedder = PatchEmbed(size)
            self.t_embedder = TimeEmbedder(size)
            self.h_embedder = TimeEmbedder(size)
            self.y_embedder = LabelEmbedder(size)
            self.blocks = nn.ModuleList(Block(size) for _ in range(size.depth))
            self.final_layer = FinalLayer(size)
        if device.type != "meta":
            initial = weights.to_torch(size, weights.initial_parameters(size, seed))
            state = {name: torch.tensor(array, device=device) for name, array in initial.items()}
            self.load_state_dict(state, assign=True)

    def forward(
        self, z: torch.Tensor, t: torch.Tensor, h: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor:
        """z [batch, height, width, channel], t, h, labels [batch] -> u, shaped as z"""
        size = self.size
        grid, patch = size.input_size // size.patch_size, size.patch_size
        x = self.x_embedder(z)
        c = self.t_embedder(t) + self.h_embedder(h)
        c = (c + self.y_embedder(labels)).to(z.dtype)
        for block in self.blocks:
            x = block(x, c)
        x = self.final_layer(x, c)
        x = x.reshape(-1, grid, grid, patch, patch, size.in_channels)
        return x.permute(0, 1, 3, 2, 4, 5).reshape(z.shape)


def mean_velocity(
    config: Config,
    params: Any,
    z: torch.Tensor,
    t: torch.Tensor,
    h: torch.Tensor,
    labels: torch.Tensor,
) -> torch.Tensor:
    """Average velocity over [t - h, t]: u(z, t, h, y).

    Args:
        params: from `load_params` or `init_params`.
        z: [batch, height, width, channel], the state at time t.
        t, h: [batch], time in 0..1 and length of the interval.
        labels: [batch] integer, num_classes for "no label".

    Returns:
        [batch, height, width, channel]
    """
    low = z.to(_product_dtype(config, z))
    module, params = _module(config.network), _cast(params, low.dtype)
    u = torch.func.functional_call(module, params, (low, t, h, labels))
    return u.to(z.dtype)


def mean_velocity_jvp(
    config: Config,
    params: Any,
    z: torch.Tensor,
    r: torch.Tensor,
    t: torch.Tensor,
    labels: torch.Tensor,
    tangent: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """u and its total derivative: du/dt = tangent . grad_z u + d_t u, with r held fixed.

    The tangent of (z, r, t) is (tangent, 0, 1). This is the dense, official form: every row.

    Returns:
        u, du_dt: [batch, height, width, channel] each.
    """

    def u(z: torch.Tensor, r: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return mean_velocity(config, params, z, t, t - r, labels)

    return torch.func.jvp(u, (z, r, t), (tangent, torch.zeros_like(r), torch.ones_like(t)))


def activations(
    config: Config,
    params: Any,
    z: torch.Tensor,
    t: torch.Tensor,
    h: torch.Tensor,
    labels: torch.Tensor,
) -> dict[str, torch.Tensor]:
    """What each module of the network puts out, by canonical module name ("blocks_0/attn")."""
    module, out = _module(config.network), {}

    def record(name: str) -> Any:
        return lambda _module, _inputs, output: out.update({name: output})

    canonical = {
        name.replace("blocks.", "blocks_")
        .replace("adaLN_modulation", "adaLN")
        .replace(".", "/"): part
        for name, part in module.named_modules()
        if name
    }
    hooks = [part.register_forward_hook(record(name)) for name, part in canonical.items()]
    try:
        mean_velocity(config, params, z, t, h, labels)
    finally:
        for hook in hooks:
            hook.remove()
    return out


def parameter_shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """Canonical name -> shape of every parameter that the network itself declares.

    Nothing is allocated, so the largest size costs as little as the smallest.
    """
    known = {tensor.torch: tensor for tensor in weights.tensors(config.network)}
    shapes = {}
    for name, parameter in _module(config.network).named_parameters():
        axes = weights.canonical_axes(known[name]) if name in known else range(parameter.ndim)
        canonical = known[name].name if name in known else name
        shapes[canonical] = tuple(parameter.shape[axis] for axis in axes)
    return shapes


def _product_dtype(config: Config, z: torch.Tensor) -> torch.dtype:
    """What the blocks compute in: `training.precision` where it is lower than that of z."""
    return torch.bfloat16 if config.training.precision == "bfloat16" else z.dtype


def _cast(params: Any, dtype: torch.dtype) -> Any:
    """Parameters as the blocks use them; those that times pass through stay what they are."""
    return {
        name: tensor if name.startswith(("t_embedder", "h_embedder")) else tensor.to(dtype)
        for name, tensor in params.items()
    }


def _at_least_float32(x: torch.Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


def _module(size: Network) -> DiT:
    """The structure without parameters, which are given at each call; made once per size.

    A plain dictionary, because torch.compile traces through functools.cache anew.
    """
    if size not in _MODULES:
        with torch.device("meta"):
            _MODULES[size] = DiT(size)
    return _MODULES[size]


_MODULES: dict[Network, DiT] = {}


def _constant(array: np.ndarray, like: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(array, dtype=like.dtype, device=like.device)
