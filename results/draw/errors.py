"""Figure of the error nearest to its tolerance in each family of checks, in both dtypes."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from results.compare import passes
from results.draw import style
from results.draw.style import Mark
from results.schema import Record
from results.tabulate.cells import NAMES
from results.tabulate.checks import PAIR, family_of, newest_run, share

ZERO, LARGEST = 1e-18, 40.0  # where an error of exactly zero stands; the end of the axis
TICKS = (ZERO, 1e-16, 1e-12, 1e-8, 1e-4, 1.0)
RADIUS = 1.9  # of a mark, as a factor on this axis
PRECISIONS = {"float64": 5.5, "float32": 10.0}  # sizes: a dot fits into a ring
BOTH = PAIR.join(NAMES)
SUBJECTS = {**NAMES, BOTH: "JAX to PyTorch"}
OF_A_LAW = "follow_their_laws"  # ends the names of checks whose error is a statistic of a law

Errors = dict[tuple[str, str, str], Record]


def worst_errors(records: list[Record]) -> Errors:
    """(family, subject, precision) -> the record nearest to its tolerance, of the newest run.

    Families come in alphabetical order.
    """
    found: Errors = {}
    for subject in SUBJECTS:
        for record in sorted(newest_run(records, subject), key=share):
            found[family_of(record), subject, record.dtype] = record
    return dict(sorted(found.items()))


def draw(records: list[Record]) -> Figure:
    """Figure with a row for each family: error, and a line from it to its tolerance."""
    errors = worst_errors(records)
    families = list(dict.fromkeys(family for family, _, _ in errors)) or ["every family"]
    height, top = 0.44, 0.62
    figure = style.canvas(top + height * len(families) + 0.8)
    axes = style.panel(figure, 1.25, 0.2, len(families), top, height)
    axes.set_xlim(ZERO / 6, LARGEST)
    for row, family in enumerate(families):
        of_a_law = any(OF_A_LAW in r.what for key, r in errors.items() if key[0] == family)
        style.label(axes, 0.04, row, family + (" *" if of_a_law else ""))
        _draw_family(axes, row, family, errors)
    style.ticks(axes.xaxis, TICKS, _power)
    axes.set_xlabel(
        "relative error, of the check nearest to its tolerance"
        "\n* distance from a law, not a relative error"
    )
    entries = {
        **{name: style.SUBJECTS[name] for name in SUBJECTS.values()},
        "float64": Mark("o", style.INK, PRECISIONS["float64"]),
        "float32": Mark("o", style.INK, PRECISIONS["float32"], hollow=True),
        "tolerance": style.TICK,
    }
    style.legend(figure, entries, 3)
    return figure


def _draw_family(axes: Axes, row: int, family: str, errors: Errors) -> None:
    pairs = any(key[:2] == (family, BOTH) for key in errors)
    subjects = [BOTH] if pairs else list(NAMES)
    for place, subject in enumerate(subjects):
        at = row + 0.38 * (place - (len(subjects) - 1) / 2)
        name, mark = SUBJECTS[subject], style.SUBJECTS[SUBJECTS[subject]]
        found = {dtype: errors.get((family, subject, dtype)) for dtype in PRECISIONS}
        # A precision in which no subject has an error is one that the family's checks leave out.
        left_out = {n for n in found if not any((family, s, n) in errors for s in SUBJECTS)}
        left_out = left_out if len(left_out) == 1 else set()
        missing = [n for n, record in found.items() if record is None and n not in left_out]
        if missing:
            style.not_measured(axes, at, " ".join((name, *(missing if len(missing) == 1 else ()))))
        for dtype, record in found.items():
            if record is not None:
                sized = mark._replace(size=PRECISIONS[dtype], hollow=dtype == "float32")
                _draw_error(axes, at, sized, record)


def _draw_error(axes: Axes, row: float, mark: Mark, record: Record) -> None:
    """Draw an error, its tolerance and a line between them; or that it failed without an error."""
    allowed = record.tolerance or 0.0
    if not passes(record):
        style.at_end(axes, row, "fails", color=mark.color, weight="bold")
    if record.value is not None:
        error, end = (min(max(value, ZERO), LARGEST) for value in (record.value, allowed))
        if end > RADIUS * error:
            axes.plot((RADIUS * error, end), (row, row), color=style.INK, linewidth=1, zorder=1)
        style.tick(axes, end, row, 10, zorder=3 if end > error else 1)
        style.point(axes, error, row, mark)


def _power(at: float) -> str:
    return "0" if at == ZERO else style.power(at)
