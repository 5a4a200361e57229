"""Sampling throughput by NFE, from one to four network calls."""

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.measurement import Measured, Run
from bench.timer import interleave, rate, seconds
from impls.common.draws import sampling_noise
from impls.common.timesteps import even_times
from results.schema import Settings

NUM_STEPS = (1, 2, 3, 4)


def sampling(run: Run) -> Measured:
    """Samples per second for 1 to 4 network calls each, with the batch size of training."""
    found, subject, config = Measured("sampling", run), run.subject, run.config()
    num_rows = config.training.batch_size
    params = subject.init_params(config, seed=0)
    labels = np.arange(num_rows, dtype=np.int32) % config.network.num_classes
    inputs = subject.put((sampling_noise(config, 0, range(num_rows)), labels))

    def sampler(num_steps: int) -> Callable[[], Any]:
        times = even_times(num_steps)
        return lambda: subject.sync(subject.sample(config, params, *inputs, times))

    run.report(f"timing 1 to {NUM_STEPS[-1]} steps in {run.num_rounds} rounds")
    names = {number: f"{number} step{'s' * (number > 1)}" for number in NUM_STEPS}
    found.times = interleave({names[n]: sampler(n) for n in NUM_STEPS}, run.num_rounds)
    settings: Settings = {"model": config.model.cls, "num_samples": num_rows}
    settings["num_rounds"] = run.num_rounds
    for of, stats in found.times.items():
        found.add(
            of,
            config,
            settings,
            sampling_seconds=seconds(stats),
            samples_per_second=rate(num_rows, stats),
        )
    return found
