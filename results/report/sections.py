"""What the report shows: its tables, with their figures and what is seen in these."""

from typing import NamedTuple

from results.schema import Record
from results.tabulate.cells import Said, Table, pieces


class Section(NamedTuple):
    """What stands with a table: its heading, and the figures that belong to it."""

    title: str
    figures: tuple[str, ...] = ()


SECTIONS = {  # table -> its section
    "reproduction": Section("Published FIDs, and who measured them again", ("reproduction",)),
    "fid": Section("FIDs measured here"),
    "verify": Section("What agrees, by family", ("errors", "depth")),
    "digits": Section("Digits in one step", ("digits", "training_curves", "samples")),
    "ablation_order": Section("Ablations: the order"),
    "ablations": Section("Ablations: every row", ("ablations",)),
    "jvp_overhead": Section("What the JVP costs", ("jvp_overhead",)),
    "throughput": Section("Throughput"),
    "accelerators": Section("GPUs and TPUs"),
    "soak": Section("Repetitions"),
}
CAPTIONS = {  # figure -> what is seen in it
    "ablations": (
        "Digits Frechet distance (lower is better) of each setting of the paper's Table 1: mean of"
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
        "Of each family the error that came nearest to its tolerance, and a line from it to that"
        " tolerance. The axis is logarithmic, but for an error of exactly 0 at its left end."
    ),
    "jvp_overhead": (
        "Seconds of a training step over those of another, each with its 95 % interval; left of 1"
        " the step named first is the faster one. Grey: the same ratio of counted FLOPs. Dotted:"
        " the ratio that the paper tells."
    ),
    "reproduction": (
        "Each FID over the one to expect of its run; left of 1 is better than expected. Hollow"
        " marks are of another setting, and the grey band is what one seed resolves."
    ),
    "samples": (
        "One-step samples of the trained runs, the same noise for both frameworks. The number above"
        " a column is the label that was asked for."
    ),
    "training_curves": (
        "Both losses over training on a logarithmic axis, one line for each seed and framework:"
        " where a line is hidden, both frameworks agree."
    ),
}


HERE, BY_OTHERS, NOT_MEASURED = range(3)


def rank(table: Table) -> int:
    """Whether something in a table was measured here, by others alone, or not at all."""
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
