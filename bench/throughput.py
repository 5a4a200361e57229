"""Training throughput in images per second, and utilization of the machine's peak."""

from itertools import product

from bench.measurement import Measured, Run
from bench.steps import Products, Step, add_step, step_settings
from bench.timer import Estimate, interleave, rate, ratio

PRODUCT_SIZE = 2048  # of the square matrices whose product defines the peak


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
        step, products = Step(subject, config), Products(subject, config, PRODUCT_SIZE)
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
            matrix_product_flops_per_second=rate(products.flops, times[of_product]),
            utilization_ratio=Estimate(
                *(step.cost.flops / products.flops * share for share in shares)
            ),
        )
        del step  # before the next one takes memory
    return found
