"""Run checks on subjects and collect outcomes."""

from __future__ import annotations

import fnmatch
import itertools
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, TypeVar

import numpy as np

import reference
from impls.common.errors import UserError, did_you_mean
from verify import tolerances
from verify.cases import cases
from verify.compare import Error
from verify.golden import GoldenCase, GoldenTraining
from verify.probe import Probe
from verify.registry import DTYPES, FAMILIES, Check, NotApplicable, all_checks

Stored = TypeVar("Stored", GoldenCase, GoldenTraining)
PASS, FAIL, NOT_APPLICABLE = "pass", "fail", "n/a"


@dataclass(frozen=True)
class Outcome:
    """What one check found on one subject (or pair) at one dtype."""

    check: str
    family: str
    subject: str
    dtype: str
    status: str  # "pass", "fail" or "n/a"
    error: float | None  # worst error; None when n/a or when the check could not finish
    tolerance: float | None
    detail: str  # where the worst error lies, or the reason


@dataclass
class Report:
    """Every outcome of a run, with the seconds that each family took."""

    outcomes: list[Outcome] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()  # where the cases come from, in sentences
    settings: dict[str, int | float | str] = field(default_factory=dict)  # the same, for records

    @property
    def failed(self) -> list[Outcome]:
        """Outcomes that are failures."""
        return [outcome for outcome in self.outcomes if outcome.status == FAIL]


class UnknownCheckError(UserError):
    """A pattern that matches no check; the message is one sentence for the user."""


def select(patterns: Sequence[str]) -> list[Check]:
    """Checks whose name or family matches one of the patterns (shell style); all for none.

    Raises:
        UnknownCheckError: naming the pattern that matches nothing, and the nearest name.
    """
    checks = all_checks()
    chosen: set[str] = set()
    for pattern in patterns:
        found = {
            name
            for name, check in checks.items()
            if fnmatch.fnmatch(name, pattern) or fnmatch.fnmatch(check.family, pattern)
        }
        if not found:
            hint = did_you_mean(pattern, [*checks, *FAMILIES]) or ": --list names them"
            raise UnknownCheckError(f"there is no check or family {pattern}{hint}")
        chosen |= found
    return [check for name, check in checks.items() if not patterns or name in chosen]


def run(
    subjects: Iterable[tuple[str, ModuleType]],
    checks: Sequence[Check],
    golden: tuple[GoldenCase, ...],
    trainings: tuple[GoldenTraining, ...] = (),
    dtypes: Sequence[Any] = DTYPES,
    progress: Callable[[str], None] = lambda _: None,
) -> Report:
    """Put every subject through every check at every dtype; pairs through the cross checks.

    Args:
        subjects: (name, module) pairs.
        progress: called with a line of text before each check.
    """
    report = Report()
    probes = [
        (
            name,
            Probe(module, dtype, cases(), _stored_as(dtype, golden), _stored_as(dtype, trainings)),
        )
        for name, module in subjects
        for dtype in dtypes
    ]
    pairs = [
        (f"{one} ~ {other}", (p, q))
        for (one, p), (other, q) in itertools.combinations(probes, 2)
        if p.dtype == q.dtype
    ]
    for check in checks:
        start = time.perf_counter()
        targets = pairs if check.family == "cross" else [(name, (p,)) for name, p in probes]
        for name, arguments in targets:
            progress(f"{check.family}: {check.name} ({name}, {_dtype(arguments[0])})")
            report.outcomes.append(_outcome(check, name, arguments))
        spent = time.perf_counter() - start
        report.seconds[check.family] = report.seconds.get(check.family, 0.0) + spent
    return report


def _stored_as(dtype: Any, problems: tuple[Stored, ...]) -> tuple[Stored, ...]:
    """Problems whose official numbers were computed in this dtype; all where none were."""
    return tuple(problem for problem in problems if problem.dtype == dtype) or problems


def _outcome(check: Check, name: str, probes: tuple[Probe, ...]) -> Outcome:
    dtype = _dtype(probes[0])

    def outcome(status: str, error: float | None, allowed: float | None, detail: str) -> Outcome:
        return Outcome(check.name, check.family, name, dtype, status, error, allowed, detail)

    try:
        error = _call(check, probes)
        allowed = _tolerance(check, probes[0].dtype, error)
    except NotApplicable as reason:
        return outcome(NOT_APPLICABLE, None, None, str(reason))
    except Exception as failure:  # noqa: BLE001  a subject may raise anything; that is a finding
        return outcome(FAIL, None, None, _brief(failure))
    status = PASS if error <= allowed else FAIL  # a NaN fails
    if math.isnan(error):
        return outcome(status, None, allowed, f"not a number: {error.where}")
    return outcome(status, float(error), allowed, error.where)


def _call(check: Check, probes: tuple[Probe, ...]) -> Error:
    for probe in probes:
        missing = [need for need in check.needs if not probe.offers(need)]
        if missing:
            raise NotApplicable(f"the subject offers no {', '.join(missing)}")
    error = check.function(*probes)
    if not isinstance(error, (float, np.floating)):
        raise TypeError(f"the check returned {error!r}, expected its worst error as a float")
    return error if isinstance(error, Error) else Error(float(error))


def _tolerance(check: Check, dtype: Any, error: Error) -> float:
    if check.exact:
        return 0.0
    if error.tolerance is not None:
        return error.tolerance
    return tolerances.tolerance(check.like, dtype)[0]


def distances() -> dict[str, dict[str, tuple[float, str]]]:
    """The reference as its own subject: check -> dtype -> (error, where), for the tolerances.

    A cross check is measured between the reference in float32 and in float64.
    """
    found: dict[str, dict[str, tuple[float, str]]] = {}
    wide, narrow = (Probe(reference, dtype, cases()) for dtype in DTYPES)
    for check in all_checks().values():
        if (
            check.exact
            or check.like != check.name
            or not all(wide.offers(need) for need in check.needs)
        ):
            continue
        is_cross = check.family == "cross"
        for arguments in [(narrow, wide)] if is_cross else [(wide,), (narrow,)]:
            try:
                error = _call(check, arguments)
            except NotApplicable:
                continue
            if error.tolerance is None:
                at = found.setdefault(check.name, {})
                at[_dtype(arguments[0])] = (float(error), error.where)
    return found


def _dtype(probe: Probe) -> str:
    return str(np.dtype(probe.dtype).name)


def _brief(failure: Exception) -> str:
    """The exception in one line."""
    text = " ".join(str(failure).split())
    return f"raised {type(failure).__name__}: {text[:200]}"
