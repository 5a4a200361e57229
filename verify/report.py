"""What a run found, for people (tables of 80 columns), for scripts (JSON) and for the archive."""

import datetime as dt
import json
import signal
from collections import Counter
from dataclasses import asdict
from operator import attrgetter
from pathlib import Path
from textwrap import wrap
from typing import Any

from rich.console import Console
from rich.text import Text

from impls.common.environment import environment
from impls.files.writing import writable, write_whole
from results.schema import Record, append, record_file
from verify.checks import all_checks
from verify.outcome import FAIL, NOT_APPLICABLE, PAIR, PASS, Outcome, Report, Subject, tally
from verify.stages import causes
from verify.subjects import BORDER, PROTOCOL
from verify.table import WIDTH, tables

FORMAT = 1
NOT_IN_JSON = ("judges", "places", "traceback")


def print_report(
    report: Report, console: Console, *, verbose: bool = False, tracebacks: bool = False
) -> None:
    """Tables by family, then every failure with its place, then what was judged.

    Args:
        verbose: name several of the worst places of each failure.
        tracebacks: print the whole traceback of a check that an exception ended.
    """
    console.print(
        "Worst error of each check, with the largest that is allowed. Errors are relative\n"
        "to the largest entry of the sample or tensor, against the float64 reference,\n"
        "unless the check's sentence says otherwise (meanflow verify --list). Exact\n"
        "checks allow 0.",
        style="dim",
    )
    for crossed in (False, True):
        for table in tables(
            [o for o in report.outcomes if (o.family == "cross") == crossed], report
        ):
            console.print(table)
    absent = Counter(o.detail for o in report.outcomes if o.status == NOT_APPLICABLE)
    for reason, count in absent.items():
        console.print(f"n/a {count} x: {reason}", style="dim", markup=False)
    _print_failures(report, console, verbose, tracebacks)
    console.print()
    notices = (notice for subject in report.subjects for notice in subject.notices)
    for line in (*report.notes, *notices, *partly_judged(report), *summary(report)):
        console.print(line, markup=False)


def _print_failures(report: Report, console: Console, verbose: bool, tracebacks: bool) -> None:
    """Failures with what they say; those that follow from others are only named."""
    following = causes(report.failed)
    followers: dict[str, list[str]] = {}
    for outcome in report.failed:
        cause = following.get((outcome.check, outcome.subject, outcome.dtype))
        if cause:
            line = f"{outcome.check} ({outcome.subject}, {outcome.dtype})"
            followers.setdefault(cause, []).append(line)
            continue
        console.print(_failure(outcome, verbose))
        if tracebacks and outcome.traceback:
            console.print(outcome.traceback, markup=False)
    for cause, lines in followers.items():
        console.print(Text(f"\nFAIL {len(lines)} more, which follow from {cause}:", style="red"))
        for line in lines:
            console.print(Text(f"     {line}", style="dim"))


def partly_judged(report: Report) -> list[str]:
    """A line for each check that passed but judged only some of its cases."""
    passed = (outcome for outcome in report.outcomes if outcome.status == PASS)
    said = ((f"{o.check} ({o.subject})", o.detail.split("; ")[-1]) for o in passed)
    return [*dict.fromkeys(f"{who}: {how}" for who, how in said if how.startswith("judged "))]


def _failure(outcome: Outcome, verbose: bool) -> Text:
    error = "" if outcome.error is None else f" error {outcome.error:.2e}"
    allowed = "" if outcome.tolerance is None else f", allowed {outcome.tolerance:.2e}"
    lines = [f"FAIL {outcome.check} ({outcome.subject}, {outcome.dtype}){error}{allowed}"]
    if outcome.check in all_checks():
        lines.append(all_checks()[outcome.check].sentence)
    lines += [outcome.detail, *(outcome.places[1:] if verbose else ())]
    return Text("\n" + "\n     ".join(lines), style="red")


def summary(report: Report) -> list[str]:
    """One line per subject and pair, what of them was judged, and what the run took."""
    lines = []
    following = causes(report.failed)
    for name in dict.fromkeys(outcome.subject for outcome in report.outcomes):
        rows = [outcome for outcome in report.outcomes if outcome.subject == name]
        count = len({outcome.check for outcome in rows})
        statuses = {outcome.status for outcome in rows}
        verdict = FAIL.upper() if FAIL in statuses else PASS if PASS in statuses else NOT_APPLICABLE
        if report.stopped_by and verdict == PASS:
            verdict = "incomplete"
        lines.append(f"{verdict}  {name}: {count} checks, {tally(rows)}")
        followers = sum((o.check, o.subject, o.dtype) in following for o in rows)
        if followers:
            lines[-1] += f"; {followers} failures follow from others"
    for subject in report.subjects:
        lines += judged(report, subject)
    if report.stopped_by:
        lines.append(stopped(report))
    return [*lines, *_cost(report)]


def stopped(report: Report) -> str:
    """How a run ended that did not come to its end."""
    count = len(report.outcomes)
    name = signal.Signals(report.stopped_by).name
    return f"stopped by {name}: {count} of {count + report.num_missing} judged, the others not"


def judged(report: Report, subject: Subject) -> list[str]:
    """Which functions of a subject were judged and which were not, in lines of 80 columns."""
    names = report.judged(subject.name)
    if not names and report.stopped_by:
        return [f"nothing of {subject.name} was judged before the run was stopped"]
    if not names:
        return wrap(f"nothing of {subject.name} was judged: {missing(report, subject)}", WIDTH)
    needed = {need for o in report.outcomes for need in _needs(o.check)}
    rest = [name for name in PROTOCOL if name in needed and name not in names]
    if not rest:
        return [f"judged of {subject.name}: every function that these checks need"]
    text = f"judged of {subject.name}: {', '.join(names)}; not: {', '.join(rest)}"
    return wrap(text, WIDTH, subsequent_indent="    ")


def missing(report: Report, subject: Subject) -> str:
    """What a subject would have to offer for some check to judge it."""
    short = {
        tuple(need for need in _needs(outcome.check) if need not in subject.offers)
        for outcome in report.outcomes
    }
    sets = sorted((names for names in short if names), key=lambda names: (len(names), names))
    if not sets:
        reasons = (o.detail for o in report.outcomes if subject.name in o.subject.split(PAIR))
        return next(filter(None, reasons), "no function of it was called")
    few = [" and ".join(names) for names in sets if len(names) == len(sets[0])]
    offered = ", ".join(name for name in subject.offers if name not in BORDER) or "nothing else"
    return f"it offers {offered}, and would have to offer {', or '.join(few[:8])}"


def _needs(check: str) -> tuple[str, ...]:
    """Functions that a check needs beside the border, the first of alternatives."""
    found = all_checks().get(check)
    needs = (need.split("|")[0] for need in found.needs) if found else ()
    return tuple(need for need in needs if need not in BORDER)


def _cost(report: Report) -> list[str]:
    """Seconds and memory of the run, as far as they are known."""
    seconds = sum(report.seconds.values()) if report.wall_seconds is None else report.wall_seconds
    if not seconds:
        return []
    said = [f"{seconds:.0f} seconds"]
    if report.peak_bytes:
        said.append(f"at most {report.peak_bytes / 1e9:.1f} GB of memory a process")
    if report.num_processes > 1:
        said.append(f"{report.num_processes} processes")
    return [", ".join(said)]


def write_json(report: Report, path: Path) -> None:
    """The run as JSON: format, environment, outcomes, what was judged, seconds per family.

    Of a run that was stopped, `complete` is false and `num_missing` says how many outcomes lack.

    Raises:
        UserError: when the disk refuses; what stood in the file stays.
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
    }
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    with writable(path):
        write_whole(path, text.encode())


def _plain(outcome: Outcome) -> dict[str, Any]:
    """JSON has no infinity: an infinite error becomes null, and its detail says so."""
    plain = {key: value for key, value in asdict(outcome).items() if key not in NOT_IN_JSON}
    if outcome.error is not None and outcome.error == float("inf"):
        plain |= {"error": None, "detail": f"infinite: {outcome.detail}"}
    return plain


def write_records(report: Report, folder: Path) -> Path:
    """Append a record for each outcome, but for what is not applicable, and the seconds spent."""
    now = dt.datetime.now(dt.UTC)
    where = {
        "settings": report.settings, "date": now.isoformat(timespec="seconds"), **environment(),
    }  # fmt: skip
    applicable = [outcome for outcome in report.outcomes if outcome.status != NOT_APPLICABLE]
    records = [
        Record(
            subject=outcome.subject, what=f"verify/{outcome.family}/{outcome.check}",
            value=outcome.error, unit="1", tolerance=outcome.tolerance, detail=outcome.detail,
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
