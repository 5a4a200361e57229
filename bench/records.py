"""Provenance of records of a bench, of fid-check or of a study, and their file."""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from impls.common.environment import environment, num_threads
from results.schema import Record, append, record_file


def provenance(device: str | None = None) -> dict[str, Any]:
    """Fields of a record about its provenance: date, code, machine, versions.

    Args:
        device: its name, if the value depends on it; the number of threads is then included.
    """
    where = environment()
    if device is not None:
        where["machine"] |= {"device": device, **num_threads()}
    return {"date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"), **where}


def keep(records: Sequence[Record], kind: str, folder: Path, console: Console) -> None:
    """Append records to the file of their kind and day in a folder, and print its path."""
    path = record_file(folder, kind, records[0].date)
    append(records, path)
    console.print(f"records appended to {path}", soft_wrap=True)
