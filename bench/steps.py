"""Training step of a subject, compiled, with its cost counted, ready for timing."""

from typing import Any

import numpy as np
from pytest_benchmark.stats import Stats

from bench.measurement import Measured
from bench.timer import rate, seconds
from impls.common.config import Config
from impls.common.draws import Stream, image_shape, normal, training_draws
from impls.common.types import Batch, Cost
from results.schema import Settings


class Step:
    """The trainer's own step, with state, batch and draws already on the device.

    Compilation, random numbers and transfers happen in the constructor; `cost` has the time of the
    first.
    """

    def __init__(self, subject: Any, config: Config) -> None:
        self._subject = subject
        self.config = config
        self._state = subject.init_state(config, subject.init_params(config, seed=0))
        self._inputs = subject.put(make_batch(config)), subject.put(training_draws(config, 0, 0))
        self.cost: Cost
        self._step, self.cost = subject.compile_with_cost(config, self._state, *self._inputs)

    def __call__(self) -> None:
        """Run one step, until the device is done."""
        self._state, metrics = self._step(self._state, *self._inputs)
        self._subject.sync((self._state, metrics))


def make_batch(config: Config) -> Batch:
    """Batch of noise images with labels in turn; the content does not change the time."""
    num_rows, num_classes = config.training.batch_size, config.network.num_classes
    images = normal((num_rows, *image_shape(config.network)), 0, Stream.CHECK)
    return Batch(images, np.arange(num_rows, dtype=np.int32) % num_classes)


def add_step(found: Measured, of: str, step: Any, stats: Stats, **more: int) -> None:
    """Add time, FLOPs, memory and throughput of a step, which has `config` and `cost`."""
    config, cost = step.config, step.cost
    found.add(
        of,
        config,
        step_settings(found, config, **more),
        step_seconds=seconds(stats),
        images_per_second=rate(config.training.batch_size, stats),
        step_flops=cost.flops,
        step_bytes_accessed=cost.bytes_accessed,
        peak_bytes=cost.peak_bytes,
        compile_seconds=cost.compile_seconds,
    )


def step_settings(found: Measured, config: Config, **more: int) -> Settings:
    """Settings of a record that a step's time depends on."""
    training = config.training
    return {
        "model": config.model.cls,
        "batch_size": training.batch_size,
        "compile": training.compile,
        **more,
        "num_rounds": found.run.num_rounds,
    }
