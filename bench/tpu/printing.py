"""Printed tables of steps that were compiled for TPUs and not run."""

from rich.console import Console

from bench.chips import chip, machine
from bench.columns import columns, number
from bench.forms import FLOW_MATCHING
from bench.measurement import Measured, Quantity, Value
from bench.tpu.roofline import SLICE, timed_steps
from bench.tpu.steps import CALIBRATION

HEADING = ("model", "batch_size", "precision")
Step = dict[str, Quantity]  # quantities of a step by their names


def print_compiled(found: Measured, console: Console) -> None:
    """Table of each chip, network, batch and precision: ratios are to flow matching."""
    tables: dict[tuple[str, ...], dict[str, Step]] = {}
    for q in found.quantities:
        if q.of != CALIBRATION and "batch_size" in q.settings:
            heading = tuple(str(q.settings[name]) for name in ("compiled_for", *HEADING))
            tables.setdefault(heading, {}).setdefault(q.of, {})[q.what] = q
    for heading, steps in tables.items():
        _print_table(heading, steps, console)
    for q in found.quantities:
        if q.what == "largest_batch_size":
            where = ", ".join(str(q.settings[name]) for name in ("compiled_for", *HEADING[::2]))
            most = q.about.detail if q.value is None else number(q.value, places=0)
            console.print(f"largest batch, {q.of}, {where}: {most}", soft_wrap=True)
    _print_calibration(found, console)


def _print_table(heading: tuple[str, ...], steps: dict[str, Step], console: Console) -> None:
    topology, model, rows, precision = heading
    memory = chip(topology.partition(":")[0]).memory
    console.print(f"\n{model}, batch {rows}, {precision}, one device of {topology}")
    table = columns(
        "step", "GFLOP", "ratio", "GB", "ratio", "args GB", "temp GB", "peak GB", "est. ms",
        "compile",
    )  # fmt: skip
    plain, failures = steps.get(FLOW_MATCHING, {}), []
    for of, step in steps.items():
        if "step_flops" not in step:
            failures.append(f"{of}: {step['peak_bytes'].about.detail}")
            continue
        table.add_row(
            of,
            *(cell for name in ("step_flops", "step_bytes_accessed") for cell in (
                number(_value(step, name), 1e-9, 1), _ratio(step, plain, name))),
            *(number(_value(step, f"{kind}_bytes"), 1e-9, 2)
              for kind in ("argument", "temporary", "peak")),
            number(_value(step, "estimated_seconds"), 1e3, 1),
            f"{number(_value(step, 'compile_seconds'), places=0)} s",
        )  # fmt: skip
    console.print(table)
    console.print(f"GB and their ratio: bytes accessed; the chip has {memory * 1e-9:.1f} GB")
    for failure in failures:
        console.print(failure, soft_wrap=True)


def _value(step: Step, name: str) -> Value:
    return step[name].value if name in step else None


def _ratio(step: Step, plain: Step, name: str) -> str:
    """Ratio to flow matching of a quantity."""
    ours, theirs = _value(step, name), _value(plain, name)
    if not isinstance(ours, float) or not isinstance(theirs, float):
        return "-"
    return f"{ours / theirs:.2f}"


def _print_calibration(found: Measured, console: Console) -> None:
    values = {q.what: q.value for q in found.quantities if q.of == CALIBRATION}
    if not values:
        console.print("est. ms: none, as the paper's own steps could not be compiled")
        return
    factor, error = (number(values[f"roofline_{name}"]) for name in ("factor", "error"))
    console.print(
        f"\nest. ms is an estimate and was not measured: {factor} times the longer of FLOPs / peak"
        f" and bytes / bandwidth. The factor is fitted to the paper's two times on a {SLICE}, which"
        f" it gives with a relative error of {error}."
    )


def print_paper(console: Console) -> None:
    """Line with the paper's two times, beside those measured on an attached TPU."""
    times = (f"{step.name} {step.seconds} s" for step in timed_steps())
    rows = timed_steps()[0].config.training.batch_size
    console.print(
        f"The paper, {rows} rows on each of the {machine(SLICE).num_chips} chips of a {SLICE}: "
        f"{', '.join(times)}."
    )
