"""What is said of every network: its sizes, and its tensors one by one."""

from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

Law = Literal["zeros", "normal", "xavier"]


@dataclass(frozen=True, kw_only=True)
class Network:
    """Sizes of a network, resolved; each network adds its own.

    Images are [batch, input_size, input_size, in_channels].
    """

    kind: ClassVar[str]  # the implementations look the network up by it
    # Beginnings of names of parameters that keep float32 where training.precision is lower.
    exact: ClassVar[tuple[str, ...]] = ()
    # Parts of names of PyTorch's modules, with what stands there in canonical names.
    renamed: ClassVar[tuple[tuple[str, str], ...]] = ()

    input_size: int  # pixels (or latents) along each side of the image
    in_channels: int
    num_classes: int  # without the null label, which is the number num_classes
    times: tuple[str, ...] = ("t", "h")  # what is embedded of t, r and h = t - r, see embedding


class Tensor(NamedTuple):
    """Parameter tensor: its canonical form and its other names."""

    name: str  # canonical name
    shape: tuple[int, ...]  # canonical shape
    law: Law  # how it is initialised
    official: str  # its name in the official checkpoint
    torch: str  # its name in PyTorch's state_dict
