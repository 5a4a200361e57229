"""The record: one outcome with everything needed to judge it, one JSON line each.

A line is written once and never changed. It ends with a digest of the rest, by which an edit by
hand is found: a slip, or a number made nicer, not the work of somebody who means to deceive. Files
are one for each kind, day and machine, so two people who add records touch different files.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from results.environment import machine_id

FORMAT = 2
RECORDS = Path(__file__).parent / "records"

Settings = dict[str, int | float | str]


class Record(BaseModel):
    """One number, or one that could not be had. Frozen, and no key beyond these."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    subject: str = Field(min_length=1)  # what was measured: a module, a pair of them, external:NAME
    what: str = Field(pattern=r"^[\w-]+/\S+$")  # as verify/family/check, bench/quantity, fid/fid
    value: float | None  # None: it could not be measured, see detail
    unit: str  # "1" for a ratio
    interval: tuple[float, float] | None = None  # 95 %, where the value is an estimate
    settings: Settings = {}  # what else the value depends on, by name
    protocol: Settings = {}  # how it was measured; numbers of other protocols do not compare
    tolerance: float | None = None  # the largest value that passes
    expected: float | None = None  # the published value that it is held against
    detail: str = ""
    dtype: str = ""
    config_hash: str = ""  # of impls.common.config.config_hash, where one configuration applies
    commit: str = Field(min_length=1)
    dirty: bool  # the tree had uncommitted changes
    machine: dict[str, Any]  # with the device, where one was chosen
    python: str
    libraries: dict[str, str]
    date: str  # ISO 8601, UTC
    digest: str = ""  # of all the other fields, see `digest`; `append` fills it in

    @property
    def device(self) -> str:
        """Where it ran: cpu, the name of a GPU, or nothing where that was not asked."""
        return str(self.machine.get("device", ""))

    @property
    def when(self) -> dt.datetime:
        """The date with its time zone; UTC where it names none."""
        found = dt.datetime.fromisoformat(self.date)
        return found if found.tzinfo else found.replace(tzinfo=dt.UTC)

    @model_validator(mode="before")
    @classmethod
    def _of_json(cls, data: Any) -> Any:
        """JSON has no infinity and no NaN: such a value becomes None, and the detail says so.

        Nor has it tuples: a list of bounds becomes one.
        """
        if not isinstance(data, dict):
            return data
        value, bounds = data.get("value"), data.get("interval")
        if isinstance(value, float) and not math.isfinite(value):
            said = f"the value is {value}; {data.get('detail', '')}".rstrip("; ")
            return data | {"value": None, "interval": None, "detail": said}
        return data | {"interval": tuple(bounds)} if isinstance(bounds, list) else data

    @field_validator("interval")
    @classmethod
    def _ordered(cls, bounds: tuple[float, float] | None) -> tuple[float, float] | None:
        if bounds and not bounds[0] <= bounds[1]:
            raise ValueError("two numbers, the lower one first")
        return bounds

    @field_validator("date")
    @classmethod
    def _readable(cls, date: str) -> str:
        try:
            dt.datetime.fromisoformat(date)
        except ValueError:
            raise ValueError("a date such as 2026-01-31T12:00:00+00:00") from None
        return date


def digest(content: dict[str, Any]) -> str:
    """First 16 hexadecimal digits of SHA-256 over the fields of a line, the digest left out.

    It is of the JSON with sorted keys and no spaces, so of what is said, not of how it is written.
    """
    rest = {name: value for name, value in content.items() if name != "digest"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def line(record: Record) -> str:
    """The record as one line of JSON, with its digest last."""
    content = record.model_dump(mode="json", exclude={"digest"})
    return json.dumps(content | {"digest": digest(content)}, ensure_ascii=False, allow_nan=False)


def record_file(folder: Path, kind: str, date: str) -> Path:
    """File for records of a kind (verify, bench, …) made on this machine on the day of a date."""
    return folder / f"{kind}-{date[:10]}-{machine_id()}.jsonl"


def append(records: Iterable[Record], path: Path) -> None:
    """Add records to a file of JSON lines; nothing that is there is touched."""
    content = "".join(line(record) + "\n" for record in records).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    # In one write: another process may append at the same time, and no line of one may end up
    # within a line of the other.
    with path.open("ab", buffering=0) as file:
        file.write(content)
