"""Tables whose cells refer to the records and published numbers that they show.

Markdown shows the text alone; the report (results/report/markup.py) makes it a link. Text of a
record enters a cell through `plain`, which escapes Markdown and HTML.
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
PIPE = re.compile(r"(?<!\\)\|")  # GitHub's tables need one backslash, whatever precedes it
IN_ADDRESS = "/:?#@!$&'*+,;=%~"  # stands as it is in the address of a link


@dataclass(frozen=True)
class Said:
    """Text with its sources; a link leads to the first source."""

    text: str
    sources: tuple[Record | Published, ...]

    def __post_init__(self) -> None:
        assert self.sources, f"{self.text} has no source"


Piece = str | Said
Cell = Piece | tuple[Piece, ...]


class Table(NamedTuple):
    """Table of cells in Markdown; a row may end early."""

    heads: list[str]
    rows: list[list[Cell]]
    notes: Sequence[Cell] = ()  # paragraphs below
    num_labels: int = 1  # first columns, which identify a row: settings, not results


def plain(words: str) -> str:
    """Text escaped for Markdown, on one line."""
    return MARKUP.sub(lambda found: f"\\{found[0]}", " ".join(words.split()))


def code(words: str) -> str:
    """Text as code in Markdown, on one line."""
    return f"`{' '.join(words.replace('`', ' ').split())}`"


def linked(words: str, address: str) -> str:
    """Text as a link in Markdown; plain text if the address is not on the web."""
    if not address.startswith(("https://", "http://")):
        return plain(words)
    return f"[{plain(words)}]({quote(address, IN_ADDRESS)})"


def pieces(cell: Cell) -> tuple[Piece, ...]:
    """Parts of a cell."""
    return cell if isinstance(cell, tuple) else (cell,)


def text(cell: Cell) -> str:
    """Text of a cell, in Markdown."""
    return "".join(part if isinstance(part, str) else part.text for part in pieces(cell))


def joined(between: str, cells: Iterable[Cell]) -> Cell:
    """Cells joined into one, with a separator."""
    parts = (part for cell in cells for part in (between, *pieces(cell)))
    return tuple(parts)[1:]


def markdown(table: Table) -> str:
    """Table in Markdown, with the paragraphs below it."""
    width = len(table.heads)
    lines = [_line(table.heads), "|" + "-|" * width]
    lines += [_line(map(text, row)) + " |" * (width - len(row)) for row in table.rows]
    return "\n".join(lines) + "\n" + "".join(f"\n{text(note)}\n" for note in table.notes)


def _line(cells: Iterable[str]) -> str:
    """Row on one line, with pipes escaped."""
    whole = (PIPE.sub(r"\\|", " ".join(cell.splitlines())) for cell in cells)
    return f"| {' | '.join(whole)} |"


def estimate(record: Record | None, places: int, scale: float = 1) -> Piece:
    """Estimate: value (low to high) with decimal places, marked if the tree was dirty."""
    if record is None or record.value is None:
        return "not measured"
    bounds = [f"{bound * scale:.{places}f}" for bound in record.interval or ()]
    said = f"{record.value * scale:.{places}f}" + (f" ({' to '.join(bounds)})" if bounds else "")
    return marked(said, record)


def printed(number: Published | None) -> Piece:
    """Published number as it was printed, or an empty cell."""
    return "" if number is None else Said(number.printed, (number,))


def marked(said: str, *sources: Record | Published) -> Said:
    """Text with its sources, marked if the tree of a record was dirty."""
    dirty = any(isinstance(source, Record) and source.dirty for source in sources)
    return Said(f"{said} {DIRTY}" if dirty else said, sources)


def with_footnote(table: Table) -> Table:
    """Table with a footnote on the mark, if a cell has it."""
    if DIRTY not in markdown(table):
        return table
    return table._replace(notes=[*table.notes, FOOTNOTE])
