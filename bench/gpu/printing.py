"""Printed tables of steps that were measured on a GPU."""

from itertools import groupby

from rich.console import Console

from bench.chips import chip_of_device
from bench.columns import columns, estimate, number
from bench.gpu.steps import PRODUCT_SIZE, WORDS
from bench.measurement import Measured, Quantity
from bench.timer import Estimate

HEADING = ("model", "batch_size", "precision", "products", "compile")
PERCENT = ("published_peak_mfu_ratio", "measured_peak_mfu_ratio")
Step = dict[str, Quantity]  # quantities of a step by their names


def print_gpu(found: Measured, console: Console) -> None:
    """Table of each network, batch, precision and way of compilation."""
    for heading, group in groupby(found.quantities, lambda q: [q.settings[k] for k in HEADING]):
        steps: dict[str, Step] = {}
        for q in group:
            steps.setdefault(str(q.settings["form"]), {})[q.what] = q
        model, rows, precision, products, way = map(str, heading)
        precision += " with TF32 products" if products == "tf32" else ""
        words = (model, f"batch {rows}", precision, WORDS[way])
        console.print(f"\n{', '.join(filter(None, words))}")
        _print_table(steps, console)
    chip = chip_of_device(found.device)
    peak = f"published peak of {chip.title}" if chip else f"peak of {found.device}, not known here"
    console.print(
        f"\nFM: flow matching. MFU: FLOPs of the step's matrix products over time and the {peak};"
        f" of product: the same over the rate of a product of {PRODUCT_SIZE} rows, in the same"
        " rounds."
    )


def _print_table(steps: dict[str, Step], console: Console) -> None:
    table = columns("step", "ms", "/ FM", "images/s", "GB", "MFU", "of product", "compile")
    for form, step in steps.items():
        seconds, over = step["step_seconds"], step.get("step_time_ratio")
        if not isinstance(seconds.value, Estimate):
            table.add_row(form, seconds.about.detail)
            continue
        milliseconds = Estimate(*(1e3 * value for value in seconds.value))
        table.add_row(
            form,
            estimate(milliseconds),
            number(over.value, places=2) if over else "1",
            number(step["images_per_second"].value, places=1),
            number(step["peak_bytes"].value, 1e-9, 1),
            *(_percent(step[name]) for name in PERCENT),
            f"{number(step['compile_seconds'].value, places=0)} s",
        )
    console.print(table)


def _percent(quantity: Quantity) -> str:
    return "-" if quantity.value is None else f"{number(quantity.value, 100, 1)} %"
