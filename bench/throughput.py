"""Training throughput in images per second, and utilization of the machine's peak."""

from collections.abc import Callable
from itertools import product
from typing import Any

from bench.measurement import Measured, Run
from bench.steps import Step, add_step, step_settings
from bench.timer import Estimate, interleave, rate, ratio

PRODUCT_SIZE = 2048  # of the square matrices whose product defines the peak
PRODUCTS = 4  # products per round
PEAK = PRODUCTS * 2 * PRODUCT_SIZE**3  # FLOPs of a round's products


def throughput(run: Run) -> Measured:
    """Throughput over network and batch sizes, interleaved with a matrix product.

    Utilization is the step's FLOPs per second, as its framework counts FLOPs, over those of the
    product of two square matrices of 2048 rows in the same precision and the same round.
    """
    found, subject, default = Measured("throughput", run), run.subject, run.config()
    models = run.models or [default.model.cls]
    batch_sizes = run.batch_sizes or [default.training.batch_size]
    for model, batch_size in product(models, batch_sizes):
        of = f"{model} batch {batch_size}"
        of_product = f"{of}, matrix product"
        config = run.config(model__cls=model, training__batch_size=batch_size)
        run.report(f"compiling {of}")
        step, multiply = Step(subject, config), subject.matrix_product(config, PRODUCT_SIZE)

        def products(multiply: Callable[[], Any] = multiply) -> None:
            for _ in range(PRODUCTS):
                subject.sync(multiply())

        run.report(f"timing {of}")
        times = interleave({of: step, of_product: products}, run.num_rounds)
        found.times |= times
        add_step(found, of, step, times[of])
        shares = ratio(times[of_product], times[of])  # of the step's time, in each round
        found.add(
            of,
            config,
            step_settings(found, config),
            flops_per_second=rate(step.cost.flops, times[of]),
            matrix_product_flops_per_second=rate(PEAK, times[of_product]),
            utilization_ratio=Estimate(*(step.cost.flops / PEAK * share for share in shares)),
        )
        del step  # before the next one takes memory
    return found
