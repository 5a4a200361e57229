"""`meanflow bench` and `meanflow tables`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from impls.common.errors import NotInstalledError
from meanflow_repro.options import Override, app, assignment, check_count, check_writable


@app.command(name="bench")
def bench(
    names: Positional[
        tuple[Literal["jvp-overhead", "throughput", "sampling", "attention", "depth"], ...]
    ],
    /,
    *,
    framework: Literal["jax", "torch"],
    device: str = "auto",
    config: str | None = None,
    rounds: int = 7,
    against: str | None = None,
    forms: tuple[str, ...] = (),
    models: tuple[str, ...] = (),
    batch_sizes: tuple[int, ...] = (),
    json: Path | None = None,
    record: Path | None = None,
    override: Override = (),
) -> int:
    """Measure what the JVP costs, throughput, sampling, overhead by tokens, rounding by depth.

    A small network (DiT_S_4) and batch (32) of mf_b4 where no --config is given. Any key of the
    configuration is an option too: --model.cls DiT_B_4 --training.batch-size 64.

    Args:
        names: jvp-overhead, throughput, sampling, attention, depth; one or more.
        framework: jax or torch.
        device: auto (a GPU or TPU where there is one), cpu, cuda, …
        config: a preset's name or a YAML file, which then says network and batch.
        rounds: times that each step is made, in turns with the others.
        against: official=PATH times the authors' step of a checkout too (jvp-overhead, jax).
        forms: of jvp-overhead, such as "unguided sparse"; all of them by default.
        models: sizes of the network, for throughput.
        batch_sizes: for throughput.
        json: file to write the times to, in the format of pytest-benchmark.
        record: folder to append records of every number to.
        override: SECTION.KEY=VALUE, laid over the configuration; may be repeated.
    """
    from bench.command import measure
    from impls.interop.convert import implementation

    if set(names) == {"depth"}:  # nothing is timed: compile fast
        os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
    os.environ.setdefault("KINETO_LOG_LEVEL", "9")  # PyTorch's profiler says when it starts
    check_count("--rounds", rounds)
    for batch_size in batch_sizes:
        check_count("--batch-sizes", batch_size)
    check_writable(json, record)
    module, overrides = implementation(framework), dict(map(assignment, override))
    module.select_device(device)
    measure(
        names, module, framework, config, overrides, rounds,
        against, forms, models, batch_sizes, json, record,
    )  # fmt: skip
    return 0


@app.command(name="tables")
def tables(*, check: bool = False) -> int:
    """Write every table and figure, and the report, anew from the records.

    Args:
        check: write nothing; exit with status 1 if one differs from what the records make.
    """
    from results.report.page import write_page
    from results.tabulate.write import write_tables

    try:
        from results.draw.write import write_figures
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        raise NotInstalledError(
            "tables needs the package matplotlib for the figures, which is not installed:"
            ' pip install -c constraints.txt -e ".[figures]"'
        ) from None
    changed = [*write_tables(write=not check), *write_figures(write=not check)]
    changed += write_page(write=not check)  # which shows the figures
    for path in changed:
        print(f"{'differs' if check else 'wrote'}: {path}")
    return 1 if check and changed else 0
