"""Figure of digits: both scores by seed and framework, beside those of real digits."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from results.draw import style
from results.schema import Record
from results.tabulate.ablations import DISTANCE
from results.tabulate.cells import NAMES
from results.tabulate.small_images import ACCURACY, Runs, newest_scores

SCORES = {ACCURACY: "conditional accuracy (share)", DISTANCE: "digits Fréchet distance"}
REAL = "real digits"


def draw(records: list[Record]) -> Figure:
    """Figure with a row for each seed, a panel for each score."""
    runs = newest_scores(records, "digits")
    seeds = sorted({seed for subject, seed in runs if subject in NAMES})
    height, top, count = 0.62, 0.42, max(len(seeds), 1)
    figure = style.canvas(top + height * count + 0.6)
    for place, (what, title) in enumerate(SCORES.items()):
        left, right = (0.75, 3.2) if place == 0 else (3.05, 0.2)
        axes = style.panel(figure, left, right, count, top, height, "linear")
        axes.set_xlabel(title)
        _draw_score(axes, runs, what, seeds)
        for row, seed in enumerate(seeds if place == 0 else ()):
            style.label(axes, 0.04, row, f"seed {seed}")
    style.legend(figure, {**style.FRAMEWORKS, REAL: style.band_of_legend()}, 3)
    return figure


def _draw_score(axes: Axes, runs: Runs, what: str, seeds: list[str]) -> None:
    real = runs.get((REAL, ""), {}).get(what)
    if real and real.interval:
        style.band(axes, *real.interval)
        axes.axvline(real.value or 0, color=style.INK, linewidth=1.5)
    for row, seed in enumerate(seeds):
        for (subject, name), shift in zip(NAMES.items(), (-0.18, 0.18), strict=True):
            record = runs.get((subject, seed), {}).get(what)
            style.estimate(axes, record, row + shift, name)
    if not seeds:
        style.not_measured(axes, 0)
    style.share_limits([axes], real.interval if real and real.interval else (0.0, 1.0))
