"""`meanflow plan`."""

from typing import Literal

from meanflow_repro.options import Override, app, check_batches, check_counts, overrides


@app.command(name="plan")
def plan(
    *,
    config: str,
    chips: tuple[str, ...],
    epochs: int | None = None,
    batch_sizes: tuple[int, ...] = (),
    products: Literal["bfloat16", "tf32", "float32"] | None = None,
    price_per_chip_hour: float | None = None,
    override: Override = (),
) -> int:
    """Estimate time, memory, storage and price of a training run on accelerators.

    Nothing is run. Any key of the configuration is an option too: --training.precision bfloat16.

    Args:
        config: a preset's name or a YAML file.
        chips: machines to compare: a TPU slice as the cloud names it (v4-8, v5e-256) or a number
            of GPUs (8xH100).
        epochs: passes over the training set; as configured by default.
        batch_sizes: batch sizes to compare; as configured by default.
        products: precision of matrix products in float32: by default bfloat16 on TPUs (one pass,
            JAX_DEFAULT_MATMUL_PRECISION=default) and TF32 on GPUs.
        price_per_chip_hour: what an hour of one chip costs, in any currency.
    """
    from rich.console import Console

    from bench.chips import machine
    from bench.plan.costs import check_fits, make_plan
    from bench.plan.printing import print_plans
    from impls.common.config_files import load_config
    from impls.common.errors import UserError
    from results.reading import read

    check_counts(epochs=epochs)
    for size in batch_sizes:
        check_batches(batch_sizes=size)
    if price_per_chip_hour is not None and not 0 <= price_per_chip_hour < float("inf"):
        raise UserError(f"--price-per-chip-hour is {price_per_chip_hour}, expected 0 or more")
    if not chips:
        raise UserError("--chips names no machine: write v5e-256 or 8xH100, for example")
    changes = overrides(override, **{"training.num_epochs": epochs})
    sizes = [{"training.batch_size": size} for size in batch_sizes] or [{}]
    configs = [load_config(config, changes | size) for size in sizes]
    records = read()
    plans = [
        make_plan(config, loaded, machine(name), products, price_per_chip_hour, records)
        for name in chips
        for loaded in configs
    ]
    check_fits(plans)
    print_plans(plans, Console(highlight=False))
    return 0
