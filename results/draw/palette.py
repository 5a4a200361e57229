"""Palette: one colour for each subject in all figures, together with a shape or a dash.

The colours are safe for colour-blind readers. A committed figure is read on light and on dark
pages alike, so its colours lie between white and black (3 : 1 or more on both, text 4.35 : 1, the
most that both can have). The report knows its page and shows the variants of it (4.5 : 1 or more).
"""

import re
from typing import NamedTuple


class Tones(NamedTuple):
    """Variants of a colour: in committed figures, on a light page and on a dark page."""

    both: str
    light: str
    dark: str


PALETTE = {
    # Text and axes, and what subjects are compared with: a tolerance, real digits, FLOPs.
    "ink": Tones("#797979", "#595959", "#b4b4b4"),
    "JAX": Tones("#0b84c6", "#0069a6", "#4db3f0"),
    "PyTorch": Tones("#d55e00", "#c24e00", "#ff8a3d"),
    "published": Tones("#b0619a", "#9c3f83", "#dd8fca"),  # the paper and the authors' code
    "others": Tones("#009e73", "#007f5f", "#2fc79a"),
}


def themed(svg: str) -> str:
    """Committed figure with colours that follow the page, light or dark."""
    light = "".join(f"--{name}: {tones.light};" for name, tones in PALETTE.items())
    dark = "".join(f"--{name}: {tones.dark};" for name, tones in PALETTE.items())
    rules = f":root {{{light}}} @media (prefers-color-scheme: dark) {{:root {{{dark}}}}}"
    for name, tones in PALETTE.items():
        svg = svg.replace(tones.both, f"var(--{name})")
    return re.sub(r"(<svg\b[^>]*>)", rf"\1<style>{rules}</style>", svg, count=1)
