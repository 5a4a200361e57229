"""Checks spread over processes: each takes families that share answers, at one dtype."""

import functools
import itertools
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from impls.common.errors import UserError
from verify.checks import all_checks
from verify.golden import Problems
from verify.outcome import Outcome, Report, Subject
from verify.registry import DTYPES, FAMILIES, Check
from verify.runner import run
from verify.subjects import NotInstalled, describe, load_subject

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

# Families that look at the same steps of a subject are checked by the same process.
TOGETHER = (
    ("objective", "gradient", "training", "precision", "checkpoint", "cross"),
    ("official", "published"),
)
FEW = 20  # checks that are not worth the seconds in which a process starts
MOST = 8  # processes


class Part(NamedTuple):
    """What one process is given: names of checks, in their order, at one dtype."""

    checks: tuple[str, ...]
    dtype: Any


def num_processes(checks: Sequence[Check], *, long: bool = False) -> int:
    """How many processes to use for these checks: one for few, else one for each processor.

    Args:
        long: there are many cases, so that a few checks take long too.
    """
    if len(checks) < FEW and not long:
        return 1
    usable = getattr(os, "sched_getaffinity", lambda _pid: range(os.cpu_count() or 1))(0)
    return min(len(usable), MOST)


def run_spread(
    names: Sequence[str],
    checks: Sequence[Check],
    problems: Problems,
    *,
    dtypes: Sequence[Any] = DTYPES,
    processes: int = 1,
    skip_missing: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> Report:
    """Put subjects through checks, in several processes.

    Args:
        names: of subjects, see `load_subject`.
        skip_missing: leave out a subject whose framework is not installed, unless all are.
        progress: called with a line of text now and then.

    Raises:
        UserError: when a subject cannot be used, or a process ends before it has answered.
    """
    begin = time.perf_counter()
    parts = _parts(checks, dtypes)
    if processes == 1:
        modules, missing = load_subjects(names, skip_missing)
        report = Report(subjects=tuple(describe(name, module) for name, module in modules))
        for part in parts:
            _add(report, _run(part, modules, problems, progress))
    else:
        report, missing = _in_processes(names, parts, problems, processes, skip_missing, progress)
    _in_order(report, checks)
    report.notes = (*missing, *problems.notes)
    report.settings = dict(problems.settings)
    report.peak_bytes = max(report.peak_bytes, peak_bytes())
    report.num_processes = processes
    report.wall_seconds = time.perf_counter() - begin
    return report


def load_subjects(
    names: Sequence[str], skip_missing: bool
) -> tuple[list[tuple[str, ModuleType]], tuple[str, ...]]:
    """Modules by name, and a sentence for each that was left out.

    Raises:
        UserError: when one cannot be used, or none is installed.
    """
    modules, missing = [], []
    for name in names:
        try:
            module = load_subject(name)
            modules.append((module.__name__, module))
        except NotInstalled as error:
            if not skip_missing:
                raise
            missing.append(str(error))
    if missing and not modules:
        raise UserError(
            "; ".join(missing) + ': install one with pip install -e ".[jax]" or ".[torch]"'
        )
    return modules, tuple(f"not checked: {line}" for line in missing)


def peak_bytes() -> int:
    """Largest resident memory of this process so far; 0 where the system does not tell."""
    if resource is None:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _parts(checks: Sequence[Check], dtypes: Sequence[Any]) -> list[Part]:
    """The work in pieces, the longest first."""
    gathered = {family for group in TOGETHER for family in group}
    rest = tuple(family for family in FAMILIES if family not in gathered)
    parts = []
    for group, dtype in itertools.product((*TOGETHER, rest), dtypes):
        mine = tuple(check.name for check in checks if check.family in group)
        if mine:
            parts.append(Part(mine, dtype))
    return parts


def _run(
    part: Part,
    modules: list[tuple[str, ModuleType]],
    problems: Problems,
    progress: Callable[[str], None],
) -> Report:
    """One part in this process."""
    checks = [all_checks()[name] for name in part.checks]
    return run(modules, checks, problems.cases, problems.trainings, (part.dtype,), progress)


def _in_processes(
    names: Sequence[str],
    parts: list[Part],
    problems: Problems,
    processes: int,
    skip_missing: bool,
    progress: Callable[[str], None],
) -> tuple[Report, tuple[str, ...]]:
    # Frameworks have threads, which a forked process would lack: each starts afresh.
    context = multiprocessing.get_context("spawn")
    count = min(processes, len(parts))
    with ProcessPoolExecutor(
        count, context, _begin, (tuple(names), skip_missing, problems)
    ) as pool:
        futures: list[Future[Report]] = []
        try:
            described = pool.submit(_describe)
            futures = [pool.submit(_answer, part) for part in parts]
            subjects, missing = described.result()
            report = Report(subjects=subjects)
            for done, future in enumerate(as_completed(futures), start=1):
                _add(report, future.result())
                progress(f"{done} of {len(futures)} parts")
        except BrokenProcessPool:
            raise UserError(
                "a process that ran checks was ended (memory? a crash within a subject?): no"
                " outcome can be told; --processes 1 checks one after another and shows where"
            ) from None
        finally:
            for future in futures:
                future.cancel()
    return report, missing


_given: tuple[tuple[str, ...], bool, Problems]


def _begin(names: tuple[str, ...], skip_missing: bool, problems: Problems) -> None:
    """What a new process is told; it imports the subjects when it gets work."""
    global _given  # noqa: PLW0603  a process of the pool has no other memory
    _given = names, skip_missing, problems


@functools.cache
def _modules() -> tuple[list[tuple[str, ModuleType]], tuple[str, ...]]:
    return load_subjects(*_given[:2])


def _describe() -> tuple[tuple[Subject, ...], tuple[str, ...]]:
    modules, missing = _modules()
    return tuple(describe(name, module) for name, module in modules), missing


def _answer(part: Part) -> Report:
    report = _run(part, _modules()[0], _given[2], lambda _: None)
    report.peak_bytes = peak_bytes()
    return report


def _add(report: Report, part: Report) -> None:
    report.outcomes += part.outcomes
    for family, spent in part.seconds.items():
        report.seconds[family] = report.seconds.get(family, 0.0) + spent
    report.peak_bytes = max(report.peak_bytes, part.peak_bytes)


def _in_order(report: Report, checks: Sequence[Check]) -> None:
    """Outcomes and families as one process would have them."""
    order = {check.name: place for place, check in enumerate(checks)}
    subjects = {subject.name: place for place, subject in enumerate(report.subjects)}
    dtypes = {np.dtype(dtype).name: place for place, dtype in enumerate(DTYPES)}

    def key(outcome: Outcome) -> tuple[int, int, int]:
        subject = subjects.get(outcome.subject, len(subjects))
        return order[outcome.check], subject, dtypes[outcome.dtype]

    report.outcomes.sort(key=key)
    report.seconds = {
        family: report.seconds[family] for family in FAMILIES if family in report.seconds
    }
