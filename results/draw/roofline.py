"""Roofline figure of steps compiled for TPUs: FLOPs per byte, below what each chip allows there.

    attainable FLOP/s = min(peak, bandwidth * FLOPs / byte)

Nothing is measured: FLOPs and bytes are the compiler's counts, peaks and bandwidths published.
"""

from collections.abc import Mapping
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from results.draw import style
from results.draw.style import INK, PUBLISHED, Mark
from results.schema import Record
from results.tabulate.compiled import is_compiled

MARKS = {  # form of the step -> its name and mark
    "flow matching": ("flow matching", Mark("o", INK)),
    "unguided sparse": ("no guidance", Mark("s", INK, 6.5)),
    "unguided dense": ("no guidance, dense", Mark("X", INK, 8)),
    "guided sparse": ("guided", Mark("D", INK, 6.5)),
    "guided dense": ("guided, dense", Mark("P", INK, 8)),
    "guided official": ("authors' step", Mark("^", PUBLISHED)),
}
ON_ROOF = Mark("o", INK, 3.5)
LOW = "bfloat16"
TITLE = "Compiled for TPUs, not run: no measurements"
LEFT, RIGHT, TALL, ROW, TOP = 1.55, 0.75, 2.7, 0.6, 0.95  # inches
FLOPS_PER_BYTE = (8.0, 1024.0)
TICKS = (8, 16, 32, 64, 128, 256, 512, 1024)
TERA = 1e12


class Roof(NamedTuple):
    """Published peak and memory bandwidth of a chip."""

    title: str
    flops: float  # FLOP/s
    bandwidth: float  # byte/s

    @property
    def ridge(self) -> float:
        """FLOPs per byte from which on arithmetic is the bound, not memory."""
        return self.flops / self.bandwidth

    def attainable(self, flops_per_byte: float) -> float:
        """FLOP/s of a step that does so many for each byte, at most."""
        return min(self.flops, self.bandwidth * flops_per_byte)


class Network(NamedTuple):
    """Chip, network and batch: a row of the figure."""

    chip: str
    model: str
    batch_size: int


Intensities = dict[Network, dict[tuple[str, str], float]]  # (form, precision) -> FLOPs per byte


def intensities(records: list[Record]) -> Intensities:
    """FLOPs per byte accessed of each compiled step: newest records."""
    counts: dict[Network, dict[tuple[str, str], dict[str, float]]] = {}
    for record in records:
        settings = record.settings
        if is_compiled(record) and record.value is not None and settings.get("of") in MARKS:
            chip, model, rows = (settings[key] for key in ("chip", "model", "batch_size"))
            steps = counts.setdefault(Network(str(chip), str(model), int(rows)), {})
            step = str(settings["of"]), str(settings["precision"])
            steps.setdefault(step, {})[record.what.removeprefix("bench/")] = record.value
    return {
        network: {
            step: count["step_flops"] / count["step_bytes_accessed"]
            for step, count in steps.items()
            if {"step_flops", "step_bytes_accessed"} <= count.keys()
        }
        for network, steps in counts.items()
    }


def draw(records: list[Record], roofs: Mapping[str, Roof]) -> Figure:
    """Figure of the roofs of the chips that steps were compiled for, and a row for each network.

    Args:
        roofs: by the chips' names, in the order of the rows.
    """
    found, order = intensities(records), list(roofs)
    networks = sorted(found, key=lambda network: (order.index(network.chip), *network[1:]))
    num_rows = max(len(networks), 1)
    figure = style.canvas(TOP + TALL + 0.15 + ROW * num_rows + 0.6)
    above = style.plane(figure, LEFT, RIGHT, TOP, TALL, TITLE)
    below = style.panel(figure, LEFT, RIGHT, num_rows, TOP + TALL + 0.15, ROW)
    for axes in (above, below):
        axes.set_xscale("log", base=2)
        axes.set_xlim(*FLOPS_PER_BYTE)
        style.ticks(axes.xaxis, TICKS)
    above.tick_params(labelbottom=False)
    below.set_xlabel("FLOPs per byte accessed, by the compiler's counts")
    _draw_roofs(above, [roofs[chip] for chip in dict.fromkeys(n.chip for n in networks)])
    for row, network in enumerate(networks):
        roof = roofs[network.chip]
        for at in found[network].values():
            style.point(above, at, roof.attainable(at) / TERA, ON_ROOF)
        words = f"{network.model}\n{network.batch_size} rows, {network.chip}"
        style.label(below, 0.04, row, words, size=style.SMALL)
        style.tick(below, roof.ridge, row, 40)
        _draw_steps(below, row, found[network])
    if not networks:
        style.not_measured(below, 0)
    low = Mark("o", INK, 8.5, hollow=True)
    style.legend(figure, {**dict(MARKS.values()), LOW: low, "peak = bandwidth": style.TICK}, 3)
    return figure


def _draw_roofs(axes: Axes, roofs: list[Roof]) -> None:
    """Draw the attainable TFLOP/s of each chip, with its name at the right end."""
    axes.set_yscale("log")
    axes.set_ylim(5, 1500)
    style.ticks(axes.yaxis, (10, 30, 100, 300, 1000) if roofs else ())
    axes.set_ylabel("attainable TFLOP/s")
    low, high = FLOPS_PER_BYTE
    for roof in roofs:
        at = (low, roof.ridge, high)
        heights = [roof.attainable(x) / TERA for x in at]
        axes.plot(at, heights, color=INK, linewidth=1.5)
        axes.text(1.15 * high, heights[-1], roof.title, size=style.SMALL, va=style.MIDDLE)


def _draw_steps(axes: Axes, row: int, steps: Mapping[tuple[str, str], float]) -> None:
    """Draw the steps of a network, the forms one below the other, bfloat16 hollow."""
    for place, (form, (_, mark)) in enumerate(MARKS.items()):
        for (of, precision), at in steps.items():
            if of == form:
                height = row + 0.13 * (place - (len(MARKS) - 1) / 2)
                style.point(axes, at, height, mark._replace(hollow=precision == LOW))
