"""Utilisation of accelerators, calibrated on published step times; its leave-one-out errors.

Time of a step: (FLOPs / peak + bytes / bandwidth) / u, with one utilisation u for each kind of
chip: the geometric mean of what the published runs of that kind had. FLOPs and bytes are the lower
bounds of `bench.plan.work`; u is the share of the peaks that is left after all that they leave out:
elementwise work, communication, compiler and framework. The larger of the two times instead of
their sum predicts published times less well (tests/bench/test_calibration.py).
"""

import functools
import math
from collections.abc import Iterable
from typing import NamedTuple

from bench.chips import Machine, Precision, machine
from bench.forms import DEFAULT_SOURCE, configuration
from bench.plan.encoder_work import PUBLISHED, encoder_work
from bench.plan.work import Work, step_work
from impls.common.config import Config
from results.published import Published, published

GROUP = "step_time"
IMAGE_SIZE = 256  # of the published runs that encode images


class Run(NamedTuple):
    """Published run with its time at the chips' peaks."""

    machine: Machine
    at_peak: float  # seconds of a step at full use of the published peaks
    seconds: float  # of a step, as published
    number: Published

    @property
    def utilisation(self) -> float:
        """Share of the peaks that it had."""
        return self.at_peak / self.seconds

    @property
    def is_calibrated(self) -> bool:
        """False for a time that is shown and predicted alone, see reference/published.yml."""
        return self.number.setting.get("calibrated") != "no"


class Prediction(NamedTuple):
    """Published time beside what others predict for it."""

    run: Run
    same: float  # seconds, from the other runs of its kind of chip
    other: float  # seconds, from the runs of the other kind

    def ratio(self, seconds: float) -> float:
        """Factor between a prediction and what was published, 1 or more."""
        return math.exp(abs(math.log(seconds / self.run.seconds)))


def at_peak(on: Machine, work: Work, precision: Precision) -> float:
    """Seconds at full use of a chip's peaks: FLOPs / peak + bytes / bandwidth.

    Args:
        work: of one device; the devices of a chip share its peaks.
    """
    chip = on.chip
    return chip.num_devices * (work.flops / chip.peak(precision) + work.bytes / chip.bandwidth)


def default_products(on: Machine, config: Config) -> Precision:
    """Precision of matrix products: bfloat16, or for float32 on a GPU TF32."""
    if config.training.precision == "bfloat16" or on.chip.kind == "tpu":
        return "bfloat16"
    return "tf32"


@functools.cache
def published_runs() -> tuple[Run, ...]:
    """Published step times that the calibration is made on, in the order of the file."""
    return tuple(_run(number) for number in published(GROUP))


def _run(number: Published) -> Run:
    setting = number.setting
    on = machine(str(setting["machine"]))
    overrides = {
        "model.cls": setting["model"],
        "training.batch_size": setting["batch"],
        "training.precision": setting.get("precision", "float32"),
    }
    config = configuration(DEFAULT_SOURCE, overrides, str(setting["form"]))
    products: Precision = setting.get("products", default_products(on, config))  # type: ignore[assignment]
    rows = config.training.batch_size // (on.num_chips * on.chip.num_devices)
    work = step_work(config, rows, recomputed=setting.get("recomputed") == "blocks")
    least = at_peak(on, work, products)
    if setting.get("data") == "images":  # outside autocast, by cuDNN, which takes TF32 by default
        least += at_peak(on, encoder_work(PUBLISHED, IMAGE_SIZE, rows), "tf32")
    is_rate = number.quantity == "steps per second"
    return Run(on, least, 1 / number.value if is_rate else number.value, number)


def utilisation(kind: str, without: Run | None = None) -> float:
    """Utilisation of a kind of chip: geometric mean over its calibrated runs, but for one."""
    return _geometric_mean(
        run.utilisation
        for run in published_runs()
        if run.is_calibrated and run.machine.chip.kind == kind and run != without
    )


def predictions() -> list[Prediction]:
    """Each published time, predicted from the others of its kind, and from the other kind."""
    found = []
    for run in published_runs():
        kind = run.machine.chip.kind
        other = "gpu" if kind == "tpu" else "tpu"
        same = run.at_peak / utilisation(kind, without=run)
        found.append(Prediction(run, same, run.at_peak / utilisation(other)))
    return found


def largest_error(kind: str) -> float:
    """Largest factor between a calibrated time of a kind of chip and its prediction."""
    same = (one for one in predictions() if one.run.machine.chip.kind == kind)
    return max(one.ratio(one.same) for one in same if one.run.is_calibrated)


def _geometric_mean(values: Iterable[float]) -> float:
    logarithms = [math.log(value) for value in values]
    return math.exp(sum(logarithms) / len(logarithms))
