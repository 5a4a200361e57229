"""The DiT: its named sizes and its tensors, with the names of the official code and of PyTorch.

PyTorch's names are those of facebookresearch/DiT.
"""

from dataclasses import dataclass
from typing import Any

from impls.common.errors import MismatchError
from impls.common.networks.table import Law, Network, Tensor

# (depth, width, heads) of the named sizes; the digit in DiT_B_4 is the patch size.
NAMED = {
    "S": (12, 384, 6),
    "B": (12, 768, 12),
    "M": (16, 1024, 16),
    "L": (24, 1024, 16),
    "XL": (28, 1152, 16),
}
CLASSES = ("DiT", *(f"DiT_{letter}_{patch}" for letter in NAMED for patch in (2, 4, 8)))
TIME_FEATURES = 256  # sinusoids per time embedding
TIME_EMBEDDERS = ("t_embedder", "r_embedder", "h_embedder")  # a network has some of them


@dataclass(frozen=True, kw_only=True)
class Sizes(Network):
    """Sizes of the DiT, resolved."""

    kind = "dit"
    exact = TIME_EMBEDDERS
    renamed = (("blocks.", "blocks_"), ("adaLN_modulation", "adaLN"))

    patch_size: int  # pixels along each side of a patch; divides input_size
    hidden_size: int  # width; a multiple of 4 and of num_heads
    depth: int  # number of blocks
    num_heads: int
    mlp_ratio: float = 4.0  # each block's MLP has int(hidden_size * mlp_ratio) hidden units


def resolve(model: Any, dataset: Any) -> Sizes:
    """The sizes that model.cls names, except where the section model gives its own.

    Raises:
        MismatchError: for a size that is missing or does not fit the others.
    """
    sizes: dict[str, Any] = {}
    if model.cls != "DiT":
        _, letter, patch = model.cls.split("_")
        depth, width, heads = NAMED[letter]
        sizes = {"patch_size": int(patch), "hidden_size": width, "depth": depth, "num_heads": heads}
    for key in ("patch_size", "hidden_size", "depth", "num_heads"):
        sizes[key] = getattr(model, key) or sizes.get(key)
        if sizes[key] is None:
            expected = "a whole number because model.cls is DiT: set it, or name a size"
            raise MismatchError(f"model.{key}", None, f"{expected} such as DiT_B_4")
    size = Sizes(
        input_size=dataset.image_size,
        in_channels=dataset.image_channels,
        num_classes=dataset.num_classes,
        times=tuple(model.embedding.split("_")),
        mlp_ratio=model.mlp_ratio,
        **sizes,
    )
    _check(size)
    return size


def _check(size: Sizes) -> None:
    if size.input_size % size.patch_size:
        expected = f"a multiple of the patch size ({size.patch_size}, from model)"
        raise MismatchError("dataset.image_size", size.input_size, expected)
    if size.hidden_size % 4:
        expected = "a multiple of 4: the position embedding has four equal parts"
        raise MismatchError("model.hidden_size", size.hidden_size, expected)
    if size.hidden_size % size.num_heads:
        expected = f"a divisor of the hidden size ({size.hidden_size})"
        raise MismatchError("model.num_heads", size.num_heads, expected)
    if size.hidden_size * size.mlp_ratio < 1:
        expected = f"at least 1 / the hidden size ({size.hidden_size})"
        raise MismatchError("model.mlp_ratio", size.mlp_ratio, expected)


def tensors(size: Sizes) -> tuple[Tensor, ...]:
    """Every parameter of the DiT, in canonical order, which is that of the data flow.

    Laws as officially: linear layers of attention and MLP, and the patch embedding, are
    xavier-uniform, time MLPs and the label table normal, the rest zero (adaLN-Zero: u starts at 0).
    """
    width, patch = size.hidden_size, size.patch_size
    hidden = int(width * size.mlp_ratio)
    pixels = patch * patch * size.in_channels
    patch_kernel = (patch, patch, size.in_channels, width)
    rows = _layer("x_embedder", patch_kernel, "xavier", "x_embedder.proj", "net/x_embedder/proj")
    for time in time_embedders(size):
        rows += _linear(f"{time}/fc1", TIME_FEATURES, width, "normal", f"{time}.mlp.0")
        rows += _linear(f"{time}/fc2", width, width, "normal", f"{time}.mlp.2")
    rows.append(
        Tensor("y_embedder/embedding", (size.num_classes + 1, width), "normal",
               "net/y_embedder/embedding_table/_flax_embedding/embedding",
               "y_embedder.embedding_table.weight")
    )  # fmt: skip
    for i in range(size.depth):
        block = f"blocks.{i}"
        modulation = f"{block}.adaLN_modulation.1"
        rows += _linear(f"blocks_{i}/adaLN", width, 6 * width, "zeros", modulation)
        rows += _linear(f"blocks_{i}/attn/qkv", width, 3 * width, "xavier", f"{block}.attn.qkv")
        rows += _linear(f"blocks_{i}/attn/proj", width, width, "xavier", f"{block}.attn.proj")
        rows += _linear(f"blocks_{i}/mlp/fc1", width, hidden, "xavier", f"{block}.mlp.fc1")
        rows += _linear(f"blocks_{i}/mlp/fc2", hidden, width, "xavier", f"{block}.mlp.fc2")
    modulation = "final_layer.adaLN_modulation.1"
    rows += _linear("final_layer/adaLN", width, 2 * width, "zeros", modulation)
    rows += _linear("final_layer/linear", width, pixels, "zeros", "final_layer.linear")
    return tuple(rows)


def time_embedders(size: Sizes) -> tuple[str, ...]:
    """Canonical names of the time embedders, in the order in which they are summed."""
    return tuple(f"{time}_embedder" for time in size.times)


def _linear(name: str, fan_in: int, fan_out: int, law: Law, torch_name: str) -> list[Tensor]:
    """Kernel and bias of a linear layer; the official name follows from the PyTorch one."""
    parts = torch_name.split(".")
    layers = [f"layers_{part}" if part.isdigit() else part for part in parts]
    official = "/".join(["net", *layers, "_flax_linear"])
    return _layer(name, (fan_in, fan_out), law, torch_name, official)


def _layer(
    name: str, shape: tuple[int, ...], law: Law, torch_name: str, official: str
) -> list[Tensor]:
    return [
        Tensor(f"{name}/kernel", shape, law, f"{official}/kernel", f"{torch_name}.weight"),
        Tensor(f"{name}/bias", shape[-1:], "zeros", f"{official}/bias", f"{torch_name}.bias"),
    ]
