"""The record: one measured number with everything needed to judge it, one JSON line each."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

FORMAT = 1
RECORDS = Path(__file__).parent / "records"


class Record(BaseModel):
    """One number. Frozen, and no key beyond these."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    subject: str  # what was measured: a module name, a pair of them
    what: str  # the quantity, as family/check or bench/quantity
    value: float | None  # None: it could not be measured, see detail
    unit: str  # "1" for a ratio
    interval: tuple[float, float] | None = None  # 95 %, where the value is an estimate
    settings: dict[str, int | float | str] = {}  # what else the value depends on, by name
    tolerance: float | None = None
    detail: str = ""
    dtype: str = ""
    config_hash: str = ""  # of impls.common.config.config_hash, where one configuration applies
    commit: str
    dirty: bool  # the tree had uncommitted changes
    machine: dict[str, Any]
    python: str
    libraries: dict[str, str]
    date: str  # ISO 8601, UTC


def append(records: Iterable[Record], path: Path) -> None:
    """Add records to a file of JSON lines; nothing that is there is touched."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.writelines(record.model_dump_json() + "\n" for record in records)


def read(folder: Path = RECORDS) -> list[Record]:
    """Every record of a folder, in the order of file names and lines."""
    return [
        Record.model_validate_json(line)
        for file in sorted(folder.glob("*.jsonl"))
        for line in file.read_text(encoding="utf-8").splitlines()
    ]
