"""Printed tables of benches, in 80 columns."""

from collections.abc import Callable

from rich.console import Console

from bench.columns import columns, estimate, number, plain
from bench.depth import DEPTHS, PRECISIONS, QUANTITIES
from bench.forms import FLOW_MATCHING
from bench.gpu.printing import print_gpu
from bench.jvp_overhead import PAPER
from bench.measurement import Measured
from bench.tpu.printing import print_compiled, print_paper


def print_report(found: Measured, console: Console) -> None:
    """Print a bench, with 95 % intervals of medians over interleaved rounds in brackets."""
    rounds = {q.settings.get("num_rounds") for q in found.quantities}
    about = {q.config.training.precision for q in found.quantities}
    made = f", {', '.join(sorted(about))}, {rounds.pop()} rounds" if None not in rounds else ""
    where = "; ".join(dict.fromkeys(q.about.device or found.device for q in found.quantities))
    console.print(f"\n{found.name}: {found.subject}, {where}{made}", soft_wrap=True)
    PRINTERS[found.name](found, console)


def _jvp_overhead(found: Measured, console: Console) -> None:
    config = found.quantities[0].config
    console.print(f"{config.model.cls}, batch {config.training.batch_size}, times are medians")
    moved = ["GB"] if found.value("step_bytes_accessed", FLOW_MATCHING) else []
    over = f"/ {FLOW_MATCHING}"
    table = columns("step", "seconds", over, "GFLOPs", "ratio", *moved, "peak MB", "compile")
    for form in found.times:
        over, flops_ratio = "1", "1"
        if form != FLOW_MATCHING:
            pair = f"{form} / {FLOW_MATCHING}"
            over = estimate(found.value("step_time_ratio", pair))
            flops_ratio = number(found.value("step_flops_ratio", pair))
        seconds = number(found.value("step_seconds", form))
        flops = number(found.value("step_flops", form), 1e-9, 1)
        gigabytes = (number(found.value("step_bytes_accessed", form), 1e-9, 1) for _ in moved)
        table.add_row(form, seconds, over, flops, flops_ratio, *gigabytes, *_memory(found, form))
    console.print(table)
    table = columns("sparse / the same otherwise", "time", "FLOPs", "peak memory")
    for quantity in found.quantities:
        ours, _, theirs = quantity.of.partition(" / ")
        if quantity.what == "step_time_ratio" and theirs != FLOW_MATCHING:
            peak, other = (plain(found.value("peak_bytes", form)) for form in (ours, theirs))
            flops = number(found.value("step_flops_ratio", quantity.of))
            table.add_row(quantity.of, estimate(quantity.value), flops, f"{peak / other:.2f}")
    console.print(table)
    console.print(
        f"The paper: {PAPER} times {FLOW_MATCHING}, unguided, DiT_B_4 on a TPU v4-8 (App. B.4)."
    )


def _throughput(found: Measured, console: Console) -> None:
    table = columns("step", "images/s", "GFLOP/s", "of product", "peak MB", "compile")
    for of in dict.fromkeys(q.of for q in found.quantities):
        table.add_row(
            of,
            estimate(found.value("images_per_second", of), 1),
            number(found.value("flops_per_second", of), 1e-9, 0),
            number(found.value("utilization_ratio", of), 100, 0) + " %",
            *_memory(found, of),
        )
    console.print(table)


def _sampling(found: Measured, console: Console) -> None:
    table = columns("samples in", "seconds per batch", "samples/s")
    for of in found.times:
        seconds = number(found.value("sampling_seconds", of))
        table.add_row(of, seconds, estimate(found.value("samples_per_second", of), 1))
    console.print(table)


def _attention(found: Measured, console: Console) -> None:
    table = columns("unguided step", "seconds", f"sparse / {FLOW_MATCHING}")
    for of in found.times:
        ratios = [q.value for q in found.quantities if q.of == f"{of} / {FLOW_MATCHING}"]
        over = estimate(ratios[0]) if ratios else ""
        table.add_row(of, number(found.value("step_seconds", of)), over)
    console.print(table)


def _depth(found: Measured, console: Console) -> None:
    for precision in PRECISIONS:
        table = columns(f"worst error in {precision}", *QUANTITIES)
        for blocks in DEPTHS:
            ofs = (f"{quantity}, {precision}, {blocks} blocks" for quantity in QUANTITIES)
            cells = (f"{plain(found.value('relative_error', of)):.0e}" for of in ofs)
            table.add_row(f"{blocks} blocks", *cells)
        console.print(table)


def _tpu(found: Measured, console: Console) -> None:
    if found.run.compiled:
        print_compiled(found, console)
    else:
        _jvp_overhead(found, console)
        print_paper(console)


PRINTERS: dict[str, Callable[[Measured, Console], None]] = {
    "jvp-overhead": _jvp_overhead,
    "throughput": _throughput,
    "sampling": _sampling,
    "attention": _attention,
    "depth": _depth,
    "tpu": _tpu,
    "gpu": print_gpu,
}


def _memory(found: Measured, of: str) -> tuple[str, str]:
    """Peak in MB, and seconds of compilation."""
    seconds = number(found.value("compile_seconds", of), 1, 0)
    return number(found.value("peak_bytes", of), 1e-6, 0), f"{seconds} s"
