"""Tables, whose cells know the records and published numbers behind them.

Markdown prints the text alone; the report (results/report/markup.py) makes a link of it. What a
record says enters a cell through `plain`, so that it cannot be taken for Markdown or HTML.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote

from results.published import Published
from results.schema import Record

JAX, TORCH = "impls.meanflow_jax", "impls.meanflow_torch"
NAMES = {JAX: "JAX", TORCH: "PyTorch"}
DIRTY = "†"
FOOTNOTE = f"{DIRTY} measured in a tree with changes that no commit holds"
MARKUP = re.compile(r"[\\`*\[\]<>|&~$]|_(?![^\W_])|(?<![^\W_])_")  # within a word, _ is none
PIPE = re.compile(r"(?<!\\)\|")  # a table of GitHub asks for one backslash, whatever is before it
IN_ADDRESS = "/:?#@!$&'*+,;=%~"  # stands as it is in the address of a link


@dataclass(frozen=True)
class Said:
    """A text, and what it is said of: the first of several is where a link leads."""

    text: str
    sources: tuple[Record | Published, ...]

    def __post_init__(self) -> None:
        assert self.sources, f"{self.text} is said of nothing"


Piece = str | Said
Cell = Piece | tuple[Piece, ...]


class Table(NamedTuple):
    """Rows of cells in Markdown; a row may end early."""

    heads: list[str]
    rows: list[list[Cell]]
    notes: Sequence[Cell] = ()  # paragraphs below
    num_labels: int = 1  # first columns, which say what a row is of: its settings, no outcome


def plain(words: str) -> str:
    """A text in Markdown that shows it as it stands, on one line."""
    return MARKUP.sub(lambda found: f"\\{found[0]}", " ".join(words.split()))


def code(words: str) -> str:
    """A text in Markdown as code, on one line."""
    return f"`{' '.join(words.replace('`', ' ').split())}`"


def linked(words: str, address: str) -> str:
    """A text as a link in Markdown; without one where the address is none of the web."""
    if not address.startswith(("https://", "http://")):
        return plain(words)
    return f"[{plain(words)}]({quote(address, IN_ADDRESS)})"


def pieces(cell: Cell) -> tuple[Piece, ...]:
    """The parts of a cell."""
    return cell if isinstance(cell, tuple) else (cell,)


def text(cell: Cell) -> str:
    """What a cell says, in Markdown."""
    return "".join(part if isinstance(part, str) else part.text for part in pieces(cell))


def joined(between: str, cells: Iterable[Cell]) -> Cell:
    """One cell of several, with a text between any two."""
    parts = (part for cell in cells for part in (between, *pieces(cell)))
    return tuple(parts)[1:]


def markdown(table: Table) -> str:
    """A table, and the paragraphs below it."""
    width = len(table.heads)
    lines = [_line(table.heads), "|" + "-|" * width]
    lines += [_line(map(text, row)) + " |" * (width - len(row)) for row in table.rows]
    return "\n".join(lines) + "\n" + "".join(f"\n{text(note)}\n" for note in table.notes)


def _line(cells: Iterable[str]) -> str:
    """A row on one line, in which nothing ends a cell before its end."""
    whole = (PIPE.sub(r"\\|", " ".join(cell.splitlines())) for cell in cells)
    return f"| {' | '.join(whole)} |"


def estimate(record: Record | None, places: int, scale: float = 1) -> Piece:
    """Value (low to high) with so many digits after the point, marked where the tree was dirty."""
    if record is None or record.value is None:
        return "not measured"
    bounds = [f"{bound * scale:.{places}f}" for bound in record.interval or ()]
    said = f"{record.value * scale:.{places}f}" + (f" ({' to '.join(bounds)})" if bounds else "")
    return marked(said, record)


def printed(number: Published | None) -> Piece:
    """A published number as it was printed, or nothing."""
    return "" if number is None else Said(number.printed, (number,))


def marked(said: str, *sources: Record | Published) -> Said:
    """What is said of records and published numbers, with a mark where a tree was dirty."""
    dirty = any(isinstance(source, Record) and source.dirty for source in sources)
    return Said(f"{said} {DIRTY}" if dirty else said, sources)


def with_footnote(table: Table) -> Table:
    """A table, with the meaning of the mark below it where it has one."""
    if DIRTY not in markdown(table):
        return table
    return table._replace(notes=[*table.notes, FOOTNOTE])
