"""Printed tables of steps that were measured on a GPU."""

from itertools import groupby

from rich.console import Console

from bench.chips import chip_of_device
from bench.columns import columns, estimate, number
from bench.gpu.steps import PRODUCT_SIZE, name
from bench.measurement import Measured, Quantity

HEADING = ("model", "batch_size", "precision")
Step = dict[str, Quantity]  # quantities of a step by their names


def print_gpu(found: Measured, console: Console) -> None:
    """Table of each network, batch and precision."""
    for heading, group in groupby(found.quantities, lambda q: [q.settings[k] for k in HEADING]):
        steps: dict[str, Step] = {}
        for q in group:
            steps.setdefault(q.of, {})[q.what] = q
        model, rows, precision = heading
        products = " (TF32 products)" if precision == "float32" else ""
        console.print(f"\n{model}, batch {rows}, {precision}{products}")
        _print_table(steps, console)
    known = chip_of_device(found.device)
    peak = f"published peak of {known.title}" if known else "chip's peak: none known here"
    console.print(
        f"MFU: FLOPs of the step's matrix products over time and the {peak}; of product: the same"
        f" over the rate of a product of {PRODUCT_SIZE} rows in the same rounds."
    )


def _print_table(steps: dict[str, Step], console: Console) -> None:
    table = columns("step", "ms", "/ FM", "images/s", "peak GB", "MFU", "of product", "compile")
    for step in steps.values():
        settings = step["step_seconds"].settings
        of = name(str(settings["form"]), str(settings["compile"]))
        if step["step_seconds"].value is None:
            table.add_row(of, step["step_seconds"].about.detail)
            continue
        over = step.get("step_time_ratio")
        table.add_row(
            of,
            number(step["step_seconds"].value, 1e3, 2),
            estimate(over.value) if over else "1",
            number(step["images_per_second"].value, places=1),
            number(step["peak_bytes"].value, 1e-9, 1),
            _percent(step["published_peak_mfu_ratio"]),
            _percent(step["measured_peak_mfu_ratio"]),
            f"{number(step['compile_seconds'].value, places=0)} s",
        )
    console.print(table)


def _percent(quantity: Quantity) -> str:
    return "-" if quantity.value is None else f"{number(quantity.value, 100, 1)} %"
