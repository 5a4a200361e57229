"""Run checks on subjects and collect outcomes."""

import ctypes
import fnmatch
import itertools
import math
import os
import time
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import numpy as np

from impls.common.errors import UserError, did_you_mean
from verify import tolerances
from verify.cases import cases
from verify.checks import all_checks
from verify.compare import Error, at, badness
from verify.golden import GoldenCase, GoldenTraining
from verify.outcome import FAIL, NOT_APPLICABLE, PAIR, PASS, Outcome, Report
from verify.probe import Probe
from verify.registry import DTYPES, FAMILIES, Check, NotApplicable

Stored = TypeVar("Stored", GoldenCase, GoldenTraining)
ENOUGH = 13 * 10**8  # bytes of resident memory above which compiled programs are freed
NUM_PLACES = 5  # number of worst places that an outcome names


class UnknownCheckError(UserError):
    """Pattern that matches no check; the message is one sentence for the user."""


def select(patterns: Sequence[str], *, full: bool = True) -> list[Check]:
    """Checks whose name or family matches one of the shell patterns; all if there are no patterns.

    Args:
        full: include checks of the full run; a check given by name is always selected.

    Raises:
        UnknownCheckError: naming the pattern that matches nothing, and the nearest name.
    """
    checks = all_checks()
    chosen: set[str] = set()
    for pattern in patterns or ["*"]:
        by_name = set(fnmatch.filter(checks, pattern)) if patterns else set()
        families = fnmatch.filter(FAMILIES, pattern)
        found = {k for k, c in checks.items() if c.family in families and (full or not c.full)}
        if not found | by_name:
            hint = did_you_mean(pattern, [*checks, *FAMILIES]) or ": --list names them"
            raise UnknownCheckError(f"there is no check or family {pattern}{hint}")
        chosen |= found | by_name
    return [check for name, check in checks.items() if name in chosen]


def run(
    subjects: Iterable[tuple[str, ModuleType]],
    checks: Sequence[Check],
    golden: tuple[GoldenCase, ...],
    trainings: tuple[GoldenTraining, ...] = (),
    dtypes: Sequence[Any] = DTYPES,
    hear: Callable[[Outcome], None] = lambda _: None,
) -> Report:
    """Report of every check on every subject in every dtype, and of cross checks on pairs.

    Args:
        subjects: (name, module) pairs.
        hear: called with each outcome.
    """
    report, probes = Report(), []
    for (name, module), dtype in itertools.product(subjects, dtypes):
        stored = _stored_as(dtype, golden), _stored_as(dtype, trainings)
        probes.append((name, Probe(module, dtype, cases(), *stored)))
    pairs = [
        (f"{one}{PAIR}{other}", (p, q))
        for (one, p), (other, q) in itertools.combinations(probes, 2)
        if p.dtype == q.dtype
    ]
    for family, members in itertools.groupby(checks, key=lambda check: check.family):
        start = time.perf_counter()
        targets = pairs if family == "cross" else [(name, (p,)) for name, p in probes]
        for check, (name, arguments) in itertools.product(members, targets):
            report.outcomes.append(outcome_of(check, name, arguments))
            hear(report.outcomes[-1])
        _release(probe for _, probe in probes)
        spent = time.perf_counter() - start
        report.seconds[family] = report.seconds.get(family, 0.0) + spent
    return report


def _release(probes: Iterable[Probe]) -> None:
    """Free compiled programs if the process uses much memory; families share some of them."""
    if 0 < resident_bytes() < ENOUGH:
        return
    for probe in probes:
        probe.clear_caches()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim:  # the C library would keep freed memory
        trim(0)


def resident_bytes() -> int:
    """Resident memory of this process in bytes; 0 where the system does not report it."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGESIZE")


def _stored_as(dtype: Any, problems: tuple[Stored, ...]) -> tuple[Stored, ...]:
    """Problems whose official numbers were computed in this dtype; all of them if none were."""
    return tuple(problem for problem in problems if problem.dtype == dtype) or problems


def outcome_of(check: Check, name: str, probes: tuple[Probe, ...]) -> Outcome:
    """Outcome of a check on a subject, or on a pair of subjects, of this name."""
    for probe in probes:
        probe.returned.clear()
        probe.other_dtypes.clear()

    where = check.name, check.family, name, _dtype(probes[0])
    nothing = Outcome(*where, NOT_APPLICABLE, error=None, tolerance=None, detail="")
    try:
        found = _measure(check, probes)
        allowed = _tolerance(check, probes[0].dtype, found.error)
    except NotApplicable as reason:
        return replace(nothing, detail=str(reason))
    except KeyboardInterrupt:
        raise
    except BaseException as failure:  # noqa: BLE001  a subject may raise anything, SystemExit too
        said, frames = _brief(failure, probes), traceback.format_exc()
        judges = _returned(probes)
        return replace(nothing, status=FAIL, detail=said, judges=judges, traceback=frames)
    error, judges = found.error, _returned(probes)
    status = PASS if error <= allowed else FAIL  # a NaN fails
    detail = f"not a number: {error.where}" if math.isnan(error) else error.where
    if status == FAIL:
        detail = ": ".join(filter(None, (detail, error.entry)))
        for probe in probes:
            for function, got in probe.other_dtypes.items():
                detail += f"; {function} returned {got}, asked for {_dtype(probe)}"
    if found.unjudged:
        detail = "; ".join(filter(None, (detail, found.unjudged)))
    value = None if math.isnan(error) else float(error)
    return Outcome(*where, status, value, allowed, detail, judges, found.places)


def _returned(probes: tuple[Probe, ...]) -> tuple[str, ...]:
    """Functions of the protocol that were called and returned."""
    return tuple(sorted({name for probe in probes for name in probe.returned}))


@dataclass(frozen=True)
class _Found:
    error: Error  # the worst
    places: tuple[str, ...]  # the worst ones, in words
    unjudged: str  # how many problems were checked, and why not all; "" where all were


def _measure(check: Check, probes: tuple[Probe, ...]) -> _Found:
    """Worst of the errors that the check yields.

    Raises:
        NotApplicable: if the check is applicable to none of its problems.
    """
    _require_names(check, probes)
    found: list[Error] = []
    judged: set[str] = set()  # cases, or places of a check that is called once
    reasons: dict[str, str] = {}  # of those that were not: why
    for case, place, error in _errors(check, probes):
        if isinstance(error, NotApplicable):
            reasons[case or place] = str(error)
        elif isinstance(error, float | np.floating):
            found.append(at(f"{case} {place}".strip(), error))
            judged.add(case or place)
        else:
            raise TypeError(f"the check returned {error!r}, expected its worst error as a float")
    reason = next(iter(reasons.values()), "")
    if not found:
        raise NotApplicable(reason) if reasons else ValueError("the check compared nothing")
    found.sort(key=badness, reverse=True)
    places = tuple(f"{float(error):.2e} {error.where}" for error in found[:NUM_PLACES])
    count = f"{len(judged)} of {len(judged | set(reasons))} {'cases' if check.each else 'places'}"
    return _Found(found[0], places, f"checked {count} ({reason})" if reasons else "")


def _require_names(check: Check, probes: tuple[Probe, ...]) -> None:
    for probe in probes:
        missing = [
            need.replace("|", " or ")
            for need in check.needs
            if not any(probe.offers(name) for name in need.split("|"))
        ]
        if missing:
            raise NotApplicable(f"the subject offers no {', '.join(missing)}")


def _errors(check: Check, probes: tuple[Probe, ...]) -> Iterator[tuple[str, str, Any]]:
    """Tuples of the case's name, the place, and the error there or the reason why it is absent."""
    if not check.each:
        yield from (("", *answer) for answer in _answers(check.function(*probes)))
        return
    for problem in _problems(check, probes[0]):
        try:
            for place, error in _answers(check.function(*probes, problem)):
                yield problem.name, place, error
        except NotApplicable as reason:
            yield problem.name, "", reason


def _problems(check: Check, probe: Probe) -> list[Any]:
    given, absent = {
        "case": (probe.cases, ""),
        "golden": (probe.golden, "no golden folder was given"),
        "training": (probe.trainings, "the golden folder stores no training steps"),
    }[check.each]
    if absent and not given:
        raise NotApplicable(absent)
    chosen = [problem for problem in given if check.only(problem)]
    if not chosen:
        raise ValueError("no case has the settings that the check needs")
    return chosen


def _answers(answer: Any) -> Iterator[tuple[str, Any]]:
    return answer if isinstance(answer, Generator) else iter([("", answer)])


def _tolerance(check: Check, dtype: Any, error: Error) -> float:
    if check.exact:
        return 0.0
    given = error.tolerance or check.allow
    return given if given is not None else tolerances.tolerance(check.like, dtype)[0]


def worst_error(check: Check, *probes: Probe) -> Error | None:
    """Worst error of a check; None if it is not applicable or has a tolerance of its own."""
    try:
        error = _measure(check, probes).error
    except NotApplicable:
        return None
    return error if error.tolerance is None else None


def _dtype(probe: Probe) -> str:
    return str(np.dtype(probe.dtype).name)


def _brief(failure: BaseException, probes: tuple[Probe, ...]) -> str:
    """Exception in one line, with the innermost line of the subject's code."""
    text = " ".join(str(failure).split())[:200]
    said = ": ".join(filter(None, (f"raised {type(failure).__name__}", text)))
    homes = [Path(file) for probe in probes if (file := probe.file)]
    folders = [home.parent if home.name == "__init__.py" else home for home in homes]
    for frame in reversed(traceback.extract_tb(failure.__traceback__)):
        if any(Path(frame.filename).is_relative_to(folder) for folder in folders):
            return f"{said} ({Path(frame.filename).name}:{frame.lineno} in {frame.name})"
    return said
