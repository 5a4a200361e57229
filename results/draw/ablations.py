"""Figure of the paper's ablations on digits: distance and one-step samples of each setting."""

import math
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from results.draw import style
from results.draw.samples import NUM_LABELS, SAMPLES, label_columns, pictures, pixels
from results.published import Published, published
from results.schema import Record
from results.tabulate.ablations import DEFAULT, GROUPS, Runs, mean, measured, setting_of
from results.tabulate.cells import NAMES

TICKS = (2, 3, 5, 10, 20, 50, 100)
STRIP = 1.85  # width of a row of samples, in inches


def draw(records: list[Record], folder: Path = SAMPLES) -> Figure:
    """Figure with a row for each setting of Table 1 (a) to (e), and samples of JAX."""
    found = measured(records)
    rows: list[tuple[str, Published | None]] = []
    for group, title in GROUPS.items():
        rows += [(title, None), *(("", number) for number in published(group))]
    height, top = 0.25, 0.62
    figure = style.canvas(top + height * len(rows) + 0.5)
    axes = style.panel(figure, 2.0, STRIP + 0.2, len(rows), top, height)
    shown: dict[str, Path] = {}
    for run, paths in pictures(folder).items():  # of several seeds, the first
        if "jax" in paths:
            shown.setdefault(run.name, paths["jax"])
    strips: list[Axes] = []
    for row, (title, number) in enumerate(rows):
        if number is None:
            style.label(axes, 0.04, row, title, weight="bold", size=style.SMALL)
            continue
        style.label(axes, 0.16, row, setting_of(number).text, size=style.SMALL)
        style.label(axes, 1.92, row, number.printed, ha="right", size=style.SMALL)
        runs = [found.get((subject, str(number.small)), {}) for subject in NAMES]
        _draw_row(axes, row, runs)
        path = shown.get(str(number.small).replace("/", "_"))
        if path:
            strips.append(_draw_strip(figure, path, top + height * row, height))
    for axes_of_first in strips[:1]:
        label_columns(axes_of_first, 1.15)
    for inches, text in ((1.92, "FID, paper"), (style.WIDTH - 0.1, "JAX, one step, by label")):
        style.label(axes, inches, -0.9, text, ha="right", style="italic", size=style.SMALL)
    style.share_limits([axes], [TICKS[0], TICKS[-1]])
    style.ticks(axes.xaxis, TICKS)
    for subject, mark in zip(NAMES, style.FRAMEWORKS.values(), strict=True):
        default = found.get((subject, DEFAULT), {})
        if default and math.isfinite(mean(default)):
            axes.axvline(mean(default), color=mark.color, linestyle=mark.dash, linewidth=0.8)
    axes.set_xlabel("digits Fréchet distance")
    default_line = style.Mark("", style.INK)
    style.legend(figure, {**style.FRAMEWORKS, "mean of the default preset": default_line}, 3)
    return figure


def _draw_row(axes: Axes, row: int, measured: list[Runs]) -> None:
    """Draw the mean over seeds, and a line from the lowest to the highest; or why there is none."""
    absent: dict[str, str] = {}
    of_frameworks = zip(measured, style.FRAMEWORKS.items(), (-0.16, 0.16), strict=True)
    for runs, (name, mark), shift in of_frameworks:
        values = [record.value for record in runs.values() if record.value is not None]
        if values and len(values) == len(runs):
            bounds = min(values), max(values)
            small = mark._replace(size=5)
            style.point(axes, float(np.mean(values)), row + shift, small, bounds)
        else:
            absent[name] = "not finite" if runs else "not measured"
    reasons = set(absent.values())
    if len(absent) == len(measured) and len(reasons) == 1:
        style.at_end(axes, row, reasons.pop(), style="italic")
    elif absent:
        said = ", ".join(f"{name} {reason}" for name, reason in absent.items())
        style.at_end(axes, row, said, style="italic")


def _draw_strip(figure: Figure, path: Path, top: float, height: float) -> Axes:
    """Draw the first row of a grid of samples."""
    picture = pixels(path)
    side = picture.shape[1] // NUM_LABELS + 1
    axes = style.plane(figure, style.WIDTH - STRIP - 0.1, 0.1, top + 0.03, height - 0.06)
    axes.set_axis_off()
    axes.imshow(picture[:side], interpolation="none", aspect="auto")
    return axes
