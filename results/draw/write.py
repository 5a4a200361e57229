"""Writes every figure, as SVG and PNG, or says which ones do not follow from the records."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from results.draw import curves, digits, errors, jvp_overhead, reproduction
from results.draw.style import render
from results.reading import read
from results.schema import RECORDS, Record

FIGURES = Path(__file__).parent.parent / "figures"
ALL: dict[str, Callable[[list[Record]], Figure]] = {
    "digits": digits.draw,
    "errors": errors.draw,
    "jvp_overhead": jvp_overhead.draw,
    "reproduction": reproduction.draw,
    "training_curves": curves.draw,
}


def write_figures(records: Path = RECORDS, figures: Path = FIGURES, *, write: bool) -> list[Path]:
    """Make every figure from the records; returns the files that differed.

    Args:
        write: whether these files are written.
    """
    found = read(records)
    wanted = {
        figures / f"{name}{ending}": content
        for name, draw in ALL.items()
        for ending, content in render(draw, found).items()
    }
    changed = [path for path, content in wanted.items() if not _same(path, content)]
    for path in changed if write else ():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(wanted[path])
    return changed


def _same(path: Path, content: bytes) -> bool:
    """Whether a file is this one; of a PNG the pixels, which zlib packs as its version likes."""
    if not path.is_file():
        return False
    held = path.read_bytes()
    if held == content or path.suffix != ".png":
        return held == content
    try:
        return _pixels(held) == _pixels(content)
    except OSError:  # what is there is no PNG
        return False


def _pixels(content: bytes) -> tuple[str, tuple[int, int], bytes]:
    with Image.open(io.BytesIO(content)) as image:
        return image.mode, image.size, image.tobytes()
