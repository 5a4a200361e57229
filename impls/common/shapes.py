"""Validation of inputs: an array of the wrong shape or dtype raises an error and is not broadcast.

Only shapes and dtypes are read, so these run under jit and cost nothing in a compiled step. Values
(labels out of range) are validated where NumPy arrays enter: `check_labels`.
"""

from collections.abc import Sequence
from typing import Any

from impls.common.config import Config, fall_from_1_to_0
from impls.common.draws import image_shape
from impls.common.types import Batch, Draws


def check_step(config: Config, batch: Batch, draws: Draws) -> None:
    """Raise ValueError unless batch and draws have the shapes that one step needs."""
    image = image_shape(config.network)
    rows = len(batch.images) if len(batch.images.shape) else 0
    for name, array in (batch._asdict() | draws._asdict()).items():
        shape = (rows, *image) if name in ("images", "noise") else (rows,)
        _check(name, array, shape, "int" if name == "labels" else "float")


def check_sampling(config: Config, noise: Any, labels: Any, times: Sequence[float]) -> None:
    """Raise ValueError unless noise, labels and times fit together and times fall from 1 to 0."""
    rows = len(noise) if len(noise.shape) else 0
    _check("noise", noise, (rows, *image_shape(config.network)), "float")
    _check("labels", labels, (rows,), "int")
    if not fall_from_1_to_0(times):
        listed = [float(s) for s in times]
        raise ValueError(f"times are {listed}, expected numbers that fall from 1 to 0")


def check_labels(config: Config, labels: Any, where: str = "labels") -> None:
    """Raise ValueError unless every label is one of 0 .. num_classes - 1 (NumPy array)."""
    outside = labels[(labels < 0) | (labels >= config.network.num_classes)]
    if outside.size:
        raise ValueError(
            f"{where} holds the label {outside.flat[0]}, expected 0 .."
            f" {config.network.num_classes - 1} for {config.network.num_classes} classes"
        )


def _check(name: str, array: Any, shape: tuple[int, ...], kind: str) -> None:
    if tuple(array.shape) != shape:
        hint = (
            f": pass {name} as [batch]; the objective adds the image axes"
            if len(shape) == 1
            else ": images are [batch, height, width, channel]"
        )
        raise ValueError(f"{name} has shape {tuple(array.shape)}, expected {shape}{hint}")
    if kind not in str(array.dtype):
        raise ValueError(f"{name} has dtype {array.dtype}, expected {kind}")
