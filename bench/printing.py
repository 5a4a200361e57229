"""Printed tables of benches, in 80 columns."""

import math
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from bench.depth import DEPTHS, PRECISIONS, QUANTITIES
from bench.forms import FLOW_MATCHING
from bench.jvp_overhead import PAPER
from bench.measurement import Measured, Value
from bench.timer import Estimate


def print_report(found: Measured, console: Console) -> None:
    """Print a bench, with 95 % intervals of medians over interleaved rounds in brackets."""
    rounds = {q.settings.get("num_rounds") for q in found.quantities}
    about = {q.config.training.precision for q in found.quantities}
    made = f", {', '.join(sorted(about))}, {rounds.pop()} rounds" if None not in rounds else ""
    console.print(f"\n{found.name}: {found.subject}, {found.device}{made}", soft_wrap=True)
    PRINTERS[found.name](found, console)


def _jvp_overhead(found: Measured, console: Console) -> None:
    config = found.quantities[0].config
    console.print(f"{config.model.cls}, batch {config.training.batch_size}, times are medians")
    moved = ["GB"] if found.value("step_bytes_accessed", FLOW_MATCHING) else []
    over = f"/ {FLOW_MATCHING}"
    table = _table("step", "seconds", over, "GFLOPs", "ratio", *moved, "peak MB", "compile")
    for form in found.times:
        over, flops_ratio = "1", "1"
        if form != FLOW_MATCHING:
            pair = f"{form} / {FLOW_MATCHING}"
            over = _estimate(found.value("step_time_ratio", pair))
            flops_ratio = _number(found.value("step_flops_ratio", pair))
        seconds = _number(found.value("step_seconds", form))
        flops = _number(found.value("step_flops", form), 1e-9, 1)
        gigabytes = (_number(found.value("step_bytes_accessed", form), 1e-9, 1) for _ in moved)
        table.add_row(form, seconds, over, flops, flops_ratio, *gigabytes, *_memory(found, form))
    console.print(table)
    table = _table("sparse / the same otherwise", "time", "FLOPs", "peak memory")
    for quantity in found.quantities:
        ours, _, theirs = quantity.of.partition(" / ")
        if quantity.what == "step_time_ratio" and theirs != FLOW_MATCHING:
            peak, other = (_plain(found.value("peak_bytes", form)) for form in (ours, theirs))
            flops = _number(found.value("step_flops_ratio", quantity.of))
            table.add_row(quantity.of, _estimate(quantity.value), flops, f"{peak / other:.2f}")
    console.print(table)
    console.print(
        f"The paper: {PAPER} times {FLOW_MATCHING}, unguided, DiT_B_4 on a TPU v4-8 (App. B.4)."
    )


def _throughput(found: Measured, console: Console) -> None:
    table = _table("step", "images/s", "GFLOP/s", "of product", "peak MB", "compile")
    for of in dict.fromkeys(q.of for q in found.quantities):
        table.add_row(
            of,
            _estimate(found.value("images_per_second", of), 1),
            _number(found.value("flops_per_second", of), 1e-9, 0),
            _number(found.value("utilization_ratio", of), 100, 0) + " %",
            *_memory(found, of),
        )
    console.print(table)


def _sampling(found: Measured, console: Console) -> None:
    table = _table("samples in", "seconds per batch", "samples/s")
    for of in found.times:
        seconds = _number(found.value("sampling_seconds", of))
        table.add_row(of, seconds, _estimate(found.value("samples_per_second", of), 1))
    console.print(table)


def _attention(found: Measured, console: Console) -> None:
    table = _table("unguided step", "seconds", f"sparse / {FLOW_MATCHING}")
    for of in found.times:
        ratios = [q.value for q in found.quantities if q.of == f"{of} / {FLOW_MATCHING}"]
        over = _estimate(ratios[0]) if ratios else ""
        table.add_row(of, _number(found.value("step_seconds", of)), over)
    console.print(table)


def _depth(found: Measured, console: Console) -> None:
    for precision in PRECISIONS:
        table = _table(f"worst error in {precision}", *QUANTITIES)
        for blocks in DEPTHS:
            ofs = (f"{quantity}, {precision}, {blocks} blocks" for quantity in QUANTITIES)
            cells = (f"{_plain(found.value('relative_error', of)):.0e}" for of in ofs)
            table.add_row(f"{blocks} blocks", *cells)
        console.print(table)


PRINTERS: dict[str, Callable[[Measured, Console], None]] = {
    "jvp-overhead": _jvp_overhead,
    "throughput": _throughput,
    "sampling": _sampling,
    "attention": _attention,
    "depth": _depth,
}


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, justify="right")
    return table


def _memory(found: Measured, of: str) -> tuple[str, str]:
    """Peak in MB, and seconds of compilation."""
    seconds = _number(found.value("compile_seconds", of), 1, 0)
    return _number(found.value("peak_bytes", of), 1e-6, 0), f"{seconds} s"


def _plain(value: Value) -> float:
    """Value without interval; NaN if there is none."""
    if value is None:
        return float("nan")
    return value.value if isinstance(value, Estimate) else value


def _number(value: Value, scale: float = 1.0, places: int = 3) -> str:
    return "-" if value is None else _rounded(_plain(value) * scale, places)


def _estimate(value: Value, places: int = 2) -> str:
    if not isinstance(value, Estimate):
        return _number(value, places=places)
    middle, low, high = (
        _rounded(v, p) for v, p in zip(value[:3], (places + 1, places, places), strict=True)
    )
    return f"{middle} [{low}, {high}]"


def _rounded(value: float, places: int) -> str:
    """Decimal places, fewer for larger numbers, so that a table keeps its 80 columns."""
    whole = len(f"{abs(value):.0f}") - 1 if math.isfinite(value) else 0
    return f"{value:.{max(0, places - whole)}f}"
