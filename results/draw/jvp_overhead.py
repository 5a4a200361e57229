"""Figure of JVP overhead: time of a step over that of another, by framework, and FLOPs."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from results.draw import style
from results.published import published
from results.schema import Record
from results.tabulate.jvp_overhead import ABSENT, COLUMNS, RATIOS, XLA, newest_overheads

# Labels of the ratios in the figure; a ratio without a label here keeps its own name.
WORDS = {
    "unguided sparse / flow matching": "as trained",
    "unguided dense / flow matching": "JVP in every row",
    "unguided autodiff / flow matching": "torch.func.jvp",
    "guided sparse / guided dense": "JVP in every row",
    "guided sparse / guided autodiff": "torch.func.jvp",
    "guided sparse / guided official": "authors' step",
}
HEADS = {  # first word of a ratio -> what heads its rows
    "unguided": "Step without guidance / flow matching",
    "guided": "Guided step as trained / another form",
}
PAPER = style.SUBJECTS["paper"].as_line()
TICKS = (0.4, 0.5, 0.6, 0.8, 1.0, 1.25, 1.6, 2.0, 2.5, 3.0)

Newest = dict[tuple[str, ...], Record]


def draw(records: list[Record]) -> Figure:
    """Figure with a row for each ratio of the table jvp_overhead, in a panel for each baseline."""
    newest = newest_overheads(records)
    (paper,) = published("jvp_overhead")
    height, top, head = 0.52, 0.5, 0.4
    figure = style.canvas(top + height * len(RATIOS) + head * len(HEADS) + 0.62)
    panels: list[Axes] = []
    for first, words in HEADS.items():
        ratios = [of for of in RATIOS if of.split()[0] == first]
        axes = style.panel(figure, 1.62, 0.15, len(ratios), top + head, height)
        top += head + height * len(ratios)
        style.label(axes, 0.04, -0.75, words, weight="bold")
        axes.axvline(1, color=style.INK, linewidth=1.5)
        for row, of in enumerate(ratios):
            style.label(axes, 0.14, row, WORDS.get(of, of))
            _draw_row(axes, row, of, newest)
        panels.append(axes)
    panels[0].axvline(paper.value, color=PAPER.color, linewidth=2, linestyle=PAPER.dash, zorder=1)
    style.share_limits(panels, [0.5, 2.0, paper.value])
    for axes in panels:
        style.ticks(axes.xaxis, TICKS)
    panels[0].tick_params(axis="x", length=0, labelbottom=False)
    panels[0].spines["bottom"].set_visible(False)
    panels[-1].set_xlabel("ratio of seconds per step, or of FLOPs")
    marks = {title: style.SUBJECTS[title] for title in COLUMNS}
    marks |= {"FLOPs (XLA)": style.TICK, f"paper, {paper.value:.2f}": PAPER}
    style.legend(figure, marks, 3)
    return figure


def _draw_row(axes: Axes, row: int, of: str, newest: Newest) -> None:
    """Draw the marks of a ratio, one below the other."""
    absent = {title for form, titles in ABSENT.items() if form in of.split() for title in titles}
    shown = [title for title in COLUMNS if title not in absent]
    for place, title in enumerate(shown):
        at = row + 0.27 * (place - (len(shown) - 1) / 2)
        record = newest.get((*COLUMNS[title], "bench/step_time_ratio", of))
        # What is added makes a step longer than flow matching, what is left out shorter.
        empty: style.Side = "left" if of.startswith("unguided") else "right"
        style.estimate(axes, record, at, title, empty)
    flops = newest.get((*COLUMNS["JAX"], "bench/step_flops_ratio", of))
    if XLA not in absent and flops and flops.value:
        style.tick(axes, flops.value, row, 31)
