"""The table of what the first commands cost on a fresh checkout."""

from results.schema import Record
from results.tabulate.cells import Cell, Table, estimate

# Quantity -> its column, places after the point, and what it is multiplied by.
COLUMNS = {
    "first_seconds": ("first, minutes", 1, 1 / 60),
    "again_seconds": ("again, minutes", 1, 1 / 60),
    "download_bytes": ("download, MB", 0, 1e-6),
    "disk_bytes": ("on disk, MB", 0, 1e-6),
    "peak_bytes": ("memory a process, GB", 1, 1e-9),
}
DOES = {
    "verify": "JAX and PyTorch",
    "verify-jax": "JAX alone",
    "verify-torch": "PyTorch alone",
    "fid-check": "FID's whole path, on stand-ins",
    "tests": "the test suite",
}


def commands(records: list[Record]) -> Table:
    """Minutes, download, disk and memory of each session: the newest record of each."""
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
        "On two CPU cores, the environment's installation counted, with PyTorch's CPU build; its"
        " CUDA build, the default on Linux, is gigabytes more. Again: a second time, with the"
        " environment and what was compiled kept."
    )
    return Table(["command", "of", *heads], rows, [note], num_labels=2)
