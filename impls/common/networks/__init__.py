"""Networks by kind, which model.cls begins with: the names, sizes and tensors of each.

A module of this folder has CLASSES (what model.cls can be), Sizes (a `Network`), resolve (the sizes
of a configuration) and tensors (its parameters).
"""

from types import ModuleType
from typing import Any

from impls.common.networks import dit
from impls.common.networks.table import Network

NETWORKS: dict[str, ModuleType] = {"dit": dit}


def classes() -> tuple[str, ...]:
    """Everything that model.cls can be."""
    return tuple(name for network in NETWORKS.values() for name in network.CLASSES)


def named(cls: object) -> ModuleType:
    """The network that a name such as DiT_B_4 begins with; the DiT where it is no such name."""
    return NETWORKS.get(str(cls).split("_")[0].lower(), dit)


def resolve(model: Any, dataset: Any) -> Network:
    """The sizes of the network that these sections of a configuration describe.

    Raises:
        MismatchError: for sizes that do not fit each other.
    """
    size: Network = named(model.cls).resolve(model, dataset)
    return size
