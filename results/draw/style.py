"""Style of all figures, and rendering to reproducible bytes.

The background is transparent, the colours are those of the palette, always with a shape or a dash
too. Missing measurements have no mark but words in italics. Sizes are in inches
of a canvas WIDTH wide: on a page of 800 pixels text is 18 of them high, on a phone 8.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, Locator, NullLocator

from results.draw.palette import PALETTE
from results.schema import Record
from results.tabulate.cells import NAMES

WIDTH = 6.0
INK = PALETTE["ink"].both
SMALL = 9.0
BAND = 0.3  # opacity of a range
MIDDLE = "center_baseline"  # how text stands in its row
STYLE = {
    "font.family": ["DejaVu Sans"],  # of matplotlib itself, which looks there first
    "font.size": 10.0,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "figure.dpi": 200,
    "savefig.dpi": 200,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.minor.size": 0,
    "svg.fonttype": "path",
    "svg.hashsalt": "meanflow",  # names of clips and glyphs; random otherwise
}
NO_METADATA: dict[str, Any] = {"Date": None, "Creator": None, "Format": None, "Type": None}


Side = Literal["left", "right"]
Dash = Literal["-", "--", ":"]


class Mark(NamedTuple):
    """Mark of a subject: a shape, or without one a line of its dash."""

    marker: str
    color: str
    size: float = 7.5
    hollow: bool = False
    dash: Dash = "-"

    def as_line(self) -> "Mark":
        """Mark of the same subject as a curve."""
        return self._replace(marker="")


JAX, TORCH = NAMES.values()
PUBLISHED, OTHERS = PALETTE["published"].both, PALETTE["others"].both
SUBJECTS = {
    JAX: Mark("o", PALETTE[JAX].both),
    TORCH: Mark("s", PALETTE[TORCH].both, 7, dash="--"),
    "PyTorch compiled": Mark("X", PALETTE[TORCH].both),
    "JAX to PyTorch": Mark("D", INK, 6.5),
    "paper": Mark("^", PUBLISHED, dash=":"),
    "official README": Mark("v", PUBLISHED),
    "official checkpoint": Mark("*", PUBLISHED, 11),
    "others": Mark("P", OTHERS),
}
FRAMEWORKS = {name: SUBJECTS[name] for name in (JAX, TORCH)}


def render(draw: Callable[[list[Record]], Figure], records: list[Record]) -> bytes:
    """Figure as SVG, the same bytes for the same records."""
    buffer = io.BytesIO()
    with style.context(["default", STYLE]):
        draw(records).savefig(buffer, format="svg", metadata=NO_METADATA)
    return buffer.getvalue()


def canvas(height: float) -> Figure:
    """Empty figure, WIDTH by height."""
    return Figure(figsize=(WIDTH, height))


def panel(
    figure: Figure,
    left: float,
    right: float,
    rows: float,
    top: float,
    row_height: float,
    scale: str = "log",
) -> Axes:
    """Axes whose row k has its middle at y = k, the first one on top.

    Args:
        left, right, top: distances from the edges of the canvas, in inches.
        rows: number of rows.
        row_height: in inches.
        scale: of the lower axis.
    """
    axes = plane(figure, left, right, top, rows * row_height)
    axes.set_xscale(scale)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(visible=False, axis="y")
    return axes


def plane(
    figure: Figure, left: float, right: float, top: float, tall: float, title: str = ""
) -> Axes:
    """Axes of two quantities; distances from the edges of the canvas, and height, in inches."""
    width, height = figure.get_size_inches()
    axes = figure.add_axes(
        (left / width, 1 - (top + tall) / height, (width - left - right) / width, tall / height)
    )
    axes.spines[["right", "top"]].set_visible(False)
    axes.grid(color=INK, alpha=0.25, linewidth=0.8)
    axes.set_axisbelow(True)
    if title:
        axes.set_title(title, loc="left", size=10, weight="bold")
    return axes


def label(axes: Axes, inches: float, row: float, text: str, **changes: Any) -> None:
    """Draw the label of a row, at a distance from the left edge of the canvas."""
    box = axes.get_position()
    at = (inches / WIDTH - box.x0) / box.width
    axes.text(at, row, text, transform=axes.get_yaxis_transform(), va=MIDDLE, **changes)


def point(
    axes: Axes, at: float, row: float, mark: Mark, interval: tuple[float, float] | None = None
) -> None:
    """Draw an estimate, with its interval as a line."""
    if interval:
        axes.plot(interval, (row, row), color=mark.color, linewidth=2, solid_capstyle="butt")
    axes.add_line(_symbol(mark, at, row))
    axes.update_datalim([(at, row)])


def estimate(
    axes: Axes, record: Record | None, row: float, subject: str, empty: Side = "right"
) -> None:
    """Draw the value of a record with its interval, or that the subject has none.

    Args:
        empty: the end of the row without marks.
    """
    if record is None or record.value is None:
        not_measured(axes, row, subject, empty)
    else:
        point(axes, record.value, row, SUBJECTS[subject], record.interval)


def line(axes: Axes, x: Sequence[float], y: Sequence[float], mark: Mark, **changes: Any) -> None:
    """Draw a thin curve."""
    axes.plot(x, y, color=mark.color, linestyle=mark.dash, linewidth=1, alpha=0.85, **changes)


def tick(axes: Axes, at: float, row: float, size: float, zorder: float = 1) -> None:
    """Draw a reference value: a line across its row, `size` points high, behind the marks."""
    axes.add_line(_symbol(TICK._replace(size=size), at, row)).set_zorder(zorder)
    axes.update_datalim([(at, row)])


def band(axes: Axes, low: float, high: float) -> None:
    """Draw a reference range through all rows."""
    axes.axvspan(low, high, color=INK, alpha=BAND, linewidth=0)


def band_of_legend() -> Patch:
    """Reference range for the legend."""
    return Patch(color=INK, alpha=BAND, linewidth=0)


def ticks(
    axis: Axis, places: Sequence[float] | Locator, words: Callable[[float], str] = "{:g}".format
) -> None:
    """Set the ticks of an axis."""
    axis.set_major_locator(places if isinstance(places, Locator) else FixedLocator(places))
    axis.set_major_formatter(FuncFormatter(lambda at, _: words(at)))
    axis.set_minor_locator(NullLocator())


def power(at: float) -> str:
    """Power of ten as a short label."""
    return "1" if at == 1 else f"{at:.0e}".replace("e-0", "e-")


def at_end(
    axes: Axes, row: float, text: str, side: Side = "right", va: str = MIDDLE, **changes: Any
) -> None:
    """Draw text of a row at an end of its axes."""
    place, at = axes.get_yaxis_transform(), 1 if side == "right" else 0.01
    axes.text(at, row, text, size=SMALL, ha=side, va=va, transform=place, **changes)


def not_measured(axes: Axes, row: float, what: str = "", side: Side = "right") -> None:
    """Draw the text of a row without a record."""
    at_end(axes, row, f"{what} not measured".strip(), side, style="italic")


def share_limits(panels: Sequence[Axes], values: Sequence[float]) -> None:
    """Set one range for all panels, which includes every mark and these values."""
    marked = [axes.dataLim for axes in panels if axes.dataLim.width >= 0]
    low, high = [*values, *(box.x0 for box in marked)], [*values, *(box.x1 for box in marked)]
    for axes in panels:
        scale = axes.xaxis.get_transform()
        start, end = scale.transform([min(low), max(high)])
        room = 0.05 * (end - start)
        axes.set_xlim(*scale.inverted().transform([start - room, end + room]))


def legend(figure: Figure, entries: Mapping[str, Mark | Patch], columns: int) -> None:
    """Draw the legend of the marks above the panels."""
    marks = entries.values()
    handles = [mark if isinstance(mark, Patch) else _symbol(mark, 0, 0) for mark in marks]
    height = figure.get_size_inches()[1]
    figure.legend(
        handles, list(entries), ncols=columns, loc="upper left", frameon=False, borderaxespad=0,
        bbox_to_anchor=(0.005, 1 - 0.06 / height), handletextpad=0.4, columnspacing=1.4,
        handlelength=1.4, borderpad=0,
    )  # fmt: skip


TICK = Mark("|", INK, 13)


def _symbol(mark: Mark, at: float, row: float) -> Line2D:
    if not mark.marker:
        return Line2D([at], [row], linestyle=mark.dash, linewidth=2, color=mark.color)
    return Line2D(
        [at], [row], linestyle="", marker=mark.marker, markersize=mark.size, color=mark.color,
        markerfacecolor="none" if mark.hollow else mark.color,
        markeredgewidth=1.6 if mark.hollow or mark.marker == "|" else 0.4,
    )  # fmt: skip
