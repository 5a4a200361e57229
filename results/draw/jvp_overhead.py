"""What the JVP costs: time of a step over that of another, by framework, beside the FLOPs."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter

from results.draw import style
from results.draw.style import Mark
from results.published import published
from results.schema import Record
from results.tables import ABSENT, COLUMNS, RATIOS, XLA, newest_overheads

# How the picture says what RATIOS says in the table; a ratio without words here keeps its own name.
WORDS = {
    "unguided sparse / flow matching": "MeanFlow",
    "unguided dense / flow matching": "JVP in every row",
    "unguided autodiff / flow matching": "torch.func.jvp",
    "guided sparse / guided dense": "JVP in every row",
    "guided sparse / guided autodiff": "torch.func.jvp",
    "guided sparse / guided official": "authors' step",
}
HEADS = {
    "unguided": "Without guidance, over flow matching",
    "guided": "Guided MeanFlow, over a guided step with",
}
MARKS = {**style.FRAMEWORKS, "PyTorch compiled": Mark("^", style.GREEN, 7.5)}
TICKS = (0.4, 0.5, 0.6, 0.8, 1.0, 1.25, 1.6, 2.0, 2.5, 3.0)


def draw(records: list[Record]) -> Figure:
    """A row for each ratio of the table jvp_overhead, under the head of what it is taken over."""
    newest = newest_overheads(records)
    lines: list[str] = []
    for of in RATIOS:
        head = of.split()[0]
        lines += [of] if head in lines else [head, of]
    height, top = 0.52, 0.62
    figure = style.canvas(top + height * len(lines) + 0.62)
    axes = style.panel(figure, 1.62, 0.15, len(lines), top, height)
    axes.set_xscale("log")
    axes.axvline(1, color=style.INK, linewidth=1.5)
    bounds = [1.0]
    for row, of in enumerate(lines):
        if of in HEADS:
            style.label(axes, 0.04, row + 0.15, HEADS[of], weight="bold")
        else:
            style.label(axes, 0.14, row, WORDS.get(of, of))
            bounds += _draw_row(axes, row, of, newest)
    _draw_paper(axes, [row for row, of in enumerate(lines) if of.endswith("/ flow matching")])
    axes.set_xlim(min(bounds) / 1.1, max(bounds) * 1.1)
    axes.xaxis.set_major_locator(FixedLocator(TICKS))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: f"{at:g}"))
    axes.xaxis.set_minor_locator(FixedLocator([]))
    axes.set_xlabel("ratio of seconds per step")
    entries: dict[str, Mark | Patch] = {**MARKS, "FLOPs (XLA)": style.TICK, "paper": PAPER}
    style.legend(figure, entries, 3, 0.06)
    return figure


PAPER = Mark("|", style.PURPLE, 13)


def _draw_row(
    axes: Axes, row: int, of: str, newest: dict[tuple[str, ...], Record]
) -> list[float]:
    """The marks of a ratio, one below the other; returns what the axis must hold."""
    absent = {title for form, titles in ABSENT.items() if form in of.split() for title in titles}
    shown = [title for title in COLUMNS if title not in absent]
    held: list[float] = []
    for place, title in enumerate(shown):
        at = row + 0.27 * (place - (len(shown) - 1) / 2)
        record = newest.get((*COLUMNS[title], "bench/step_time_ratio", of))
        if record is None or record.value is None:
            style.not_measured(axes, at, MARKS[title].color)
        else:
            style.point(axes, record.value, at, MARKS[title], record.interval)
            held += [record.value, *(record.interval or ())]
    flops = newest.get((*COLUMNS["JAX"], "bench/step_flops_ratio", of))
    if XLA not in absent and flops and flops.value:
        style.tick(axes, flops.value, row)
        held.append(flops.value)
    return held


def _draw_paper(axes: Axes, rows: list[int]) -> None:
    """The paper's ratio, through the rows that it may be held against."""
    (overhead,) = published("jvp_overhead")
    ends = (min(rows) - 0.5, max(rows) + 0.5)
    axes.plot((overhead.value,) * 2, ends, color=style.PURPLE, linewidth=2, linestyle=(0, (4, 2)))
