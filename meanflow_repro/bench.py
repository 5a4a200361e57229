"""`meanflow bench`."""

import os
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from meanflow_repro import options


@options.app.command(name="bench")
def bench(
    names: Positional[
        tuple[Literal["jvp-overhead", "throughput", "sampling", "attention", "depth"], ...]
    ],
    /,
    *,
    framework: options.Framework,
    device: options.Device = "auto",
    config: str | None = None,
    rounds: int = 7,
    against: str | None = None,
    forms: tuple[str, ...] = (),
    models: tuple[str, ...] = (),
    batch_sizes: tuple[int, ...] = (),
    json: Path | None = None,
    record: Path | None = None,
    override: options.Override = (),
) -> int:
    """Benchmark JVP overhead, throughput, sampling, overhead by tokens, rounding error by depth.

    Without --config: preset mf_b4 with a small network (DiT_S_4) and batch (32). Any key of the
    configuration is an option too: --model.cls DiT_B_4 --training.batch-size 64.

    Args:
        names: jvp-overhead, throughput, sampling, attention, depth; one or more.
        framework: jax or torch.
        config: a preset's name or a YAML file; network and batch size are then taken from it.
        rounds: number of timed runs of each step, interleaved with the others.
        against: official=PATH also times the training step of a checkout of the authors' code
            (jvp-overhead, jax).
        forms: forms of the loss for jvp-overhead, such as "unguided sparse"; all by default.
        models: network sizes for throughput.
        batch_sizes: batch sizes for throughput.
        json: file to write the times to, in the format of pytest-benchmark.
        record: folder to append records of every number to.
    """
    if set(names) == {"depth"}:  # nothing is timed: compile fast
        os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
    os.environ.setdefault("KINETO_LOG_LEVEL", "9")  # PyTorch's profiler logs its start

    from bench.command import checkout, measure
    from bench.measurement import Run
    from impls.frameworks import implementation

    options.check_counts(rounds=rounds)
    for size in batch_sizes:
        options.check_batches(batch_sizes=size)
    options.check_writable(json, record)
    module, changes = implementation(framework), options.overrides(override)
    module.select_device(device)
    official = checkout(against)
    run = Run(module, framework, config, changes, rounds, forms, models, batch_sizes, official)
    measure(names, run, json, record)
    return 0
