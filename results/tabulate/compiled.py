"""Tables of training steps that were compiled for TPUs and not run: counts and estimates."""

from typing import NamedTuple

from results.schema import Record
from results.tabulate.cells import JAX, Cell, Piece, Said, Table, estimate, marked, plain

OFFICIAL = "external:official"
SUBJECTS = (JAX, OFFICIAL)
FLOW_MATCHING = "flow matching"
# Forms of the step, and their labels.
FORMS = {
    FLOW_MATCHING: "flow matching",
    "unguided sparse": "MeanFlow, no guidance",
    "unguided dense": "the same with the JVP in every row",
    "guided sparse": "guided step",
    "guided dense": "the same with the JVP in every row",
    "guided official": "the authors' guided step",
}
# Quantity -> its column, decimal places, scale, and whether its ratio to flow matching stands too.
COLUMNS = {
    "step_flops": ("GFLOP", 0, 1e-9, True),
    "step_bytes_accessed": ("GB accessed", 1, 1e-9, True),
    "temporary_bytes": ("temporary GB", 2, 1e-9, False),
    "peak_bytes": ("peak GB", 2, 1e-9, False),
    "estimated_seconds": ("estimated ms", 1, 1e3, True),
    "compile_seconds": ("compiled in s", 0, 1, False),
}
MADE = (
    "Compiled by XLA's TPU compiler for one device of the topology named, not run: the numbers are"
    " the compiler's counts, with the ratio to flow matching in parentheses. `nox -s bench-tpu`"
    " compiles them on any x86 machine."
)


class Setting(NamedTuple):
    """Network, batch and chip of a step."""

    topology: str
    model: str
    batch_size: int
    precision: str


DEFAULT = ("v4:2x2x1", "DiT_B_4", 32)  # topology, network and batch of the command without options
Found = dict[tuple[Setting, str], dict[str, Record]]  # by setting and form: quantity -> record


def compiled(records: list[Record]) -> Table:
    """Table of FLOPs, bytes, memory and estimated time of each compiled step: newest records."""
    return _table(newest_steps(records), records)


def compiled_default(records: list[Record]) -> Table:
    """The same table of the steps that `meanflow bench tpu` compiles without options."""
    found = newest_steps(records)
    return _table({step: found[step] for step in found if step[0][:3] == DEFAULT}, records)


def newest_steps(records: list[Record]) -> Found:
    """Newest records of each compiled step."""
    found: Found = {}
    for record in records:
        if is_compiled(record) and record.settings.get("of") in FORMS:
            step = _setting(record), str(record.settings["of"])
            found.setdefault(step, {})[record.what.removeprefix("bench/")] = record
    return found


def _table(found: Found, records: list[Record]) -> Table:
    order = list(FORMS)
    steps = sorted(found, key=lambda step: (step[0], order.index(step[1])))
    rows = [_row(setting, form, found) for setting, form in steps]
    if not rows:
        rows = [["a TPU", "one training step", "not measured"]]
    heads = ["not run, for", "one step", *(title for title, *_ in COLUMNS.values())]
    return Table(heads, rows, [MADE, *_calibration(records)], num_labels=2)


def is_compiled(record: Record) -> bool:
    """True if a record is of a step that was compiled for a device that was not there."""
    of_bench = record.what.startswith("bench/") and record.subject in SUBJECTS
    return of_bench and "batch_size" in record.settings and "compiled_for" in record.settings


def _setting(record: Record) -> Setting:
    topology, model, batch_size, precision = (
        record.settings[name] for name in ("compiled_for", "model", "batch_size", "precision")
    )
    return Setting(str(topology), str(model), int(batch_size), str(precision))


def _row(setting: Setting, form: str, found: Found) -> list[Cell]:
    step, base = found[setting, form], found.get((setting, FLOW_MATCHING), {})
    label = f"{FORMS[form]}, {setting.model} batch {setting.batch_size}, {setting.precision}"
    sources = tuple(step.values())
    cells: list[Cell] = [Said(plain(text), sources) for text in (setting.topology, label)]
    for name, (_, places, scale, with_ratio) in COLUMNS.items():
        count = _number(step.get(name), places, scale)
        ratio = _ratio(step, base, name) if with_ratio and form != FLOW_MATCHING else None
        cells.append((count, " (", ratio, ")") if ratio else count)
    return cells


def _number(record: Record | None, places: int, scale: float) -> Piece:
    """Count, or why there is none."""
    if record is not None and record.value is None:
        return Said(plain(record.detail), (record,))
    return estimate(record, places, scale) if record else ""


def _ratio(step: dict[str, Record], base: dict[str, Record], name: str) -> Piece | None:
    """Ratio to flow matching of a quantity."""
    ours, theirs = step.get(name), base.get(name)
    if ours is None or theirs is None or ours.value is None or not theirs.value:
        return None
    return Said(f"{ours.value / theirs.value:.2f}", (ours, theirs))


def _calibration(records: list[Record]) -> list[Cell]:
    """What the estimates are, and how well they give the paper's times: the newest calibration."""
    newest = {record.what: record for record in records}
    factor, error = (newest.get(f"bench/roofline_{name}") for name in ("factor", "error"))
    if factor is None or error is None or factor.value is None or error.value is None:
        return []
    before = (
        "Estimated times are no measurements: the longer of FLOPs / peak and bytes accessed /"
        " bandwidth, by the chip's published numbers, times "
    )
    between = (
        ", which is fitted to the paper's two times on a TPU v4-8 and gives them with a relative"
        " error of "
    )
    found = marked(f"{factor.value:.2f}", factor), marked(f"{error.value:.3f}", error)
    return [(before, found[0], between, found[1], ".")]
