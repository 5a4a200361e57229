"""Reading of records, with detection of lines that were changed, repeated or torn.

A deleted or moved line is not detected: each line has its own digest alone, so that the lines of
two people can be merged. `git log -p` shows both, and order matters only among records of the same
date.
"""

import json
import math
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails, from_json

from impls.common.errors import Notice, UserError, did_you_mean
from results.schema import FORMAT, RECORDS, Record, digest

MARKERS = (b"<<<<<<<", b"=======", b">>>>>>>", b"|||||||")  # that git leaves of a merge
TAKE_BACK = "restore the line from git, or measure again"


class RecordError(UserError):
    """Line that is not a valid record; the message names file and line, and what to do."""


def read(folder: Path = RECORDS) -> list[Record]:
    """Records of a folder by date, those of one date in the order of file names and lines.

    A torn line (part of a record, as a full disk leaves it) is skipped with a `Notice`.

    Raises:
        RecordError: for a line that is not a record, was changed after it was written, or is
            repeated.
    """
    found: list[Record] = []
    first: dict[str, str] = {}
    for file in sorted(folder.glob("*.jsonl")):
        for place, record in _records_of(file):
            if record.digest in first:
                raise RecordError(
                    f"{place} is the same record as {first[record.digest]}: delete one of the two"
                )
            first[record.digest] = place
            found.append(record)
    return sorted(found, key=lambda record: record.when)


def _records_of(file: Path) -> Iterator[tuple[str, Record]]:
    """Pairs of the place (file and line) of each record of a file, and the record."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise RecordError(f"{file} cannot be read ({error.strerror})") from None
    for number, text in enumerate(content.split(b"\n"), start=1):
        place = f"{file}, line {number}"
        if _is_torn(text):
            notice = (
                f"{place} is only part of a record, as a full disk leaves it, and is"
                " skipped: delete the line, and measure it again"
            )
            warnings.warn(Notice(notice), stacklevel=3)
        elif text.strip():
            yield place, parse(text, place)


def _is_torn(text: bytes) -> bool:
    """True if a line is the beginning of one record: valid JSON up to a missing end.

    A torn line with another record appended to it is not: that record would be lost silently.
    """
    if not text.startswith(b"{") or text.count(b'{"format"') > 1:
        return False
    try:
        from_json(text)
    except ValueError as error:
        return str(error).startswith("EOF while parsing")
    return False


def parse(text: bytes, place: str) -> Record:
    """Record parsed from one line.

    Args:
        place: file and line, for the error.

    Raises:
        RecordError: naming the place, the invalid value and what was expected.
    """
    content = _json_object(text, place)
    got = content.get("format")
    if got != FORMAT:
        said = "has no field format" if got is None else f"has format {got!r}"
        is_newer = isinstance(got, int) and got > FORMAT
        advice = "update the project (git pull)" if is_newer else TAKE_BACK
        raise RecordError(f"{place} {said}, expected {FORMAT}: {advice}")
    try:
        record = Record.model_validate(content, strict=True)
    except ValidationError as error:
        raise RecordError(f"{place}: {_explain(error.errors()[0], content)}") from None
    expected = digest(content)
    if not record.digest:
        raise RecordError(f"{place} has no digest, which `append` writes: {TAKE_BACK}")
    if record.digest != expected:
        raise RecordError(
            f"{place} was changed after it was written (its digest is {record.digest}, that of"
            f" what it says {expected}): {TAKE_BACK}"
        )
    return record


def _json_object(text: bytes, place: str) -> dict[str, Any]:
    """JSON object of a line, whatever its fields; a repeated field is refused."""
    if text.startswith(MARKERS):
        raise RecordError(
            f"{place} is left from a merge conflict: keep the lines of both sides and delete"
            " the three markers"
        )
    try:
        content = json.loads(
            text.decode(),
            object_pairs_hook=_without_repetition,
            parse_constant=_no_number,
            parse_float=_finite,
        )
        json.dumps(content, ensure_ascii=False).encode()  # half a surrogate pair cannot be printed
    except RecursionError:
        raise RecordError(f"{place} is not JSON (nested too deep): {TAKE_BACK}") from None
    except ValueError as error:
        raise RecordError(f"{place} is not JSON ({error}): {TAKE_BACK}") from None
    if not isinstance(content, dict):
        raise RecordError(f"{place} is {text.decode()[:40]}, expected one JSON object: {TAKE_BACK}")
    return content


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Dictionary of pairs; refuses a repeated key, of which a reader sees only one."""
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name} is given twice")
    return dict(pairs)


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is not a number of JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits} is beyond float64")
    return number


def _explain(error: ErrorDetails, content: dict[str, Any]) -> str:
    """Error of pydantic as one sentence: the field, the value and what was expected."""
    field, kind = str(error["loc"][0]), error["type"]
    if kind == "missing" and len(error["loc"]) == 1:
        return f"the field {field} is missing, which every record has: {TAKE_BACK}"
    if kind == "extra_forbidden":
        return f"{field} is not a field of a record{nearest(field, Record.model_fields)}"
    if kind == "string_pattern_mismatch":
        expected = "a kind and a quantity, such as bench/step_seconds"
    elif field == "interval" and kind != "value_error":
        expected = "two numbers, or null"
    elif kind == "string_too_short":
        expected = "some text"
    else:
        expected = error["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    got = repr(content.get(field))
    shown = got if len(got) <= 60 else f"{got[:57]}..."
    name = ".".join(str(part) for part in error["loc"][:2] if isinstance(part, str))
    return f"{name} is {shown}, expected {expected}: {TAKE_BACK}"


def nearest(word: str, known: Iterable[str]) -> str:
    """Suggestion `; did you mean X?`, or else all the known words."""
    names = tuple(known)
    return did_you_mean(word, names) or f", expected one of {', '.join(names)}"
