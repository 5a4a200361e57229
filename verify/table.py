"""Tables of a report: a line for each check, a column for each dtype and subject.

Lines have at most 80 columns, and names are never shortened: --check takes a check's name.
"""

from collections.abc import Iterator
from itertools import groupby
from textwrap import wrap

from rich.text import Text

from verify.outcome import NOT_APPLICABLE, PAIR, PASS, Outcome, Report, tally

DTYPES = ("float64", "float32")
WIDTH = 80
NAME_WIDTH = 39  # of a check with the space before it; a longer one has a line to itself
ALLOW_WIDTH = 5
ALLOW = ""  # in place of a subject: the column of what is allowed

Column = tuple[str, str]  # dtype, and subject or ALLOW


def tables(outcomes: list[Outcome], report: Report, *, every: bool = True) -> Iterator[Text]:
    """Tables, one for each two subjects (or pairs) whose names fit side by side, or for each one.

    Args:
        every: include checks that are applicable to none of the subjects.
    """
    dtypes = [dtype for dtype in DTYPES if any(o.dtype == dtype for o in outcomes)]
    waiting = list(dict.fromkeys(outcome.subject for outcome in outcomes))
    while waiting:
        two = waiting[:2]
        shown = two if _longest(two) <= _most(dtypes, two) else two[:1]
        waiting = waiting[len(shown) :]
        rows = [outcome for outcome in outcomes if outcome.subject in shown]
        if every or _applicable(rows):
            yield table(rows, shown, report, every=every)


def table(
    outcomes: list[Outcome], subjects: list[str], report: Report, *, every: bool = True
) -> Text:
    """Errors by family and check, a column for each dtype and subject, and the tolerances."""
    dtypes = [dtype for dtype in DTYPES if any(o.dtype == dtype for o in outcomes)]
    columns = [(dtype, subject) for dtype in dtypes for subject in (*subjects, ALLOW)]
    width = min(_longest(subjects), _most(dtypes, subjects))
    widths = [width if subject else ALLOW_WIDTH for _, subject in columns]
    lines = _heading(columns, widths)
    for family, members in groupby(outcomes, key=lambda outcome: outcome.family):
        rows = list(members)
        names = dict.fromkeys(o.check for o in (rows if every else _applicable(rows)))
        if not names:
            continue
        took = f", {report.seconds[family]:.0f} s" if family in report.seconds else ""
        lines.append(Text(f"{family}  {tally(rows)}{took}", style="bold"))
        for name in names:
            found = {(o.dtype, o.subject): o for o in rows if o.check == name}
            lines += _row(f" {name}", _cells(found, columns), widths)
    return Text("\n").join(lines)


def _applicable(outcomes: list[Outcome]) -> list[Outcome]:
    return [outcome for outcome in outcomes if outcome.status != NOT_APPLICABLE]


def _longest(subjects: list[str]) -> int:
    """Width of the longest subject's name, or of a cell such as X3e-16."""
    return max(6, *(len(line) for subject in subjects for line in _lines(subject)))


def _most(dtypes: list[str], subjects: list[str]) -> int:
    """Largest width of a subject's column that fits beside names and tolerances."""
    rest = WIDTH - NAME_WIDTH - len(dtypes) * (1 + ALLOW_WIDTH)
    return rest // (len(dtypes) * len(subjects)) - 1


def _heading(columns: list[Column], widths: list[int]) -> list[Text]:
    """Heading: the dtypes, then the subjects in as many lines as their names need."""
    named = [
        [folded for line in _lines(subject) for folded in wrap(line, width)] or ["allow"]
        for (_, subject), width in zip(columns, widths, strict=True)
    ]
    height = max(map(len, named))
    bits = [f"{dtype[5:]} bit" if subject else "" for dtype, subject in columns]
    below = zip(*([""] * (height - len(lines)) + lines for lines in named), strict=True)
    heads = [*[""] * height, "check"]
    return [
        line
        for head, cells in zip(heads, [bits, *below], strict=True)
        for line in _row(head, [Text(cell) for cell in cells], widths)
    ]


def _lines(subject: str) -> list[str]:
    """Lines of a subject's heading: impls.meanflow_jax -> jax; two lines for a pair."""
    parts = [part.removeprefix("impls.").removeprefix("meanflow_") for part in subject.split(PAIR)]
    return [*(f"{part} ~" for part in parts[:-1]), *parts[-1:]] if subject else []


def _row(name: str, cells: list[Text], widths: list[int]) -> list[Text]:
    """Line of the table, after a line with the name alone if the name is too long."""
    above, line = [], Text(name.ljust(NAME_WIDTH))
    if len(name) > NAME_WIDTH:
        above, line = [Text(name)], Text(" " * NAME_WIDTH)
    for cell, width in zip(cells, widths, strict=True):
        line.append(" " * max(1, 1 + width - len(cell)))
        line.append_text(cell)
    line.rstrip()
    return [*above, line]


def _cells(found: dict[Column, Outcome], columns: list[Column]) -> list[Text]:
    """Cells of one check: the errors, and after each dtype the tolerance."""
    cells = []
    for dtype, subject in columns:
        if subject:
            cells.append(_cell(found.get((dtype, subject))))
            continue
        allowed = [o.tolerance for o in found.values() if o.dtype == dtype]
        largest = max((value for value in allowed if value is not None), default=None)
        cells.append(Text("" if largest is None else _number(largest), style="dim"))
    return cells


def _cell(outcome: Outcome | None) -> Text:
    if outcome is None:  # the run was interrupted before
        return Text("")
    if outcome.status == NOT_APPLICABLE:
        return Text("-", style="dim")
    number = "?" if outcome.error is None else _number(outcome.error)
    if outcome.status == PASS:
        return Text(number, style="green")
    if outcome.known:
        return Text(f"K{number}", style="yellow")
    return Text(f"X{number}", style="bold red")


def _number(value: float) -> str:
    """Five characters: 0, 3e-16, 1e+02, inf."""
    return "0" if value == 0 else f"{value:.0e}"
