"""How long samples take, from one network call to four."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.forms import configuration
from bench.measurement import Measured, Quantity, Settings
from bench.timer import Estimate, interleave, seconds
from impls.common.draws import sampling_noise
from impls.common.timesteps import even_times

NUM_STEPS = (1, 2, 3, 4)


def sampling(
    subject: Any,
    source: str | None,
    overrides: dict[str, Any],
    num_rounds: int,
    report: Callable[[str], None],
) -> Measured:
    """Samples per second for 1 to 4 network calls each, the number in a batch as in training."""
    found = Measured(subject.__name__, subject.device_name(), "sampling")
    config = configuration(source, overrides)
    num_rows = config.training.batch_size
    params = subject.init_params(config, seed=0)
    labels = np.arange(num_rows, dtype=np.int32) % config.network.num_classes
    inputs = subject.put((sampling_noise(config, 0, range(num_rows)), labels))

    def sampler(num_steps: int) -> Callable[[], Any]:
        times = even_times(num_steps)
        return lambda: subject.sync(subject.sample(config, params, *inputs, times))

    report(f"timing 1 to {NUM_STEPS[-1]} steps in {num_rounds} rounds")
    names = {number: f"{number} step{'s' * (number > 1)}" for number in NUM_STEPS}
    found.times = interleave({names[n]: sampler(n) for n in NUM_STEPS}, num_rounds)
    about: Settings = {"model": config.model.cls, "num_samples": num_rows}
    about |= {"num_rounds": num_rounds}
    for of, stats in found.times.items():
        taken = seconds(stats)
        per_second = Estimate(*(num_rows / taken[i] for i in (0, 2, 1)))
        found.quantities += [
            Quantity("sampling_seconds", of, taken, "s", config, about),
            Quantity("samples_per_second", of, per_second, "1/s", config, about),
        ]
    return found
