"""Reports of a run: text (tables of 80 columns), JSON for scripts, and records."""

import datetime as dt
import json
import signal
from dataclasses import asdict
from operator import attrgetter
from pathlib import Path
from typing import Any

from rich.console import Console

from impls.common.environment import environment
from impls.files.writing import writable, write_whole
from results.schema import Record, append, record_file
from verify.coverage import judged, not_applicable
from verify.failures import blocks, stale_lines
from verify.outcome import FAIL, NOT_APPLICABLE, PASS, Outcome, Report, tally
from verify.stages import causes
from verify.table import tables

FORMAT = 1
NOT_IN_JSON = ("judges", "places", "traceback")


def print_report(
    report: Report, console: Console, *, verbose: bool = False, tracebacks: bool = False
) -> None:
    """Print tables by family, every failure with its place, and the functions that were checked.

    Args:
        verbose: print every check that was not applicable, and several of the worst places of each
            failure.
        tracebacks: print the whole traceback of each exception in a subject.
    """
    console.print(
        "Worst error of each check, with the largest that is allowed. Errors are relative\n"
        "to the largest entry of the sample or tensor, against the float64 reference,\n"
        "unless the check's sentence says otherwise (meanflow verify --list). Exact\n"
        "checks allow 0. X marks a failure, K a known deviation.",
        style="dim",
    )
    for crossed in (False, True):
        rows = [o for o in report.outcomes if (o.family == "cross") == crossed]
        for table in tables(rows, report, every=verbose):
            console.print(table)
    for line in not_applicable(report, verbose=verbose):
        console.print(line, style="dim", markup=False)
    for block in blocks(report, verbose=verbose, tracebacks=tracebacks):
        console.print(block)
    console.print()
    notices = (notice for subject in report.subjects for notice in subject.notices)
    said = (*report.notes, *notices, *partly_judged(report), *stale_lines(report))
    for line in (*said, *summary(report, verbose=verbose)):
        console.print(line, markup=False)


def partly_judged(report: Report) -> list[str]:
    """Lines, one for each check that passed but was not applicable to some of its cases."""
    passed = (outcome for outcome in report.outcomes if outcome.status == PASS)
    said = ((f"{o.check} ({o.subject})", o.detail.split("; ")[-1]) for o in passed)
    return [*dict.fromkeys(f"{who}: {how}" for who, how in said if how.startswith("checked "))]


def summary(report: Report, *, verbose: bool = False) -> list[str]:
    """Lines: the result of each subject and pair, the functions checked, the cost of the run."""
    lines = []
    following = causes(report.unexpected)
    for name in dict.fromkeys(outcome.subject for outcome in report.outcomes):
        rows = [outcome for outcome in report.outcomes if outcome.subject == name]
        count = len({outcome.check for outcome in rows})
        num_stale = sum(name in entry.subjects for entry in report.stale)
        lines.append(f"{_verdict(report, rows, num_stale)}  {name}: {count} checks, {tally(rows)}")
        followers = sum((o.check, o.subject, o.dtype) in following for o in rows)
        lines[-1] += f"; {followers} failures follow from others" if followers else ""
        lines[-1] += f"; {num_stale} stale" if num_stale else ""
    for subject in report.subjects:
        lines += judged(report, subject, verbose=verbose)
    if report.stopped_by:
        lines.append(stopped(report))
    return [*lines, *_cost(report)]


def _verdict(report: Report, rows: list[Outcome], num_stale: int) -> str:
    if num_stale or any(row.status == FAIL and not row.known for row in rows):
        return FAIL.upper()
    if all(row.status == NOT_APPLICABLE for row in rows):
        return NOT_APPLICABLE
    return "incomplete" if report.stopped_by else PASS


def stopped(report: Report) -> str:
    """Line for a run that a signal ended early."""
    count = len(report.outcomes)
    name = signal.Signals(report.stopped_by).name
    return f"stopped by {name} after {count} of {count + report.num_missing} checks"


def _cost(report: Report) -> list[str]:
    """Line with the time and memory of the run, as far as they are known."""
    seconds = sum(report.seconds.values()) if report.wall_seconds is None else report.wall_seconds
    if not seconds:
        return []
    said = [f"{seconds:.0f} seconds"]
    if report.peak_bytes:
        said.append(f"at most {report.peak_bytes / 1e9:.1f} GB of memory per process")
    if report.num_processes > 1:
        said.append(f"{report.num_processes} processes")
    return [", ".join(said)]


def write_json(report: Report, path: Path) -> None:
    """Write the run as JSON: format, environment, outcomes, checked functions, seconds per family.

    A known deviation has the key `known`; stale entries are listed under `stale`. If the run was
    interrupted, `complete` is false and `num_missing` counts the outcomes that are missing.

    Raises:
        UserError: if the file cannot be written; its previous content is then kept.
    """
    content: dict[str, Any] = {
        "format": FORMAT,
        "environment": environment(),
        "outcomes": [_plain(outcome) for outcome in report.outcomes],
        "judged": {subject.name: report.judged(subject.name) for subject in report.subjects},
        "seconds": report.seconds,
        "notes": report.notes,
        "complete": not report.stopped_by,
        "num_missing": report.num_missing,
        "stale": [asdict(entry) for entry in report.stale],
    }
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    with writable(path):
        write_whole(path, text.encode())


def _plain(outcome: Outcome) -> dict[str, Any]:
    """Outcome as a JSON object; an infinite error becomes null, and its detail says so."""
    left_out = NOT_IN_JSON if outcome.known else (*NOT_IN_JSON, "known")
    plain = {key: value for key, value in asdict(outcome).items() if key not in left_out}
    if outcome.error is not None and outcome.error == float("inf"):
        plain |= {"error": None, "detail": f"infinite: {outcome.detail}"}
    return plain


def write_records(report: Report, folder: Path) -> Path:
    """Append a record for each applicable outcome, and records of the time spent.

    A known deviation is recorded as a failure, with its reason in the detail.
    """
    now = dt.datetime.now(dt.UTC)
    where = {
        "settings": report.settings, "date": now.isoformat(timespec="seconds"), **environment(),
    }  # fmt: skip
    applicable = [outcome for outcome in report.outcomes if outcome.status != NOT_APPLICABLE]
    records = [
        Record(
            subject=outcome.subject, what=f"verify/{outcome.family}/{outcome.check}",
            value=outcome.error, unit="1", tolerance=outcome.tolerance, detail=_detail(outcome),
            dtype=outcome.dtype, **where,
        )
        for outcome in sorted(applicable, key=attrgetter("subject", "family", "check", "dtype"))
    ]  # fmt: skip
    records += [
        Record(subject="verify", what=f"seconds/{family}", value=spent, unit="seconds", **where)
        for family, spent in report.seconds.items()
    ]
    where["settings"] = report.settings | {"processes": report.num_processes}
    cost = (("seconds", report.wall_seconds), ("bytes", float(report.peak_bytes)))
    records += [
        Record(subject="verify", what=f"run/{unit}", value=value, unit=unit, **where)
        for unit, value in cost
        if value
    ]
    path = record_file(folder, "verify", now.isoformat())
    append(records, path)
    return path


def _detail(outcome: Outcome) -> str:
    known = f"known: {outcome.known.reason}" if outcome.known else ""
    return "; ".join(filter(None, (outcome.detail, known)))
