"""Tables as HTML, with links from values to their records or published sources."""

import re
from collections.abc import Iterable
from html import escape

from results.compare import machine_name
from results.published import Published
from results.schema import Record
from results.tabulate.cells import Cell, Piece, Table, pieces

# An escaped character, code, a link, a line break.
TOKEN = re.compile(
    r"\\([!-/:-@[-`{-~])|`([^`]+)`|\[((?:\\.|[^\]\\])+)\]\((https?://[^)\s]+)\)|<br>"
)


def html(table: Table) -> str:
    """Sortable table in HTML, with the paragraphs below it."""
    width = len(table.heads)
    rows = ([*map(cell, row), *[""] * (width - len(row))] for row in table.rows)
    notes = (f'<p class="note">{cell(note)}</p>' for note in table.notes)
    return grid(map(inline, table.heads), rows, table.num_labels) + "\n".join(notes)


def grid(heads: Iterable[str], rows: Iterable[Iterable[str]], num_labels: int = 0) -> str:
    """Sortable table of HTML cells; its first columns are row headings."""
    head = "".join(f'<th scope="col"><button type="button">{cell}</button></th>' for cell in heads)
    body = "\n".join(f"<tr>{_cells(row, num_labels)}</tr>" for row in rows)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n"


def _cells(row: Iterable[str], num_labels: int) -> str:
    return "".join(
        f'<th scope="row">{cell}</th>' if column < num_labels else f"<td>{cell}</td>"
        for column, cell in enumerate(row)
    )


def cell(content: Cell) -> str:
    """Cell in HTML, with a link to its record or published source."""
    return "".join(map(_piece, pieces(content)))


def link(shown: str, *sources: Record | Published, kind: str = "", more: str = "") -> str:
    """Link to the first of the sources.

    Args:
        shown: HTML.
        kind: CSS class of the link.
        more: further text of its title, beside value, date and machine.
    """
    first, others = sources[0], len(sources) - 1
    if isinstance(first, Record):
        target, title = f"#{first.digest}", about(first)
    else:
        target = first.source.url
        title = f"{first.quantity}: {first.source.title}, {first.place}"
    titles = [more, title, f"and {others} more" if others else ""]
    mark = f' class="{kind}"' if kind else ""
    title = escape("; ".join(filter(None, titles)))
    return f'<a{mark} href="{escape(target)}" title="{title}">{shown}</a>'


def about(record: Record) -> str:
    """Title of a record: value, date and machine."""
    value = "no number" if record.value is None else f"{record.value:.6g}"
    unit = "" if record.unit == "1" else f" {record.unit}"
    return f"{value}{unit}, {record.date[:10]}, {machine_name(record)}"


def breakable(name: str) -> str:
    """Long name in HTML, which may break after underscores and slashes."""
    return re.sub(r"([_/])", r"\1<wbr>", name)


def inline(markdown: str) -> str:
    """HTML from Markdown: escaped characters, code, links and line breaks."""
    said, end = [], 0
    for token in TOKEN.finditer(markdown):
        said += [escape(markdown[end : token.start()], quote=False), _token(token)]
        end = token.end()
    return "".join([*said, escape(markdown[end:], quote=False)])


def _token(token: re.Match[str]) -> str:
    character, code, words, address = token.groups()
    if character:
        return escape(character, quote=False)
    if code:
        return f"<code>{breakable(escape(code, quote=False))}</code>"
    return f'<a href="{escape(address)}">{inline(words)}</a>' if address else "<br>"


def _piece(part: Piece) -> str:
    return inline(part) if isinstance(part, str) else link(inline(part.text), *part.sources)
