"""A subject has one colour in every figure, which everybody can see on any page."""

from itertools import combinations

import numpy as np
import pytest
from colours import contrast, linear

pytest.importorskip("matplotlib")

from drawn_figures import ALL, figure_of
from matplotlib.patches import Patch

from results.draw import style
from results.draw.palette import PALETTE, themed
from results.draw.write import FIGURES


def colours_of_names(figure):
    """What the legend of a figure says: name of a mark -> its colour."""
    return {
        text.get_text(): handle.get_color()
        for legend in figure.legends
        for text, handle in zip(legend.get_texts(), legend.legend_handles, strict=True)
        if not isinstance(handle, Patch)
    }


def test_a_subject_has_one_colour_and_a_colour_one_kind_of_subject_in_every_figure():
    kinds = {
        "JAX": {"JAX"}, "PyTorch": {"PyTorch", "PyTorch compiled"}, "others": {"others"},
        "published": {"paper", "paper, 1.16", "official README", "official checkpoint",
                      "authors' step"},
    }  # fmt: skip
    expected = {name: PALETTE[kind].both for kind, names in kinds.items() for name in names}
    seen = set()
    for name in ALL:
        figure = figure_of(name, "everything")
        named = colours_of_names(figure)
        assert named == {key: expected.get(key, style.INK) for key in named}
        drawn_in = {line.get_color() for axes in figure.axes for line in axes.lines}
        assert drawn_in <= {*named.values(), style.INK}
        seen |= set(named)
    assert set(expected) <= seen


def test_subjects_of_one_figure_differ_without_colour():
    for name in ALL:
        figure = figure_of(name, "everything")
        cues = [
            (handle.get_marker(), handle.get_markersize(), handle.get_markerfacecolor() == "none",
             handle.get_linestyle())
            for legend in figure.legends
            for handle in legend.legend_handles
            if not isinstance(handle, Patch)
        ]  # fmt: skip
        assert len(set(cues)) == len(cues), name


@pytest.mark.parametrize("page", ["#ffffff", "#0d1117"])
def test_every_colour_stands_out_from_a_light_and_a_dark_page(page):
    assert contrast(style.INK, page) > 4.3
    assert min(contrast(tones.both, page) for tones in PALETTE.values()) > 3


@pytest.mark.parametrize(("theme", "page"), [("light", "#ffffff"), ("dark", "#121212")])
def test_the_tones_of_a_page_can_be_read_as_text_there(theme, page):
    assert min(contrast(getattr(tones, theme), page) for tones in PALETTE.values()) > 4.5


# Machado, Oliveira and Fernandes 2009: what is left of linear RGB without one kind of cone.
BLINDNESS = {
    "protanopia": [(0.15, 1.05, -0.2), (0.11, 0.79, 0.1), (0.0, -0.05, 1.05)],
    "deuteranopia": [(0.37, 0.86, -0.23), (0.28, 0.67, 0.05), (-0.01, 0.04, 0.97)],
    "tritanopia": [(1.26, -0.08, -0.18), (-0.08, 0.93, 0.15), (0.0, 0.69, 0.31)],
}
TO_XYZ = np.array([(0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505)])


def _lab(color, seen_as):
    """CIE L*a*b* of a colour as somebody sees it."""
    cube = np.cbrt(TO_XYZ @ np.clip(np.array(seen_as) @ linear(color), 1e-3, 1) / TO_XYZ.sum(1))
    return np.array((116 * cube[1] - 16, 500 * (cube[0] - cube[1]), 200 * (cube[1] - cube[2])))


@pytest.mark.parametrize("blindness", BLINDNESS)
@pytest.mark.parametrize("theme", ["both", "light", "dark"])
def test_the_colour_blind_tell_subjects_apart(theme, blindness):
    """By 10 or more of CIE76, where 2.3 is just seen side by side."""
    colors = [getattr(tones, theme) for name, tones in PALETTE.items() if name != "ink"]
    labs = [_lab(color, BLINDNESS[blindness]) for color in colors]
    assert min(np.linalg.norm(a - b) for a, b in combinations(labs, 2)) > 10


@pytest.mark.parametrize("name", ALL)
def test_the_report_shows_a_figure_in_the_tones_of_its_page(name):
    committed = (FIGURES / f"{name}.svg").read_text()
    shown = themed(committed)
    assert shown.count("<style>:root {--ink: #595959;") == 1
    for key, tones in PALETTE.items():
        assert tones.both not in shown
        assert shown.count(f"var(--{key})") == committed.count(tones.both)
    assert "var(--ink)" in shown
