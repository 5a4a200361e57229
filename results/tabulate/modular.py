"""The table of other losses in small: Modular MeanFlow's, and improved MeanFlow's without its head.

The presets `modular/…`, trained and scored as the ablations are; distances are held against those
of the same seeds with MeanFlow's own loss.
"""

from results.schema import Record
from results.tabulate.ablations import DEFAULT, gap_cell, mean_cell, measured
from results.tabulate.cells import NAMES, Cell, Table

# Preset -> the loss, and the preset with MeanFlow's loss that it is held against.
ROWS = {
    "modular/l_0": ("Modular MeanFlow, lambda 0: MeanFlow", ""),
    "modular/l_1": ("Modular MeanFlow, lambda 1", "modular/l_0"),
    "modular/curriculum": ("Modular MeanFlow, lambda from 0 to 1", "modular/l_0"),
    DEFAULT: ("MeanFlow", ""),
    "modular/network": ("improved MeanFlow's loss, without its head", DEFAULT),
}
HOW = (
    "Digits Fréchet distance of one-step samples: the mean over the seeds (lowest to highest), and"
    " its difference from MeanFlow's loss with the same settings, with the 95 % interval of"
    " Student's t. The first three rows have the weight, the mean over pixels and the share of rows"
    " with r = t of Modular MeanFlow's public port."
    " `nox -s ablations -- --presets modular/l_1` trains a row."
)


def modular(records: list[Record]) -> Table:
    """Loss, distances of both frameworks, differences from MeanFlow's loss."""
    found = measured(records, ROWS)
    names = NAMES.values()
    heads = ["loss", "preset", *names, *(f"{name}, minus MeanFlow" for name in names)]
    rows: list[list[Cell]] = []
    for preset, (said, other) in ROWS.items():
        runs = [found.get((subject, preset), {}) for subject in NAMES]
        against = (found.get((subject, other), {}) for subject in NAMES)
        gaps = [gap_cell(*pair) if other else "" for pair in zip(runs, against, strict=True)]
        rows.append([said, f"`{preset}`", *map(mean_cell, runs), *gaps])
    return Table(heads, rows, [HOW], num_labels=2)
