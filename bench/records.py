"""Where a number of a bench, of fid-check or of a study was made, and the file it is kept in."""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from impls.common.environment import environment, num_threads
from results.schema import Record, append, record_file


def provenance(device: str | None = None) -> dict[str, Any]:
    """Fields of a record that say when and where it is made: date, code, machine, versions.

    Args:
        device: its name, where the number depends on it; the threads are then told too.
    """
    where = environment()
    if device is not None:
        where["machine"] |= {"device": device, **num_threads()}
    return {"date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"), **where}


def keep(records: Sequence[Record], kind: str, folder: Path, console: Console) -> None:
    """Append records to the file of their kind and day in a folder, and say which it is."""
    path = record_file(folder, kind, records[0].date)
    append(records, path)
    console.print(f"records appended to {path}", soft_wrap=True)
