"""Record: one result with its provenance, stored as one line of JSON.

A line is written once and never changed. It ends with a digest of the rest, which detects edits by
hand (a slip, or a number made nicer), not a deliberate forgery. A deleted line is not detected
here: git shows it. There is one file for each kind, day and machine, so two people who add records
write to different files.
"""

import contextlib
import datetime as dt
import hashlib
import json
import math
import os
from collections.abc import Iterable
from io import FileIO
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from impls.common.environment import machine_id
from impls.common.errors import UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

FORMAT = 2
RECORDS = Path(__file__).parent / "records"

Settings = dict[str, int | float | str]


class Record(BaseModel):
    """Record of a value, or of a failed measurement. Frozen; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: int = FORMAT
    subject: str = Field(min_length=1)  # what was measured: a module, a pair of them, external:NAME
    what: str = Field(pattern=r"^[\w-]+/\S+$")  # as verify/family/check, bench/quantity, fid/fid
    value: float | None  # None: it could not be measured, see detail
    unit: str  # "1" for a ratio
    interval: tuple[float, float] | None = None  # 95 %, where the value is an estimate
    settings: Settings = {}  # what else the value depends on, by name
    protocol: Settings = {}  # how it was measured; numbers of other protocols do not compare
    tolerance: float | None = None  # the largest value that passes
    expected: float | None = None  # the published value that it is compared with
    detail: str = ""
    dtype: str = ""
    config_hash: str = ""  # of config_files.config_hash, where one configuration applies
    commit: str = Field(min_length=1)
    dirty: bool  # the tree had uncommitted changes
    machine: dict[str, Any]  # with the device, where one was chosen
    python: str
    libraries: dict[str, str]
    date: str  # ISO 8601, UTC
    digest: str = ""  # of all the other fields, see `digest`; `append` fills it in

    @property
    def device(self) -> str:
        """Device: cpu, the name of a GPU, or "" if it was not recorded."""
        return str(self.machine.get("device", ""))

    @property
    def when(self) -> dt.datetime:
        """Date with its time zone; UTC if it names none."""
        found = dt.datetime.fromisoformat(self.date)
        return found if found.tzinfo else found.replace(tzinfo=dt.UTC)

    @model_validator(mode="before")
    @classmethod
    def _of_json(cls, data: Any) -> Any:
        """Fields as JSON allows: infinity or NaN becomes None, and the detail says so.

        A list of bounds becomes a tuple.
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
    """First 16 hexadecimal digits of SHA-256 over the fields of a line, without the digest.

    It is taken over JSON with sorted keys and no spaces, so it does not depend on formatting.
    """
    rest = {name: value for name, value in content.items() if name != "digest"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def line(record: Record) -> str:
    """Record as one line of JSON, with its digest last."""
    content = record.model_dump(mode="json", exclude={"digest"})
    return json.dumps(content | {"digest": digest(content)}, ensure_ascii=False, allow_nan=False)


def record_file(folder: Path, kind: str, date: str) -> Path:
    """Path of the file for records of a kind (verify, bench, …), of this machine and a day."""
    return folder / f"{kind}-{date[:10]}-{machine_id()}.jsonl"


def append(records: Iterable[Record], path: Path) -> None:
    """Append records to a file of JSON lines, all or none; existing lines are not changed.

    If they cannot be written, no new file is left.

    Raises:
        UserError: when they cannot be written, as on a full disk.
    """
    content = "".join(line(record) + "\n" for record in records).encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _opened(path) as file:
            try:
                _write_whole(file, content)
            except OSError:
                if not file.seek(0, os.SEEK_END):  # it was made for what could not be written
                    path.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise UserError(
            f"cannot write to {path}: {error.strerror}; nothing was recorded"
        ) from error


def _opened(path: Path) -> FileIO:
    """File opened and locked for appending."""
    while True:
        file = path.open("a+b", buffering=0)
        _lock(file)
        if os.fstat(file.fileno()).st_nlink:
            return file
        file.close()  # somebody, whose disk was full, removed it while this waited


def _lock(file: FileIO) -> None:
    """Lock a file against other appending processes, until it is closed."""
    if fcntl:
        with contextlib.suppress(OSError):  # a network file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)


def _write_whole(file: FileIO, content: bytes) -> None:
    """Append to a file, on a new line, all of the content or nothing."""
    end = file.seek(0, os.SEEK_END)
    file.seek(max(end - 1, 0))
    if end and file.read(1) != b"\n":  # part of a line, or one that was written by hand
        content = b"\n" + content
    written = 0
    try:
        # One write where the disk has room: no line of another process comes between, even without
        # the lock. A full disk makes it a short one, and the next write says why.
        while written < len(content):
            written += file.write(content[written:])
        os.fsync(file.fileno())  # some file systems find out only now
    except OSError:
        if file.seek(0, os.SEEK_END) == end + written:  # else another process has appended since
            file.truncate(end)
        raise
