"""Accelerator chips and machines by name, from bench/chips.yml."""

import functools
import re
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml

from impls.common.errors import UserError, did_you_mean

FILE = Path(__file__).with_name("chips.yml")
LEAST_SLICE = 4  # chips, where a chip's slices are not listed
MOST_GPUS = 65536

Precision = Literal["bfloat16", "tf32", "float32"]


class Chip(NamedTuple):
    """Chip with its published peaks."""

    name: str  # v4, h100, …
    kind: Literal["tpu", "gpu"]
    peak_flops: float  # dense bfloat16 products, FLOP/s
    bandwidth: float  # of its memory, byte/s
    memory: float  # bytes
    topology: str | None  # smallest slice that XLA's TPU compiler knows: "v4:2x2x1"; GPU: None
    title: str  # TPU v4, H100 SXM, …
    peaks: dict[Precision, float]  # FLOP/s by precision of products
    num_cores: int  # that the cloud's names of slices count for one chip
    num_devices: int  # of JAX
    slices: tuple[int, ...]  # numbers of chips that a slice may have; empty: see the file
    largest: int  # chips in one slice
    reported: tuple[str, ...]  # names that frameworks report for the device, without the vendor's
    url: str
    place: str

    def peak(self, precision: Precision) -> float:
        """Peak of matrix products in FLOP/s; a TPU computes float32 in bfloat16 by default."""
        return self.peaks.get(precision, self.peak_flops)


class Machine(NamedTuple):
    """Chips that one run uses."""

    name: str  # v5e-256, 8xH100
    chip: Chip
    num_chips: int


@functools.cache
def all_chips() -> dict[str, Chip]:
    """Chips by name, in the order of the file."""
    content = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return {name: _chip(name, about) for name, about in content["chips"].items()}


def _chip(name: str, about: dict[str, Any]) -> Chip:
    peaks = {precision: 1e12 * tflops for precision, tflops in about["tflops"].items()}
    return Chip(
        name,
        about["kind"],
        peaks["bfloat16"],
        1e9 * about["bandwidth"],
        1e9 * about["memory"],
        about.get("topology"),
        about["title"],
        peaks,
        about.get("cores", 1),
        about.get("devices", 1),
        tuple(about.get("slices", ())),
        about.get("largest", MOST_GPUS),
        tuple(about.get("reported", ())),
        about["url"],
        about["place"],
    )


def chip(name: str) -> Chip:
    """Chip of a name, in any case.

    Raises:
        UserError: for an unknown name.
    """
    known = all_chips()
    if name.lower() not in known:
        hint = did_you_mean(name.lower(), known)
        raise UserError(f"chip {name} is unknown, expected one of {', '.join(known)}{hint}")
    return known[name.lower()]


def chip_of_device(name: str) -> Chip | None:
    """Chip of a device by the name that frameworks report, as "gpu NVIDIA H200"; None if unknown.

    A variant with other peaks (PCIe, NVL, a part of a chip) has another name, and is unknown.
    """
    model = name.removeprefix("gpu ").removeprefix("NVIDIA ")
    return next((one for one in all_chips().values() if model in one.reported), None)


def machine(name: str) -> Machine:
    """Machine of a name: a TPU slice as the cloud names it (v4-8, v5e-256), or GPUs (8xH100).

    v3-N, v4-N and v5p-N count TensorCores, two a chip; v5e-N and v6e-N count chips.

    Raises:
        UserError: for an unknown chip, or a slice that does not exist.
    """
    if found := re.fullmatch(r"(\d+)x(\w+)", name):
        count, of = int(found[1]), chip(found[2])
        if of.kind == "tpu":
            raise UserError(f"{name} is not the name of a TPU slice: write {of.name}-N, as v4-8")
        if not 1 <= count <= of.largest:
            raise UserError(f"{name} has {count} GPUs, expected 1 to {of.largest}")
        return Machine(name, of, count)
    if found := re.fullmatch(r"(\w+)-(\d+)", name):
        of = chip(found[1])
        if of.kind == "gpu":
            raise UserError(f"{name} is not the name of a machine: write {found[2]}x{of.name}")
        return Machine(name, of, _slice(name, of, int(found[2])))
    if name.lower() in all_chips() and chip(name).kind == "gpu":
        return Machine(name, chip(name), 1)
    raise UserError(f"{name} is not the name of a machine: write v5e-256 or 8xH100, for example")


def _slice(name: str, of: Chip, count: int) -> int:
    """Number of chips in a TPU slice whose name ends in this count."""
    num_chips, rest = divmod(count, of.num_cores)
    sizes = of.slices or range(LEAST_SLICE, of.largest + 1, LEAST_SLICE)
    if rest or num_chips not in sizes:
        first, second, last = (of.num_cores * size for size in (sizes[0], sizes[1], sizes[-1]))
        raise UserError(
            f"there is no slice {name}: sizes are {of.name}-{first}, {of.name}-{second}, … "
            f"{of.name}-{last}"
        )
    return num_chips
