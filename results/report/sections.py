"""Sections of the report: tables, their headings, figures and captions."""

from typing import NamedTuple

from results.schema import Record
from results.tabulate.cells import Said, Table, pieces


class Section(NamedTuple):
    """Section of a table: its heading, and its figures."""

    title: str
    figures: tuple[str, ...] = ()


SECTIONS = {  # table -> its section
    "glance": Section("At a glance"),
    "reproduction": Section("Published FIDs and their reproductions", ("reproduction",)),
    "fid": Section("FIDs measured here"),
    "verify": Section("Checks by family", ("errors", "depth")),
    "digits": Section("Digits in one step", ("digits", "training_curves", "samples")),
    "mnist": Section("MNIST in one step"),
    "ablation_order": Section("Ablations: the order"),
    "ablations": Section("Ablations: every row", ("ablations",)),
    "modular": Section("Other losses in small"),
    "jvp_overhead": Section("JVP overhead", ("jvp_overhead",)),
    "throughput": Section("Throughput"),
    "accelerators": Section("GPUs and TPUs"),
    "gpu": Section("Steps on GPUs"),
    "compiled": Section("Steps compiled for TPUs, not run", ("roofline",)),
    "soak": Section("Repetitions"),
    "commands": Section("Cost of the first commands"),
}
CAPTIONS = {  # figure -> its caption
    "ablations": (
        "Digits Fréchet distance (lower is better) of each setting of the paper's Table 1: mean of"
        " the seeds, and a line from the lowest to the highest. Left of it the paper's FID, right"
        " of it samples of the first seed."
    ),
    "depth": (
        "Relative error of u, du/dt and the gradient against the float64 reference, by the number"
        " of blocks, in three precisions on logarithmic axes."
    ),
    "digits": (
        "Both scores of one-step samples, each with its 95 % interval; the grey band is the"
        " interval of real digits, the line in it their score."
    ),
    "errors": (
        "The error nearest to its tolerance in each family, with a line from it to that tolerance."
        " The axis is logarithmic, except for an error of exactly 0 at its left end."
    ),
    "jvp_overhead": (
        "Time of a training step over that of another, with its 95 % interval; left of 1 the step"
        " named first is the faster one. Grey: the same ratio of counted FLOPs. Dotted: the ratio"
        " in the paper."
    ),
    "reproduction": (
        "Each FID over the expected FID of its run; left of 1 is better than expected. Hollow marks"
        " have another setting, and the grey band is what one seed resolves."
    ),
    "roofline": (
        "Compiled, not measured: FLOPs per byte accessed of each training step, as the compiler"
        " counts them, below the TFLOP/s that peak and memory bandwidth of the chip allow there. A"
        " step left of its chip's vertical line is bounded by memory. Filled: float32, hollow:"
        " bfloat16."
    ),
    "samples": (
        "One-step samples of the trained runs, the same noise for both frameworks. The number above"
        " a column is the label it is conditioned on."
    ),
    "training_curves": (
        "Both losses over training on a logarithmic axis, one line for each seed and framework;"
        " where a line is hidden, both frameworks agree."
    ),
}


HERE, BY_OTHERS, NOT_MEASURED = range(3)


def rank(table: Table) -> int:
    """Rank of a table: measured here, measured by others only, or not measured."""
    sources = (
        source
        for row in table.rows
        for cell in row
        for piece in pieces(cell)
        if isinstance(piece, Said)
        for source in piece.sources
    )
    subjects = [source.subject for source in sources if isinstance(source, Record)]
    if not subjects:
        return NOT_MEASURED
    return BY_OTHERS if all(name.startswith("external:") for name in subjects) else HERE
