"""Figure of samples of the trained runs: grids of results/samples, both frameworks side by side.

The grids are results of runs, as records are: `nox -s train-digits` and `nox -s train-mnist` write
them. A grid has one column for each label.
"""

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from results.draw import style
from results.schema import Record
from results.tabulate.cells import NAMES

SAMPLES = Path(__file__).parent.parent / "samples"
FRAMEWORKS = dict(zip(("jax", "torch"), NAMES.values(), strict=True))
NAMED = re.compile(rf"(?P<name>.+)-(?P<framework>{'|'.join(FRAMEWORKS)})-(?P<seed>\d+)\.png")
ABLATIONS = "ablation_"  # how the names of their runs begin
NUM_LABELS = 10  # columns of a picture: labels in turn
SIDE, HEAD = 2.55, 0.62  # of a picture and of its title, in inches
LEFTS = (0.45, 3.4)  # where the columns begin


class Run(NamedTuple):
    """Run that a grid of samples belongs to."""

    name: str
    seed: int


def pictures(folder: Path) -> dict[Run, dict[str, Path]]:
    """Grids of samples: run -> framework -> path, for every NAME-FRAMEWORK-SEED.png, in order."""
    found: dict[Run, dict[str, Path]] = {}
    for path in sorted(folder.glob("*.png")):
        if match := NAMED.fullmatch(path.name):
            run = Run(match["name"], int(match["seed"]))
            found.setdefault(run, {})[match["framework"]] = path
    return dict(sorted(found.items()))


def pixels(path: Path) -> NDArray[Any]:
    """Pixels [height, width, 3] uint8 of a grid."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def draw(_records: list[Record], folder: Path = SAMPLES) -> Figure:
    """Figure with a row for each run, a column for each framework; pixels are not smoothed.

    The ablations have a figure of their own.
    """
    runs = [item for item in pictures(folder).items() if not item[0].name.startswith(ABLATIONS)]
    figure = style.canvas((HEAD + SIDE) * len(runs) + 0.1 if runs else 0.5)
    if not runs:
        figure.text(0.01, 0.5, "not measured", size=style.SMALL, style="italic")
    for row, (run, found) in enumerate(runs):
        top = HEAD + (HEAD + SIDE) * row
        for left, (framework, name) in zip(LEFTS, FRAMEWORKS.items(), strict=True):
            axes = style.plane(figure, left, style.WIDTH - left - SIDE, top, SIDE)
            axes.set_axis_off()
            axes.set_title(f"{run.name}, seed {run.seed}: {name}", loc="left", size=10, pad=18)
            if framework in found:
                axes.imshow(pixels(found[framework]), interpolation="none")
                label_columns(axes, 1.015)
                axes.text(
                    -0.02, 1.015, "label", size=style.SMALL, ha="right", transform=axes.transAxes
                )
            else:
                axes.text(
                    0, 0.9, "not measured", size=style.SMALL, style="italic",
                    transform=axes.transAxes,
                )  # fmt: skip
    return figure


def label_columns(axes: Axes, height: float) -> None:
    """Draw the label of each column above a grid that fills its axes.

    Args:
        height: of the text, as a share of the axes.
    """
    for number in range(NUM_LABELS):
        at = (number + 0.5) / NUM_LABELS
        axes.text(at, height, str(number), size=style.SMALL, ha="center", transform=axes.transAxes)
