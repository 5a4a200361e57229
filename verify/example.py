"""Generated parts of the manual: output of the newest recorded run, and the table of checks."""

from results.compare import passes
from results.schema import Record
from results.tabulate.cells import NAMES
from results.tabulate.checks import DTYPES, PAIR, newest_run
from verify.checks import all_checks, sentences
from verify.outcome import FAIL, NOT_APPLICABLE, PASS, Outcome, Report
from verify.registry import Check
from verify.report import summary
from verify.table import table

SHOWN = ("jvp", "checkpoint", "official")  # families


def example(records: list[Record]) -> str:
    """Printed report of some families, and its last lines."""
    subjects = [*NAMES, PAIR.join(NAMES)]
    recorded = [record for subject in subjects for record in newest_run(records, subject)]
    report = Report([outcome for subject in subjects for outcome in _outcomes(recorded, subject)])
    for record in (record for record in records if record.date == recorded[0].date):
        kind, _, name = record.what.partition("/")
        if kind == "seconds":
            report.seconds[name] = record.value or 0.0
        elif kind == "run":
            report.num_processes = int(record.settings["processes"])
            if record.unit == "seconds":
                report.wall_seconds = record.value
            else:
                report.peak_bytes = int(record.value or 0)
    shown = [outcome for outcome in report.outcomes if outcome.family in SHOWN]
    shown.sort(key=lambda outcome: SHOWN.index(outcome.family))
    lines: list[str] = []
    for line in table(shown, [*NAMES], report).plain.splitlines():
        is_title = line.startswith(tuple(f"{family}  " for family in SHOWN[1:]))
        lines += ["..."] * is_title + [line]
    return "\n".join(("```text", *lines, "...", *summary(report), "```\n"))


def every_sentence(_records: list[Record]) -> str:
    """Table of every check and its sentence, by family."""
    lines = ["| family | check | states |", "|-|-|-|"]
    lines += [f"| {family} | `{name}` | {said} |" for family, name, said in sentences()]
    return "\n".join(lines) + "\n"


def _outcomes(recorded: list[Record], subject: str) -> list[Outcome]:
    """Outcomes of the recorded run in order; a check without a record was not applicable."""
    names = {record.what.rpartition("/")[2] for record in recorded}
    found = {
        (record.what.rpartition("/")[2], record.dtype): record
        for record in recorded
        if record.subject == subject
    }
    return [
        _outcome(check, subject, dtype, found.get((check.name, dtype)))
        for check in all_checks().values()
        for dtype in DTYPES
        if check.name in names and (check.family == "cross") == (PAIR in subject)
    ]


def _outcome(check: Check, subject: str, dtype: str, record: Record | None) -> Outcome:
    judged = (check.name, check.family, subject, dtype)
    if record is None:
        return Outcome(*judged, NOT_APPLICABLE, None, None, "")
    status = PASS if passes(record) else FAIL
    return Outcome(*judged, status, record.value, record.tolerance, record.detail)
