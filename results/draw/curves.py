"""Figure of training curves of presets: both frameworks, a line for each seed."""

from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from results.draw import style
from results.schema import Record
from results.tabulate.ablations import CURVES, DEFAULT
from results.tabulate.cells import NAMES

PRESET = DEFAULT
OTHERS = {"mnist": "MNIST"}  # presets with panels below, where they were measured -> their title
TITLES = ("Loss, with adaptive weights", "Squared distance of u from v")
PANELS = dict(zip(CURVES, TITLES, strict=True))  # quantity -> what heads its panel
HEIGHT, HEAD = 1.55, 0.36  # of a panel and of its title, in inches
STEPS = 0.5  # height of the labels of steps, below the panels of a preset, in inches
DIGITS = (1, 1.5, 2, 2.5, 3, 4, 5, 7)  # first digits of the ticks


class Curve(NamedTuple):
    """Curve of one run: means since the point before."""

    subject: str
    seed: str
    steps: list[int]
    values: list[float]


def curves(records: list[Record], what: str, preset: str = PRESET) -> list[Curve]:
    """Curves of a quantity by framework and seed, each of the run with the newest record."""
    runs: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        settings = record.settings
        is_point = record.what == what and record.value is not None and "training_step" in settings
        of_preset = settings.get("preset") == preset and "changes" not in settings
        if is_point and of_preset and record.subject in NAMES:
            runs.setdefault((record.subject, str(settings.get("training_seed"))), []).append(record)
    found = []
    for (subject, seed), run in sorted(runs.items()):
        code = _code(run[-1])
        points = {
            int(record.settings["training_step"]): record.value or 0.0
            for record in run
            if _code(record) == code
        }
        steps = sorted(points)
        found.append(Curve(subject, seed, steps, [points[step] for step in steps]))
    return found


def _code(record: Record) -> tuple[object, ...]:
    """What the points of one run share: code, configuration and number of training images."""
    return record.commit, record.config_hash, record.settings.get("num_images")


def draw(records: list[Record]) -> Figure:
    """Figure with a panel for each preset and quantity."""
    shown = [(PRESET, what, title) for what, title in PANELS.items()]
    for preset, name in OTHERS.items():
        if any(curves(records, what, preset) for what in PANELS):
            shown += [(preset, what, f"{title}: {name}") for what, title in PANELS.items()]
    top = 0.42
    between = STEPS * (len(shown) // len(PANELS) - 1)
    figure = style.canvas(top + (HEAD + HEIGHT) * len(shown) + between + 0.55)
    for place, (preset, what, title) in enumerate(shown, 1):
        axes = style.plane(figure, 0.95, 0.2, top + HEAD, HEIGHT, title)
        axes.set_ylabel(what.rpartition("/")[2])
        _draw_panel(axes, curves(records, what, preset))
        top += HEAD + HEIGHT
        if place % len(PANELS):
            axes.tick_params(axis="x", labelbottom=False)
        else:
            axes.set_xlabel("training step")
            top += STEPS
    lines = {name: mark.as_line() for name, mark in style.FRAMEWORKS.items()}
    style.legend(figure, lines, len(lines))
    return figure


def _draw_panel(axes: Axes, found: list[Curve]) -> None:
    axes.set_yscale("log")
    for curve in found:
        style.line(axes, curve.steps, curve.values, style.FRAMEWORKS[NAMES[curve.subject]])
    for place, (subject, name) in enumerate(NAMES.items()):
        if not any(curve.subject == subject for curve in found):
            axes.text(
                0.98, 0.82 - 0.2 * place, f"{name} not measured", style="italic",
                size=style.SMALL, ha="right", transform=axes.transAxes,
            )  # fmt: skip
    axes.set_xlim(left=0)
    style.ticks(axes.yaxis, LogLocator(subs=DIGITS) if found else ())
    if not found:
        style.ticks(axes.xaxis, ())
