"""Known deviations of a subject: intended failures, each with its reason.

They are listed in `deviations.toml` beside the subject's file:

    [[deviation]]
    check = "target_clips_the_interval"  # a check's name, or a pattern such as "guidance_*"
    reason = "t - r is in 0..1 by construction"
    dtype = "float32"                    # optional: in this dtype only
    link = "https://arxiv.org/abs/…"     # optional: a source

A failure that an entry names is known: it is shown with its reason, and does not fail the run.
Failures that follow from it are not excused: each needs an entry of its own. An entry without a
failure is stale, and fails the run.
"""

import fnmatch
import itertools
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from impls.common.errors import UserError, did_you_mean
from verify.checks import all_checks
from verify.outcome import FAIL, NOT_APPLICABLE, PAIR, Known, Outcome, Stale, Subject
from verify.registry import DTYPES
from verify.subjects import IMPLEMENTATIONS

NAME = "deviations.toml"
KINDS = tuple(np.dtype(dtype).name for dtype in DTYPES)


@dataclass(frozen=True)
class Deviation:
    """One entry of a file."""

    check: str  # name or shell pattern
    reason: str
    link: str = ""
    dtype: str = ""  # "": each
    file: Path = Path(NAME)

    def names(self, outcome: Outcome) -> bool:
        """True if the entry is about this check in this dtype."""
        named = fnmatch.fnmatchcase(outcome.check, self.check)
        return named and self.dtype in ("", outcome.dtype)


Deviations = dict[str, tuple[Deviation, ...]]  # subject -> entries
KEYS = tuple(key.name for key in fields(Deviation) if key.name != "file")


def of_subjects(subjects: Iterable[Subject], file: Path | None = None) -> Deviations:
    """Known deviations of each subject, from the given file or the one beside the subject's file.

    The project's own implementations have no known deviations.

    Raises:
        UserError: for an invalid file or entry, or a file given when no subject could use it.
    """
    theirs = [subject for subject in subjects if subject.name.split(".")[0] not in IMPLEMENTATIONS]
    if file and not theirs:
        raise UserError(f"{file} is for a subject of your own, and none is checked")
    found = {subject.name: file or _beside(subject) for subject in theirs}
    return {name: read(path) for name, path in found.items() if path}


def _beside(subject: Subject) -> Path | None:
    """Path of deviations.toml beside a subject's file, relative to the current folder."""
    file = Path(subject.file).parent / NAME
    if not subject.file or not file.exists():
        return None
    here = Path.cwd()
    return file.relative_to(here) if file.is_relative_to(here) else file


def read(file: Path) -> tuple[Deviation, ...]:
    """Entries of a file of known deviations.

    Raises:
        UserError: naming the file and the invalid entry.
    """
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:  # of TOML, or of UTF-8
        raise UserError(f"{file} is not valid TOML: {error}") from error
    _refuse_unknown(str(file), content, ("deviation",))
    entries = content.get("deviation", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UserError(f"{file}: deviation is not a list of tables: head each with [[deviation]]")
    found: dict[tuple[str, str], Deviation] = {}
    for number, entry in enumerate(entries, start=1):
        made = _deviation(f"{file}, entry {number}", entry, file)
        key = made.check, made.dtype
        if key in found:
            named = " ".join(filter(None, key))
            raise UserError(f"{file}, entry {number}: {named} has an earlier entry")
        found[key] = made
    return tuple(found.values())


def _deviation(where: str, entry: dict[str, Any], file: Path) -> Deviation:
    _refuse_unknown(where, entry, KEYS)
    for key, value in entry.items():
        if not isinstance(value, str):
            raise UserError(f"{where}: {key} is {value!r}, expected a string in quotes")
    for key in ("check", "reason"):
        if not entry.get(key, "").strip():
            raise UserError(f"{where} has no {key}")
    made = Deviation(**entry, file=file)
    if not _named(made):
        hint = did_you_mean(made.check, all_checks()) or ": meanflow verify --list names them"
        raise UserError(f"{where}: there is no check {made.check}{hint}")
    if made.dtype not in ("", *KINDS):
        raise UserError(f"{where}: dtype is {made.dtype!r}, expected {' or '.join(KINDS)}")
    return made


def _refuse_unknown(where: str, table: dict[str, Any], known: Sequence[str]) -> None:
    for key in table:
        if key not in known:
            hint = did_you_mean(key, known) or f": it may hold {', '.join(known)}"
            raise UserError(f"{where}: there is no key {key}{hint}")


def _named(entry: Deviation) -> set[str]:
    """Checks that an entry names; for a pattern, those that every run of one subject has."""
    found = [c for name, c in all_checks().items() if fnmatch.fnmatchcase(name, entry.check)]
    usual = {check.name for check in found if not check.full and check.family != "cross"}
    return usual or {check.name for check in found}


def _entries(outcome: Outcome, given: Deviations) -> list[Deviation]:
    """Entries of the subject, or of both subjects of a pair, about this outcome's check."""
    return [
        entry
        for subject in outcome.subject.split(PAIR)
        for entry in given.get(subject, ())
        if entry.names(outcome)
    ]


def mark(outcome: Outcome, given: Deviations) -> Outcome:
    """The outcome, marked as known if it is a failure and an entry names it (the first counts)."""
    entries = _entries(outcome, given) if outcome.status == FAIL else []
    if not entries:
        return outcome
    return replace(outcome, known=Known(entries[0].reason, entries[0].link or None))


def stale(outcomes: Sequence[Outcome], given: Deviations) -> tuple[Stale, ...]:
    """Stale entries: every check that they name was run in each of its dtypes, and none failed."""
    found = []
    for entry in dict.fromkeys(entry for entries in given.values() for entry in entries):
        about = [outcome for outcome in outcomes if entry in _entries(outcome, given)]
        ran = {(outcome.check, outcome.dtype) for outcome in about}
        named = set(itertools.product(_named(entry), [entry.dtype] if entry.dtype else KINDS))
        if not named <= ran or any(outcome.status == FAIL for outcome in about):
            continue
        passed = any(outcome.status != NOT_APPLICABLE for outcome in about)
        why = "it passes" if passed else f"it is not applicable: {about[0].detail}"
        subjects = tuple(name for name, entries in given.items() if entry in entries)
        found.append(Stale(entry.check, entry.dtype or None, str(entry.file), subjects, why))
    return tuple(found)
