"""Training step of a subject, compiled, with its cost counted, ready for timing.

A matrix product for comparison stands beside it.
"""

from typing import Any

import numpy as np
from pytest_benchmark.stats import Stats

from bench.measurement import Measured
from bench.timer import rate, seconds
from impls.common.config import Config
from impls.common.draws import Stream, image_shape, normal, training_draws
from impls.common.types import Batch, Cost
from results.schema import Settings

PRODUCTS = 4  # matrix products per round


class Inputs:
    """State, batch and draws on the device; steps of one network and batch size can share them."""

    def __init__(self, subject: Any, config: Config) -> None:
        self._subject, self._config = subject, config
        self.rows = subject.put(make_batch(config)), subject.put(training_draws(config, 0, 0))
        self.renew()

    def renew(self) -> None:
        """Make the state anew, as after a step that failed with it."""
        self.state = None  # before the next one takes memory
        self.state = self._subject.init_state(
            self._config, self._subject.init_params(self._config, seed=0)
        )


class Step:
    """The trainer's own step, with state, batch and draws already on the device.

    Compilation, random numbers and transfers happen in the constructor; `cost` has the time of the
    first.
    """

    def __init__(self, subject: Any, config: Config, inputs: Inputs | None = None) -> None:
        self._subject = subject
        self.config = config
        self._inputs = inputs or Inputs(subject, config)
        self.cost: Cost
        self._step, self.cost = subject.compile_with_cost(
            config, self._inputs.state, *self._inputs.rows
        )

    def __call__(self) -> None:
        """Run one step, until the device is done."""
        self._inputs.state, metrics = self._step(self._inputs.state, *self._inputs.rows)
        self._subject.sync((self._inputs.state, metrics))


class Products:
    """Products of two square matrices, whose FLOPs per second are the measured peak."""

    def __init__(self, subject: Any, config: Config, size: int) -> None:
        self._subject, self._multiply = subject, subject.matrix_product(config, size)
        self.flops = PRODUCTS * 2 * size**3

    def __call__(self) -> None:
        """Run the products of a round."""
        for _ in range(PRODUCTS):
            self._subject.sync(self._multiply())


def make_batch(config: Config) -> Batch:
    """Batch of noise images with labels in turn; the content does not change the time."""
    num_rows, num_classes = config.training.batch_size, config.network.num_classes
    images = normal((num_rows, *image_shape(config.network)), 0, Stream.CHECK)
    return Batch(images, np.arange(num_rows, dtype=np.int32) % num_classes)


def add_step(found: Measured, of: str, step: Any, stats: Stats, **more: int | str) -> None:
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


def step_settings(found: Measured, config: Config, **more: int | str) -> Settings:
    """Settings of a record that a step's time depends on."""
    training = config.training
    return {
        "model": config.model.cls,
        "batch_size": training.batch_size,
        "compile": training.compile,
        **more,
        "num_rounds": found.run.num_rounds,
    }
