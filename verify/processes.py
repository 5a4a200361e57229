"""Checks in several processes: each runs families that share results, in one dtype."""

import itertools
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from verify.deviations import Deviations, mark, stale
from verify.golden import Problems
from verify.outcome import Outcome, Report, Subject
from verify.registry import DTYPES, FAMILIES, Check
from verify.signals import stopped_by_signals
from verify.workers import Done, Given, News, Part, judge, judge_in_processes, peak_bytes

# Families that share training steps of a subject run in the same process.
TOGETHER = (
    ("objective", "gradient", "training", "precision", "checkpoint", "cross"),
    ("official", "published"),
)
FEW = 20  # checks; for fewer, starting processes takes longer than it saves
MOST = 8  # processes


def num_processes(checks: Sequence[Check], *, long: bool = False) -> int:
    """Number of processes for these checks: one for few checks, else one per processor.

    Args:
        long: there are many cases, so that few checks take long too.
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
    known: Callable[[Sequence[Subject]], Deviations] = lambda _: {},
    progress: Callable[[Report], None] = lambda _: None,
) -> Report:
    """Report of checks on subjects, run in several processes.

    SIGINT (Ctrl-C) or SIGTERM ends the run; the report then holds the outcomes so far.

    Args:
        names: names of subjects, see `load_subject`.
        skip_missing: leave out a subject whose framework is not installed, unless all are.
        known: called with the subjects before the first check; returns their known deviations.
        progress: called after each outcome with the report so far.

    Raises:
        UserError: if a subject cannot be used, a process dies, or `known` raises it.
    """
    begin = time.perf_counter()
    parts, given = _parts(checks, dtypes), Given(tuple(names), skip_missing, problems)
    report = Report(
        notes=problems.notes, settings=dict(problems.settings), num_processes=processes,
        expected=_expected(parts, checks, len(names)),
    )  # fmt: skip

    deviations: Deviations = {}

    def hear(news: News) -> None:
        if isinstance(news, Outcome):
            report.outcomes.append(mark(news, deviations))
            progress(report)
        elif isinstance(news, Done):
            _add(report, news)
        elif not report.subjects:  # each process sends the same
            report.subjects, report.notes = news.subjects, (*news.missing, *problems.notes)
            report.expected = _expected(parts, checks, len(news.subjects))
            deviations.update(known(news.subjects))

    with stopped_by_signals(report):
        if processes == 1:
            judge(given, parts, hear)
        else:
            judge_in_processes(given, parts, processes, hear)
    _in_order(report, checks)
    if not report.stopped_by:
        report.stale = stale(report.outcomes, deviations)
    report.peak_bytes = max(report.peak_bytes, peak_bytes())
    report.wall_seconds = time.perf_counter() - begin
    return report


def _parts(checks: Sequence[Check], dtypes: Sequence[Any]) -> list[Part]:
    """Parts of the run that one process takes at a time, the longest first."""
    gathered = {family for group in TOGETHER for family in group}
    rest = tuple(family for family in FAMILIES if family not in gathered)
    parts = []
    for group, dtype in itertools.product((*TOGETHER, rest), dtypes):
        mine = tuple(check.name for check in checks if check.family in group)
        if mine:
            parts.append(Part(mine, dtype))
    return parts


def _expected(parts: Sequence[Part], checks: Sequence[Check], num_subjects: int) -> dict[str, int]:
    """Expected number of outcomes of each family."""
    families = {check.name: check.family for check in checks}
    counts: Counter[str] = Counter()
    for name in (name for part in parts for name in part.checks):
        family = families[name]
        counts[family] += math.comb(num_subjects, 2) if family == "cross" else num_subjects
    return counts


def _add(report: Report, done: Done) -> None:
    for family, spent in done.seconds.items():
        report.seconds[family] = report.seconds.get(family, 0.0) + spent
    report.peak_bytes = max(report.peak_bytes, done.peak_bytes)


def _in_order(report: Report, checks: Sequence[Check]) -> None:
    """Sort outcomes and families as a run in one process has them."""
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
