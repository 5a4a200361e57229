"""Table of throughput on CPUs: images per second of DiT_S_4 in training and sampling."""

from results.schema import Record
from results.tabulate.cells import NAMES, Cell, Table, estimate

# Quantity -> setting, label, and scale.
RATES = {
    "images_per_second": ("DiT_S_4 batch 64", "training, images per second", 1),
    "utilization_ratio": (
        "DiT_S_4 batch 64",
        "training, % of the FLOPs per second of a matrix product",
        100,
    ),
    "peak_bytes": ("DiT_S_4 batch 64", "training, peak memory in GB", 1e-9),
    "samples_per_second": ("1 step", "sampling in one step, images per second", 1),
}


def throughput(records: list[Record]) -> Table:
    """Table of images per second of DiT_S_4 in training and sampling, on CPUs: newest records."""
    newest = {
        (record.subject, record.what, record.settings["of"]): record
        for record in records
        if record.what.startswith("bench/") and record.device == "cpu"
    }
    rows: list[list[Cell]] = []
    for quantity, (of, name, scale) in RATES.items():
        found = [newest.get((subject, f"bench/{quantity}", of)) for subject in NAMES]
        places = 0 if scale == 100 else 1
        rows.append([name, *(estimate(record, places, scale) for record in found)])
    return Table(["DiT_S_4, training with batch 64", *NAMES.values()], rows)
