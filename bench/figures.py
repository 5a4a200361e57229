"""Figures that need the table of chips, for `meanflow tables`."""

from collections.abc import Callable

from matplotlib.figure import Figure

from bench.chips import all_chips
from results.draw import roofline
from results.schema import Record


def draw_roofline(records: list[Record]) -> Figure:
    """Roofline figure of compiled steps, with the published peaks of bench/chips.yml."""
    roofs = {
        chip.name: roofline.Roof(chip.title, chip.peak_flops, chip.bandwidth)
        for chip in all_chips().values()
    }
    return roofline.draw(records, roofs)


FIGURES: dict[str, Callable[[list[Record]], Figure]] = {"roofline": draw_roofline}
