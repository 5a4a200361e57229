"""Writes every figure, as SVG and PNG, or says which ones do not follow from the records."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from pathlib import Path

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
    if held == content:
        return True
    try:
        return _unpacked(held, path.suffix) == _unpacked(content, path.suffix)
    except (OSError, ValueError):  # what is there is no picture
        return False


def _unpacked(content: bytes, ending: str) -> list[object]:
    """A PNG as its pixels; an SVG as its text, with the pixels of each PNG in it."""
    if ending == ".png":
        return [_pixels(content)]
    parts = EMBEDDED.split(NAMED_AFTER.sub(b"image", content))
    return [*parts[::2], *(_pixels(base64.b64decode(part)) for part in parts[1::2])]


def _pixels(content: bytes) -> tuple[str, tuple[int, int], bytes]:
    with Image.open(io.BytesIO(content)) as image:
        return image.mode, image.size, image.tobytes()
