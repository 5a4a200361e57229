"""Table of compiled training steps by chip: estimated time and memory, and the largest batch."""

from results.schema import Record
from results.tabulate.cells import Cell, Piece, Said, Table, estimate, plain
from results.tabulate.compiled import FLOW_MATCHING, FORMS, Found, Setting, newest_steps

SHOWN = (FLOW_MATCHING, "unguided sparse", "guided sparse")
LARGEST = "bench/largest_batch_size"
MADE = (
    "Compiled, not run: estimated milliseconds of a step (no measurement), and peak memory of the"
    " device; in brackets the largest batch found to fit."
)
Step = tuple[str, int, str, str]  # network, batch, precision, form


def compiled_chips(records: list[Record]) -> Table:
    """Table of each step on each topology: estimated time, peak memory, largest batch."""
    found = {step: of for step, of in newest_steps(records).items() if step[1] in SHOWN}
    topologies = sorted({setting.topology for setting, _ in found})
    largest = _largest_batches(records)
    rows: list[list[Cell]] = []
    for step in _in_order(found):
        of_each = [(Setting(topology, *step[:3]), step[3]) for topology in topologies]
        sources = tuple(record for key in of_each for record in found.get(key, {}).values())
        model, rows_of_batch, precision, form = step
        label = f"{model} batch {rows_of_batch}, {precision}, {FORMS[form]}"
        cells = [_cell(found.get(key, {}), largest.get(_without_batch(*key))) for key in of_each]
        rows.append([Said(plain(label), sources), *cells])
    if not rows:
        rows = [["one training step", "not measured"]]
    return Table(["one step", *(topologies or ["a TPU"])], rows, [MADE])


def _in_order(found: Found) -> list[Step]:
    """Steps by the FLOPs of their network and batch, then precision, then form."""
    flops: dict[tuple[str, int], float] = {}
    for (setting, _), of in found.items():
        size = setting.model, setting.batch_size
        if "step_flops" in of:
            flops[size] = min(flops.get(size, float("inf")), of["step_flops"].value or 0)
    steps = {(s.model, s.batch_size, s.precision, form) for s, form in found}
    return sorted(steps, key=lambda step: (flops.get(step[:2], 0), *step[:3], SHOWN.index(step[3])))


def _largest_batches(records: list[Record]) -> dict[tuple[str, ...], Record]:
    """Newest record of the largest batch by topology, network, precision and form."""
    names = ("compiled_for", "model", "precision", "of")
    return {
        tuple(str(record.settings[name]) for name in names): record
        for record in records
        if record.what == LARGEST and record.value is not None
    }


def _without_batch(setting: Setting, form: str) -> tuple[str, ...]:
    return setting.topology, setting.model, setting.precision, form


def _cell(step: dict[str, Record], largest: Record | None) -> Cell:
    """Estimated time and peak memory, or why there are none; and the largest batch."""
    peak, more = step.get("peak_bytes"), _most(largest)
    if peak is None:
        return ""
    if peak.value is None:
        return (Said(_reason(peak.detail), (peak,)), *more)
    seconds = estimate(step.get("estimated_seconds"), 1, 1e3)
    return (seconds, " ms, ", estimate(peak, 1, 1e-9), " GB", *more)


def _most(largest: Record | None) -> tuple[Piece, ...]:
    return () if largest is None else (" (", estimate(largest, 0), " rows)")


def _reason(detail: str) -> str:
    """Why a step could not be compiled, without the rest of the sentence: "needs 40GiB"."""
    return plain(detail.partition(" of memory")[0].partition(" (")[0])
