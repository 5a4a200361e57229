"""Figure of published FIDs of each preset over the expected one, and of those measured here."""

import math
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from results.draw import style
from results.draw.style import Mark
from results.published import one_seed
from results.schema import Record
from results.tabulate.cells import NAMES
from results.tabulate.reproduction import (
    ROWS,
    Row,
    has_epochs,
    is_comparable,
    published_fids,
    scores,
)
from results.verdict import PUBLISHED_SAMPLES

MARKS = {
    name: style.SUBJECTS[name]
    for name in ("paper", "official README", "official checkpoint", "others", *NAMES.values())
}
GROUPS = {"official_readme": "official README", "published_checkpoint": "official checkpoint"}
COLUMNS = 3  # of the legend
SPACING = 0.3  # of numbers within a row, as a share of the height of one with up to three
NONE_HERE = "none of these was measured here"
TICKS = (0.75, 0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.1)


class Number(NamedTuple):
    """FID of a row; `same` is true if its known settings are those of the row."""

    source: str
    value: float
    same: bool = True
    interval: tuple[float, float] | None = None


def rows() -> dict[Row, list[Number]]:
    """Published FIDs of each row of the table.

    Returns:
        Row -> its numbers, the expected FID first: that of the authors' own run of the code if they
        published one, else the paper's.
    """
    order = [*GROUPS.values(), "paper"]
    found: dict[Row, list[Number]] = {}
    for row in ROWS:
        numbers = {Number(GROUPS.get(n.group, "paper"), n.value) for n in published_fids(row)}
        found[row] = sorted(numbers, key=lambda number: order.index(number.source))
    return found


def draw(records: list[Record]) -> Figure:
    """Figure with a row for each setting: FID over the expected FID, on a logarithmic axis."""
    table = with_records(rows(), records)
    entries = _entries(table)
    heights = {row: max(1.0, 0.1 + SPACING * len(numbers)) for row, numbers in table.items()}
    height, top = 0.4, 0.42 + 0.2 * math.ceil(len(entries) / COLUMNS)
    figure = style.canvas(top + height * sum(heights.values()) + 0.75)
    axes = style.panel(figure, 2.38, 0.72, sum(heights.values()), top, height)
    style.band(axes, 1 - one_seed(), 1 + one_seed())
    edge = -0.5
    for row, numbers in table.items():
        axes.axhline(edge, color=style.INK, alpha=0.25, linewidth=0.8)
        _draw_row(axes, edge + heights[row] / 2, row, numbers)
        edge += heights[row]
    for inches, text, side in (
        (0.04, "preset", "left"), (2.28, "epochs", "right"), (5.96, "expected", "right"),
    ):  # fmt: skip
        style.label(axes, inches, -0.85, text, ha=side, style="italic", size=style.SMALL)
    style.share_limits([axes], [1 - one_seed(), 1 + one_seed()])
    style.ticks(axes.xaxis, TICKS)
    measured_here = {*NAMES.values()} & {n.source for numbers in table.values() for n in numbers}
    axes.set_xlabel("FID / expected FID" + ("" if measured_here else f"\n{NONE_HERE}"))
    style.legend(figure, entries, COLUMNS)
    return figure


def _draw_row(axes: Axes, middle: float, row: Row, numbers: list[Number]) -> None:
    """Draw the numbers of a setting, one below the other, so that equal ones remain visible."""
    expected = numbers[0].value
    steps = "" if row.num_steps == 1 else f", {row.num_steps} steps"
    style.label(axes, 0.04, middle, row.preset + steps)
    style.label(axes, 2.28, middle, str(row.epochs), ha="right")
    style.label(axes, style.WIDTH - 0.04, middle, f"{expected:.2f}", ha="right")
    for place, number in enumerate(numbers):
        mark = MARKS[number.source]._replace(hollow=not number.same)
        bounds = number.interval and (number.interval[0] / expected, number.interval[1] / expected)
        at = middle + SPACING * (place - (len(numbers) - 1) / 2)
        style.point(axes, number.value / expected, at, mark, bounds)


def _entries(table: dict[Row, list[Number]]) -> dict[str, Mark | Patch]:
    """Entries of the legend: only marks that are shown."""
    shown = {number.source for numbers in table.values() for number in numbers}
    entries: dict[str, Mark | Patch] = {n: mark for n, mark in MARKS.items() if n in shown}
    if not all(number.same for numbers in table.values() for number in numbers):
        entries["setting differs"] = Mark("o", style.INK, hollow=True)
    return {**entries, f"± {100 * one_seed():.1f} %, one seed": style.band_of_legend()}


def with_records(table: dict[Row, list[Number]], records: list[Record]) -> dict[Row, list[Number]]:
    """Rows with the newest FIDs added: those of others, and those measured here."""
    found = dict(table)
    for row, (here, others) in scores(records).items():
        found[row] = [*table[row], *_numbers(others, row), *_numbers(here, row)]
    return found


def _numbers(records: list[Record], row: Row) -> list[Number]:
    """FIDs of a row by framework, or of others; unknown settings count as the row's."""
    return [
        Number(
            NAMES.get(record.subject, "others"),
            record.value,
            record.settings["num_samples"] == PUBLISHED_SAMPLES
            and is_comparable(record, untold=True)
            and (record.settings.get("epochs") == "unknown" or has_epochs(record, row)),
            record.interval,
        )
        for record in records
        if record.value
    ]
