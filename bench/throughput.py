"""Images per second of the trainer's own step, and the share of the machine's peak it reaches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bench.forms import configuration
from bench.measurement import Measured, Quantity, Settings
from bench.steps import Step, about, step_quantities
from bench.timer import Estimate, interleave, ratio, seconds

PRODUCT_SIZE = 2048  # of the square matrices whose product is taken for the peak
PRODUCTS = 4  # of each round's several products the machine's best counts


def throughput(
    subject: Any,
    source: str | None,
    overrides: dict[str, Any],
    num_rounds: int,
    report: Callable[[str], None],
    models: Sequence[str],
    batch_sizes: Sequence[int],
) -> Measured:
    """The configured step over network and batch sizes, each timed in turns with a matrix product.

    The utilization is the FLOPs of the step, as its framework counts them, per second, over those
    of the product of two square matrices of 2048 rows in the same precision and the same round.
    """
    found = Measured(subject.__name__, subject.device_name(), "throughput")
    settings: Settings = {"num_rounds": num_rounds}
    for model in models:
        for batch_size in batch_sizes:
            of = f"{model} batch {batch_size}"
            sizes = {"model.cls": model, "training.batch_size": batch_size}
            config = configuration(source, overrides | sizes)
            report(f"compiling {of}")
            step, multiply = Step(subject, config), subject.matrix_product(config, PRODUCT_SIZE)

            def products(multiply: Callable[[], Any] = multiply) -> None:
                for _ in range(PRODUCTS):
                    subject.sync(multiply())

            report(f"timing {of}")
            times = interleave({of: step, f"{of}, matrix product": products}, num_rounds)
            found.times |= times
            found.quantities += step_quantities(of, config, step.cost, times[of], settings)
            peak = PRODUCTS * 2 * PRODUCT_SIZE**3
            of_product = seconds(times[f"{of}, matrix product"])
            flops_rate = Estimate(*(step.cost.flops / seconds(times[of])[i] for i in (0, 2, 1)))
            peak_rate = Estimate(*(peak / of_product[i] for i in (0, 2, 1)))
            moments = ratio(times[f"{of}, matrix product"], times[of])  # in each round
            share = Estimate(*(step.cost.flops / peak * moment for moment in moments))
            given = about(config) | settings
            found.quantities += [
                Quantity("flops_per_second", of, flops_rate, "1/s", config, given),
                Quantity("matrix_product_flops_per_second", of, peak_rate, "1/s", config, given),
                Quantity("utilization_ratio", of, share, "1", config, given),
            ]
            del step
    return found
