"""Table of accelerators: measurements on GPUs and TPUs, beside published ones."""

from typing import NamedTuple

from results.published import Published, published
from results.schema import Record
from results.tabulate.cells import NAMES, Cell, Said, Table, estimate, plain, printed

OVERHEAD = "unguided sparse / flow matching"
# Quantity -> label, decimal places, and scale.
QUANTITIES = {
    "bench/images_per_second": ("training, images per second", 0, 1),
    "bench/utilization_ratio": ("training, % of the FLOPs per second of a matrix product", 0, 100),
    "bench/peak_bytes": ("training, peak memory in GB", 1, 1e-9),
    "bench/step_time_ratio": ("MeanFlow, no guidance / flow matching", 2, 1),
}
EXAMPLE = "DiT_B_4 batch 256"  # which the paper's own numbers are of
COMMANDS = (
    "Measured, on a machine with a GPU or TPU, by `meanflow bench throughput --framework jax"
    " --models DiT_B_4 --batch-sizes 256 --record results/records` and `meanflow bench jvp-overhead"
    " --framework jax --model.cls=DiT_B_4 --training.batch-size=256 --record results/records`, and"
    " the same with `--framework torch`."
)


class Row(NamedTuple):
    """Row of the table: a quantity of a network."""

    device: str
    network: str  # with its batch, and how it was compiled where not as usual
    dtype: str
    what: str


def accelerators(records: list[Record]) -> Table:
    """Table of throughput and JVP overhead by kind of device: newest records."""
    newest: dict[Row, dict[str, Record]] = {}
    for record in records:
        if is_shown(record):
            newest.setdefault(_row(record), {})[record.subject] = record
    order = list(QUANTITIES)
    rows = [
        _cells(row, newest[row])
        for row in sorted(newest, key=lambda row: (*row[:3], order.index(row.what)))
    ]
    for what in () if rows else ("bench/images_per_second", "bench/step_time_ratio"):
        rows.append(_cells(Row("a GPU or TPU", EXAMPLE, "", what), {}))
    rows += [_anchor(n) for group in ("throughput", "jvp_overhead") for n in published(group)]
    heads = ["device", "what", *NAMES.values(), "published"]
    return Table(heads, rows, [COMMANDS], num_labels=2)


def is_shown(record: Record) -> bool:
    """True if a record is of one of the quantities, measured, and not on a CPU."""
    if record.what == "bench/step_time_ratio" and record.settings.get("of") != OVERHEAD:
        return False
    on_accelerator = record.device not in ("", "cpu") and record.subject in NAMES
    other_table = {"compiled_for", "form"} & record.settings.keys()  # of `compiled` and of `gpu`
    return on_accelerator and record.what in QUANTITIES and not other_table


def _row(record: Record) -> Row:
    settings = record.settings
    network = f"{settings.get('model')} batch {settings.get('batch_size')}"
    compiled = settings.get("compile", "auto")
    network += "" if compiled == "auto" else f", compile {compiled}"
    return Row(record.device, network, record.dtype, record.what)


def _cells(row: Row, found: dict[str, Record]) -> list[Cell]:
    name, places, scale = QUANTITIES[row.what]
    label = ", ".join(filter(None, (name, row.network, row.dtype)))
    sources = tuple(found.values())
    labels = [Said(plain(text), sources) if sources else text for text in (row.device, label)]
    return [*labels, *(estimate(found.get(subject), places, scale) for subject in NAMES)]


def _anchor(number: Published) -> list[Cell]:
    """Row of a published number, with its setting in words."""
    setting = number.setting
    what = "MeanFlow / flow matching" if number.group == "jvp_overhead" else "images per second"
    step = (str(setting["step"]),) if "step" in setting else ()
    label = ", ".join((what, f"{setting['model']} batch {setting['batch']}", *step))
    labels = (Said(text, (number,)) for text in (str(setting["device"]), label))
    source = f" [{number.source.title}]({number.source.url})"
    return [*labels, "", "", (printed(number), source)]
