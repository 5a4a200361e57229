"""Writing of every figure, and detection of figures that are out of date."""

import base64
import io
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from matplotlib.figure import Figure
from PIL import Image

from results.draw import (
    ablations,
    curves,
    depth,
    digits,
    errors,
    jvp_overhead,
    reproduction,
    samples,
)
from results.draw.style import render
from results.reading import read
from results.schema import RECORDS, Record
from results.tabulate.write import write_changed

EMBEDDED = re.compile(rb"data:image/png;base64,\s*([\w+/=\s]+)")
NAMED_AFTER = re.compile(rb"\bimage[0-9a-f]{10}\b")  # by matplotlib, after the packed bytes
FIGURES = Path(__file__).parent.parent / "figures"
ALL: dict[str, Callable[[list[Record]], Figure]] = {
    "ablations": ablations.draw,
    "depth": depth.draw,
    "digits": digits.draw,
    "errors": errors.draw,
    "jvp_overhead": jvp_overhead.draw,
    "reproduction": reproduction.draw,
    "samples": samples.draw,
    "training_curves": curves.draw,
}


def write_figures(
    records: Path = RECORDS,
    figures: Path = FIGURES,
    *,
    more: Mapping[str, Callable[[list[Record]], Figure]] = MappingProxyType({}),
    write: bool,
) -> list[Path]:
    """Regenerate every figure from the records; returns the files that differed.

    Args:
        more: name of another figure -> function that draws it.
        write: write these files.
    """
    found, every = read(records), {**ALL, **more}
    wanted = {figures / f"{name}.svg": render(draw, found) for name, draw in every.items()}
    return write_changed(wanted, same_figure, write=write)


def same_figure(one: bytes, other: bytes) -> bool:
    """True if two SVGs are equal up to the compression of embedded images."""
    try:
        return one == other or _unpacked(one) == _unpacked(other)
    except (OSError, ValueError):  # not a valid SVG
        return False


def _unpacked(content: bytes) -> list[object]:
    """Text of an SVG, and the pixels of each PNG in it."""
    parts = EMBEDDED.split(NAMED_AFTER.sub(b"image", content))
    return [*parts[::2], *(_pixels(base64.b64decode(part)) for part in parts[1::2])]


def _pixels(content: bytes) -> tuple[str, tuple[int, int], bytes]:
    with Image.open(io.BytesIO(content)) as image:
        return image.mode, image.size, image.tobytes()
