"""The DiT of MeanFlow: average velocity u(z, t, h, y) over [t - h, t], and its JVP.

`mean_velocity` applies the module below. `mean_velocity_jvp`, from which the train step takes u and
du/dt, carries dual numbers (primal and tangent) through the network: in JAX by `jax.jvp` of the
module, in PyTorch through the same layers written for dual numbers in dual_dit.py, or, where
method.jvp is autodiff, by `torch.func.jvp` of the module.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from impls.common import parameters
from impls.common.config import Config, Network
from impls.common.parameters import TIME_EMBEDDERS, TIME_FEATURES

from .device import Array
from .dual_dit import Dual, dual_mean_velocity
from .layers import (
    LAYER_NORM_EPS,
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

    def __init__(self, size: Network) -> None:
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

    def __init__(self, size: Network) -> None:
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

    def __init__(self, size: Network) -> None:
        super().__init__()
        self.embedding_table = nn.Embedding(size.num_classes + 1, size.hidden_size)

    def forward(self, labels: Array) -> Array:
        """[batch] integer -> [batch, width]"""
        return self.embedding_table(labels)


class Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, size: Network) -> None:
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

    def __init__(self, size: Network) -> None:
        super().__init__()
        hidden = int(size.hidden_size * size.mlp_ratio)
        self.fc1 = nn.Linear(size.hidden_size, hidden)
        self.fc2 = nn.Linear(hidden, size.hidden_size)

    def forward(self, x: Array) -> Array:
        """[batch, token, width] -> [batch, token, width]"""
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


class Block(nn.Module):
    """DiT block: attention and MLP, each modulated and gated by the condition (adaLN-Zero)."""

    def __init__(self, size: Network) -> None:
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

    def __init__(self, size: Network) -> None:
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

    def __init__(self, size: Network, seed: int = 0) -> None:
        super().__init__()
        self.size = size
        device = torch.get_default_device()
        with torch.device("meta"):  # PyTorch would draw random numbers to start from
            self.x_embedder = PatchEmbed(size)
            for name in parameters.time_embedders(size):
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
    low = z.to(_product_dtype(config, z))
    u = _apply(config.network, _cast(params, low.dtype), low, t, h, labels)
    return u.to(z.dtype)


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
    if not len(tangent):
        return mean_velocity(config, params, z, t, t - r, labels), tangent
    low, num_equal = _product_dtype(config, z), len(t) - len(tangent)
    dr, dt = (torch.full_like(t[num_equal:], rate) for rate in config.method.tangent_of_times)
    # No gradient passes through the tangents of dual_dit.py.
    if config.method.jvp == "autodiff" or config.method.tangent_gradient:
        inputs = z.to(low), t, t - r, labels
        equal, apart = zip(*((x[:num_equal], x[num_equal:]) for x in inputs), strict=True)
        u, du_dt = _forward_mode(config, params, apart, (tangent.to(low), dt, dt - dr))
        if num_equal:
            u = torch.concatenate([mean_velocity(config, params, *equal).to(u.dtype), u])
        return u, du_dt
    duals = Dual(z.to(low), tangent.to(low)), Dual(t, dt), Dual(t - r, dt - dr)
    u, du_dt = dual_mean_velocity(config.network, _cast(params, low), *duals, labels)
    return u.to(z.dtype), du_dt.to(z.dtype)


def ablations() -> tuple[str, ...]:
    """Configuration keys of ablations and other losses that this implementation supports."""
    other = ("method.tangent_gradient", "method.tangent_velocity", "method.reduction")
    return ("method.tangent", "model.embedding", *other)


def activations(
    config: Config, params: Any, z: Array, t: Array, h: Array, labels: Array
) -> dict[str, Array]:
    """Output of each module of the network, by canonical module name ("blocks_0/attn")."""
    module, out = meta_module(config.network), {}

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
    """Shape of every parameter that the network itself declares, by canonical name.

    Nothing is allocated, so the largest size costs as little as the smallest.
    """
    known = {tensor.torch: tensor for tensor in parameters.tensors(config.network)}
    shapes = {}
    for name, parameter in meta_module(config.network).named_parameters():
        axes = parameters.canonical_axes(known[name]) if name in known else range(parameter.ndim)
        canonical = known[name].name if name in known else name
        shapes[canonical] = tuple(parameter.shape[axis] for axis in axes)
    return shapes


def _forward_mode(config: Config, params: Any, inputs: Any, along: Any) -> Any:
    """JVP of the module by `torch.func.jvp`: slower, but independent of dual_dit.py."""
    z, t, h, labels = inputs
    module, params = meta_module(config.network), _cast(params, z.dtype)

    def u(*inputs: Array) -> Array:
        return torch.func.functional_call(module, params, (*inputs, labels))

    # The fused kernels have no forward mode; what that of layer_norm returns has a wrong gradient.
    with sdpa_kernel(SDPBackend.MATH), _PlainLayerNorm():
        pair = torch.func.jvp(u, (z, t, h), along)
    return tuple(part.to(t.dtype) for part in pair)


class _PlainLayerNorm(TorchFunctionMode):
    """LayerNorm from elementary operations, wherever F.layer_norm is called.

    The gradient of a JVP through F.layer_norm is silently wrong in PyTorch 2.13: its tangent passes
    none through mean and deviation (pytorch/pytorch#196700).
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not F.layer_norm:
            return func(*args, **(kwargs or {}))
        centred = args[0] - args[0].mean(-1, keepdim=True)
        return centred / torch.sqrt((centred**2).mean(-1, keepdim=True) + LAYER_NORM_EPS)


def _product_dtype(config: Config, z: Array) -> torch.dtype:
    """Dtype that the blocks compute in: `training.precision` where it is lower than that of z."""
    return torch.bfloat16 if config.training.precision == "bfloat16" else z.dtype


def _cast(params: Any, dtype: torch.dtype) -> Any:
    """Parameters in the dtype of the blocks; those of the time embeddings keep their own."""
    return {
        name: tensor if name.startswith(TIME_EMBEDDERS) else tensor.to(dtype)
        for name, tensor in params.items()
    }


def _apply(size: Network, params: Any, *inputs: Array) -> Array:
    """u of these parameters."""
    return torch.func.functional_call(meta_module(size), params, inputs)


def meta_module(size: Network) -> DiT:
    """The DiT on the meta device: modules without parameter data, which each call supplies.

    Made once per size and kept in a plain dictionary: torch.compile traces through functools.cache
    and would make it anew.
    """
    if size not in _MODULES:
        with torch.device("meta"):
            _MODULES[size] = DiT(size)
    return _MODULES[size]


_MODULES: dict[Network, DiT] = {}
