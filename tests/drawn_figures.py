"""Figures for tests: drawn from any records, or once from none and from all."""

from functools import cache

from matplotlib import style as matplotlib_style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from results_records import fid

from bench.figures import FIGURES
from results.draw import style, write
from results.reading import read

ALL = {**write.ALL, **FIGURES}
COMMITTED = read()
EVERYTHING = [*COMMITTED, fid(value=11.38, interval=(11.3, 11.46))]
RECORDS = {"none": [], "everything": EVERYTHING}


def drawn(name, records):
    with matplotlib_style.context(["default", style.STYLE]):
        figure = ALL[name](records)
        FigureCanvasAgg(figure).draw()
    return figure


@cache
def figure_of(name, records):
    """The figure of one of RECORDS, which no test may change."""
    return drawn(name, RECORDS[records])


def words(figure):
    return [text.get_text() for text in figure.findobj(Text) if isinstance(text, Text)]
