"""Roofline estimate of a step's time on a chip, calibrated on the paper's two times.

    roofline = max(FLOPs / peak, bytes accessed / bandwidth)      estimate = factor * roofline

The compiler counts bytes that on-chip memory serves too, so the roofline is above the time of a
step that memory bounds. The factor is the geometric mean of time / roofline over the paper's two
steps (arXiv 2505.13447, B.4), and nothing here is a measurement.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from bench.chips import Chip, machine
from bench.forms import FLOW_MATCHING, configuration
from impls.common.config import Config
from impls.common.types import Cost
from results.published import Published, published

SLICE = "v4-8"  # which the paper timed
FORMS = {"MeanFlow": "unguided dense", "flow matching": FLOW_MATCHING}  # theirs, in forms of ours


class Calibration(NamedTuple):
    """Factor from rooflines to times, and how well it reproduces them."""

    factor: float
    error: float  # of the worse of the two estimates, relative to the published time


class Timed(NamedTuple):
    """A step that the paper timed."""

    name: str  # MeanFlow or flow matching
    config: Config  # for one chip
    seconds: float


def roofline(cost: Cost, chip: Chip, precision: str) -> float:
    """Seconds of a step by the chip's published peaks: FLOPs or bytes, whichever takes longer.

    Args:
        precision: bfloat16; anything else is float32, which a TPU multiplies in bfloat16.
    """
    peak = chip.peak("bfloat16" if precision == "bfloat16" else "float32")
    assert cost.bytes_accessed is not None
    return max(cost.flops / peak, cost.bytes_accessed / chip.bandwidth)


def timed_steps() -> list[Timed]:
    """The paper's steps, each with its batch over the chips of the slice."""
    found = [n for n in published("throughput") if n.setting["device"] == f"TPU {SLICE}"]
    return [Timed(str(n.setting["step"]), _config(n), float(n.setting["seconds"])) for n in found]


def calibrated(cost: Callable[[Config], Cost]) -> Calibration:
    """Calibration from costs of the paper's steps on one chip of its slice."""
    steps = timed_steps()
    chip = machine(SLICE).chip
    ratios = [
        step.seconds / roofline(cost(step.config), chip, step.config.training.precision)
        for step in steps
    ]
    factor = math.exp(sum(map(math.log, ratios)) / len(ratios))
    return Calibration(factor, max(abs(factor / ratio - 1) for ratio in ratios))


def _config(number: Published) -> Config:
    setting = number.setting
    sizes = {
        "model.cls": setting["model"],
        "training.batch_size": int(setting["batch"]) // machine(SLICE).num_chips,
    }
    return configuration(None, sizes, FORMS[str(setting["step"])])
