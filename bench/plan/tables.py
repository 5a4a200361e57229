"""Tables of plans in Markdown: the price of each reproduction, and published step times predicted.

They are made from files of the repository alone: chips.yml, published.yml, presets and records.
"""

from bench.chips import machine
from bench.plan.calibration import Prediction, largest_error, predictions
from bench.plan.costs import Plan, make_plan
from impls.common.config_files import load_config
from results.schema import Record
from results.tabulate.cells import Cell, Table, linked, markdown
from results.tabulate.reproduction import ROWS

MACHINES = ("v4-128", "v5e-256", "8xH100", "8xA100")


def prices(records: list[Record]) -> str:
    """Table of what each run of the reproduction table takes on some machines, estimated."""
    runs = dict.fromkeys((row.preset, row.epochs) for row in ROWS)
    rows: list[list[Cell]] = []
    sentences: dict[str, str] = {}
    for preset, epochs in runs:
        config = load_config(preset, {"training.num_epochs": epochs})
        plans = [make_plan(preset, config, machine(name), records=records) for name in MACHINES]
        sentences |= {plan.machine.name: plan.unequal for plan in plans if plan.unequal}
        rows.append([preset, str(epochs), f"{plans[0].num_steps:,}", *map(_cell, plans)])
    heads = ["preset", "epochs", "steps", *map(_head, MACHINES)]
    about = (
        "Estimates, of which none was measured: days, and chip-hours in brackets, of training in"
        " float32 as configured, without compilation, samples and scores. Published step times are"
        f" predicted within a factor of {largest_error('tpu'):.2f} (TPU) and"
        f" {largest_error('gpu'):.2f} (GPU), see below; of other chips and sizes none is published."
    )
    notes = [about, *(f"{name}: {sentence}." for name, sentence in sentences.items())]
    return markdown(Table(heads, rows, notes, num_labels=2))


def _head(name: str) -> str:
    on = machine(name)
    return f"{name}, {on.num_chips} chips" if on.chip.kind == "tpu" else name


def _cell(plan: Plan) -> str:
    if not plan.fits:
        return "does not fit"
    return f"{plan.hours / 24:.2g} ({plan.chip_hours:,.0f})"


def predicted(_records: list[Record]) -> str:
    """Table of published step times beside what the other runs predict for them."""
    heads = [
        "machine", "published step", "seconds", "from the other runs of its kind", "ratio",
        "from the other kind", "ratio",
    ]  # fmt: skip
    rows = [_prediction(one) for one in predictions()]
    note = "A time in brackets is not calibrated on: it contradicts another of the same chip."
    return markdown(Table(heads, [list(row) for row in rows], [note], num_labels=2))


def _prediction(one: Prediction) -> list[str]:
    run, setting = one.run, one.run.number.setting
    about = ("form", "precision", "products", "data", "recomputed")
    words = [f"{setting['model']} batch {setting['batch']}"]
    words += [_WORDS.get(text, text) for key in about if (text := str(setting.get(key, "")))]
    source = linked(run.number.source.title, run.number.source.url)
    seconds = f"{run.seconds:.3f}"
    return [
        run.machine.name,
        f"{', '.join(words)}: {source}",
        seconds if run.is_calibrated else f"({seconds})",
        f"{one.same:.3f}",
        f"{one.ratio(one.same):.2f}",
        f"{one.other:.3f}",
        f"{one.ratio(one.other):.2f}",
    ]


_WORDS = {
    "tf32": "TF32 products",
    "float32": "float32 products",
    "images": "with encoding",
    "blocks": "blocks recomputed",
}
