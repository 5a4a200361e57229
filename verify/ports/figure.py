"""Figure of a diagnosis: times and weights that were observed, beside the official laws."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from impls.files.writing import writable, write_whole
from results.draw import style
from results.draw.palette import PALETTE
from verify.ports.diagnosis import Diagnosis, Observed
from verify.ports.laws.densities import density, law
from verify.ports.observation import Array, Draws, Weighted
from verify.ports.settings import OFFICIAL, Settings

HEIGHT, GAP, TOP = 2.0, 0.95, 0.75  # of a panel, between two, and above the first, in inches
LEFT, MIDDLE = 0.8, 3.55  # left edges of the two columns
NUM_BINS, NUM_TIMES, NUM_LOGITS = 40, 400, 2000
PORT = style.Mark("", PALETTE["others"].both)
AUTHORS = style.Mark("", PALETTE["published"].both, dash="--")


def write_figure(diagnosis: Diagnosis, observed: Sequence[Observed], path: Path) -> None:
    """Write the figure as SVG.

    Raises:
        UserError: if the file cannot be written.
    """
    official = OFFICIAL[diagnosis.preset]
    content = style.render(lambda _: draw(observed, official), [])
    with writable(path):
        write_whole(path, content)


def draw(observed: Sequence[Observed], official: Settings) -> Figure:
    """Figure with three panels for each loss: t, r where r < t, and the weight."""
    each = 2 * (HEIGHT + GAP)
    figure = style.canvas(TOP + each * max(1, len(observed)))
    for number, seen in enumerate(observed):
        top = TOP + each * number
        t, r = times(seen.draws) if seen.draws else (np.zeros(0), np.zeros(0))
        grid = (np.arange(NUM_TIMES) + 0.5) / NUM_TIMES
        laws = density(official, grid), density_of_r(official, grid)
        titles = f"{seen.loss}: t", f"{seen.loss}: r where r < t"
        for left, title, values, theirs in zip((LEFT, MIDDLE), titles, (t, r), laws, strict=True):
            right = style.WIDTH - left - 2.35
            axes = style.plane(figure, left, right, top, HEIGHT, title)
            draw_times(axes, values, grid, theirs)
        axes = style.plane(figure, LEFT, 0.2, top + HEIGHT + GAP, HEIGHT, f"{seen.loss}: weight")
        draw_weight(axes, seen.weighted, official)
    style.legend(figure, {"the port": PORT, "the authors' code": AUTHORS}, 2)
    return figure


def times(draws: Draws) -> tuple[Array, Array]:
    """Times t of all rows, and r of the rows with r < t: two lists of numbers."""
    seen = np.isfinite(draws.t) & np.isfinite(draws.r)
    t, r = draws.t[seen], draws.r[seen]
    return t, r[r < t - 1e-6]


def density_of_r(official: Settings, r: Array) -> Array:
    """Density of r in rows with r < t: the joint density over t, with t = sigmoid(n)."""
    joint = law(official)
    n = np.linspace(-15, 15, NUM_LOGITS)
    t = 1 / (1 + np.exp(-n))
    step = t * (1 - t) * (n[1] - n[0])  # dt
    both = np.exp(joint.log_unequal(t[:, None], r[None, :]))
    found: Array = step @ both / ((1 - joint.share) * joint.unmasked_below)
    return found


def draw_times(axes: Axes, values: Array, grid: Array, official: Array) -> None:
    """Draw a histogram of times, and the official density."""
    axes.set_xlim(0, 1)
    axes.set_xlabel("time (1 is noise)")
    if len(values):
        axes.hist(values, bins=NUM_BINS, range=(0, 1), density=True, color=PORT.color, alpha=0.5)
    else:
        _absent(axes)
    style.line(axes, grid.tolist(), official.tolist(), AUTHORS)
    axes.set_ylim(bottom=0)


def draw_weight(axes: Axes, weighted: Sequence[Weighted], official: Settings) -> None:
    """Draw each row's weight against its squared error, and the official law.

    The gradient at an answer is (2 / B) w (u - target), so w is B / 2 times what was observed.
    """
    axes.set_xlabel("squared error s, summed over pixels")
    axes.set_ylabel("weight")
    points = [
        (error, abs(weight) * len(seen.weight) / 2, seen.num_pixels)
        for seen in weighted
        for error, weight in zip(seen.squared_error, seen.weight, strict=True)
        if np.isfinite(error) and np.isfinite(weight) and error > 0 and weight != 0
    ]
    if not points:
        _absent(axes)
        return
    s, w, num_pixels = np.array(sorted(points)).T
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.plot(s, w, "o", color=PORT.color, markersize=4, alpha=0.6)
    if official.reduction == "mean":
        for size in np.unique(num_pixels):
            mine = s[num_pixels == size]
            theirs = law_of_weight(official, mine / size) / size
            style.line(axes, mine.tolist(), theirs.tolist(), AUTHORS)
    else:
        style.line(axes, s.tolist(), law_of_weight(official, s).tolist(), AUTHORS)
    for axis in (axes.xaxis, axes.yaxis):
        style.ticks(axis, LogLocator(subs=(1, 2, 5)), "{:.3g}".format)


def law_of_weight(official: Settings, s: Array) -> Array:
    """Official weight 1 / (s + norm_eps)^norm_p."""
    found: Array = (s + official.norm_eps) ** -official.norm_p
    return found


def _absent(axes: Axes) -> None:
    axes.text(
        0.5, 0.5, "not observed", style="italic", size=style.SMALL, ha="center",
        transform=axes.transAxes,
    )  # fmt: skip
