"""Table of verify's results: by family, the check nearest to its tolerance."""

import math
from collections.abc import Iterable

from results.compare import origin, passes
from results.schema import Record
from results.tabulate.cells import NAMES, Cell, Piece, Said, Table, code, marked, plain

DTYPES = ("float64", "float32")
PAIR = " ~ "  # between the names of two subjects


def verify(records: list[Record]) -> Table:
    """Table of checks by family: worst error and its share of the tolerance, newest run."""
    found = [record for run in newest_runs(records).values() for record in run]
    columns = [(dtype, subject) for dtype in DTYPES for subject in NAMES]
    titles = [f"{dtype}, {NAMES[subject]}" for dtype, subject in columns]
    lines: list[list[Cell]] = []
    for family in sorted({family_of(record) for record in found}):
        rows = [record for record in found if family_of(record) == family]
        cells = [
            _worst([r for r in rows if r.dtype == dtype and subject in r.subject.split(PAIR)])
            for dtype, subject in columns
        ]
        nearest = max(rows, key=share)
        name = code(nearest.what.rpartition("/")[2])
        near = Said(name, (nearest,)) if nearest.value else ""
        lines.append([plain(family), _num_checks(rows), *cells, near])
    lines.append(["all", _num_checks(found)])
    return Table(["family", "checks", *titles, "nearest to its tolerance"], lines, [_about(found)])


def newest_runs(records: list[Record]) -> dict[str, list[Record]]:
    """Newest run of each subject: both frameworks, then the pairs that were compared."""
    pairs = sorted({record.subject for record in records if PAIR in record.subject})
    return {subject: newest_run(records, subject) for subject in (*NAMES, *pairs)}


def newest_run(records: Iterable[Record], subject: str) -> list[Record]:
    """Records of a subject's newest complete run on the stored cases."""
    runs: dict[str, list[Record]] = {}
    for record in records:
        is_live = "official_settings" in record.settings  # the authors' code
        if record.what.startswith("verify/") and record.subject == subject and not is_live:
            runs.setdefault(record.date, []).append(record)
    size = lambda date: (len({family_of(record) for record in runs[date]}), date)  # noqa: E731
    return runs[max(runs, key=size)] if runs else []


def family_of(record: Record) -> str:
    """Family of a check: verify/FAMILY/CHECK."""
    return record.what.split("/")[1]


def share(record: Record) -> float:
    """Error as a share of its tolerance; infinite for a check that failed without a value."""
    if record.value == 0 and record.tolerance is not None:
        return 0.0
    return record.value / record.tolerance if record.value and record.tolerance else math.inf


def _worst(rows: list[Record]) -> Piece:
    """Worst error with its share of the tolerance; `exact` if every error is 0."""
    if not rows:
        return ""
    rows = sorted(rows, key=share, reverse=True)
    worst = rows[0]
    if not all(passes(record) for record in rows):
        return marked("fails", *rows)
    if not worst.value:
        return marked("exact", *rows)
    return marked(f"{worst.value:.1g}, {100 * share(worst):.0f} %", *rows)


def _num_checks(rows: list[Record]) -> Piece:
    count = str(len({record.what for record in rows}))
    return Said(count, tuple(rows)) if rows else count


def _about(found: list[Record]) -> Cell:
    """Date, commit and machine of the run, and the number of checks that pass."""
    if not found:
        return "No run is recorded."
    passed = sum(passes(record) for record in found)
    origins = dict.fromkeys(plain(origin(record)) for record in found)
    return Said(f"{passed} of {len(found)} pass", tuple(found)), f" ({'; '.join(origins)})."
