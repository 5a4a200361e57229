"""Table of the cost of the first commands on a fresh checkout."""

from results.schema import Record
from results.tabulate.cells import Cell, Table, estimate

# Quantity -> its column, decimal places, and scale.
COLUMNS = {
    "first_seconds": ("first, minutes", 1, 1 / 60),
    "again_seconds": ("again, minutes", 1, 1 / 60),
    "download_bytes": ("download, MB", 0, 1e-6),
    "disk_bytes": ("on disk, MB", 0, 1e-6),
    "peak_bytes": ("memory per process, GB", 1, 1e-9),
}
DOES = {
    "verify": "JAX and PyTorch",
    "verify-jax": "JAX alone",
    "verify-torch": "PyTorch alone",
    "fid-check": "FID from noise to score, on stand-ins",
    "tests": "the test suite",
}


def commands(records: list[Record]) -> Table:
    """Table of time, download, disk and memory of each session: newest records."""
    newest: dict[tuple[str, str], Record] = {}
    for record in records:
        kind, _, quantity = record.what.partition("/")
        if kind == "command":
            newest[str(record.settings["session"]), quantity] = record
    rows: list[list[Cell]] = []
    for session, does in DOES.items():
        found = [newest.get((session, quantity)) for quantity in COLUMNS]
        if any(found):
            cells = (
                estimate(record, places, scale) if record else ""
                for record, (_, places, scale) in zip(found, COLUMNS.values(), strict=True)
            )
            rows.append([f"`nox -s {session}`", does, *cells])
    heads = [title for title, _, _ in COLUMNS.values()]
    note = (
        "On two CPU cores, installation of the environment included, with PyTorch's CPU build; the"
        " CUDA build, the default on Linux, is gigabytes larger. Again: a second run, with the"
        " environment and compiled programs kept."
    )
    return Table(["command", "of", *heads], rows, [note], num_labels=2)
