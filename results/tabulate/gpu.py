"""Table of training steps that were timed on GPUs by `meanflow bench gpu`."""

from typing import NamedTuple

from results.schema import Record
from results.tabulate.cells import JAX, TORCH, Cell, Said, Table, estimate, plain

FORMS = {
    "flow matching": "flow matching",
    "unguided sparse": "MeanFlow, no guidance",
    "unguided dense": "MeanFlow, no guidance, JVP in every row",
    "unguided autodiff": "MeanFlow, no guidance, by torch.func.jvp",
    "guided sparse": "guided step",
    "guided dense": "guided step, JVP in every row",
    "guided autodiff": "guided step, by torch.func.jvp",
}
WAYS = {(JAX, "auto"): "JAX", (TORCH, "never"): "PyTorch", (TORCH, "always"): "PyTorch compiled"}
# Quantity -> its column, decimal places, and scale.
COLUMNS = {
    "step_seconds": ("ms", 2, 1e3),
    "step_time_ratio": ("/ flow matching", 2, 1),
    "images_per_second": ("images / s", 0, 1),
    "peak_bytes": ("peak GB", 1, 1e-9),
    "published_peak_mfu_ratio": ("MFU %", 1, 100),
    "measured_peak_mfu_ratio": ("% of product", 1, 100),
    "compile_seconds": ("compiled in s", 0, 1),
}
MADE = (
    "Measured by `nox -s bench-gpu` on the GPU that is there; float32 is with TF32 products. MFU:"
    " FLOPs of the step's matrix products, counted from the network's shapes, over time and the"
    " chip's published dense peak in that precision; % of product: the same over the rate of a"
    " product of large matrices, timed in the same rounds."
)


class Step(NamedTuple):
    """Step whose quantities make a row."""

    device: str
    model: str
    batch_size: int
    precision: str
    form: str
    by: str  # framework


def gpu(records: list[Record]) -> Table:
    """Table of time, throughput, memory and MFU of each step on GPUs: newest records."""
    found: dict[Step, dict[str, Record]] = {}
    for record in records:
        if (step := _step(record)) is not None:
            newer = found.get(step, {})
            if record.what == "bench/step_seconds":  # the first of a measurement
                newer = {}
            found[step] = newer | {record.what.removeprefix("bench/"): record}
    forms, ways = list(FORMS), list(WAYS.values())
    order = sorted(found, key=lambda s: (*s[:4], forms.index(s.form), ways.index(s.by)))
    rows = [_row(step, found[step]) for step in order]
    if not rows:
        rows = [["a GPU", "one training step", "not measured"]]
    heads = ["device", "one step", *(title for title, *_ in COLUMNS.values())]
    return Table(heads, rows, [MADE], num_labels=2)


def _step(record: Record) -> Step | None:
    """Step of a record of `bench gpu`; None for another record, and for those of a stand-in."""
    settings = record.settings
    by = WAYS.get((record.subject, str(settings.get("compile"))))
    if settings.get("form") not in FORMS or by is None or not record.device.startswith("gpu "):
        return None
    model, form = str(settings["model"]), str(settings["form"])
    rows, precision = int(settings["batch_size"]), str(settings["precision"])
    return Step(record.device, model, rows, precision, form, by)


def _row(step: Step, found: dict[str, Record]) -> list[Cell]:
    network = f"{step.model} batch {step.batch_size}"
    label = ", ".join((FORMS[step.form], network, step.precision, step.by))
    sources = tuple(found.values())
    device = step.device.removeprefix("gpu ")
    cells: list[Cell] = [Said(plain(text), sources) for text in (device, label)]
    for name, (_, places, scale) in COLUMNS.items():
        record = found.get(name)
        if record is None:
            cells.append("")
        elif record.value is None:
            cells.append(Said(plain(record.detail), (record,)))
        else:
            cells.append(estimate(record, places, scale))
    return cells
