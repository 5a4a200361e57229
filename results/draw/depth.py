"""Figure of rounding error by depth: u, du/dt and gradient in each precision and framework."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from results.draw import style
from results.schema import Record
from results.tabulate.cells import NAMES

WHAT = "bench/relative_error"
PANELS = ("u", "du/dt", "gradient")
PRECISIONS = ("float64", "float32", "bfloat16")
HEIGHT, WIDTH, GAP = 2.3, 1.48, 0.2  # of a panel and between two, in inches
DECADES = (1e-16, 1e-12, 1e-8, 1e-4, 1.0)

Errors = dict[tuple[str, str, str], dict[int, float]]  # (subject, quantity, precision) -> by depth


def newest_errors(records: list[Record]) -> Errors:
    """Newest error of each quantity, precision and depth, on CPUs."""
    found: Errors = {}
    for record in records:
        if record.what == WHAT and record.value is not None and record.device == "cpu":
            settings = record.settings
            key = record.subject, str(settings["quantity"]), str(settings["precision"])
            found.setdefault(key, {})[int(settings["depth"])] = record.value
    return found


def draw(records: list[Record]) -> Figure:
    """Figure with a panel for each quantity."""
    found, top, left = newest_errors(records), 0.78, 0.85
    depths = sorted({depth for errors in found.values() for depth in errors})
    figure = style.canvas(top + HEIGHT + 0.55)
    for place, quantity in enumerate(PANELS):
        begin = left + place * (WIDTH + GAP)
        axes = style.plane(figure, begin, style.WIDTH - begin - WIDTH, top, HEIGHT, quantity)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_ylim(DECADES[0], DECADES[-1])
        style.ticks(axes.xaxis, depths, "{:.0f}".format)
        style.ticks(axes.yaxis, DECADES if found else (), style.power)
        axes.tick_params(labelleft=place == 0)
        _draw_panel(axes, quantity, found)
        axes.set_xlabel("number of blocks")
        if place == 0:
            axes.set_ylabel("relative error")
    style.legend(figure, style.FRAMEWORKS, 2)
    return figure


def _draw_panel(axes: Axes, quantity: str, found: Errors) -> None:
    for subject, size in zip(NAMES, (6, 4), strict=True):
        mark = style.FRAMEWORKS[NAMES[subject]]
        for precision in PRECISIONS:
            errors = found.get((subject, quantity, precision), {})
            if errors:
                depths, values = zip(*sorted(errors.items()), strict=True)
                style.line(axes, depths, values, mark, marker=mark.marker, markersize=size)
    for precision in PRECISIONS:
        errors_of_both = (found.get((subject, quantity, precision), {}) for subject in NAMES)
        highest = max((value for errors in errors_of_both for value in errors.values()), default=0)
        if highest:
            style.at_end(axes, 6 * highest, precision, va="baseline")
    if not found:
        style.not_measured(axes, 1e-8)
